//! Storing on a real server: what is tried again, what isn't, and what its publisher is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringway_backplane::Backplane;
use ringway_backplane::message::{Epoch, Fate, Publication, Published};
use ringway_backplane::nats::{NatsSettings, Stores, connect};
use ringway_backplane::store::{Known, RoomAt, StoreState, StreamState};
use ringway_protocol::payload::Payload;
use ringway_ring::Slot;
use ringway_testkit::nats::{NatsCluster, NatsOptions, NatsServer};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{LONGEST_WAIT, PATIENCE, Storing, StoringMetrics, TRY_LIMIT};

/// How long anything that must happen may take. Generous: machines are busy.
const LIMIT: Duration = Duration::from_secs(30);

const STREAM: &str = "chat";

const EPOCH: Epoch = Epoch { ms: 1, node: 2, random: 3 };

struct Scene {
    server: NatsServer,
    party: Arc<dyn Backplane>,
    stores: Arc<Stores>,
    storing: Storing,
    metrics: StoringMetrics,
    stranger: async_nats::Client,
}

impl Scene {
    async fn begin() -> Self {
        let server = NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() });
        let party = connect(&NatsSettings::new(server.url())).await.expect("it runs");
        let stores = party.stores().expect("NATS keeps");
        let metrics = StoringMetrics::default();
        let me = "node-a".parse().expect("an id");
        let storing = Storing::counting(Arc::clone(&stores), me, metrics.clone());
        let stranger = async_nats::connect(server.url()).await.expect("it runs");
        let scene = Self { server, party, stores, storing, metrics, stranger };
        scene.know(STREAM);
        scene
    }

    fn know(&self, stream: &str) {
        know(&self.stores, stream);
    }

    async fn api(&self, what: &str, question: &Value) -> Value {
        let asking = self.stranger.request(format!("$JS.API.{what}"), question.to_string().into());
        let answer = timeout(LIMIT, asking).await.expect("in time").expect("an answer");
        serde_json::from_slice(&answer.payload).expect("JSON")
    }

    async fn make_stream(&self, settings: Value) {
        let mut stream = json!({
            "name": STREAM,
            "subjects": ["ringway.g.shared.store.chat.>"],
            "storage": "file",
            "allow_direct": true,
        });
        let Value::Object(settings) = settings else { panic!("no settings: {settings}") };
        stream.as_object_mut().expect("an object").extend(settings);
        let made = self.api(&format!("STREAM.CREATE.{STREAM}"), &stream).await;
        assert!(made["error"].is_null(), "{made}");
    }

    /// Has them stored; what became of them comes by the receiver.
    fn store(&self, at: &RoomAt, publications: Vec<Publication>) -> mpsc::Receiver<Vec<Fate>> {
        let (told, fates) = mpsc::channel(2);
        self.storing.store(at.clone(), publications, move |fates| told.try_send(fates).expect("told once"));
        fates
    }

    /// What is kept, in order.
    async fn kept(&self, at: &RoomAt) -> Vec<String> {
        let page = self.stores.room(at, 1, 1_000, 1 << 20).await.expect("read");
        page.kept.iter().map(|kept| text(&kept.publication)).collect()
    }
}

/// All rooms are in this stream.
fn know(stores: &Stores, stream: &str) {
    let stream = StreamState { name: stream.into(), epoch: EPOCH, parts: u64::MAX };
    let state = StoreState { streams: vec![stream], ..StoreState::default() };
    stores.know(Known { stores: BTreeMap::from([(room("acme", "any").key(), state)]) });
}

/// What became of them, told once.
async fn fates(mut told: mpsc::Receiver<Vec<Fate>>) -> Vec<Fate> {
    let fates = timeout(LIMIT, told.recv()).await.expect("in time").expect("told");
    assert_eq!(told.recv().await, None, "and not again");
    fates
}

fn room(tenant: &str, room: &str) -> RoomAt {
    let (tenant, room) = (tenant.parse().expect("a tenant"), room.parse().expect("a room"));
    RoomAt {
        group: "shared".parse().expect("a group"),
        store: "chat".parse().expect("a store"),
        slot: Slot::of_room(&tenant, &room),
        tenant,
        room,
        latest_per_key: false,
    }
}

