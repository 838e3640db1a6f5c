//! Members of durable rooms who read too slowly, by the class of their room: the node keeps little for them, they are told, and
//! who comes back with the position from before has what was left out. And who reads slowly what it missed is waited for.

use std::collections::BTreeMap;

use ringway_testkit::wait::until;
use serde_json::{Value, json};
use socket2::SockRef;

use super::*;
use crate::bare::{Bare, SMALL};
use crate::cluster::Cluster;

/// A class of each policy, over stores that keep all there is in these tests.
const CLASSES: &str = r#"
[stores.all]
age = "1h"

[[classes]]
rooms = "chat.**"
store = "all"

[[classes]]
rooms = "cursors.**"
store = "all"
slow_consumer = "drop_oldest"

[[classes]]
rooms = "prices.**"
store = "newest"
slow_consumer = "conflate"

[[classes]]
rooms = "quotes.**"
store = "all"
slow_consumer = "conflate"
"#;

/// So much that the sockets on the way may hold it, and what a member's queue holds, several times.
const ENOUGH: usize = 40 << 20;

/// What one member may make a node keep: its queue, and what is on its way into it.
const QUEUE: f64 = 1.5 * (1 << 20) as f64;

/// Of each publication.
const SIZE: usize = 10_000;

fn cluster() -> Cluster {
    Cluster::over_jetstream(2, 1, |nats| config(nats) + CLASSES)
}

/// Of whoever has the sockets: nodes, and gateways by the relay.
fn figure(cluster: &Cluster, name: &str, labels: &[&str]) -> f64 {
    let processes = cluster.nodes.iter().chain(&cluster.gateways);
    processes.map(|process| process.metrics().sum(name, labels)).sum()
}

/// A publication as it was acknowledged: its number, and its offset.
type Said = (u64, u64);

/// Somebody who publishes to one room, and how much waits at the nodes meanwhile.
struct Speaker<'a> {
    cluster: &'a Cluster,
    peer: Peer,
    room: String,
    said: Vec<Said>,
    keys: u64,
}

impl<'a> Speaker<'a> {
    async fn of(cluster: &'a Cluster, room: &str) -> Self {
        let peer = Peer::open(&cluster.options(Format::Json, None)).await;
        Self { cluster, peer, room: room.to_owned(), said: Vec::new(), keys: 0 }
    }

    /// Publishes so many, and waits for the answers.
    async fn say(&mut self, count: u64, size: usize) {
        // Less at once than may wait.
        let at_once = (400_000 / size.max(1_000)) as u64;
        for begin in (0..count).step_by(at_once as usize) {
            self.say_at_once(at_once.min(count - begin), size).await;
        }
    }

    async fn say_at_once(&mut self, count: u64, size: usize) {
        let first = self.said.len() as u64 + 1;
        let fill = "x".repeat(size);
        let mut asked = Vec::new();
        for number in first..first + count {
            let mut publication = crate::peer::publication(&self.room, &json!([number, fill]).to_string());
            if self.keys > 0 {
                publication.key = Some(key_of(number, self.keys).parse().unwrap());
            }
            let id = self.peer.fresh_id();
            asked.push((number, id));
            let frame = crate::peer::with_id(ringway_protocol::ClientFrame::Pub(publication), id);
            self.peer.send(&[frame]).await;
        }
        for (number, id) in asked {
            let answer = self.peer.answer(id).await.unwrap_or_else(|no| panic!("{no:?}"));
            self.said.push((number, answer.unwrap().into_pub().offset.expect("stored")));
        }
    }

    /// Publishes until that is so. Little waits meanwhile.
    async fn say_until(&mut self, what: &str, is_so: impl Fn(&Cluster) -> bool) {
        let mut bytes = 0;
        while !is_so(self.cluster) {
            assert!(bytes < ENOUGH, "{bytes} bytes were published, and still not: {what}");
            self.say(20, SIZE).await;
            bytes += 20 * SIZE;
            let waits = figure(self.cluster, "ringway_queued_bytes", &[]);
            assert!(waits < QUEUE, "{waits} bytes wait");
        }
    }

    fn newest(&self) -> u64 {
        self.said.last().unwrap().1
    }
}

fn key_of(number: u64, keys: u64) -> String {
    format!("k{}", number % keys)
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Msg { number: u64, place: Value },
    Gap { lost: u64, place: Value },
    Truncated { place: Value },
}

impl Told {
    fn place(&self) -> &Value {
        match self {
            Self::Msg { place, .. } | Self::Gap { place, .. } | Self::Truncated { place } => place,
        }
    }

    fn offset(&self) -> u64 {
        self.place()["offset"].as_u64().unwrap()
    }
}

