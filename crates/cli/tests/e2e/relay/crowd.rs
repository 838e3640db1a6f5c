//! Clients in ephemeral and durable rooms of all nodes, in each of which somebody speaks: the load under which nodes and
//! links fail, and what is held against what was promised afterwards.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ringway_protocol::Format;
use ringway_testkit::transcript::{Event, Kind, Room};

use super::SERVED;
use super::site::Site;
use crate::member::{Member, Talk, Way, settled};
use crate::rebalance::steady::Steady;
use crate::span::{longest_without, seconds};
use crate::support::name;

/// Between two words of a speaker.
const EVERY: Duration = Duration::from_millis(200);

/// For how long somebody says a thing again in a durable room: as long as a store knows a repeat, with room to spare.
const PATIENCE: Duration = Duration::from_secs(20);

/// Rooms of either kind on each node.
const ROOMS: usize = 3;

/// What members may be told of rooms. Of the others, and of durable rooms, nobody loses anything, nor is told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// Of ephemeral rooms of these nodes: once of a new epoch.
    NewEpoch(&'static [&'static str]),
    /// Of ephemeral rooms of these nodes: whatever was true.
    Truth(&'static [&'static str]),
}

pub(super) struct Crowd {
    pub(super) members: Vec<Member>,
    /// Each node's name, and its rooms.
    ephemeral: Vec<(String, String)>,
    durable: Vec<(String, String)>,
    talks: Vec<Talk>,
    /// Of each: its hellos, closes and failures when all were in. On a busy machine one may have been turned away at first.
    at_first: Vec<[usize; 3]>,
    steady: Steady,
}

impl Crowd {
    /// Everybody is in an ephemeral and a durable room, of two different nodes; by turns through all gateways, and in
    /// either format. Returns when all are in.
    pub(super) async fn start(site: &Site, clients: usize) -> Self {
        let (mut ephemeral, mut durable) = (Vec::new(), Vec::new());
        for number in 1..=site.cluster.nodes.len() {
            let node = format!("node-{number}");
            let of = |room: String| (node.clone(), room);
            ephemeral.extend(site.rooms_on(&node, "fleeting.", ROOMS).await.into_iter().map(of));
            durable.extend(site.rooms_on(&node, "durable.", ROOMS).await.into_iter().map(of));
        }
        let gateways: Vec<_> = site.cluster.gateways.iter().map(|gateway| gateway.listen).collect();
        let count = ephemeral.len();
        let member = |index: usize| {
            let mut gateways = gateways.clone();
            let first = index % gateways.len();
            gateways.rotate_left(first);
            let format =
                if (index / gateways.len()).is_multiple_of(2) { Format::Msgpack } else { Format::Json };
            let way = Way { gateways, format, tenant: "default" };
            // The next node's, so that the two are never on one; each of the rooms in turn.
            let other = (index + ROOMS + (index / count) % ROOMS) % count;
            let rooms = [&ephemeral[index % count].1, &durable[other].1];
            // Half of them have their home in the durable one.
            let rooms = if (index / count).is_multiple_of(2) { rooms } else { [rooms[1], rooms[0]] };
            Member::start(format!("m{index}"), &way, &rooms)
        };
        let members: Vec<Member> = (0..clients).map(member).collect();
        let (talks, at_first, steady) = (Vec::new(), Vec::new(), Steady::watch());
        let mut crowd = Self { members, ephemeral, durable, talks, at_first, steady };
        crowd.wait("everybody is in", |_, member| {
            member.record().rooms.values().all(|room| room.position.is_some())
        });
        crowd.at_first = crowd.members.iter().map(ends).collect();
        crowd
    }

    /// In each room one speaks from now on; in the durable ones until it is accepted.
    pub(super) fn speak(&mut self) {
        let speaker = |room: &str| {
            let of_room = name(room);
            self.members.iter().find(|member| member.record().rooms.contains_key(&of_room)).unwrap()
        };
        let ephemeral = self.ephemeral.iter().map(|(_, room)| speaker(room).talk(room, EVERY));
        let durable = self.durable.iter().map(|(_, room)| speaker(room).insist(room, EVERY, PATIENCE));
        let talks = ephemeral.chain(durable).collect();
        self.talks = talks;
        self.all_hear(3);
    }

    /// Waits until everybody has heard so many more publications in each of their rooms.
    pub(super) fn all_hear(&self, more: usize) {
        let goals: Vec<Vec<usize>> =
            self.members.iter().map(|m| counts(m).into_iter().map(|count| count + more).collect()).collect();
        self.wait(&format!("everybody hears {more} more"), |index, member| {
            counts(member).iter().zip(&goals[index]).all(|(now, goal)| now >= goal)
        });
    }

