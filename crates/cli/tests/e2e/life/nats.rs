//! What comes over NATS from strangers, and what is left without it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ringway_ring::Slot;
use ringway_testkit::nats::NatsServer;
use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;
use serde_json::{Value, json};

use crate::bare::{Bare, SOON, encoded, home};
use crate::cluster::sees;
use crate::support::{launcher, name, node_of, open_over};

/// Somebody on NATS who is none of ours.
struct Stranger(TcpStream);

impl Stranger {
    fn on(nats: &str) -> Self {
        let address = nats.strip_prefix("nats://").unwrap();
        let mut stranger = Self(TcpStream::connect(address).unwrap());
        stranger.0.set_read_timeout(Some(SOON)).unwrap();
        stranger.0.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
        stranger.flush();
        stranger
    }

    fn publish(&mut self, subject: &str, payload: &[u8]) {
        self.0.write_all(format!("PUB {subject} {}\r\n", payload.len()).as_bytes()).unwrap();
        self.0.write_all(payload).unwrap();
        self.0.write_all(b"\r\n").unwrap();
    }

    /// The next message on a subject, while `meanwhile` makes somebody send one.
    fn overhear(&mut self, subject: &str, meanwhile: impl FnOnce()) -> Vec<u8> {
        self.0.write_all(format!("SUB {subject} 1\r\nUNSUB 1 1\r\n").as_bytes()).unwrap();
        self.flush();
        meanwhile();
        let mut came = Vec::new();
        loop {
            let mut part = [0; 4_096];
            let n = self.0.read(&mut part).unwrap();
            came.extend_from_slice(&part[..n]);
            // The server pings when it likes.
            if came.starts_with(b"PING\r\n") {
                came.drain(..6);
            }
            let Some(line) = came.windows(2).position(|two| two == b"\r\n") else { continue };
            let head = String::from_utf8(came[..line].to_vec()).unwrap();
            let length: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
            if came.len() >= line + 2 + length + 2 {
                return came[line + 2..line + 2 + length].to_vec();
            }
        }
    }

    /// All of it has reached the server.
    fn flush(&mut self) {
        self.0.write_all(b"PING\r\n").unwrap();
        let mut came = Vec::new();
        // The server's own ping may stand behind it.
        while !came.windows(6).any(|six| six == b"PONG\r\n") {
            let mut part = [0; 4_096];
            let n = self.0.read(&mut part).unwrap();
            assert!(n > 0, "{}", String::from_utf8_lossy(&came));
            came.extend_from_slice(&part[..n]);
        }
    }
}

