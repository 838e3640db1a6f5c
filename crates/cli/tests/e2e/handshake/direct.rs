//! Where something lives, and the direct path there.

use std::net::SocketAddr;

use ringway_auth::{TICKET_SECONDS, Ticket, TicketKey};
use ringway_testkit::http;
use ringway_testkit::nats::NatsServer;
use ringway_testkit::ports::free_port;
use serde_json::{Value, json};

use super::{SECRET, World, code, locate, now};
use crate::bare::{Bare, upgrade};
use crate::cluster::sees;
use crate::support::{launcher, open_over};

#[test]
fn the_direct_path_takes_one_ticket_and_nothing_else() {
    let world = World::open();
    let door = world.doors()[2];
    for (query, code) in
        [("ticket=%zz", "bad_request"), ("ticket=%FF", "bad_request"), ("x&x", "bad_request")]
    {
        let answer =
            door.refused(upgrade(&format!("/v1/ws?{query}"), &["Sec-WebSocket-Protocol: ringway.v1.json"]));
        assert_eq!((answer.status, &*super::code(&answer)), (400, code), "{query}");
    }
    let target = door.target("room=r&user=ann", &[]);
    let ticket = target.split_once("ticket=").unwrap().1;
    let answer = door.refused(upgrade(&format!("{target}&ticket={ticket}"), &[]));
    assert_eq!((answer.status, &*code(&answer)), (400, "bad_request"), "a ticket twice");

    let key = TicketKey::new(SECRET.as_bytes());
    let read: Ticket = key.open(ticket, now()).unwrap();
    assert!((now() + TICKET_SECONDS).abs_diff(read.exp) <= 2, "good for 30 s");
    let late = key.seal(&Ticket { exp: now() - 5, ..read.clone() });
    let forged = TicketKey::new(b"another secret of the same length!").seal(&read);
    let cut = &ticket[..ticket.len() - 3];
    let changed = ticket.replacen('.', ".e30", 1);
    for (ticket, code) in [
        ("", "token_invalid"),
        ("nonsense", "token_invalid"),
        (cut, "token_invalid"),
        (&changed, "token_invalid"),
        (&forged, "token_invalid"),
        (&late, "expired"),
    ] {
        let said = door.says(&format!("/v1/ws?ticket={ticket}"), &[]);
        assert_eq!(said, (code.into(), 401, 4401), "{ticket:?}");
    }
    assert_eq!(door.says("/v1/ws", &[]), ("token_invalid".into(), 401, 4401), "no ticket at all");
    assert_eq!(
        door.says("/v1/ws?room=r&token=x", &[]),
        ("token_invalid".into(), 401, 4401),
        "no ticket at all"
    );

    // None of that has used it up; the first real use does, by whichever way.
    let mut bare = Bare::upgraded(door.address, &target, &["Sec-WebSocket-Protocol: ringway.v1.json"]);
    let hello = bare.hear();
    assert_eq!(
        (&hello["room"], &hello["user"], &hello["node"]),
        (&json!("r"), &json!("ann"), &json!("node-1"))
    );
    assert_eq!(door.says(&target, &[]), ("token_invalid".into(), 401, 4401), "used");
    let hop = ["Ringway-Hop: 1; tunnel".to_owned(), format!("Ringway-Ticket: {ticket}")];
    let answer = door.refused(upgrade("/v1/ws", &[&hop[0], &hop[1]]));
    assert_eq!((answer.status, &*code(&answer)), (401, "token_invalid"), "used");
    bare.is_alive();

    // Somebody who comes as a gateway, but not as one of this release.
    let fresh = door.target("room=r", &[]);
    let line = format!("Ringway-Ticket: {}", fresh.split_once("ticket=").unwrap().1);
    for hop in ["Ringway-Hop: 2; tunnel", "Ringway-Hop: 1; relay", "X: y"] {
        assert_eq!(door.refused(upgrade("/v1/ws", &[hop, &line])).status, 501, "{hop}");
    }
    Bare::upgraded(door.address, &fresh, &[]);
}

