//! Clients in rooms, some of whom speak, and who are cut off at random.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use ringway_protocol::Format;
use ringway_testkit::proxy::Proxy;
use ringway_testkit::transcript::Event;
use ringway_testkit::wait::until;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::member::{Member, Talk, Way};
use crate::placement::follower::{self, Follower};
use crate::support::name;

/// How long anything may take until everybody is served again: an election on a loaded machine, and what follows.
const SERVED: Duration = Duration::from_secs(90);

/// For how long somebody says a thing again: as long as a store knows a repeat, with room to spare.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) clients: usize,
    pub(super) durable: usize,
    /// Durable rooms that keep the newest of every key.
    pub(super) newest: usize,
    pub(super) ephemeral: usize,
    /// Between two words of a speaker.
    pub(super) every: Duration,
    /// Between two cuts.
    pub(super) cut_every: Duration,
}

pub(super) struct Crowd {
    /// On the Rust client; they listen in two durable rooms each.
    pub(super) followers: Vec<Follower>,
    /// What those come through.
    proxies: Arc<Vec<Proxy>>,
    pub(super) members: Arc<Vec<Member>>,
    pub(super) durable: Vec<String>,
    pub(super) newest: Vec<String>,
    pub(super) ephemeral: Vec<String>,
    size: Size,
    talks: Vec<Talk>,
}

impl Crowd {
    /// Everybody is in two durable rooms, one that keeps the newest and an ephemeral one, so that rooms have members on several nodes; by turns
    /// through all gateways and in either format. Returns when all are in.
    pub(super) async fn start(gateways: &[SocketAddr], size: Size) -> Self {
        let rooms = |prefix: &str, count: usize| (0..count).map(|n| format!("{prefix}.{n}")).collect();
        let (durable, newest): (Vec<String>, Vec<String>) =
            (rooms("talk", size.durable), rooms("state", size.newest));
        let ephemeral: Vec<String> = rooms("fleeting", size.ephemeral);
        let member = |index: usize| {
            let mut gateways = gateways.to_vec();
            let count = gateways.len();
            gateways.rotate_left(index % count);
            let format = if (index / count).is_multiple_of(2) { Format::Msgpack } else { Format::Json };
            let way = Way { gateways, format, tenant: "default" };
            let other = (index + 1 + index / size.durable) % size.durable;
            let mut of = vec![&durable[index % size.durable], &durable[other]];
            // By fours, or all of a room would be from one gateway and in one format.
            of.extend(newest.get(index / 4 % size.newest.max(1)));
            of.extend(ephemeral.get(index / 4 % size.ephemeral.max(1)));
            Member::start(format!("m{index}"), &way, &of)
        };
        let members = Arc::new((0..size.clients).map(member).collect::<Vec<_>>());
        let mut proxies = Vec::new();
        for gateway in gateways {
            proxies.push(Proxy::start(*gateway).await.unwrap());
        }
        let follower = |index: usize| {
            let gateway = proxies[index % proxies.len()].address();
            let format = if index.is_multiple_of(2) { Format::Msgpack } else { Format::Json };
            let way = follower::Way { gateway, format, tenant: "default" };
            let room = |n: usize| durable[(index + n) % durable.len()].clone();
            Follower::start(format!("f{index}"), way, &[room(0), room(3)])
        };
        let followers = (0..size.clients / 10).map(follower).collect();
        let proxies = Arc::new(proxies);
        let crowd = Self { followers, proxies, members, durable, newest, ephemeral, size, talks: Vec::new() };
        crowd.all_joined();
        crowd
    }

    /// Members of durable rooms only, whom the test tells what to do. Returns when all are in.
    pub(super) fn of(members: Vec<Member>, durable: Vec<String>) -> Self {
        let size = Size {
            clients: members.len(),
            durable: durable.len(),
            newest: 0,
            ephemeral: 0,
            every: Duration::ZERO,
            cut_every: Duration::ZERO,
        };
        let (followers, proxies, members) = (Vec::new(), Arc::default(), Arc::new(members));
        let (newest, ephemeral) = (Vec::new(), Vec::new());
        let crowd = Self { followers, proxies, members, durable, newest, ephemeral, size, talks: Vec::new() };
        crowd.all_joined();
        crowd
    }

