//! NATS goes away, stands still, comes back empty; a node stands still; rubbish comes: a stated answer, and nothing lost.

use std::time::Instant;

use ringway_protocol::frame::Pub;
use ringway_protocol::{ClientFrame, Code};
use ringway_testkit::http;
use ringway_testkit::metrics::Scrape;
use ringway_testkit::nats::NatsServer;
use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;

use super::*;
use crate::peer::publication;
use crate::support::{launcher, options};

/// How soon a process says that it can't reach the others.
const NOTICED: Duration = Duration::from_secs(5);

/// What a process says of itself.
fn readyz(process: &Process) -> (u16, String) {
    http::get(process.admin, "/readyz").map_or((0, String::new()), |answer| (answer.status, answer.body))
}

fn ready(cluster: &Cluster) {
    for process in cluster.nodes.iter().chain(&cluster.gateways) {
        until(&format!("{} is ready", process.name), SETTLED, || (readyz(process).0 == 200).then_some(()));
    }
}

/// Publishes until it is stored, with the same id; how often it was refused before that.
async fn insist(peer: &mut Peer, room: &str, n: u64) -> usize {
    let deadline = Instant::now() + SETTLED;
    let mut refused = 0;
    loop {
        let one = Pub { mid: Some(format!("m{n}").into()), ..publication(room, &n.to_string()) };
        match peer.ask(ClientFrame::Pub(one)).await {
            Ok(_) => return refused,
            Err(no) => {
                assert!(matches!(no.code, Code::Unavailable | Code::OutcomeUnknown), "{no:?}");
                assert!(no.retry.is_some(), "{no:?}");
            }
        }
        refused += 1;
        assert!(Instant::now() < deadline, "publication {n} is never stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Two members of a room, one on its node and one elsewhere, and who publishes.
struct Pair {
    room: String,
    here: Peer,
    there: Peer,
    one: Kept,
    two: Kept,
}

impl Pair {
    async fn join(cluster: &Cluster, prefix: &str) -> Self {
        let room = room_on(cluster, "node-1", prefix).await;
        let home = room_on(cluster, "node-2", "home.").await;
        let mut here = Peer::open(&cluster.options(Format::Json, Some(&room))).await;
        here.joined().await;
        let mut there = Peer::open(&cluster.options(Format::Msgpack, Some(&home))).await;
        there.joined().await;
        let (mut one, mut two) = (Kept::of(&room), Kept::of(&room));
        one.join(&mut here, None).await;
        two.join(&mut there, None).await;
        Self { room, here, there, one, two }
    }

    /// Publishes these until each is stored, now from one node, now from the other.
    async fn insist(&mut self, range: impl IntoIterator<Item = u64>) -> usize {
        let mut refused = 0;
        for n in range {
            let peer = if n % 2 == 0 { &mut self.here } else { &mut self.there };
            refused += insist(peer, &self.room, n).await;
        }
        refused
    }

    /// Both hear these and nothing else, each once and in order.
    async fn hear(&mut self, range: std::ops::RangeInclusive<u64>) {
        let (all, last) = (numbers(range.clone()), range.end().to_string());
        for (kept, peer) in [(&mut self.one, &mut self.here), (&mut self.two, &mut self.there)] {
            while kept.heard.last() != Some(&last) {
                kept.next(peer).await;
            }
            let mut heard = kept.take();
            // 0: what may have been stored, or not.
            heard.retain(|heard| heard != "0");
            assert_eq!(heard, all);
        }
    }

    fn gaps(&mut self) -> (Vec<String>, Vec<String>) {
        (std::mem::take(&mut self.one.gaps), std::mem::take(&mut self.two.gaps))
    }
}

/// Case 49, and a leader that stands still for ten seconds.
#[tokio::test]
async fn while_nats_stands_still_publishers_are_told_and_afterwards_nothing_is_missing() {
    let cluster = nodes(2);
    let mut pair = Pair::join(&cluster, "durable.still.").await;
    pair.insist(1..=4).await;
    pair.hear(1..=4).await;
    let nats = cluster.nats.as_ref().unwrap();
    nats.pause();
    let began = Instant::now();
    for node in &cluster.nodes {
        until(&format!("{} says so", node.name), NOTICED.saturating_sub(began.elapsed()), || {
            (readyz(node).0 == 503).then_some(())
        });
    }
    // Until the link is known to be dead what was sent may be stored yet; from then on it surely isn't.
    loop {
        let no = pair.here.ask(crate::peer::publish(&pair.room, "0")).await.unwrap_err();
        assert!(no.retry.is_some(), "{no:?}");
        match no.code {
            Code::Unavailable => break,
            code => assert_eq!(code, Code::OutcomeUnknown),
        }
        assert!(began.elapsed() < 2 * NOTICED, "still unknown");
    }
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(began.elapsed())).await;
    nats.resume();
    let refused = pair.insist(5..=10).await;
    println!("refused {refused} times afterwards");
    pair.hear(5..=10).await;
    assert_eq!(pair.gaps(), (Vec::new(), Vec::new()));
    ready(&cluster);
}

/// Case 50: the server is restarted, with what it kept.
#[tokio::test]
async fn a_restart_of_nats_loses_nothing_and_changes_no_epoch() {
    let mut cluster = nodes(2);
    let mut pair = Pair::join(&cluster, "durable.restart.").await;
    pair.insist(1..=4).await;
    pair.hear(1..=4).await;
    let epoch = pair.one.position.clone().unwrap().epoch;
    for round in 0..3 {
        cluster.nats.as_mut().unwrap().restart();
        let range = 5 + round * 10..=14 + round * 10;
        pair.insist(range.clone()).await;
        pair.hear(range).await;
    }
    assert_eq!(pair.gaps(), (Vec::new(), Vec::new()));
    assert_eq!(pair.two.position.clone().unwrap().epoch, epoch);
    ready(&cluster);
}

/// Case 53: who can write to NATS writes rubbish where nodes listen.
#[tokio::test]
async fn rubbish_on_a_live_subject_is_counted_and_ignored() {
    let cluster = nodes(2);
    let mut pair = Pair::join(&cluster, "durable.rubbish.").await;
    pair.insist(1..=2).await;
    pair.hear(1..=2).await;
    let client = async_nats::connect(cluster.nats.as_ref().unwrap().url()).await.unwrap();
    let slot = ringway_ring::Slot::of_room(&"default".parse().unwrap(), &pair.room.parse().unwrap()).number();
    let room = pair.room.replace('.', "%2E");
    let subject = format!("ringway.g.shared.live.{slot}.default.{room}._");
    let large = vec![b'x'; 900 * 1024];
    for body in [&b""[..], b"hello", b"\xff\xfe\x00", b"\x96\x01", &large] {
        client.publish(subject.clone(), body.to_vec().into()).await.unwrap();
        // As if a stream had sent it on, too.
        for number in ["7", "x", "18446744073709551615", "-1"] {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-Stream", "nobody");
            headers.insert("Nats-Sequence", number);
            headers.insert("Nats-Last-Sequence", number);
            headers.insert("Nats-Time-Stamp", "yesterday");
            client.publish_with_headers(subject.clone(), headers, body.to_vec().into()).await.unwrap();
        }
    }
    client.flush().await.unwrap();
    pair.insist(3..=6).await;
    pair.hear(3..=6).await;
    assert_eq!(pair.gaps(), (Vec::new(), Vec::new()));
    let garbage = |node: &Process| {
        let page = http::get(node.admin, "/metrics").unwrap().body;
        Scrape::parse(&page).sum("ringway_backplane_messages_total", &["outcome=\"unreadable\""])
    };
    assert!(cluster.nodes.iter().map(garbage).sum::<f64>() >= 5.0);
}

/// Case 51: a node stands still while much is published.
#[tokio::test]
async fn a_node_that_stood_still_repairs_what_it_missed() {
    let cluster = nodes(2);
    let room = room_on(&cluster, "node-1", "durable.slow.").await;
    let home = room_on(&cluster, "node-2", "home.").await;
    let mut there = Peer::open(&cluster.options(Format::Msgpack, Some(&home))).await;
    there.joined().await;
    let mut kept = Kept::of(&room);
    kept.join(&mut there, None).await;
    let mut publisher = Peer::open(&cluster.options(Format::Msgpack, Some(&room))).await;
    publisher.joined().await;
    let node = cluster.nodes.iter().find(|node| node.name == "node node-2").unwrap();
    node.pause();
    let offsets = publish_all(&mut publisher, &room, 1..=900).await;
    node.resume();
    kept.hears(&mut there, 900).await;
    assert_eq!(kept.take(), numbers(1..=900));
    assert_eq!((&kept.offsets, &kept.gaps), (&offsets, &Vec::new()));
}

/// Without JetStream durable rooms can't be had, and it is said which store is hurt. All else goes on.
#[tokio::test]
async fn where_there_is_no_jetstream_it_is_said() {
    let nats = NatsServer::start();
    let mut launcher = launcher(&config(&nats.url()));
    let node = &launcher.begin_node("node-1", &[]);
    let gateway = launcher.gateway(&[]);
    cluster::sees(&gateway, 1);
    let said = until("the node says so", SETTLED, || {
        let (status, body) = readyz(node);
        (status == 503 && body.contains("kept")).then_some(body)
    });
    println!("{said}");
    assert!(said.contains("JetStream"), "{said}");
    let mut peer = Peer::open(&options(gateway.listen, Format::Json, Some("durable.none"))).await;
    let ServerFrame::Left(left) = peer.next().await else { panic!("the home room can't be joined") };
    assert_eq!((left.code, left.retry.is_some()), (Code::Unavailable, true));
    for ask in [crate::peer::join("durable.none"), crate::peer::publish("durable.none", "1")] {
        let no = peer.ask(ask).await.unwrap_err();
        assert_eq!((no.code, no.retry.is_some()), (Code::Unavailable, true));
    }
    peer.join("lobby").await;
    assert_eq!(peer.publish("lobby", "1").await.offset, Some(1));
}
