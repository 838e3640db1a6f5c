//! Over real carriers: every grain is taken and left again while others publish as fast as is heard, and nothing that was
//! published to a room that is heard is missed, or comes before what was published before it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use ringway_backplane::Backplane;
use ringway_backplane::memory::Hub;
use ringway_backplane::message::{Epoch, LiveBody, LiveMessage};
use ringway_backplane::nats::{NatsSettings, connect};
use ringway_config::Config;
use ringway_protocol::name::GroupId;
use ringway_ring::{Announcement, Membership, NodeId, Slot};
use ringway_testkit::nats::NatsServer;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::grain::{EVIDENCE, FEW, MANY};
use super::*;

/// How long anything that must happen may take.
const FAR: Duration = Duration::from_secs(30);

/// How many messages of a room may be published and not heard yet.
const WINDOW: u64 = 100;

const SHARDS: usize = 2;

/// How far each room is heard.
type Heard = Arc<HashMap<RoomKey, AtomicU64>>;

fn group() -> GroupId {
    "shared".parse().unwrap()
}

fn key(room: &str) -> RoomKey {
    RoomKey { tenant: "acme".parse().unwrap(), room: room.parse().unwrap() }
}

fn slot(key: &RoomKey) -> Slot {
    Slot::of_room(&key.tenant, &key.room)
}

fn placement(nodes: &[&str]) -> Arc<Placement> {
    let pool: PoolId = "shared".parse().unwrap();
    let mut members = Membership::new();
    for name in nodes {
        let id: NodeId = name.parse().unwrap();
        members.heard(Announcement { weight: 1, ..Announcement::new(id, 1, pool.clone(), String::new()) }, 1);
    }
    let tenants = Config::dev(([127, 0, 0, 1], 0).into(), 1).config.tenants();
    Arc::new(Placement::new("n1".parse().unwrap(), pool, members.view(), &tenants))
}

/// Rooms of a tag whose slot another node owns, where there are two.
fn tags_of_another(count: usize) -> Vec<String> {
    let two = placement(&["n1", "n2"]);
    let tags = (0..).map(|number| format!("{{tag{number}}}"));
    tags.filter(|tag| !two.is_mine(&key(tag).tenant, slot(&key(tag)))).take(count).collect()
}

struct Scene {
    interests: Arc<Interests>,
    heard: Heard,
    told: Arc<Mutex<Vec<RoomKey>>>,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Scene {
    fn new(backplane: Arc<dyn Backplane>, rooms: &[RoomKey]) -> Scene {
        let metrics = Arc::new(NodeMetrics::register(&mut Registry::default()));
        let tasks = TaskTracker::new();
        let interests = Interests::new(backplane, metrics, tasks.clone(), placement(&["n1", "n2"]));
        let heard: Heard = Arc::new(rooms.iter().map(|room| (room.clone(), AtomicU64::new(0))).collect());
        let scene = Scene {
            interests: Arc::new(interests),
            heard,
            told: Arc::default(),
            tasks,
            end: CancellationToken::new(),
        };
        for _ in 0..SHARDS {
            let (commands_in, mut commands) = mpsc::channel(4_096);
            let (live_in, mut live) = mpsc::channel::<LiveMessage>(4_096);
            scene.interests.add_shard(commands_in, live_in);
            let (heard, told, end) = (scene.heard.clone(), scene.told.clone(), scene.end.clone());
            scene.tasks.spawn(async move {
                loop {
                    tokio::select! {
                        () = end.cancelled() => return,
                        Some(message) = live.recv() => hear(&heard, message),
                        Some(command) = commands.recv() => {
                            let Command::Listening { room } = command else { panic!("{command:?}") };
                            told.lock().push(room);
                        }
                    }
                }
            });
        }
        scene
    }

    async fn until(&self, what: &str, is: impl Fn() -> bool) {
        let waiting = async {
            while !is() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(FAR, waiting).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.sizes()));
    }

    async fn want(&self, room: &RoomKey) {
        if !self.interests.want(&group(), slot(room), room) {
            self.until("it is heard", || self.told.lock().contains(room)).await;
        }
    }

    fn unwant(&self, room: &RoomKey) {
        self.interests.unwant(&group(), slot(room), room);
        self.told.lock().retain(|told| told != room);
    }

    fn sizes(&self) -> [usize; 3] {
        self.interests.state.lock().domains.get(&Domain::Group(group())).map_or([0; 3], Grain::sizes)
    }

    /// Waits for these subscriptions, and until every room has heard some more by them.
    async fn heard_by(&self, sizes: [usize; 3]) {
        let idle = || self.sizes() == sizes && self.interests.state.lock().under_way == 0;
        self.until(&format!("{sizes:?}"), idle).await;
        let now: Vec<u64> = self.heard.values().map(|heard| heard.load(Ordering::Acquire)).collect();
        let more =
            || self.heard.values().zip(&now).all(|(heard, was)| heard.load(Ordering::Acquire) > was + WINDOW);
        self.until("publications go on being heard", more).await;
    }
}

