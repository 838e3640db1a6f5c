//! Three NATS servers, three replicas: one of them, or most of them, stop.

use std::time::Instant;

use ringway_protocol::ClientFrame;
use ringway_protocol::frame::Pub;
use ringway_testkit::http;
use ringway_testkit::nats::NatsCluster;
use ringway_testkit::wait::until;

use super::*;
use crate::cluster::sees;
use crate::peer::publication;
use crate::support::{OPEN, launcher};

/// Two nodes and a gateway over three servers; rooms `durable.**` on all three, `two.**` on two.
struct Site {
    cluster: Cluster,
    nats: NatsCluster,
}

impl Site {
    fn start(classes: &str) -> Self {
        let nats = NatsCluster::start();
        let urls: Vec<String> = nats.urls().iter().map(|url| format!("\"{url}\"")).collect();
        let mut launcher = launcher(&format!(
            "{OPEN}\n[nats]\nurls = [{}]\n\n[cluster]\nsecret = \"a-secret-of-these-tests-0123456789\"\n{classes}",
            urls.join(", ")
        ));
        let nodes = launcher.nodes(["node-1", "node-2"]);
        let gateways = vec![launcher.gateway(&[])];
        let cluster = Cluster { gateways, nodes, launcher, nats: None };
        cluster.gateways.iter().chain(&cluster.nodes).for_each(|process| sees(process, 2));
        Self { cluster, nats }
    }

    fn of_three() -> Self {
        Self::start(
            "[stores.kept]\nreplicas = 3\nage = \"1h\"\n[[classes]]\nrooms = \"durable.**\"\nstore = \"kept\"\n",
        )
    }

    fn readyz(&self, node: usize) -> (u16, String) {
        let answer = http::get(self.cluster.nodes[node].admin, "/readyz");
        answer.map_or((0, String::new()), |answer| (answer.status, answer.body))
    }
}

/// Publishes with one id until it is stored; how long that took, and the codes until then.
async fn insist(peer: &mut Peer, room: &str, n: u64) -> (Duration, Vec<String>) {
    let began = Instant::now();
    let mut codes: Vec<String> = Vec::new();
    loop {
        let one = Pub { mid: Some(format!("m{n}").into()), ..publication(room, &n.to_string()) };
        match peer.ask(ClientFrame::Pub(one)).await {
            Ok(_) => return (began.elapsed(), codes),
            Err(no) => {
                assert!(no.retry.is_some(), "{no:?}");
                let code = no.code.as_str().to_owned();
                if codes.last() != Some(&code) {
                    codes.push(code);
                }
            }
        }
        assert!(began.elapsed() < 2 * SETTLED, "publication {n} is never stored: {codes:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Case 39, and a leader that is killed, or stands still for ten seconds: another is chosen, publishers repeat what they don't
/// know of, and each publication is stored and delivered once.
#[tokio::test]
async fn whatever_becomes_of_a_leader_each_publication_is_stored_once() {
    let mut site = Site::of_three();
    let room = room_on(&site.cluster, "node-1", "durable.leader.").await;
    let mut options = site.cluster.options(Format::Json, Some(&room));
    options.user = Some("ann".parse().unwrap());
    let mut peer = Peer::open(&options).await;
    peer.joined().await;
    let mut kept = Kept::of(&room);
    kept.join(&mut peer, None).await;
    let stream = stream_of(&site.nats.api(0), "kept");
    let mut n = 0;
    for killed in [true, false] {
        let leader = site.nats.wait_leader(&stream);
        let began = Instant::now();
        let mut longest = Duration::ZERO;
        let mut harmed = false;
        while began.elapsed() < Duration::from_secs(14) {
            n += 1;
            let (took, codes) = insist(&mut peer, &room, n).await;
            if took > longest {
                println!("publication {n} took {took:?}: {codes:?}");
                longest = took;
            }
            if !harmed && began.elapsed() > Duration::from_secs(1) {
                harmed = true;
                if killed {
                    site.nats.server_mut(leader).kill();
                } else {
                    site.nats.server(leader).pause();
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if killed {
            site.nats.server_mut(leader).restart();
        } else {
            site.nats.server(leader).resume();
        }
        site.nats.wait_whole(&stream);
    }
    insist(&mut peer, &room, n + 1).await;
    while kept.heard.last() != Some(&(n + 1).to_string()) {
        kept.next(&mut peer).await;
    }
    assert_eq!(kept.take(), numbers(1..=n + 1), "each once, in order");
    assert_eq!(kept.gaps, [""; 0]);
}

/// Most of the servers are away: nothing is acknowledged, and it is said; what is kept can be read meanwhile.
#[tokio::test]
async fn without_a_quorum_nothing_is_acknowledged_and_it_is_said() {
    let mut site = Site::of_three();
    let room = room_on(&site.cluster, "node-1", "durable.quorum.").await;
    let mut peer = Peer::open(&site.cluster.options(Format::Json, Some(&room))).await;
    peer.joined().await;
    let mut kept = Kept::of(&room);
    kept.join(&mut peer, None).await;
    publish_all(&mut peer, &room, 1..=5).await;
    kept.hears(&mut peer, 5).await;
    for server in [1, 2] {
        site.nats.server_mut(server).kill();
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let one = Pub { mid: Some("m6".into()), ..publication(&room, "6") };
        let no = peer.ask(ClientFrame::Pub(one)).await.unwrap_err();
        assert!(
            matches!(no.code.as_str(), "outcome_unknown" | "unavailable") && no.retry.is_some(),
            "{no:?}"
        );
    }
    for node in 0..2 {
        let said = until("a node names the store", SETTLED, || {
            let (status, body) = site.readyz(node);
            (status == 503 && body.contains("kept")).then_some(body)
        });
        println!("{said}");
    }
    for server in [1, 2] {
        site.nats.server_mut(server).restart();
    }
    let mut peer = Peer::open(&site.cluster.options(Format::Json, Some(&room))).await;
    peer.joined().await;
    insist(&mut peer, &room, 6).await;
    let result = kept.join(&mut peer, None).await;
    assert_eq!(result.resumed, Some(true));
    while kept.heard.last().map(String::as_str) != Some("6") {
        kept.next(&mut peer).await;
    }
    // Without a user a `mid` is the session's: what the first attempts left may be there beside it.
    let heard = kept.take();
    assert_eq!((&heard[..5], heard.len() <= 7), (&numbers(1..=5)[..], true), "{heard:?}");
    for node in 0..2 {
        until("all is well again", SETTLED, || (site.readyz(node).0 == 200).then_some(()));
    }
}

/// Case 40: two replicas stop where one server does, which is worse than one; it is said at the start and in `/readyz`.
#[tokio::test]
async fn two_replicas_draw_a_warning() {
    let site = Site::start(
        "[stores.two]\nreplicas = 2\nage = \"1h\"\n[[classes]]\nrooms = \"two.**\"\nstore = \"two\"\n",
    );
    let (status, body) = until("it is said", SETTLED, || {
        let (status, body) = site.readyz(0);
        body.contains("replicas").then_some((status, body))
    });
    println!("{body}");
    assert_eq!(status, 200, "it works");
    assert!(body.contains("two"), "{body}");
    assert!(site.cluster.nodes[0].log().contains("replicas"), "a warning at the start");
}