    fn all_joined(&self) {
        let deadline = Instant::now() + SERVED;
        for member in &*self.members {
            while !member.record().rooms.values().all(|room| room.position.is_some()) {
                assert!(Instant::now() < deadline, "not in its rooms within {SERVED:?}: {}", tell(member));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        for follower in &self.followers {
            until(&format!("{} is in its rooms", follower.name), SERVED, || {
                follower.record().rooms.values().all(|room| room.place.is_some()).then_some(())
            });
        }
    }

    /// In each room two speak from now on. In the durable ones one says a thing until it is accepted, the other once, and a
    /// third sends signals.
    pub(super) fn speak(&mut self) {
        let every = self.size.every;
        for room in self.durable.iter().chain(&self.newest).chain(&self.ephemeral) {
            let of_room = name(room);
            let mut speakers = self.members.iter().filter(|m| m.record().rooms.contains_key(&of_room));
            let mut speaker = || speakers.next().unwrap();
            if self.ephemeral.contains(room) {
                self.talks.extend([speaker().talk(room, every), speaker().talk(room, every)]);
            } else if self.newest.contains(room) {
                for keys in [["a", "b", "c"], ["c", "d", "e"]] {
                    self.talks.push(speaker().insist_on(room, Some(&keys), every, PATIENCE));
                }
            } else {
                self.talks.push(speaker().talk(room, every));
                self.talks.push(speaker().insist(room, every, PATIENCE));
                self.talks.push(speaker().whisper(room, every * 4));
            }
        }
        self.all_hear(2);
    }

    /// From now on somebody is cut off every so often, for up to three seconds; until it is told to stop.
    pub(super) fn cut_at_random(&self, seed: u64) -> Cutting {
        let (end, members, every) =
            (CancellationToken::new(), Arc::clone(&self.members), self.size.cut_every);
        let (ended, proxies) = (end.clone(), Arc::clone(&self.proxies));
        let task = tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            while !ended.is_cancelled() {
                let member = &members[random.random_range(0..members.len())];
                // Most are back at once; some miss a lot.
                let longest = if random.random_bool(0.2) { 3_000 } else { 200 };
                member.cut_for(Duration::from_millis(random.random_range(0..longest)));
                // Those back off longer each time.
                if random.random_bool(0.02) {
                    proxies[random.random_range(0..proxies.len())].cut();
                }
                tokio::time::sleep(every.mul_f64(random.random_range(0.5..1.5))).await;
            }
        });
        Cutting { end, task }
    }

    /// Waits until everybody has heard so many more publications in each of their rooms.
    pub(super) fn all_hear(&self, more: usize) {
        let goals: Vec<Vec<usize>> =
            self.members.iter().map(|m| counts(m).into_iter().map(|count| count + more).collect()).collect();
        let deadline = Instant::now() + SERVED;
        for (member, goals) in self.members.iter().zip(&goals) {
            while !counts(member).iter().zip(goals).all(|(now, goal)| now >= goal) {
                assert!(
                    Instant::now() < deadline,
                    "doesn't hear {more} more within {SERVED:?}, wanted {goals:?}: {}",
                    tell(member)
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Nobody speaks any more; every word has its outcome.
    pub(super) async fn fall_silent(&mut self) {
        futures_util::future::join_all(self.talks.drain(..).map(Talk::stop)).await;
    }
}

/// How it stands with a member.
fn tell(member: &Member) -> String {
    let record = member.record();
    let rooms = record.rooms.iter();
    let rooms: Vec<String> = rooms
        .map(|(room, heard)| format!("{room}: {} heard, at {:?}", heard.names().len(), heard.place()))
        .collect();
    let closes: Vec<_> = record.closes.iter().rev().take(5).collect();
    let node = record.hellos.last().map(|(at, node)| (node, at.elapsed()));
    format!("{}: {rooms:?}, on {node:?}, closed {closes:?}, {} failures", member.name, record.failures)
}

/// How many publications came, room by room.
fn counts(member: &Member) -> Vec<usize> {
    let heard = |event: &(Instant, Event)| matches!(event.1, Event::Heard { .. });
    let record = member.record();
    record.rooms.values().map(|room| room.events.iter().filter(|event| heard(event)).count()).collect()
}

/// Cuts that go on.
pub(super) struct Cutting {
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Cutting {
    pub(super) async fn stop(self) {
        self.end.cancel();
        self.task.await.unwrap();
    }
}