    /// Nobody speaks any more; every word has its outcome.
    pub(super) async fn fall_silent(&mut self) {
        futures_util::future::join_all(self.talks.drain(..).map(Talk::stop)).await;
    }

    /// Nobody's socket was closed, or told to go, since they came, nor did anybody get what isn't theirs.
    pub(super) fn stayed(&self) {
        for (member, at_first) in self.members.iter().zip(&self.at_first) {
            let (now, record, who) = (ends(member), member.record(), &member.name);
            assert_eq!(now, *at_first, "{who} was closed: {:?}", record.closes);
            assert_eq!(record.goaways, 0, "{who}");
            assert_eq!(record.strange, [""; 0], "{who}");
        }
    }

    /// Holds all that was heard against what was promised. Every room is settled by then.
    pub(super) fn judge(&self, told: Told) {
        let steady = self.steady.was();
        println!("the machine was steady: {steady}");
        for (kind, rooms) in [(Kind::Ephemeral, &self.ephemeral), (Kind::Durable, &self.durable)] {
            for (node, room) in rooms {
                let all = Room { kind, ..settled(room, &self.members, SERVED) };
                let verdict = all.assert_kept();
                assert!(verdict.heard > 0, "{room} of {node}: nothing was heard");
                match told {
                    // Who doesn't answer for a second counts as gone, and then a new epoch is what is promised.
                    _ if kind == Kind::Ephemeral && !steady => println!("{room} of {node}: {verdict}"),
                    Told::NewEpoch(of) if kind == Kind::Ephemeral && of.contains(&node.as_str()) => {
                        let of_room = name(room);
                        let members = self.members.iter().filter(|m| m.record().rooms.contains_key(&of_room));
                        assert!(verdict.new_epochs <= members.count(), "{room}: once at most: {verdict}");
                        assert_eq!(
                            verdict.losses, 0,
                            "{room}: what is lost is told with the epoch: {verdict}"
                        );
                    }
                    Told::Truth(of) if kind == Kind::Ephemeral && of.contains(&node.as_str()) => {
                        println!("{room} of {node}: {verdict}");
                    }
                    _ => assert!(verdict.is_whole(), "{room} of {node}, {kind:?}: {verdict}"),
                }
            }
        }
    }

    /// For how long members heard nothing in a room in which others spoke, in that time: printed.
    pub(super) fn silences(&self, what: &str, span: (Instant, Instant)) {
        let mut all: Vec<Duration> = self
            .members
            .iter()
            .flat_map(|member| {
                let record = member.record();
                let rooms = record.rooms.values().map(|heard| {
                    let times = heard.events.iter().filter(|(_, event)| matches!(event, Event::Heard { .. }));
                    longest_without(times.map(|(at, _)| *at), span)
                });
                rooms.collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        let at = |share: f64| seconds(all[((all.len() - 1) as f64 * share) as usize]);
        println!(
            "{what}: {} members, silent for {} (median), {} (99 of 100), {} (worst); a word each {EVERY:?}",
            self.members.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }

    /// The nodes that clients were told of at their `hello`.
    pub(super) fn nodes(&self) -> BTreeSet<String> {
        self.members.iter().map(Member::node).collect()
    }

    /// Waits for each member in turn until that is so, all within one time; else what the member heard is told.
    fn wait(&self, what: &str, is_so: impl Fn(usize, &Member) -> bool) {
        let deadline = Instant::now() + SERVED;
        for (index, member) in self.members.iter().enumerate() {
            while !is_so(index, member) {
                assert!(Instant::now() < deadline, "not within {SERVED:?}: {what}; {}", tell(member));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Its hellos, closes and failures so far.
fn ends(member: &Member) -> [usize; 3] {
    let record = member.record();
    [record.hellos.len(), record.closes.len(), record.failures]
}

/// How it stands with a member.
fn tell(member: &Member) -> String {
    let record = member.record();
    let rooms: Vec<String> = record
        .rooms
        .iter()
        .map(|(room, heard)| format!("{room}: {} heard, at {:?}", heard.names().len(), heard.place()))
        .collect();
    let sent = record.sent.last();
    format!(
        "{}: {rooms:?}, on {:?}, closed {:?}, said last {sent:?}",
        member.name, record.hellos, record.closes
    )
}

/// How many publications came, room by room.
fn counts(member: &Member) -> Vec<usize> {
    let record = member.record();
    let heard = |event: &(Instant, Event)| matches!(event.1, Event::Heard { .. });
    record.rooms.values().map(|room| room.events.iter().filter(|event| heard(event)).count()).collect()
}
