//! Two nodes each take themselves for a room's owner, and one gateway has links to both: a node that is cut off from NATS
//! while its links stand, in rooms whose members are on it and on the node that takes over.

use std::time::Duration;

use ringway_protocol::Format;
use ringway_ring::{Slot, SlotTable};
use ringway_testkit::http;
use ringway_testkit::nats::{NatsOptions, NatsServer};
use ringway_testkit::path::Path;
use ringway_testkit::processes::Process;
use ringway_testkit::proxy::Proxy;
use ringway_testkit::transcript::{Kind, Room};
use ringway_testkit::wait::until;
use serde_json::Value;

use super::SERVED;
use crate::cluster::Cluster;
use crate::member::{Member, Outcome, Talk, Way, settled};
use crate::support::{launcher, name, open_over};

/// Rooms of either kind, each on two nodes at least.
const CLASSES: &str = r#"
[stores.kept]
messages_per_room = 10_000
age = "1h"
repeat_window = "10m"

[[classes]]
rooms = "fleeting.**"
spread = 2

[[classes]]
rooms = "durable.**"
store = "kept"
spread = 2
"#;

/// So many members each side has.
const EACH: usize = 4;

/// Between two words of a speaker.
const EVERY: Duration = Duration::from_millis(50);

/// For how long somebody says a thing again in a durable room: shorter than a store knows a repeat.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the gateway knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gateway {
    /// It is cut off as well: it goes on by its last view, with members on both nodes.
    Blind,
    /// It sees that the node is silent: its members leave an owner that believes to be it still.
    Seeing,
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_believe_to_own_a_room_and_one_gateway_has_members_on_both() {
    each_takes_itself_for_the_owner(Gateway::Blind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_leave_a_node_that_believes_to_own_their_room_and_does_not_any_more() {
    each_takes_itself_for_the_owner(Gateway::Seeing).await;
}

/// Three nodes, of which the first reaches NATS by a way that can be cut, and so does the gateway.
struct Parted {
    cluster: Cluster,
    node: Proxy,
    gateway: Proxy,
}

impl Parted {
    async fn start() -> Self {
        let nats = NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() });
        let address = ([127, 0, 0, 1], nats.port()).into();
        let (node, gateway) = (Proxy::start(address).await.unwrap(), Proxy::start(address).await.unwrap());
        let mut launcher = launcher(&(open_over(&nats.url()) + CLASSES));
        launcher.take_path(Path::Relay);
        let by = |proxy: &Proxy| format!("nats://{}", proxy.address());
        let mut nodes = vec![launcher.begin_node("node-1", &[("RINGWAY_NATS__URLS", &by(&node))])];
        nodes.extend(["node-2", "node-3"].map(|id| launcher.begin_node(id, &[])));
        nodes.iter_mut().for_each(Process::wait_ready);
        let gateways = vec![launcher.gateway(&[("RINGWAY_NATS__URLS", &by(&gateway))])];
        let parted = Self { cluster: Cluster { gateways, nodes, launcher, nats: Some(nats) }, node, gateway };
        parted.all_see_all();
        parted
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.cluster.gateways.iter().chain(&self.cluster.nodes)
    }

    fn all_see_all(&self) {
        for process in self.processes() {
            until(&format!("{} sees all", process.name), SERVED, || {
                let all = ["node-1", "node-2", "node-3"];
                all.iter().all(|node| slots(process, node) > Some(0)).then_some(())
            });
        }
    }

    fn is_ready(&self, process: &Process, ready: bool) {
        let status = if ready { 200 } else { 503 };
        until(&format!("{} says {status}", process.name), SERVED, || {
            (process.readyz() == Some(status)).then_some(())
        });
    }

    /// The sum of a metric over all nodes.
    fn of_nodes(&self, family: &str) -> f64 {
        self.cluster.nodes.iter().map(|node| node.metrics().sum(family, &[])).sum()
    }

    /// Members of these rooms, until so many are at home on the first node, and as many elsewhere.
    fn members(&self, rooms: &[&str]) -> [Vec<Member>; 2] {
        let [mut here, mut there] = [Vec::new(), Vec::new()];
        for number in 0.. {
            assert!(number < 30 * EACH, "all are on one side");
            let format = if number % 2 == 0 { Format::Json } else { Format::Msgpack };
            let way = Way { gateways: vec![self.cluster.gateway()], format, tenant: "default" };
            let member = Member::start(format!("m{number}"), &way, rooms);
            until("it is in its rooms", SERVED, || {
                member.record().rooms.values().all(|room| room.position.is_some()).then_some(())
            });
            let side = if member.node() == "node-1" { &mut here } else { &mut there };
            side.push(member);
            if here.len() >= EACH && there.len() >= EACH {
                break;
            }
        }
        [here, there]
    }
}

