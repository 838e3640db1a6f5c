//! What a client may do, and for how long, holds over all nodes that have something of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use ringway_client::ConnectOptions;
use ringway_protocol::frame::Auth;
use ringway_protocol::{ClientFrame, Code, Format, ServerFrame};
use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;
use serde_json::json;

use super::SERVED;
use super::site::Site;
use crate::peer::{Peer, join, publish};
use crate::support::{durable_over, name, options};

const SECRET: &str = "a secret that only these tests know, of acme";

/// Nodes by their names.
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

fn config(nats: &str, tenants: &str) -> String {
    durable_over(nats).replace("auth = \"off\"", "auth = \"jwt\"") + tenants
}

/// Whose clients may be in so many rooms at a time.
fn tenants(of: &[&str], rooms: usize) -> String {
    let tenant = |name: &&str| {
        format!(
            "\n[tenants.{name}]\nkeys = [{{ alg = \"HS256\", file = \"acme.key\" }}]\nlimits = {{ rooms = {rooms} }}\n"
        )
    };
    of.iter().map(tenant).collect()
}

/// Three nodes, behind a gateway that tells them by tickets who is who.
async fn site(of: &[&str], rooms: usize) -> Site {
    let tenants = tenants(of, rooms);
    Site::beside(3, 1, &[("acme.key", SECRET)], |nats| config(nats, &tenants)).await
}