#[test]
fn what_strangers_send_over_nats_is_counted_and_ignored() {
    let nats = NatsServer::start();
    let mut launcher = launcher(&open_over(&nats.url()));
    let nodes = ["node-1", "node-2"].map(|id| launcher.node(id, &[]));
    let gateway = launcher.gateway(&[]);
    sees(&gateway, 2);
    let door = gateway.listen;
    // One member at the room's owner, one on the other node, who hears it over NATS alone.
    let owner_id = node_of(door, "lobby");
    let other = (0..).map(|n| format!("home {n}")).find(|room| node_of(door, room) != owner_id).unwrap();
    let (mut here, mut there) = (Bare::in_room(door, "lobby"), Bare::in_room(door, &other));
    assert_eq!(there.ask(&json!({"t": "join", "id": 1, "room": "lobby"}))["t"], "ok");
    let (owner, elsewhere) =
        if owner_id == "node-1" { (&nodes[0], &nodes[1]) } else { (&nodes[1], &nodes[0]) };

    let mut stranger = Stranger::on(&nats.url());
    let slot = Slot::of_room(&"default".parse().unwrap(), &name("lobby")).number();
    let live = format!("ringway.g.shared.live.{slot}.default.lobby._");
    let good = stranger.overhear(&live, || here.say(&json!({"t": "pub", "room": "lobby", "data": "good"})));
    for bare in [&mut here, &mut there] {
        assert_eq!(bare.hear()["data"], "good");
    }
    let unreadable = |process: &Process| {
        process.metrics().sum("ringway_backplane_messages_total", &["outcome=\"unreadable\""])
    };
    let garbage: Vec<Vec<u8>> =
        [&b""[..], b"\xff\xfe\x00", b"\xc1", b"{\"not\":\"ours\"}", "\u{e9}".as_bytes()]
            .iter()
            .map(|bytes| bytes.to_vec())
            .chain([vec![0x81; 1 << 20], [&[good[0], 0x63], &good[2..]].concat()])
            // One of ours, broken off anywhere.
            .chain((0..good.len()).map(|end| good[..end].to_vec()))
            .collect();
    let inbox = format!("ringway.g.shared.node.{}", encoded(&owner_id));
    let subjects = [live.as_str(), &inbox, "ringway.cluster.node", "ringway.g.shared.direct.default"];
    for subject in subjects {
        for payload in &garbage {
            stranger.publish(subject, payload);
        }
        stranger.flush();
    }
    let sent = garbage.len() as f64;
    until("counted", SOON, || {
        (unreadable(owner) >= 4.0 * sent && unreadable(elsewhere) >= 3.0 * sent).then_some(())
    });
    for n in 0..3 {
        here.say(&json!({"t": "pub", "room": "lobby", "data": n}));
        for bare in [&mut here, &mut there] {
            let msg = bare.hear();
            assert_eq!((&msg["t"], &msg["data"]), (&json!("msg"), &json!(n)), "the next good one");
        }
    }
    for process in [&gateway, owner, elsewhere] {
        assert_eq!(process.readyz(), Some(200), "{}", process.log());
        let log = process.log();
        assert!(!log.contains("panicked") && log.lines().count() < 30, "{log}");
    }
}

#[test]
fn members_of_one_node_hear_each_other_without_nats() {
    let mut nats = NatsServer::start();
    let mut launcher = launcher(&open_over(&nats.url()));
    let node = launcher.node("node-1", &[]);
    let gateway = launcher.gateway(&[]);
    sees(&gateway, 1);
    let mut members = [(); 2].map(|()| Bare::in_room(gateway.listen, "lobby"));
    let told = |members: &mut [Bare; 2], who: usize, data: &str| {
        members[who].say(&json!({"t": "pub", "id": 1, "room": "lobby", "data": data}));
        let mut answer = Value::Null;
        for (n, bare) in members.iter_mut().enumerate() {
            let mut heard = 0;
            while heard == 0 || (n == who && answer.is_null()) {
                let frame = bare.hear();
                match frame["t"].as_str().unwrap() {
                    "msg" => {
                        assert_eq!((&frame["data"], heard), (&json!(data), 0), "{frame}");
                        heard += 1;
                    }
                    "ok" => answer = frame["result"].clone(),
                    "gap" => {}
                    _ => panic!("{frame}"),
                }
            }
        }
        answer
    };
    assert_eq!(told(&mut members, 0, "before")["offset"], 1);
    nats.kill();
    until("noticed", SOON, || (node.readyz() == Some(503)).then_some(()));
    for (who, data) in [(0, "one"), (1, "two"), (0, "three")] {
        let result = told(&mut members, who, data);
        assert_eq!(
            (result.get("local"), result.get("offset")),
            (Some(&json!(true)), None),
            "{data}: {result}"
        );
    }
    // Who comes now is let in as well, and hears them.
    let mut third = Bare::upgraded(gateway.listen, &home("lobby"), &[]);
    let joined = third.until(|frame| frame["t"] == "joined");
    assert_eq!(joined["result"]["offset"], 1, "what this node numbers, and has numbered: {joined}");
    told(&mut members, 1, "four");
    assert_eq!(third.until(|frame| frame["t"] == "msg")["data"], "four");
    nats.restart();
    for process in [&node, &gateway] {
        until("back", Duration::from_secs(15), || (process.readyz() == Some(200)).then_some(()));
    }
    let result = told(&mut members, 0, "after");
    assert_eq!(result.get("local"), None, "{result}");
    assert!(result["offset"].is_u64(), "{result}");
    assert_eq!(third.until(|frame| frame["t"] == "msg")["data"], "after");
}