fn hear(heard: &Heard, message: LiveMessage) {
    let Some(last) = heard.get(&RoomKey { tenant: message.tenant, room: message.room.clone() }) else {
        return;
    };
    let before = last.load(Ordering::Acquire);
    assert!(message.count <= before + 1, "{} came after {before} of {}", message.count, message.room);
    last.store(before.max(message.count), Ordering::Release);
}

/// Publishes to all rooms that are heard, each no further than it was heard and a window.
async fn publish(to: Arc<dyn Backplane>, heard: Heard, end: CancellationToken) {
    let mut counts: HashMap<RoomKey, u64> = HashMap::new();
    while !end.is_cancelled() {
        for (room, heard) in heard.iter() {
            let count = counts.entry(room.clone()).or_default();
            while *count < heard.load(Ordering::Acquire) + WINDOW {
                *count += 1;
                let body = LiveBody::Mark { epoch: Epoch { ms: 1, node: 1, random: 1 }, offset: *count };
                let RoomKey { tenant, room } = room.clone();
                let from = "n2".parse().unwrap();
                let message = LiveMessage { from, count: *count, tenant, room, body, traceparent: None };
                to.publish_live(&group(), Slot::of_room(&message.tenant, &message.room), &message).unwrap();
            }
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
}

async fn every_grain_both_ways(receiver: Arc<dyn Backplane>, sender: Arc<dyn Backplane>) {
    let tags = tags_of_another(3);
    // One room alone, two that aren't in the others' slots, and of each slot enough to make it one.
    let rooms: Vec<RoomKey> = tags.iter().map(|tag| key(&format!("{tag}.heard"))).collect();
    let crowd = |tag: &str| -> Vec<RoomKey> { (1..MANY).map(|n| key(&format!("{tag}.{n}"))).collect() };
    let scene = Scene::new(receiver.clone(), &rooms);
    for room in &rooms {
        scene.want(room).await;
    }
    let _ = receiver.round_trip(FAR).await;
    let end = CancellationToken::new();
    let publishing = tokio::spawn(publish(sender.clone(), scene.heard.clone(), end.clone()));
    scene.heard_by([3, 0, 0]).await;
    for round in 0..4 {
        for tag in &tags {
            for room in crowd(tag) {
                scene.want(&room).await;
            }
        }
        scene.heard_by([0, 3, 0]).await;
        // Alone, it hears everything, and two at once again what it needs.
        scene.interests.placed(&placement(&["n1"]));
        scene.heard_by([0, 0, 1]).await;
        scene.interests.placed(&placement(&["n1", "n2"]));
        scene.heard_by([0, 3, 0]).await;
        for tag in &tags {
            crowd(tag).iter().skip(FEW - 2).for_each(|room| scene.unwant(room));
        }
        scene.heard_by([3 * (FEW - 1), 0, 0]).await;
        scene.interests.placed(&placement(&["n1"]));
        scene.heard_by([0, 0, 1]).await;
        scene.interests.placed(&placement(&["n1", "n2"]));
        // Slots that were worth it are so as long as a few rooms want them.
        scene.heard_by([3 * (FEW - 1), 0, 0]).await;
        for tag in &tags {
            crowd(tag).iter().take(FEW - 2).for_each(|room| scene.unwant(room));
        }
        scene.heard_by([3, 0, 0]).await;
        assert_eq!(receiver.link().borrow().slow, 0, "in round {round}");
    }
    // Back to rooms for what comes, too.
    for room in crowd(&tags[0]) {
        scene.want(&room).await;
    }
    scene.heard_by([2, 1, 0]).await;
    let RoomKey { tenant, .. } = rooms[0].clone();
    scene.interests.look(std::iter::empty());
    assert!(scene.interests.counts());
    let much = EVIDENCE + 1;
    scene.interests.look(std::iter::once((group(), tenant, slot(&rooms[0]).number(), much, much)));
    scene.heard_by([2 + MANY, 0, 0]).await;
    end.cancel();
    publishing.await.unwrap();
    crowd(&tags[0]).iter().chain(&rooms).for_each(|room| scene.unwant(room));
    scene.until("nothing is left", || scene.interests.state.lock().domains.is_empty()).await;
    scene.end.cancel();
    receiver.close().await;
    scene.tasks.close();
    timeout(FAR, scene.tasks.wait()).await.expect("nobody missed anything, and all has ended");
    sender.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_over_nats() {
    let nats = NatsServer::start();
    let settings = NatsSettings::new(nats.url());
    let (receiver, sender) = (connect(&settings).await.unwrap(), connect(&settings).await.unwrap());
    every_grain_both_ways(receiver, sender).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_in_one_process() {
    let hub = Hub::new();
    every_grain_both_ways(hub.attach("n1"), hub.attach("n2")).await;
}
