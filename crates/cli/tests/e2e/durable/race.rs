//! Replays and live delivery race: much is said in durable rooms, whose members are cut off and come back at random. Nothing
//! is lost, nothing comes twice, and nobody waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use ringway_protocol::Format;
use ringway_testkit::transcript::Event;

use super::crowd::Crowd;
use super::record::assert_kept;
use super::site::{Nats, Site};
use super::storm::seed;
use crate::member::{Member, Way};
use crate::rebalance::steady::Steady;

/// A member tries again so long after it was cut off; `member`'s own pause.
const AGAIN: Duration = Duration::from_millis(50);

/// The longest that anybody may wait, for what is said in its room or to be let in.
const STALL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Size {
    rooms: usize,
    /// In each room these are cut off at random; one more stays, and speaks.
    members: usize,
    /// How often something is said in each room.
    every: Duration,
    /// Between two cuts.
    cut_every: Duration,
    time: Duration,
}

/// What a member went through: it was cut off then, to come back so much later.
type Cut = (Instant, Duration);

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_at_random_while_much_is_said_misses_nothing() {
    race(Size {
        rooms: 10,
        members: 4,
        every: Duration::from_millis(40),
        cut_every: Duration::from_millis(50),
        time: Duration::from_secs(8),
    })
    .await;
}

/// 1,000 publications a second.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes more than two minutes: `make e2e`"]
async fn two_hundred_clients_that_are_cut_off_at_random_for_two_minutes_miss_nothing_and_never_wait() {
    let (steady, stall) = race(Size {
        rooms: 50,
        members: 4,
        every: Duration::from_millis(50),
        cut_every: Duration::from_millis(50),
        time: Duration::from_secs(120),
    })
    .await;
    assert!(stall < STALL || !steady, "somebody waited {stall:?}");
}

/// Whether the machine was steady, and the longest that anybody waited.
async fn race(size: Size) -> (bool, Duration) {
    let seed = seed();
    let site = Site::start(Nats::one(), 3, 2);
    let rooms: Vec<String> = (0..size.rooms).map(|n| format!("talk.{n}")).collect();
    let way = |n: usize| {
        let mut gateways = site.gateways();
        gateways.rotate_left(n % 2);
        let format = if (n / 2).is_multiple_of(2) { Format::Msgpack } else { Format::Json };
        Way { gateways, format, tenant: "default" }
    };
    // The home of every other is elsewhere: rooms have members on several nodes.
    let home = |n: usize| format!("home.{}", n % size.rooms);
    let start = |n: usize| {
        let room = rooms[n % size.rooms].clone();
        let of = if (n / size.rooms).is_multiple_of(2) { vec![room] } else { vec![home(n), room] };
        Member::start(format!("m{n}"), &way(n), &of)
    };
    let members: Vec<Member> = (0..size.rooms * (size.members + 1)).map(start).collect();
    let crowd = Crowd::of(members, rooms.clone());
    let steady = Steady::watch();
    let began = Instant::now();
    let speaking = tokio::spawn(speak(Arc::clone(&crowd.members), rooms, size, began));
    let cuts = cut(&crowd.members, size, seed, began).await;
    let said = speaking.await.unwrap();
    let spoken = began.elapsed();
    let was_steady = steady.was();
    let rooms = crowd.settled(&site.nats);
    let verdicts = assert_kept(&rooms, false);
    let heard: usize = verdicts.0.values().map(|verdict| verdict.heard).sum();
    let (mut waits, mut refused) = (Vec::new(), 0);
    for (member, cuts) in crowd.members.iter().zip(&cuts) {
        let record = member.record();
        let mine = record.sent.iter();
        refused +=
            mine.filter(|s| !matches!(s.outcome, Some(crate::member::Outcome::Accepted { .. }))).count();
        let others: Vec<_> = record.closes.iter().filter(|closed| closed.reason != "cut").collect();
        assert!(others.is_empty() || !was_steady, "{}: {others:?}", member.name);
        drop(record);
        waits.push(longest_wait(member, cuts, (began, began + spoken)));
    }
    waits.sort();
    let (stall, whose) = waits.pop().unwrap();
    println!(
        "{} clients in {} rooms for {spoken:.1?}: {said} said, {refused} of them not accepted, {heard} heard; {} cuts; the \
         longest wait {stall:.2?} ({whose}), the median client's {:.2?}; the machine was steady: {was_steady}",
        crowd.members.len(),
        size.rooms,
        cuts.iter().map(Vec::len).sum::<usize>(),
        waits[waits.len() / 2].0,
    );
    (was_steady, stall)
}

/// In every room its first member, who stays, says something every so often, whatever becomes of what it said before. How much
/// was said.
async fn speak(members: Arc<Vec<Member>>, rooms: Vec<String>, size: Size, began: Instant) -> usize {
    let (mut said, mut tick) = (0, tokio::time::interval(size.every));
    while began.elapsed() < size.time {
        tick.tick().await;
        for (speaker, room) in members.iter().zip(&rooms) {
            speaker.say(room, "and another thing");
            said += 1;
        }
    }
    said
}

/// Cuts off one after another of those who are there, except speakers. What was done to each.
async fn cut(members: &[Member], size: Size, seed: u64, began: Instant) -> Vec<Vec<Cut>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut cuts: Vec<Vec<Cut>> = vec![Vec::new(); members.len()];
    while began.elapsed() < size.time {
        let n = random.random_range(size.rooms..members.len());
        // Most are back at once; some miss a lot; some are cut off again before they are in their rooms.
        let longest = if random.random_bool(0.2) { 3_000 } else { 200 };
        let away = Duration::from_millis(random.random_range(0..longest));
        if members[n].record().hellos.len() > cuts[n].len() {
            cuts[n].push((Instant::now(), away));
            members[n].cut_for(away);
        }
        tokio::time::sleep(size.cut_every.mul_f64(random.random_range(0.5..1.5))).await;
    }
    cuts
}

/// The longest that a member waited while something was said, and what for: for anything of its room where it was connected, or,
/// where it had been cut off and was to come back, for a hello.
fn longest_wait(member: &Member, cuts: &[Cut], (from, until): (Instant, Instant)) -> (Duration, String) {
    let record = member.record();
    let talk = record.rooms.iter().find(|(room, _)| room.as_str().starts_with("talk."));
    let heard = talk.into_iter().flat_map(|(_, heard)| &heard.events);
    let heard: Vec<Instant> =
        heard.filter(|(_, event)| matches!(event, Event::Heard { .. })).map(|(at, _)| *at).collect();
    let mut waits = Vec::new();
    for (n, (hello, node)) in record.hellos.iter().enumerate() {
        let who = |what: &str| format!("{} for {what}, on {node}, connection {}", member.name, n + 1);
        if let Some((cut, away)) = n.checked_sub(1).and_then(|n| cuts.get(n)) {
            waits.push((hello.saturating_duration_since(*cut + *away + AGAIN), who("a hello")));
        }
        let end = cuts.get(n).map_or(until, |(cut, _)| *cut).min(until);
        let (mut last, mut what) = (from.max(*hello), "the first after its hello");
        for at in heard.iter().filter(|at| **at >= *hello && **at < end).chain([&end]) {
            waits.push((at.saturating_duration_since(last), who(what)));
            (last, what) = (*at, "the next");
        }
    }
    waits.into_iter().max().unwrap_or_default()
}