#[test]
fn addresses_of_ipv6_work_everywhere() {
    let nats = NatsServer::start();
    let mut launcher = launcher(&open_over(&nats.url()));
    let [node_listen, gateway_listen] =
        [(); 2].map(|()| SocketAddr::new("::1".parse().unwrap(), free_port().port()));
    let (node, gateway) = (node_listen.to_string(), gateway_listen.to_string());
    assert!(gateway.starts_with("[::1]:"));
    let url = format!("ws://{node}");
    let _node =
        launcher.node("node-1", &[("RINGWAY_NODE__LISTEN", &node), ("RINGWAY_NODE__PUBLIC_URL", &url)]);
    let process = launcher.gateway(&[("RINGWAY_GATEWAY__LISTEN", &gateway)]);
    sees(&process, 1);
    for host in [&gateway, "[::1]", "[::1]:1", "localhost"] {
        let request = upgrade("/v1/ws?room=r", &[]).replace("Host: localhost", &format!("Host: {host}"));
        let mut bare = Bare::open(gateway_listen);
        bare.send(request);
        assert_eq!(bare.answer().status, 101, "{host}");
        assert_eq!(bare.hear()["node"], "node-1");
    }
    let place = locate(gateway_listen, "room=r", &[]);
    let url = place["url"].as_str().unwrap();
    let target =
        url.strip_prefix(&format!("ws://{node}")).unwrap_or_else(|| panic!("without brackets: {url}"));
    let request = upgrade(target, &[]).replace("Host: localhost", &format!("Host: {node}"));
    let mut bare = Bare::open(node_listen);
    bare.send(request);
    assert_eq!(bare.answer().status, 101);
    assert_eq!(bare.hear()["room"], "r");
    // And by the command line.
    let output = launcher
        .command()
        .args(["locate", "default", "r", "--url", &format!("http://{gateway}")])
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!((&said["node"], &said["room"]), (&json!("node-1"), &json!("r")));
}

#[test]
fn locate_says_where_something_lives() {
    let world = World::open();
    for (query, room) in
        [("room=lobby", Some("lobby")), ("room=%7Bt%7D.a+b", Some("{t}.a b")), ("user=ann", None)]
    {
        let place = locate(world.gateway.listen, query, &[]);
        let url = place["url"].as_str().unwrap();
        assert!(url.starts_with(&format!("ws://{}/v1/ws?ticket=", world.direct)), "one slash: {url}");
        assert_eq!(place.get("room").and_then(Value::as_str), room, "{place}");
        assert_eq!(
            (&place["tenant"], &place["pool"], &place["node"]),
            (&json!("default"), &json!("shared"), &json!("node-1"))
        );
        assert!(place["slot"].as_u64().unwrap() < 16_384);
        // What it says is what a connection finds.
        assert_eq!(world.doors()[0].enter(query, &[])["node"], place["node"]);
        assert_eq!(world.doors()[2].enter(query, &[]).get("room").and_then(Value::as_str), room);
        // A node without a public address is told of, and has none.
        let here = locate(world.serve.listen, query, &[]);
        assert_eq!(here["slot"], place["slot"], "the same everywhere");
        assert_eq!(here.get("url"), None);
    }
    let same = |room: &str| locate(world.gateway.listen, &format!("room={room}"), &[])["slot"].clone();
    assert_eq!(same("%7Bt%7D.a"), same("%7Bt%7D.b"), "a tag keeps its rooms together");
    for (query, status) in [("", 400), ("room=", 400), ("room=a&room=b", 400), ("room=r&tenant=A", 400)] {
        let answer = http::get(world.gateway.listen, &format!("/v1/locate?{query}")).unwrap();
        assert_eq!(answer.status, status, "{query}");
        code(&answer);
    }
}