fn token(tenant: &str, grants: &[&str], seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let rights = ["join", "publish", "presence"];
    let grants: Vec<_> = grants.iter().map(|rooms| json!({"rooms": rooms, "rights": rights})).collect();
    let claims =
        json!({"aud": "ringway", "tenant": tenant, "sub": "ann", "exp": now + seconds, "grants": grants});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

fn by(site: &Site, token: &str, format: Format, room: Option<&str>) -> ConnectOptions {
    let mut options = options(site.gateway(), format, room);
    options.token = Some(token.to_owned());
    options
}

/// A room of each node whose name begins so, in the order of the nodes.
async fn rooms(site: &Site, token: &str, prefix: &str) -> Vec<String> {
    let http = crate::cluster::http_to(site.gateway(), Some(token));
    let mut found = Vec::new();
    for node in NODES {
        found.extend(crate::cluster::rooms(&http, prefix, 1, |owner| owner == node).await);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_rooms_counts_those_of_all_nodes() {
    let site = site(&["acme"], 4).await;
    let token = token("acme", &["**"], 3_600);
    let mut all = rooms(&site, &token, "a.").await;
    all.extend(rooms(&site, &token, "b.").await);
    for format in [Format::Json, Format::Msgpack] {
        let mut peer = Peer::open(&by(&site, &token, format, Some(&all[0]))).await;
        assert_eq!(peer.hello.limits.rooms, Some(4));
        peer.joined().await;
        for room in &all[1..4] {
            peer.join(room).await;
        }
        for room in &all[4..] {
            let no = peer.ask(join(room)).await.unwrap_err();
            assert_eq!((no.code, no.room), (Code::LimitRooms, Some(name(room))));
        }
        peer.leave(&all[2]).await;
        peer.join(&all[5]).await;
        assert_eq!(peer.ask(join(&all[2])).await.unwrap_err().code, Code::LimitRooms);
        // A second join of one that it is in is nothing new.
        assert_eq!(peer.ask(join(&all[5])).await.unwrap_err().code, Code::AlreadyJoined);
        peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rights_hold_at_all_nodes_at_once() {
    let site = site(&["acme"], 100).await;
    let wide = token("acme", &["**"], 3_600);
    let (keep, lose) = (rooms(&site, &wide, "keep.").await, rooms(&site, &wide, "lose.").await);
    for format in [Format::Json, Format::Msgpack] {
        let mut peer = Peer::open(&by(&site, &wide, format, Some(&keep[0]))).await;
        peer.joined().await;
        for room in keep[1..].iter().chain(&lose) {
            peer.join(room).await;
        }
        let less = ClientFrame::Auth(Auth { id: None, token: token("acme", &["keep.**"], 3_600).into() });
        let id = peer.fresh_id();
        let publications: Vec<_> = (1_000..).zip(lose.iter().chain(&keep)).collect();
        // In one write: what comes behind the new rights is held against them, wherever it goes.
        let mut frames = vec![crate::peer::with_id(less, id)];
        frames.extend(publications.iter().map(|(id, room)| crate::peer::with_id(publish(room, "1"), *id)));
        peer.send(&frames).await;
        peer.answer(id).await.unwrap();
        for (id, room) in &publications {
            let answer = peer.answer(*id).await.map(drop).map_err(|no| no.code);
            let expected = if room.starts_with("lose") { Err(Code::Forbidden) } else { Ok(()) };
            assert_eq!(answer, expected, "{room}");
        }
        let (mut left, mut heard) = (Vec::new(), Vec::new());
        while left.len() < lose.len() || heard.len() < keep.len() {
            match peer.next().await {
                ServerFrame::Left(gone) => {
                    assert_eq!(gone.code, Code::Forbidden);
                    left.push(gone.room.as_str().to_owned());
                }
                ServerFrame::Msg(msg) => heard.push(msg.room.unwrap().as_str().to_owned()),
                other => panic!("{other:?}"),
            }
        }
        left.sort();
        heard.sort();
        let sorted = |rooms: &[String]| {
            let mut rooms = rooms.to_vec();
            rooms.sort();
            rooms
        };
        assert_eq!((left, heard), (sorted(&lose), sorted(&keep)));
        for room in &lose {
            assert_eq!(peer.ask(join(room)).await.unwrap_err().code, Code::Forbidden);
        }
        // And more again.
        let more = ClientFrame::Auth(Auth { id: None, token: wide.as_str().into() });
        peer.ask(more).await.unwrap();
        for room in &lose {
            peer.join(room).await;
        }
        peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_its_token_at_all_nodes() {
    let site = site(&["acme"], 100).await;
    let wide = token("acme", &["**"], 3_600);
    let all = rooms(&site, &wide, "r.").await;
    let short = token("acme", &["**"], 8);
    let mut ending = Peer::open(&by(&site, &short, Format::Json, Some(&all[0]))).await;
    let mut renewed = Peer::open(&by(&site, &short, Format::Msgpack, Some(&all[1]))).await;
    for peer in [&mut ending, &mut renewed] {
        peer.joined().await;
    }
    for (peer, others) in [(&mut ending, [1, 2]), (&mut renewed, [0, 2])] {
        for room in others {
            peer.join(&all[room]).await;
        }
    }
    renewed.ask(ClientFrame::Auth(Auth { id: None, token: wide.as_str().into() })).await.unwrap();
    let (frames, closed) = ending.until_closed().await;
    assert!(frames.is_empty(), "{frames:?}");
    assert_eq!((closed.code.0, closed.reason.as_str()), (4401, "expired"));
    until("it is a member nowhere", SERVED, || {
        (site.of_nodes("ringway_members", &[]) == all.len() as f64).then_some(())
    });
    // Well beyond the end of the first token.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for room in &all {
        assert!(renewed.publish(room, "1").await.offset.is_some());
        renewed.msg().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_of_a_tenant_that_goes_is_closed_and_is_nowhere_any_more() {
    let site = site(&["acme", "globex"], 100).await;
    let (of_acme, of_globex) = (token("acme", &["**"], 3_600), token("globex", &["**"], 3_600));
    let mut peers = Vec::new();
    for token in [&of_acme, &of_globex] {
        let all = rooms(&site, token, "r.").await;
        let mut peer = Peer::open(&by(&site, token, Format::Json, Some(&all[0]))).await;
        peer.joined().await;
        for room in &all[1..] {
            peer.join(room).await;
        }
        peers.push((peer, all));
    }
    let text = std::fs::read_to_string(site.cluster.launcher.config()).unwrap();
    let (before, of_both) = text.split_once("\n[tenants.acme]").unwrap();
    let (_, of_globex) = of_both.split_once("\n[tenants.globex]").unwrap();
    site.cluster.launcher.rewrite(&format!("{before}\n[tenants.globex]{of_globex}"));
    site.cluster.nodes.iter().chain(&site.cluster.gateways).for_each(Process::hang_up);
    let (mut stays, all) = peers.pop().unwrap();
    let (mut goes, _) = peers.pop().unwrap();
    assert_eq!(goes.until_closed().await.1.code.0, 4404);
    until("it is a member nowhere", SERVED, || {
        (site.of_nodes("ringway_members", &[]) == all.len() as f64).then_some(())
    });
    for room in &all {
        stays.publish(room, "1").await;
        stays.msg().await;
    }
}
