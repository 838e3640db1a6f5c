//! SIGTERM: every client is told, none is cut, and the process ends.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use ringway_protocol::{Format, ServerFrame};
use ringway_testkit::nats::NatsServer;
use ringway_testkit::path::Path;
use ringway_testkit::processes::{Process, ended_well};
use ringway_testkit::wait::until;
use serde_json::json;
use socket2::SockRef;

use super::crowd;
use crate::bare::{Bare, SOON, home, upgrade};
use crate::cluster::{Cluster, sees};
use crate::support::{OPEN, launcher, node_of, open_over};

/// How long a process may take to end.
const END: Duration = Duration::from_secs(10);

/// Told to move at once, then closed by 1012: not cut.
fn is_sent_away(bare: &mut Bare, who: &str) {
    let goaway = bare.until(|frame| frame["t"] == "goaway");
    assert_eq!(goaway["after"], 0, "{who}: {goaway}");
    let (code, reason) = bare.close_frame();
    assert_eq!(code, 1012, "{who}: {reason}");
    assert!(bare.ends_within(SOON), "{who}");
}

/// What new clients hear: 503 and when to come back, whether or not a subprotocol was offered.
fn is_closed_to_others(door: SocketAddr, target: &str, who: &str) {
    for lines in [&[] as &[&str], &["Sec-WebSocket-Protocol: ringway.v1.json"]] {
        let mut bare = Bare::open(door);
        bare.send(upgrade(target, lines));
        let answer = bare.answer();
        assert_eq!(answer.status, 503, "{who}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{who}: {answer:?}");
    }
}

/// Somebody who has much to read, reads nothing of it, and never closes: that holds nobody up.
fn deaf(door: SocketAddr, room: &str) -> Bare {
    let bare = Bare::in_room(door, room);
    SockRef::from(bare.socket()).set_recv_buffer_size(4_096).unwrap();
    let mut speaker = Bare::upgraded(door, "/v1/ws", &[]);
    let data = "x".repeat(60_000);
    for _ in 0..15 {
        let answer = speaker.ask(&json!({"t": "pub", "id": 1, "room": room, "data": data}));
        assert_eq!(answer["t"], "ok", "{answer}");
    }
    bare
}

/// It ends by itself, well, and soon.
fn ends_well(process: &mut Process, since: Instant) {
    let status = process.wait_end(END.saturating_sub(since.elapsed()));
    assert!(ended_well(status), "{}: {status}\n{}", process.name, process.log());
    let log = process.log();
    assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{}:\n{log}", process.name);
}

#[test]
fn serve_sends_a_thousand_members_away_in_order() {
    let mut launcher = launcher(OPEN);
    let mut serve = launcher.serve(&[]);
    let mut members = crowd(serve.listen, 1_000, |n| format!("crowd {}", n % 100));
    let _deaf = deaf(serve.listen, "deaf");
    let since = Instant::now();
    serve.terminate();
    until("not ready", SOON, || (serve.readyz() == Some(503)).then_some(()));
    is_closed_to_others(serve.listen, "/v1/ws?room=r", "serve");
    for (n, member) in members.iter_mut().enumerate() {
        is_sent_away(member, &format!("member {n} of serve"));
    }
    ends_well(&mut serve, since);
}

/// Where the gateway has the sockets nobody is sent away: see the tests of the relay.
#[test]
fn a_node_sends_a_thousand_members_away_and_the_next_takes_them() {
    let nats = NatsServer::start();
    let mut launcher = launcher(&open_over(&nats.url()));
    launcher.take_path(Path::Tunnel);
    let mut nodes = ["node-1", "node-2"].map(|id| launcher.node(id, &[]));
    let gateway = launcher.gateway(&[]);
    sees(&gateway, 2);
    let is_there = |room: &String| node_of(gateway.listen, room) == "node-1";
    let rooms: Vec<String> = (0..).map(|n| format!("crowd {n}")).filter(is_there).take(20).collect();
    let mut members = crowd(gateway.listen, 1_000, |n| rooms[n % 20].clone());
    assert_eq!(nodes[0].metrics().sum("ringway_members", &[]), 1_000.0);
    let deaf = deaf(gateway.listen, &rooms[0]);
    let since = Instant::now();
    nodes[0].terminate();
    until("not ready", SOON, || (nodes[0].readyz() == Some(503)).then_some(()));
    is_closed_to_others(nodes[0].listen, "/v1/ws?ticket=x", "node");
    // The gateway has others to send clients to, at once.
    let mut came = Bare::upgraded(gateway.listen, &home(&rooms[0]), &[]);
    assert_eq!(came.hear()["node"], "node-2");
    for (n, member) in members.iter_mut().enumerate() {
        is_sent_away(member, &format!("member {n} of node-1"));
    }
    came.is_alive();
    ends_well(&mut nodes[0], since);
    // Of the node's last words to who reads nothing the gateway may still hold some; for how long is not this test's.
    drop((came, members, deaf));
    for (process, held) in [(&gateway, "ringway_gateway_connections"), (&nodes[1], "ringway_connections")] {
        until("everybody is forgotten", SOON, || (process.metrics().sum(held, &[]) == 0.0).then_some(()));
        assert_eq!(process.readyz(), Some(200), "{}", process.log());
    }
}