/// A member of one room, that reads when it is told to.
struct Slow {
    bare: Bare,
    epoch: Value,
    /// Where it began.
    begin: Value,
}

impl Slow {
    /// Whose home is the other node, so that what it hears has come a long way.
    fn join(cluster: &Cluster, home: &str, room: &str, since: Option<&Value>) -> Self {
        let mut bare = Bare::in_room(cluster.gateway(), home);
        SockRef::from(bare.socket()).set_recv_buffer_size(SMALL).unwrap();
        let mut join = json!({"t": "join", "id": 1, "room": room});
        if let Some(since) = since {
            join["since"] = since.clone();
        }
        let answer = bare.ask(&join);
        let result = &answer["result"];
        assert_eq!(result["durable"], true, "{answer}");
        if since.is_some() {
            assert_eq!(result["resumed"], true, "{join}: {answer}");
        }
        let epoch = result["epoch"].clone();
        let begin = json!({"epoch": epoch, "offset": result["offset"], "ts": result["ts"]});
        Self { bare, epoch, begin }
    }

    /// Reads the next; none: it was closed, for that reason.
    fn next(&mut self) -> Result<Told, String> {
        let came = self.bare.frame().ok_or("no close frame")?;
        if came.first == 0x88 {
            let code = u16::from_be_bytes([came.payload[0], came.payload[1]]);
            return Err(format!("{code} {}", String::from_utf8_lossy(&came.payload[2..])));
        }
        let frame: Value = serde_json::from_slice(&came.payload).unwrap();
        let place = json!({"epoch": self.epoch, "offset": frame["offset"], "ts": frame["ts"]});
        Ok(match frame["t"].as_str() {
            Some("msg") => Told::Msg { number: frame["data"][0].as_u64().unwrap(), place },
            Some("gap") => {
                assert_eq!(frame["epoch"], self.epoch, "{frame}");
                match frame["reason"].as_str() {
                    Some("slow") => Told::Gap { lost: frame["lost"].as_u64().unwrap(), place },
                    Some("truncated") => Told::Truncated { place },
                    _ => panic!("{frame}"),
                }
            }
            _ => panic!("{frame}"),
        })
    }

    /// Reads up to that offset.
    fn until(&mut self, newest: u64) -> Vec<Told> {
        let mut all: Vec<Told> = Vec::new();
        while all.last().is_none_or(|told| told.offset() < newest) {
            all.push(self.next().unwrap_or_else(|closed| panic!("closed: {closed}")));
        }
        all
    }

    /// Reads to the end of the connection; why it was closed.
    fn until_closed(&mut self) -> (Vec<Told>, String) {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Ok(told) => all.push(told),
                Err(closed) => return (all, closed),
            }
        }
    }

    /// Nothing more is on its way.
    fn has_all(&mut self) {
        self.bare.say(&json!({"t": "ping", "id": 4_242}));
        let frame = self.bare.hear();
        assert_eq!(frame["id"], 4_242, "{frame}");
    }
}

/// What came, where no gap may be among it.
fn messages(all: &[Told]) -> Vec<Said> {
    let said = |told: &Told| match told {
        Told::Msg { number, .. } => (*number, told.offset()),
        Told::Gap { .. } | Told::Truncated { .. } => panic!("{told:?}"),
    };
    all.iter().map(said).collect()
}

