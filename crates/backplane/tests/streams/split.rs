//! A split under load: every number and id is kept, no room's chain breaks, and rooms are closed for a moment only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use rand::{RngExt as _, SeedableRng as _};
use ringway_backplane::nats::{SplitError, SplitProgress};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::site::{Hand, Keeper, PATIENCE, STREAM, Site, key, settings, subject};
use crate::world::slot_of;

/// What a publisher was told: of room and id, the stream and the number.
type Told = (String, String, String, u64);

/// What came live, by room: number, the room's number before, id.
type Heard = HashMap<String, Vec<(u64, u64, String)>>;

/// Publishers that try again, with the same id, whatever happens.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    publishers: JoinSet<Vec<Told>>,
    live: tokio::task::JoinHandle<Heard>,
    /// Which ids of which rooms it must have heard before it ends.
    hear: tokio::sync::oneshot::Sender<HashSet<(String, String)>>,
}

impl Load {
    pub(crate) async fn start(servers: &[String], publishers: usize) -> Self {
        let hand = Hand::of(servers).await;
        let mut subscription = hand.0.subscribe("ringway.g.shared.live.>").await.expect("subscribed");
        hand.0.flush().await.expect("the server has it");
        let (hear, mut ended) = tokio::sync::oneshot::channel();
        let live = tokio::spawn(async move {
            let mut rooms = Heard::new();
            let (mut ids, mut told) = (HashSet::new(), None);
            while told.as_ref().is_none_or(|told: &HashSet<(String, String)>| !told.is_subset(&ids)) {
                let message = tokio::select! {
                    message = subscription.next() => message.expect("it lives"),
                    all = &mut ended, if told.is_none() => {
                        told = Some(all.expect("the check says what it was told"));
                        continue;
                    }
                };
                if message.headers.as_ref().is_some_and(|headers| headers.get("KV-Operation").is_some()) {
                    continue;
                }
                let word = |name: &str| {
                    message.headers.as_ref().and_then(|h| h.get(name)).expect("told").to_string()
                };
                let number = |name: &str| word(name).parse::<u64>().expect("a number");
                let room = message.subject.split('.').nth_back(1).expect("a room").to_owned();
                let heard = (number("Nats-Sequence"), number("Nats-Last-Sequence"), word("Nats-Msg-Id"));
                ids.insert((room.clone(), heard.2.clone()));
                rooms.entry(room).or_default().push(heard);
            }
            rooms
        });
        let (stop, mut all) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for publisher in 0..publishers {
            let (hand, stop) = (Hand::of(servers).await, stop.clone());
            all.spawn(async move {
                let mut told = Vec::new();
                for count in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (room, id) = (format!("r{publisher}-{}", count % 7), format!("{publisher}-{count}"));
                    let (stream, seq) = insist(&hand, &room, &id).await;
                    told.push((room, id, stream, seq));
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                told
            });
        }
        Self { stop, publishers: all, live, hear }
    }

    /// Ends it, and checks everything that was told and heard. Returns how much was published.
    pub(crate) async fn check(self, hand: &Hand) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let told: Vec<Told> = self.publishers.join_all().await.into_iter().flatten().collect();
        let deadline = Instant::now() + PATIENCE;
        // Where everybody's last is there, everything is.
        let last = insist(hand, "r0-0", "the end").await;
        while hand.at(&last.0, last.1).await.is_none() {
            assert!(Instant::now() < deadline);
        }
        let all = told.iter().map(|(room, id, ..)| (room.clone(), id.clone())).collect();
        self.hear.send(all).expect("it listens");
        let live =
            tokio::time::timeout(PATIENCE, self.live).await.expect("all of it is heard").expect("it listens");
        // It is where it was said to be, or, where its part has moved since, where it is now.
        let mut found = futures_util::stream::iter(&told)
            .map(|told| async move {
                let home = hand.home(&told.0).await;
                (told, hand.at(&home, told.3).await, home)
            })
            .buffered(32);
        let mut by_room: HashMap<&str, Vec<(u64, &str)>> = HashMap::new();
        while let Some(((room, id, stream, seq), found, home)) = found.next().await {
            let found =
                found.unwrap_or_else(|| panic!("{id} of {room} isn't at {seq} of {home}; {stream} said so"));
            assert_eq!(found, (subject(room), id.clone()), "{seq} of {home}");
            by_room.entry(room).or_default().push((*seq, id));
        }
        for (room, told) in by_room {
            let heard = &live[room];
            assert!(
                heard.iter().zip(heard.iter().skip(1)).all(|(one, next)| next.1 == one.0),
                "{room}: {heard:?}"
            );
            let heard: Vec<_> =
                heard.iter().filter(|one| one.2 != "the end").map(|(seq, _, id)| (*seq, &**id)).collect();
            assert_eq!(heard, told, "{room}");
        }
        told.len()
    }
}