async fn each_takes_itself_for_the_owner(knows: Gateway) {
    let parted = Parted::start().await;
    let (fleeting, durable) = (owned("fleeting."), owned("durable."));
    let [mut all, there] = parted.members(&[&fleeting, &durable]);
    let here = all.len();
    all.extend(there);
    let at_first: Vec<[usize; 3]> = all.iter().map(ends).collect();
    // Both sides speak in both rooms.
    let talks: Vec<Talk> = [&all[0], &all[here]]
        .into_iter()
        .flat_map(|speaker| [speaker.talk(&fleeting, EVERY), speaker.insist(&durable, EVERY, PATIENCE)])
        .collect();
    hear(&all, &fleeting, 10);
    hear(&all, &durable, 10);

    parted.node.silence();
    if knows == Gateway::Blind {
        parted.gateway.silence();
    }
    let [first, others @ ..] = &parted.cluster.nodes[..] else { unreachable!() };
    for other in others {
        until("the others have the first node's rooms", SERVED, || {
            slots(other, "node-1").is_none().then_some(())
        });
    }
    match knows {
        // Each side goes on among itself, by one and the same gateway.
        Gateway::Blind => {
            hear(&all[..here], &fleeting, 10);
            hear(&all[here..], &fleeting, 10);
        }
        Gateway::Seeing => {
            hear(&all, &fleeting, 10);
            hear(&all, &durable, 10);
        }
    }
    parted.is_ready(first, false);
    assert!(slots(first, "node-1") > Some(0) && slots(&others[0], "node-1").is_none(), "both own its rooms");

    parted.node.open();
    parted.gateway.open();
    parted.processes().for_each(|process| parted.is_ready(process, true));
    parted.all_see_all();
    hear(&all, &fleeting, 10);
    hear(&all, &durable, 10);
    for talk in talks {
        talk.stop().await;
    }
    // Whoever speaks now has the same owner.
    let mut epochs = Vec::new();
    for speaker in [&all[0], &all[here]] {
        let said = speaker.tell(&fleeting, "who numbers this?").await;
        let Outcome::Accepted { place: Some(place) } = said else { panic!("{}: {said:?}", speaker.name) };
        epochs.push(place.epoch);
    }
    assert_eq!(epochs[0], epochs[1], "one owner");
    let verdict = settled(&fleeting, &all, SERVED).assert_kept();
    println!("{knows:?}, {fleeting}: {verdict}");
    let room = Room { kind: Kind::Durable, ..settled(&durable, &all, SERVED) };
    let verdict = room.assert_kept();
    println!("{knows:?}, {durable}: {verdict}");
    assert!(verdict.is_whole(), "{durable}: {verdict}");
    for (member, at_first) in all.iter().zip(at_first) {
        let (now, record) = (ends(member), member.record());
        assert_eq!(now, at_first, "{} was closed: {:?}", member.name, record.closes);
        assert_eq!((record.goaways, &record.strange), (0, &vec![]), "{}", member.name);
    }
    until("everybody is in each room once", SERVED, || {
        let (members, connections) =
            (parted.of_nodes("ringway_members"), parted.of_nodes("ringway_connections"));
        ((members, connections) == (2.0 * all.len() as f64, all.len() as f64)).then_some(())
    });
}

/// The slots that a node has, as a process sees it; none: it doesn't see the node.
fn slots(process: &Process, node: &str) -> Option<u64> {
    let answer = http::get(process.admin, "/debug/ring").ok()?;
    let ring: Value = serde_json::from_str(&answer.body).ok()?;
    ring["nodes"].as_array()?.iter().find(|seen| seen["id"] == node)?["slots"].as_u64()
}

/// A room of the first of three nodes.
fn owned(prefix: &str) -> String {
    let nodes = ["node-1", "node-2", "node-3"].map(|node| (node.parse().unwrap(), 1));
    let ring = SlotTable::build(&nodes);
    let slot = |room: &str| Slot::of_room(&"default".parse().unwrap(), &name(room));
    (0..)
        .map(|n| format!("{prefix}{n}"))
        .find(|room| ring.owner(slot(room)).is_some_and(|owner| owner.as_str() == "node-1"))
        .unwrap()
}

/// Waits until each of them has heard so much more of the room.
fn hear(members: &[Member], room: &str, more: usize) {
    let of_room = name(room);
    let heard = |member: &Member| member.record().rooms[&of_room].names().len();
    let goals: Vec<usize> = members.iter().map(|member| heard(member) + more).collect();
    for (member, goal) in members.iter().zip(goals) {
        until(&format!("{} hears {goal} publications in {room}", member.name), SERVED, || {
            (heard(member) >= goal).then_some(())
        });
    }
}

/// A member's hellos, closes and failures so far.
fn ends(member: &Member) -> [usize; 3] {
    let record = member.record();
    [record.hellos.len(), record.closes.len(), record.failures]
}
