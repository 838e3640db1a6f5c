//! Rooms from outside: the home room, joining, resuming, leaving, how many are there, and publishing over HTTP.

mod flush_window;
mod members;
mod publish;
mod resume;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use ringway_client::{Connection, Track};
use ringway_protocol::frame::{GapReason, JoinResult, Msg, Position, Pub};
use ringway_protocol::{ClientFrame, Code, Format, Payload, ServerFrame};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::call::{call, encoded, get, post};
use crate::cluster::{Cluster, rooms};
use crate::peer::{Peer, SOON, join, join_from, leave, position, publication, text, with_id};
use crate::support::{OPEN, launcher, name, options};

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

/// All that somebody may do in a room.
const ALL_RIGHTS: [&str; 5] = ["join", "publish", "presence", "history", "call"];

fn rights(result: &JoinResult) -> Vec<&str> {
    result.rights.iter().flatten().map(AsRef::as_ref).collect()
}

#[tokio::test]
async fn a_home_room_is_joined_by_the_server_and_may_be_joined_once_by_the_client() {
    let cluster = Cluster::dev();
    for format in FORMATS {
        let room = format!("home.{format:?}");
        let mut publisher = Peer::open(&cluster.options(Format::Json, None)).await;
        for n in 1..=5 {
            publisher.publish(&room, &n.to_string()).await;
        }
        let mut peer = Peer::open(&cluster.options(format, Some(&room))).await;
        assert_eq!(peer.hello.room, Some(name(&room)));
        let joined = peer.joined().await;
        assert_eq!(joined.room, name(&room));
        let result = &joined.result;
        assert_eq!(
            (result.offset, result.newest, result.durable, result.resumed),
            (Some(5), Some(5), false, None)
        );
        assert!(result.epoch.is_some() && result.ts.is_some());
        assert_eq!(rights(result), ALL_RIGHTS);
        // The client's own join is carried out and answered like any: once.
        let own = peer.join_from(&room, None, Some(2)).await;
        assert_eq!((own.offset, own.newest, &own.epoch), (Some(3), Some(5), &result.epoch));
        for n in ["4", "5"] {
            assert_eq!(text(&peer.msg().await.data), n);
        }
        let again = peer.ask(join(&room)).await.unwrap_err();
        assert_eq!((again.code, again.room), (Code::AlreadyJoined, Some(name(&room))));
        publisher.publish(&room, "6").await;
        assert_eq!(peer.msg().await.offset, Some(6), "once, though joined twice");
        assert_eq!(peer.members(&room).await.count, Some(1));
        // It may be left like any room, and the connection stays; then it is a room like any.
        peer.leave(&room).await;
        assert_eq!(peer.ask(leave(&room)).await.unwrap_err().code, Code::NotJoined);
        assert_eq!(peer.publish(&room, "7").await.offset, Some(7));
        peer.join(&room).await;
        assert_eq!(peer.ask(join(&room)).await.unwrap_err().code, Code::AlreadyJoined);
        // Where a frame leaves out the room, the home room is meant.
        let at_home = ClientFrame::Pub(Pub { room: None, ..publication("-", "8") });
        assert_eq!(peer.ask(at_home).await.unwrap().unwrap().into_pub().offset, Some(8));
        assert_eq!(peer.msg().await.room, Some(name(&room)));
    }
}

#[tokio::test]
async fn without_a_home_room_the_user_says_where_a_connection_lives() {
    let cluster = Cluster::dev();
    let mut seen = HashSet::new();
    for user in ["ann", "bob", "constructor", "Zoë", "a b/c", "%2F", "😀"] {
        let located = get(&format!("/v1/locate?user={}", encoded(user))).ok(cluster.gateway());
        assert_eq!((&located["user"], &located["room"]), (&json!(user), &Value::Null));
        for format in FORMATS {
            let mut options = cluster.options(format, None);
            options.user = Some(user.parse().unwrap());
            let mut peer = Peer::open(&options).await;
            assert_eq!(
                (peer.node(), peer.hello.user.as_ref().map(|u| u.as_str())),
                (located["node"].as_str().unwrap(), Some(user))
            );
            assert_eq!(peer.hello.room, None);
            seen.insert(peer.node().to_owned());
            // Nothing is joined, and what needs a room has to name one.
            let homeless = ClientFrame::Pub(Pub { room: None, ..publication("-", "1") });
            assert_eq!(peer.ask(homeless).await.unwrap_err().code, Code::BadRoom);
        }
    }
    assert!(seen.len() > 1, "they are spread");
    // Nobody in particular is placed by chance.
    let mut nodes = HashMap::new();
    for _ in 0..40 {
        let peer = Peer::open(&cluster.options(Format::Json, None)).await;
        *nodes.entry(peer.node().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    assert_eq!(get("/v1/locate").refused(cluster.gateway()).0, 400, "nobody is nowhere");
}

#[tokio::test]
async fn locate_names_the_node_that_hello_names() {
    let cluster = Cluster::over_nats(3, 2);
    let odd = [
        "a.b", "*", ">", "a b", "é", "e\u{301}", "$SYS.x", "{}", "{x", "a+b", "a/b", "a%2Fb", "&room=c", "#",
    ];
    let numbered: Vec<String> = (0..20).map(|n| format!("room.{n}")).collect();
    let mut all: Vec<&str> = odd.into_iter().chain(numbered.iter().map(String::as_str)).collect();
    let long = "😀".repeat(63);
    all.push(&long);
    let mut nodes = HashSet::new();
    for room in all {
        let located: Vec<Value> = cluster
            .gateways
            .iter()
            .map(|gateway| get(&format!("/v1/locate?room={}", encoded(room))).ok(gateway.listen))
            .collect();
        assert_eq!(located[0], located[1], "gateways agree");
        let located = &located[0];
        assert_eq!(
            (&located["tenant"], &located["room"], &located["pool"]),
            (&json!("default"), &json!(room), &json!("shared"))
        );
        assert!(located["slot"].as_u64().unwrap() < 16_384 && located.get("url").is_none(), "{located}");
        let peer = Peer::open(&cluster.options(Format::Msgpack, Some(room))).await;
        assert_eq!(peer.node(), located["node"].as_str().unwrap(), "{room}");
        nodes.insert(peer.node().to_owned());
    }
    assert_eq!(nodes.len(), 3, "every node has some");
    // Rooms of one tag live together, whatever else is in their names.
    let node =
        |room: &str| get(&format!("/v1/locate?room={}", encoded(room))).ok(cluster.gateway())["node"].clone();
    for n in 0..10 {
        let (tag, cursors) = (node(&format!("{{team{n}}}.chat")), node(&format!("x{{team{n}}}.cursors")));
        assert_eq!(tag, cursors);
        assert_eq!(tag, node(&format!("team{n}")), "the tag itself is the key");
    }
}