fn publication(text: &str) -> Publication {
    Publication {
        user: Some("u".parse().expect("a user")),
        ..Publication::new(1, Payload::from_bytes(text.as_bytes().to_vec()))
    }
}

fn all(texts: &[&str]) -> Vec<Publication> {
    texts.iter().map(|text| publication(text)).collect()
}

fn text(publication: &Publication) -> String {
    String::from_utf8(publication.data.bytes().expect("bytes").to_vec()).expect("UTF-8")
}

fn stored(offset: u64) -> Fate {
    Fate::Stored(Published { epoch: EPOCH, offset, duplicate: false })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_stored_in_order_and_each_is_told() {
    let scene = Scene::begin().await;
    scene.make_stream(json!({ "max_msg_size": 100_000 })).await;
    let lobby = room("acme", "lobby");
    let first = scene.store(&lobby, all(&["a", "b"]));
    let mut second = all(&["c", "d"]);
    second.insert(1, Publication { data: Payload::from_bytes(vec![0; 200_000]), ..publication("") });
    let second = scene.store(&lobby, second);
    assert_eq!(fates(first).await, [stored(1), stored(2)]);
    assert_eq!(fates(second).await, [stored(3), Fate::TooBig, stored(4)]);
    assert_eq!(scene.kept(&lobby).await, ["a", "b", "c", "d"]);
    assert_eq!(fates(scene.store(&lobby, Vec::new())).await, []);
}

/// Two tenants, two users and two rooms may count from 1 without hiding each other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mid_is_its_publishers_own() {
    let scene = Scene::begin().await;
    scene.make_stream(json!({})).await;
    let by = |user: &str| Publication {
        mid: Some("1".into()),
        user: Some(user.parse().expect("a user")),
        ..publication(user)
    };
    let cases =
        [("acme", "lobby", "u"), ("other", "lobby", "u"), ("acme", "hall", "u"), ("acme", "lobby", "v")];
    for (offset, (tenant, name, user)) in cases.into_iter().enumerate() {
        let told = scene.store(&room(tenant, name), vec![by(user)]);
        assert_eq!(fates(told).await, [stored(offset as u64 + 1)]);
    }
    let told = scene.store(&room("acme", "lobby"), vec![by("u"), by("v")]);
    let repeat = |offset| Fate::Stored(Published { epoch: EPOCH, offset, duplicate: true });
    assert_eq!(fates(told).await, [repeat(1), repeat(4)]);
    assert_eq!(scene.kept(&room("acme", "lobby")).await, ["u", "v"]);
}