/// Two homes, each on a node of its own, and a room of the first.
async fn places(cluster: &Cluster, prefix: &str) -> (String, String) {
    (room_on(cluster, "node-2", "home.").await, room_on(cluster, "node-1", prefix).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_closed_for_being_slow_comes_back_and_has_all() {
    let cluster = cluster();
    let (home, room) = places(&cluster, "chat.").await;
    let mut slow = Slow::join(&cluster, &home, &room, None);
    let mut speaker = Speaker::of(&cluster, &room).await;
    speaker
        .say_until("it is closed", |cluster| {
            figure(cluster, "ringway_slow_closed_total", &["reason=\"full\""]) == 1.0
        })
        .await;
    let (all, closed) = slow.until_closed();
    assert_eq!(closed, "1008 Slow consumer");
    let had = messages(&all);
    assert_eq!(had, speaker.said[..had.len()], "from the first one on");
    assert!(!had.is_empty() && had.len() < speaker.said.len());
    speaker.say(20, 100).await;
    let mut back = Slow::join(&cluster, &home, &room, Some(all.last().unwrap().place()));
    assert_eq!(messages(&back.until(speaker.newest())), speaker.said[had.len()..]);
    back.has_all();
    until("nothing waits", SETTLED, || (figure(&cluster, "ringway_queued_bytes", &[]) == 0.0).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_for_a_slow_member_is_told_and_can_be_had() {
    let cluster = cluster();
    let (home, room) = places(&cluster, "cursors.").await;
    let mut slow = Slow::join(&cluster, &home, &room, None);
    let mut speaker = Speaker::of(&cluster, &room).await;
    let dropped = |cluster: &Cluster| figure(cluster, "ringway_slow_dropped_total", &[]);
    speaker.say_until("much is left out", |cluster| dropped(cluster) >= 100.0).await;
    let newest = speaker.newest();
    let all = slow.until(newest);
    slow.has_all();
    // Each was heard, or is behind a gap that counts it.
    let (mut rest, mut before) = (&speaker.said[..], slow.begin.clone());
    let mut hole = None;
    let mut lost_in_all = 0;
    for told in &all {
        match told {
            Told::Msg { number, .. } => {
                assert_eq!((*number, told.offset()), rest[0], "a hole without a word");
                rest = &rest[1..];
            }
            Told::Gap { lost, place } => {
                let gone = rest.iter().take_while(|(_, offset)| *offset <= told.offset()).count();
                assert_eq!(*lost, gone as u64, "{told:?}");
                hole.get_or_insert((before.clone(), place.clone(), gone));
                lost_in_all += lost;
                rest = &rest[gone..];
            }
            Told::Truncated { .. } => panic!("{told:?}: the store keeps all"),
        }
        before = told.place().clone();
    }
    assert_eq!((rest.len(), lost_in_all as f64), (0, dropped(&cluster)));
    // It is in the store: who comes back from before the gap gets it, and from the gap's position what follows.
    let (before, gap, gone) = hole.expect("something was left out");
    let from = |place: &Value| {
        let offset = place["offset"].as_u64().unwrap();
        speaker.said.iter().copied().filter(move |said| said.1 > offset).collect::<Vec<_>>()
    };
    for place in [&before, &gap] {
        let mut back = Slow::join(&cluster, &home, &room, Some(place));
        assert_eq!(messages(&back.until(newest)), from(place));
        back.has_all();
    }
    assert_eq!(from(&before).len(), from(&gap).len() + gone);
    // It has caught up, and hears all that is said now.
    speaker.say(20, 100).await;
    assert_eq!(messages(&slow.until(speaker.newest())), speaker.said[speaker.said.len() - 20..]);
    assert_eq!(figure(&cluster, "ringway_slow_closed_total", &[]), 0.0);
}

/// Whether the store keeps them all or not.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_waits_for_a_slow_member_a_newer_value_takes_the_place_of_an_older_one() {
    const KEYS: u64 = 10;
    let cluster = cluster();
    let conflated = |cluster: &Cluster| figure(cluster, "ringway_slow_conflated_total", &[]);
    let reads = |cluster: &Cluster| figure(cluster, "ringway_store_reads_total", &["kind=\"room\""]);
    for prefix in ["prices.", "quotes."] {
        let (home, room) = places(&cluster, prefix).await;
        let mut slow = Slow::join(&cluster, &home, &room, None);
        let mut speaker = Speaker { keys: KEYS, ..Speaker::of(&cluster, &room).await };
        let (conflated_before, reads_before) = (conflated(&cluster), reads(&cluster));
        speaker.say_until("much is replaced", |cluster| conflated(cluster) >= conflated_before + 300.0).await;
        let newest: BTreeMap<String, Said> =
            speaker.said.iter().map(|said| (key_of(said.0, KEYS), *said)).collect();
        // Across keys they may come in any order, and of each key only newer ones: until each key's newest was there.
        let mut all = Vec::new();
        let mut at: BTreeMap<String, Said> = BTreeMap::new();
        while at != newest {
            let told = slow.next().unwrap_or_else(|closed| panic!("closed: {closed}"));
            let said = messages(std::slice::from_ref(&told))[0];
            let older = at.insert(key_of(said.0, KEYS), said);
            assert!(older.is_none_or(|older| older < said), "{said:?} after {older:?}");
            all.push(told);
        }
        slow.has_all();
        let missing = (speaker.said.len() - all.len()) as f64;
        let replaced = conflated(&cluster) - conflated_before;
        // A node to which something came so late that it read the store has only the newest that this keeps of each key.
        let was_read = prefix == "prices." && reads(&cluster) > reads_before;
        let all_told = if was_read { missing >= replaced } else { missing == replaced };
        assert!(all_told, "{room}: {missing} are missing, {replaced} of them replaced; read: {was_read}");
        // Who comes back from long ago gets the newest of every key; from now, nothing.
        let last = all.iter().max_by_key(|told| told.offset()).unwrap().place().clone();
        let mut back = Slow::join(&cluster, &home, &room, Some(all[0].place()));
        let came = messages(&back.until(speaker.newest()));
        // The newest of each at least: what was replaced may come, where the store has it, and may be left out where more waits.
        let came: BTreeMap<String, Said> = came.iter().map(|said| (key_of(said.0, KEYS), *said)).collect();
        assert_eq!(came, newest);
        back.has_all();
        Slow::join(&cluster, &home, &room, Some(&last)).has_all();
    }
    for none in ["ringway_slow_dropped_total", "ringway_slow_gaps_total", "ringway_slow_closed_total"] {
        assert_eq!(figure(&cluster, none, &[]), 0.0, "{none}");
    }
}

/// A thousand were missed; they come no faster than they are read, whatever is said meanwhile, and nobody is closed for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_what_it_missed_is_waited_for() {
    const MISSED: usize = 1_000;
    let cluster = cluster();
    for (prefix, said_meanwhile) in [("durable.", 0), ("chat.", 100)] {
        let (home, room) = places(&cluster, prefix).await;
        let begin = Slow::join(&cluster, &home, &room, None).begin;
        let mut speaker = Speaker::of(&cluster, &room).await;
        while speaker.said.len() < MISSED {
            speaker.say(50, SIZE).await;
        }
        let mut slow = Slow::join(&cluster, &home, &room, Some(&begin));
        let mut had = Vec::new();
        let mut most = 0.0_f64;
        while had.len() < MISSED {
            had.push(slow.next().unwrap_or_else(|closed| panic!("closed at {}: {closed}", had.len())));
            if had.len() % 10 == 0 {
                // Some 5 s in all: nothing may hang on it, but at the pace of who takes all at once it were a few ms.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if had.len() % 100 == 0 {
                speaker.say(said_meanwhile / 10, SIZE).await;
                most = most.max(figure(&cluster, "ringway_queued_bytes", &[]));
            }
        }
        assert!(most < QUEUE, "{most} bytes waited");
        speaker.say(10, SIZE).await;
        while had.last().unwrap().offset() < speaker.newest() {
            had.push(slow.next().unwrap_or_else(|closed| panic!("closed: {closed}")));
        }
        assert_eq!(messages(&had), speaker.said, "{room}");
        slow.has_all();
        println!("{room}: at most {most} bytes waited");
    }
    assert_eq!(figure(&cluster, "ringway_slow_closed_total", &[]), 0.0);
}

/// A store that keeps a hundred of each room, and a member that reads more slowly than they are replaced: what had gone before it
/// came to it is told, and nothing else is missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_drops_before_a_slow_member_had_it_is_told() {
    const KEPT: u64 = 100;
    let text = |nats: &str| config(nats).replace("messages_per_room = 1_000", "messages_per_room = 100");
    let cluster = Cluster::over_jetstream(2, 1, text);
    let (home, room) = places(&cluster, "durable.").await;
    let begin = Slow::join(&cluster, &home, &room, None).begin;
    let mut speaker = Speaker::of(&cluster, &room).await;
    speaker.say(KEPT, 5 * SIZE).await;
    let mut slow = Slow::join(&cluster, &home, &room, Some(&begin));
    // It stands still while all that it lacks is pushed out, and ten times that; for less than a socket may.
    let (mut had, mut closed) = (Vec::new(), None);
    for round in 0..10 {
        speaker.say(KEPT, 1_000).await;
        // Here and there it reads a little.
        let until = speaker.said[(round as usize + 1) * 5].1;
        while closed.is_none() && had.last().is_none_or(|told: &Told| told.offset() < until) {
            match slow.next() {
                Ok(told) => had.push(told),
                Err(why) => closed = Some(why),
            }
        }
    }
    while closed.is_none() && had.last().unwrap().offset() < speaker.newest() {
        match slow.next() {
            Ok(told) => had.push(told),
            Err(why) => closed = Some(why),
        }
    }
    // For what it missed nobody is closed; for standing still while a busy machine lets it wait, maybe.
    assert!(closed.as_deref().is_none_or(|why| why == "1008 Send timeout"), "{closed:?}");
    let (mut rest, mut dropped) = (&speaker.said[..], 0);
    for told in &had {
        match told {
            Told::Msg { number, .. } => {
                assert_eq!((*number, told.offset()), rest[0], "a hole without a word");
                rest = &rest[1..];
            }
            Told::Truncated { .. } => {
                let gone = rest.iter().take_while(|(_, offset)| *offset <= told.offset()).count();
                (rest, dropped) = (&rest[gone..], dropped + gone);
            }
            Told::Gap { .. } => panic!("{told:?}: a chat loses nothing for being slow"),
        }
    }
    println!(
        "{} came, {dropped} had been dropped, {} are to come; closed: {closed:?}",
        had.len(),
        rest.len()
    );
    if closed.is_none() {
        assert!(rest.is_empty());
        slow.has_all();
    }
}