#[test]
fn a_gateway_sends_a_thousand_members_away() {
    let mut cluster = Cluster::over_nats(1, 2);
    let door = cluster.gateway();
    let mut members = crowd(door, 1_000, |n| format!("crowd {}", n % 100));
    let mut elsewhere = Bare::in_room(cluster.gateways[1].listen, "crowd 1");
    let _deaf = deaf(door, "deaf");
    let offer = format!("Sec-WebSocket-Protocol: {}", Format::Msgpack.subprotocol());
    let mut packed: Vec<Bare> = (0..10).map(|_| Bare::upgraded(door, &home("packed"), &[&offer])).collect();
    let is_goaway = |frame: &ServerFrame| matches!(frame, ServerFrame::Goaway(goaway) if goaway.after == 0);
    let since = Instant::now();
    let gateway = &mut cluster.gateways[0];
    gateway.terminate();
    until("not ready", SOON, || (gateway.readyz() == Some(503)).then_some(()));
    is_closed_to_others(door, "/v1/ws?room=r", "gateway");
    for (n, member) in members.iter_mut().enumerate() {
        is_sent_away(member, &format!("member {n}"));
    }
    for bare in &mut packed {
        while !is_goaway(&bare.hear_as(Format::Msgpack)) {}
        assert_eq!(bare.close_frame().0, 1012);
    }
    ends_well(gateway, since);
    // The node has nothing of them left, and those who came another way have noticed nothing.
    let node = &cluster.nodes[0];
    until("forgotten", SOON, || (node.metrics().sum("ringway_members", &[]) == 1.0).then_some(()));
    elsewhere.is_alive();
}

#[test]
fn an_end_amid_handshakes_is_an_answer_to_each() {
    const EACH: usize = 60;
    let nats = NatsServer::start();
    let mut launcher = launcher(&open_over(&nats.url()));
    // A node that takes connections and says nothing: who is sent there waits.
    let abyss = TcpListener::bind("127.0.0.1:0").unwrap();
    let advertise = abyss.local_addr().unwrap().to_string();
    let mut node = launcher.node("node-1", &[]);
    let _mute = launcher.node("mute", &[("RINGWAY_NODE__ADVERTISE", &advertise)]);
    let mut gateway = launcher.gateway(&[]);
    sees(&gateway, 2);
    let mut alone = crate::support::launcher(OPEN);
    let mut serve = alone.serve(&[]);
    let room_on = |node: &str| {
        (0..).map(|n| format!("r{n}")).find(|room| node_of(gateway.listen, room) == node).unwrap()
    };
    let (here, nowhere) = (room_on("node-1"), room_on("mute"));

    let offer = "Sec-WebSocket-Protocol: ringway.v1.json";
    for (process, room, has_abyss) in
        [(&mut gateway, &here, true), (&mut serve, &here, false), (&mut node, &here, false)]
    {
        let door = process.listen;
        let is_node = process.name.starts_with("node");
        // A node's own port takes tickets only: its sessions begin at no gateway here.
        let target = if is_node { "/v1/ws?ticket=x".to_owned() } else { home(room) };
        let whole = upgrade(&target, &[offer]);
        let (beginning, end) = whole.split_at(whole.len() - 20);
        let half_sent = |count: usize| -> Vec<Bare> {
            let open = |_| {
                let mut bare = Bare::open(door);
                bare.send(beginning);
                bare
            };
            (0..count).map(open).collect()
        };
        let (mut finishing, mut never) = (half_sent(EACH), half_sent(EACH));
        let mut fresh: Vec<Bare> = match is_node {
            true => Vec::new(),
            false => (0..EACH).map(|_| Bare::upgraded(door, &home(room), &[offer])).collect(),
        };
        // Last, since nobody waits for long.
        let mut waiting: Vec<Bare> = Vec::new();
        if has_abyss {
            for n in 0..EACH {
                let mut bare = Bare::open(door);
                let lines = [offer];
                bare.send(upgrade(&home(&nowhere), &lines[n % 2..]));
                waiting.push(bare);
            }
            until("they wait", SOON, || {
                (process.metrics().sum("ringway_gateway_handshakes", &[]) == EACH as f64).then_some(())
            });
        }
        let since = Instant::now();
        process.terminate();
        until("not ready", SOON, || (process.readyz() == Some(503)).then_some(()));
        for bare in &mut finishing {
            bare.send(end);
        }
        let name = process.name.clone();
        for (n, bare) in finishing.iter_mut().enumerate() {
            let answer = bare.answer();
            assert_eq!(answer.status, 503, "{name}, half sent {n}: {answer:?}");
        }
        for (n, bare) in waiting.iter_mut().enumerate() {
            let answer = bare.answer();
            if n % 2 == 0 {
                assert_eq!(answer.status, 101, "{name}, waiting {n}: {answer:?}");
                assert_eq!(bare.close_frame().0, 1013, "{name}, waiting {n}");
            } else {
                assert_eq!(answer.status, 503, "{name}, waiting {n}: {answer:?}");
            }
        }
        for (n, bare) in fresh.iter_mut().enumerate() {
            assert_eq!(bare.hear()["t"], "hello", "{name}, fresh {n}");
            is_sent_away(bare, &format!("{name}, fresh {n}"));
        }
        ends_well(process, since);
        for bare in &mut never {
            assert!(bare.ends_within(SOON), "{name}");
        }
    }
}