/// As when a stream's leader is being elected, or a split closes its parts for a moment: nobody answers, for sure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_for_a_moment_is_waited_for() {
    let scene = Scene::begin().await;
    let lobby = room("acme", "lobby");
    let told = scene.store(&lobby, all(&["a", "b", "c"]));
    // At least once it was tried in vain.
    let limit = std::time::Instant::now() + LIMIT;
    while scene.metrics.repeated.get() == 0 {
        assert!(std::time::Instant::now() < limit, "it is tried again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.make_stream(json!({})).await;
    assert_eq!(fates(told).await, [stored(1), stored(2), stored(3)]);
    assert_eq!(scene.kept(&lobby).await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stays_away_is_given_up_in_time() {
    let scene = Scene::begin().await;
    let begun = std::time::Instant::now();
    let told = scene.store(&room("acme", "lobby"), all(&["a", "b"]));
    assert_eq!(fates(told).await, [Fate::Unavailable, Fate::Unavailable]);
    assert!(begun.elapsed() >= PATIENCE - LONGEST_WAIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_is_told_at_once() {
    let scene = Scene::begin().await;
    scene.make_stream(json!({ "discard": "new", "max_msgs": 1 })).await;
    let told = scene.store(&room("acme", "lobby"), all(&["a", "b", "c"]));
    assert_eq!(fates(told).await, [stored(1), Fate::Full, Fate::Full]);
    assert_eq!(scene.metrics.repeated.get(), 0);
}

/// The acknowledgement comes too late: the repeat, with the same id, finds it stored, or stores it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wasnt_acknowledged_in_time_is_stored_once() {
    let scene = Scene::begin().await;
    scene.make_stream(json!({})).await;
    let lobby = room("acme", "lobby");
    scene.server.pause();
    let told = scene.store(&lobby, all(&["a"]));
    tokio::time::sleep(TRY_LIMIT + Duration::from_millis(300)).await;
    scene.server.resume();
    // On a machine that stood still for long, patience may have ended.
    let fates = fates(told).await;
    let known = matches!(fates[..], [Fate::Stored(Published { offset: 1, .. }) | Fate::Unknown]);
    assert!(known, "{fates:?}");
    let again = scene.store(&lobby, all(&["b"]));
    let limit = std::time::Instant::now() + LIMIT;
    let mut again = self::fates(again).await;
    while !matches!(again[..], [Fate::Stored(_)]) {
        assert!(std::time::Instant::now() < limit, "it goes on");
        again = self::fates(scene.store(&lobby, all(&["b"]))).await;
    }
    let mut kept = scene.kept(&lobby).await;
    kept.dedup();
    assert_eq!(kept, ["a", "b"]);
}

/// Whatever becomes of the link: of one batch nothing is stored behind what came after it, and nothing told stored is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_and_comes_back_keeps_the_order() {
    let mut scene = Scene::begin().await;
    scene.make_stream(json!({})).await;
    let lobby = room("acme", "lobby");
    let mut under_way = Vec::new();
    for batch in 0..40 {
        let texts: Vec<_> = (0..5).map(|number| format!("{:03}", batch * 5 + number)).collect();
        let publications = texts.iter().map(|text| publication(text)).collect();
        under_way.push((texts, scene.store(&lobby, publications)));
        if batch == 20 {
            scene.server.kill();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    scene.server.restart();
    let mut told = Vec::new();
    for (texts, fates) in under_way {
        let fates = self::fates(fates).await;
        assert_eq!(fates.len(), 5);
        let surely_not = |fate: &Fate| matches!(fate, Fate::Unavailable);
        assert!(fates.iter().all(|fate| surely_not(fate) || matches!(fate, Fate::Stored(_) | Fate::Unknown)));
        told.extend(texts.into_iter().zip(fates));
    }
    let mut link = scene.party.link();
    timeout(LIMIT, link.wait_for(|link| link.up)).await.expect("in time").expect("open");
    let limit = std::time::Instant::now() + LIMIT;
    let page = loop {
        match scene.stores.room(&lobby, 1, 1_000, 1 << 20).await {
            Ok(page) => break page,
            Err(error) => assert!(std::time::Instant::now() < limit, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let kept: BTreeMap<_, _> = page.kept.iter().map(|kept| (text(&kept.publication), kept.offset)).collect();
    assert_eq!(kept.len(), page.kept.len(), "nothing twice");
    for (text, fate) in &told {
        match fate {
            Fate::Stored(published) => assert_eq!(kept.get(text), Some(&published.offset), "{text}"),
            Fate::Unavailable => assert_eq!(kept.get(text), None, "{text}"),
            _ => {}
        }
    }
    for batch in told.chunks(5) {
        let offsets: Vec<_> = batch.iter().filter_map(|(text, _)| kept.get(text)).collect();
        assert!(offsets.is_sorted(), "{batch:?} {offsets:?}");
    }
    assert!(matches!(told[0].1, Fate::Stored(_)));
}

/// After a split the server knows no former ids: who doesn't know whether it was stored looks before he repeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_forgotten_to_have_stored_is_looked_for() {
    let scene = Scene::begin().await;
    // It forgets at once: as short a window as it takes.
    scene.make_stream(json!({ "duplicate_window": 100_000_000 })).await;
    let lobby = room("acme", "lobby");
    // Stored, but by a stream of which nothing is known: so it is unknown to have been, until the stream is known.
    scene.know("former");
    let told = scene.store(&lobby, all(&["a"]));
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1_500) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scene.know(STREAM);
    let fates = fates(told).await;
    assert!(matches!(fates[..], [Fate::Stored(Published { offset: 1, .. }) | Fate::Unknown]), "{fates:?}");
    assert_eq!(scene.kept(&lobby).await, ["a"]);
}

/// Case 39: a stream's leader dies under load. Who repeats what he wasn't told has each stored once, in his order, at the
/// number that he is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_loses_and_doubles_nothing() {
    const PUBLISHERS: usize = 12;
    const EACH: usize = 60;
    let mut cluster = NatsCluster::start();
    let stream = json!({
        "name": STREAM,
        "subjects": ["ringway.g.shared.store.chat.>"],
        "storage": "file",
        "num_replicas": 3,
        "allow_direct": true,
        "duplicate_window": 120_000_000_000_u64,
    });
    cluster.api(0).create(&stream).expect("made");
    let leader = cluster.wait_leader(STREAM);
    let settings = NatsSettings { urls: cluster.urls(), ..NatsSettings::new(cluster.urls()[0].clone()) };
    let party = connect(&settings).await.expect("it runs");
    let stores = party.stores().expect("NATS keeps");
    know(&stores, STREAM);
    let storing =
        Storing::counting(Arc::clone(&stores), "node-a".parse().expect("an id"), StoringMetrics::default());
    let done = Arc::new(AtomicUsize::new(0));
    let publishing = (0..PUBLISHERS).map(|publisher| {
        let (storing, done) = (storing.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let at = room("acme", &format!("room-{publisher}"));
            let mut told: Vec<(String, u64)> = Vec::new();
            let mut number = 0;
            while number < EACH {
                // Two at a time, pipelined; what isn't stored is repeated, and what comes behind it with it.
                let texts: Vec<_> = (number..EACH.min(number + 2)).map(|number| number.to_string()).collect();
                let publications = texts
                    .iter()
                    .map(|text| Publication { mid: Some(text.as_str().into()), ..publication(text) });
                let (tell, mut fates) = mpsc::channel(1);
                storing.store(at.clone(), publications.collect(), move |fates| drop(tell.try_send(fates)));
                let fates = timeout(LIMIT, fates.recv()).await.expect("in time").expect("told");
                for (text, fate) in texts.iter().zip(fates) {
                    let Fate::Stored(published) = fate else { break };
                    told.push((text.clone(), published.offset));
                    number += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
            told
        })
    });
    let publishing: Vec<_> = publishing.collect();
    let limit = std::time::Instant::now() + LIMIT;
    while done.load(Ordering::Relaxed) < PUBLISHERS * EACH / 4 {
        assert!(std::time::Instant::now() < limit, "they publish");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cluster.server_mut(leader).kill();
    let mut told = Vec::new();
    for publishing in publishing {
        told.push(timeout(3 * LIMIT, publishing).await.expect("in time").expect("no panic"));
    }
    let mut all_kept = Vec::new();
    for (publisher, told) in told.into_iter().enumerate() {
        let at = room("acme", &format!("room-{publisher}"));
        let newest = told.last().expect("some").1;
        // A follower may be a little behind.
        let page = loop {
            let page = stores.room(&at, 1, 1_000, 1 << 20).await;
            match page {
                Ok(page) if page.upto >= newest => break page,
                page => assert!(std::time::Instant::now() < limit + 3 * LIMIT, "{page:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let kept: Vec<_> = page.kept.iter().map(|kept| (text(&kept.publication), kept.offset)).collect();
        all_kept.push((told, kept));
    }
    for (told, kept) in all_kept {
        assert_eq!(told, kept);
    }
    party.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_everybody_is_told() {
    let scene = Scene::begin().await;
    let told: Vec<_> = (0..3).map(|_| scene.store(&room("acme", "lobby"), all(&["a"]))).collect();
    timeout(LIMIT, scene.storing.end()).await.expect("in time");
    for told in told {
        assert_eq!(fates(told).await, [Fate::Unavailable]);
    }
    scene.party.close().await;
    let told = scene.store(&room("acme", "lobby"), all(&["a"]));
    assert_eq!(fates(told).await, [Fate::Unavailable]);
}
