//! Clients in rooms, some of whom speak: the load under which clusters change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringway_protocol::Format;
use ringway_testkit::path::Path;
use ringway_testkit::wait::until;

use super::follower::{Follower, Way};
use super::site::Site;
use super::speech::Speech;
use crate::support::path;

/// How long anything may take until everybody is served again.
pub(super) const SERVED: Duration = Duration::from_secs(30);

/// How long until everybody is at home: nobody is told to move twice within a minute.
const HOME: Duration = Duration::from_secs(90);

/// How many speak in each room: not one that stays silent while it moves itself.
const SPEAKERS: usize = 2;

/// How large a crowd is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) clients: usize,
    pub(super) rooms: usize,
    /// Between two words of a speaker.
    pub(super) every: Duration,
}

impl Size {
    /// What the machine of any developer bears beside other tests.
    pub(super) const SMALL: Self = Self { clients: 36, rooms: 12, every: Duration::from_millis(100) };
    /// For figures.
    pub(super) const LARGE: Self = Self { clients: 200, rooms: 50, every: Duration::from_millis(100) };
}

pub(super) struct Crowd {
    pub(super) followers: Vec<Follower>,
    pub(super) rooms: Vec<String>,
    size: Size,
    speeches: Vec<Speech>,
}

impl Crowd {
    /// Everybody is in two rooms, so that rooms have members on several nodes; by turns through the gateways and in
    /// either format. Returns when all are in.
    pub(super) fn start(tenant: &'static str, gateways: &[SocketAddr], size: Size) -> Self {
        let rooms: Vec<String> = (0..size.rooms).map(|n| format!("talk.{n}")).collect();
        let follower = |index: usize| {
            let format =
                if (index / gateways.len()).is_multiple_of(2) { Format::Msgpack } else { Format::Json };
            let way = Way { gateway: gateways[index % gateways.len()], format, tenant };
            let other = (index + 1 + index / size.rooms) % size.rooms;
            let of = [rooms[index % size.rooms].clone(), rooms[other].clone()];
            Follower::start(format!("{tenant}-{index}"), way, &of)
        };
        let followers = (0..size.clients).map(follower).collect();
        let crowd = Self { followers, rooms, size, speeches: Vec::new() };
        crowd.all_joined();
        crowd
    }

    /// Further clients of the same rooms, through one gateway only.
    pub(super) fn join_through(&mut self, gateway: SocketAddr, called: &str, count: usize) {
        let Some(tenant) = self.followers.first().map(|first| first.tenant) else { return };
        let way = Way { gateway, format: Format::Json, tenant };
        for index in 0..count {
            let of = [self.rooms[index % self.rooms.len()].clone()];
            self.followers.push(Follower::start(format!("{called}-{index}"), way, &of));
        }
        self.all_joined();
    }

    /// In each room somebody whose home it is and somebody whose home is another speak from now on.
    pub(super) fn speak(&mut self) {
        for room in &self.rooms {
            let (home, other): (Vec<&Follower>, Vec<&Follower>) = self
                .followers
                .iter()
                .filter(|follower| follower.rooms.iter().any(|of| of.as_str() == room))
                .partition(|follower| follower.home() == room);
            let speakers = [home.first(), other.first()].into_iter().flatten().take(SPEAKERS);
            let every = self.size.every;
            self.speeches.extend(speakers.map(|speaker| Speech::begin(speaker, room, every)));
        }
        self.all_hear(3);
    }

    /// Nobody speaks any more; every word has its outcome.
    pub(super) async fn fall_silent(&mut self) {
        // All at once, or the last speak for long to a room that has fallen silent otherwise.
        let ends = self.speeches.drain(..).map(Speech::stop);
        futures_util::future::join_all(ends).await;
    }

    pub(super) fn all_joined(&self) {
        for follower in &self.followers {
            until(&format!("{} is in its rooms", follower.name), SERVED, || {
                follower.record().rooms.values().all(|room| room.place.is_some()).then_some(())
            });
        }
    }

    /// Waits until everybody has heard so many more publications in each of their rooms.
    pub(super) fn all_hear(&self, more: usize) {
        let counts = |follower: &Follower| -> Vec<usize> {
            follower.record().rooms.values().map(super::record::Heard::count).collect()
        };
        let before: Vec<Vec<usize>> = self.followers.iter().map(counts).collect();
        for (follower, before) in self.followers.iter().zip(&before) {
            until(&format!("{} hears {more} more in its rooms", follower.name), SERVED, || {
                let now = counts(follower);
                now.iter().zip(before).all(|(now, before)| *now >= before + more).then_some(())
            });
        }
    }

    /// How many aren't on the node that this says is their home's.
    pub(super) fn misplaced(&self, owner: impl Fn(&str) -> String) -> usize {
        self.elsewhere(owner).count()
    }

    /// Waits until everybody is on the node that this says is their home's. Where gateways have the sockets nobody goes
    /// anywhere: then until each membership is at its room's owner, beside those of `others` on the same nodes.
    pub(super) fn come_home(
        &self,
        site: &Site,
        others: BTreeMap<String, usize>,
        owner: impl Fn(&str) -> String,
    ) {
        if path() == Path::Relay {
            let mut expected = self.memberships(owner);
            others.into_iter().for_each(|(node, count)| *expected.entry(node).or_default() += count);
            for node in &site.cluster.nodes {
                let count = expected.get(node.name.trim_start_matches("node ")).copied().unwrap_or_default();
                until(&format!("{} has {count} members", node.name), HOME, || {
                    (node.metrics().sum("ringway_members", &[]) == count as f64).then_some(())
                });
            }
            return;
        }
        let deadline = Instant::now() + HOME;
        loop {
            let away: Vec<String> = self.elsewhere(&owner).collect();
            if away.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{} aren't at home within {HOME:?}: {away:?}", away.len());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How many memberships belong to each node, where this says whose a room is.
    pub(super) fn memberships(&self, owner: impl Fn(&str) -> String) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for room in self.followers.iter().flat_map(|follower| &follower.rooms) {
            *all.entry(owner(room.as_str())).or_default() += 1;
        }
        all
    }

    fn elsewhere(&self, owner: impl Fn(&str) -> String) -> impl Iterator<Item = String> {
        self.followers.iter().filter_map(move |follower| {
            let (node, home) = (follower.node(), owner(follower.home()));
            (node != home).then(|| format!("{} is on {node}, not on {home}", follower.name))
        })
    }
}