/// A split whose parts have moved; what moved is deleted where it was some seconds later.
pub(crate) struct Split {
    pub(crate) closed: Vec<Duration>,
    task: tokio::task::JoinHandle<Result<(), SplitError>>,
}

impl Split {
    pub(crate) async fn begin(keeper: &Keeper, into: u8) -> Self {
        let (moved, mut moves) = tokio::sync::mpsc::unbounded_channel();
        let stores = keeper.stores.clone();
        let task = tokio::spawn(async move {
            let tell = |progress| {
                println!("{progress}");
                if let SplitProgress::Moved { closed, .. } = progress {
                    let _ = moved.send(closed);
                }
            };
            stores.split(&key(), into, tell).await
        });
        let mut closed = Vec::new();
        for _ in 1..into {
            let moved = tokio::time::timeout(PATIENCE, moves.recv()).await.expect("in time");
            closed.push(moved.expect("it goes on"));
        }
        Self { closed, task }
    }

    async fn end(self) {
        self.task.await.expect("it ends").expect("it is split");
    }
}

/// Publishes until it is acknowledged.
pub(crate) async fn insist(hand: &Hand, room: &str, id: &str) -> (String, u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let asked = hand.0.request_with_headers(subject(room), headers, "x".into()).await;
        if let Ok(answer) = asked {
            let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
            if let (Some(stream), Some(seq)) = (answer["stream"].as_str(), answer["seq"].as_u64())
                && answer.get("error").is_none()
            {
                return (stream.to_owned(), seq);
            }
        }
        assert!(Instant::now() < deadline, "{id} of {room} can't be published");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl Hand {
    /// The stream that takes a room.
    async fn home(&self, room: &str) -> String {
        let names = self.done("STREAM.NAMES", &json!({ "subject": subject(room) })).await;
        assert_eq!(names["total"], 1, "{names}");
        names["streams"][0].as_str().expect("a name").to_owned()
    }

    /// What a stream has at a number: subject and id.
    async fn at(&self, stream: &str, seq: u64) -> Option<(String, String)> {
        let answer =
            self.0.request(format!("$JS.API.DIRECT.GET.{stream}"), json!({ "seq": seq }).to_string().into());
        let answer = tokio::time::timeout(PATIENCE, answer).await.expect("in time").expect("answered");
        let headers = answer.headers?;
        let subject = headers.get("Nats-Subject")?.to_string();
        Some((subject, headers.get("Nats-Msg-Id").map(ToString::to_string).unwrap_or_default()))
    }

    /// How much of a room a stream keeps.
    async fn count(&self, stream: &str, room: &str) -> u64 {
        let info =
            self.done(&format!("STREAM.INFO.{stream}"), &json!({ "subjects_filter": subject(room) })).await;
        info["state"]["subjects"][subject(room)].as_u64().unwrap_or(0)
    }
}

pub(crate) fn many() -> ringway_backplane::store::StoreSettings {
    ringway_backplane::store::StoreSettings { messages_per_room: None, ..settings() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nothing_is_lost_repeated_or_renumbered() {
    let site = Site::start();
    let keeper = site.keeper(&many()).await;
    let (epoch, hand) = (keeper.epoch().await, site.hand().await);
    let load = Load::start(&[site.server.url()], 24).await;
    hand.published(500).await;
    let split = Split::begin(&keeper, 4).await;
    let last = hand.published(0).await;
    hand.published(last + 500).await;
    println!("{} published; closed for {:?}", load.check(&hand).await, split.closed);
    split.end().await;
    let state = keeper
        .until("four streams", |state| {
            state.streams.len() == 4 && state.hurt.is_none() && state.warnings.is_empty()
        })
        .await;
    assert!(
        state.streams.iter().all(|stream| stream.epoch == epoch && stream.parts.count_ones() == 16),
        "{state:?}"
    );
    assert_eq!(state.streams.iter().fold(0, |parts, stream| parts ^ stream.parts), u64::MAX);
    // Every number is found in one place.
    for publisher in 0..24 {
        let room = format!("r{publisher}-0");
        let home = state.stream_of(slot_of(&room)).expect("it has one").name.clone();
        for stream in &state.streams {
            let kept = hand.count(&stream.name, &room).await;
            assert_eq!(kept > 0, stream.name == home, "{room} in {}: {kept}", stream.name);
        }
    }
    // Nobody minds that it is asked for again.
    keeper.stores.split(&key(), 4, |_| ()).await.expect("it is as it should be");
    assert_eq!(keeper.looked(&hand).await.streams, state.streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_known_on_the_other_side_of_a_split() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    keeper.well().await;
    let hand = site.hand().await;
    let mut first = BTreeMap::new();
    for room in 0..40 {
        let room = format!("r{room}");
        first.insert(room.clone(), insist(&hand, &room, &format!("id of {room}")).await.1);
    }
    Split::begin(&keeper, 2).await;
    let mut moved = 0;
    for (room, seq) in first {
        let (stream, again) = insist(&hand, &room, &format!("id of {room}")).await;
        moved += usize::from(stream != STREAM);
        assert_eq!(again, seq, "{room}");
        assert_eq!(hand.count(&stream, &room).await, 1);
    }
    assert!(moved > 0);
}

/// An empty room's position is the newest number of its stream: what is published there later must be above it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_room_that_moves_numbers_are_above_all_that_were_given() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    keeper.well().await;
    let hand = site.hand().await;
    let mut live = hand.0.subscribe("ringway.g.shared.live.>").await.expect("subscribed");
    let all = |moving: bool| {
        let rooms = (0..).map(|n| format!("r{n}"));
        rooms.filter(move |room| (slot_of(room).number() >= 8_192) == moving).take(3)
    };
    for room in all(true).chain(all(false)) {
        insist(&hand, &room, &format!("before {room}")).await;
    }
    let mut newest = 0;
    for (count, room) in all(false).cycle().take(50).enumerate() {
        newest = insist(&hand, &room, &format!("{count}")).await.1;
    }
    Split::begin(&keeper, 2).await;
    for room in all(true) {
        let (stream, seq) = insist(&hand, &room, &format!("after {room}")).await;
        assert_eq!(stream, format!("{STREAM}-2"));
        assert!(seq > newest, "{seq} isn't above {newest}");
    }
    // What sees to that is nothing that was published, and stays nobody's.
    let mut marks = 0;
    for _ in 0..60 {
        let message = tokio::time::timeout(PATIENCE, live.next()).await.expect("in time").expect("it lives");
        marks += usize::from(message.headers.is_some_and(|headers| headers.get("KV-Operation").is_some()));
    }
    assert_eq!(marks, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_half_way_it_is_gone_on_with() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let site = Site::start();
    let keeper = site.keeper(&many()).await;
    let (epoch, hand) = (keeper.epoch().await, site.hand().await);
    let load = Load::start(&[site.server.url()], 8).await;
    hand.published(200).await;
    let mut cut = 0;
    for _ in 0..20 {
        // Each time a little further.
        let patience = Duration::from_millis(rng.random_range(1..400) + 10 * cut);
        match tokio::time::timeout(patience, keeper.stores.split(&key(), 3, |_| ())).await {
            Err(_) => cut += 1,
            Ok(ended) => ended.expect("it is split"),
        }
    }
    keeper.stores.split(&key(), 3, |_| ()).await.expect("it is split");
    println!("cut {cut} times; {} published", load.check(&hand).await);
    let state = keeper.until("three streams", |state| state.streams.len() == 3 && state.hurt.is_none()).await;
    assert!(state.streams.iter().all(|stream| stream.epoch == epoch), "{state:?}");
    assert_eq!(state.streams.iter().fold(0, |parts, stream| parts ^ stream.parts), u64::MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cant_be_split_is_said() {
    let site = Site::start();
    let keeper = site.keeper(&settings()).await;
    for (into, words) in [(0, "1 to 64"), (65, "1 to 64")] {
        let error = keeper.stores.split(&key(), into, |_| ()).await.expect_err("refused").to_string();
        assert!(error.contains(words), "{error}");
    }
    let other = ringway_backplane::store::StoreKey { store: "other".parse().expect("a name"), ..key() };
    let error = keeper.stores.split(&other, 2, |_| ()).await.expect_err("refused").to_string();
    assert!(error.contains("store other of group shared: it has no stream"), "{error}");
}

impl Hand {
    /// Waits until the first stream has given out this number at least.
    pub(crate) async fn published(&self, number: u64) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = self.done(&format!("STREAM.INFO.{STREAM}"), &Value::Null).await;
            let last = info["state"]["last_seq"].as_u64().expect("a number");
            if last >= number {
                return last;
            }
            assert!(Instant::now() < deadline, "{last} of {number} published");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
