use ringway_backplane::message::{Published, Question, Request};
use ringway_backplane::store::{Known, StoreState, StreamState};
use ringway_backplane::{IncomingRequest, Replier};
use ringway_config::{Config, Tenants};
use ringway_protocol::payload::Payload;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::placement::Placement;
use crate::shard::command::Op;
use crate::shard::scene::{configure, connection, room, shard};

const FAR: Duration = Duration::from_secs(30);

fn tenants(classes: &str) -> Tenants {
    let stores = "gateway.auth = \"off\"\n[stores.chat]\nage = \"1h\"\nbytes = \"1MiB\"\n[stores.other]\nage = \"1h\"\nbytes = \"1MiB\"\n";
    let config = Config::from_text(&format!("{stores}{classes}"), "r.toml".as_ref(), &Default::default());
    config.unwrap_or_else(|error| panic!("{error}")).tenants()
}

fn class(more: &str) -> Tenants {
    tenants(&format!("[[classes]]\nrooms = \"**\"\n{more}\n"))
}

fn publication(word: &str) -> Publication {
    Publication::new(1, Payload::from_bytes(word.to_owned()))
}

fn publish(id: u64) -> Op {
    let publication = Box::new(publication("p"));
    Op::Publish { id: Some(id), publication, span: tracing::Span::none() }
}

/// The next frame that was written to a connection.
async fn frame(shard: &mut Shard, client: &mut TcpStream) -> Value {
    shard.core.flush();
    let reading = async {
        let mut head = [0; 2];
        client.read_exact(&mut head).await.unwrap();
        let length = match head[1] {
            126 => usize::from(client.read_u16().await.unwrap()),
            short => usize::from(short),
        };
        let mut text = vec![0; length];
        client.read_exact(&mut text).await.unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    timeout(FAR, reading).await.expect("a frame in time")
}

fn epoch(ms: u64) -> Epoch {
    Epoch { ms, node: 2, random: 3 }
}

#[tokio::test]
async fn each_fate_is_told_in_its_own_words() {
    let (mut shard, _) = shard();
    configure(&mut shard, class("store = \"chat\""));
    let (conn, (mut client, _reader)) = connection().await;
    let key = room("a");
    assert!(shard.host(&key));
    let stored = Fate::Stored(Published { epoch: epoch(1), offset: 7, duplicate: true });
    let fates = [
        stored,
        Fate::Passed,
        Fate::Full,
        Fate::TooBig,
        Fate::Unavailable,
        Fate::Unknown,
        Fate::Limited { retry_ms: Some(40) },
    ];
    let waits = (1..=8).map(|id| Waits { id: Some(id), _span: tracing::Span::none() }).collect();
    let publisher = Publisher::new(conn.clone(), waits, shard.core.unanswered.clone());
    let hosted = shard.rooms.get_mut(&key).unwrap();
    let (_, mut around) = hosted.with(&mut shard.core, &key);
    around.outcome(publisher, fates.to_vec());
    let mut told = Vec::new();
    for id in 1..=8 {
        let frame = frame(&mut shard, &mut client).await;
        assert_eq!(frame["id"], id);
        told.push(frame);
    }
    assert_eq!(told[0]["result"]["offset"], 7);
    assert_eq!(told[0]["result"]["duplicate"], true);
    assert_eq!((&told[1]["t"], told[1]["result"].get("offset")), (&"ok".into(), None));
    let no = |index: usize| (told[index]["code"].as_str().unwrap(), told[index]["retry"].as_u64());
    assert_eq!(no(2), ("storage_full", None));
    assert_eq!(no(3), ("too_big", None));
    assert_eq!(no(4), ("unavailable", Some(1_000)));
    assert_eq!(no(5), ("outcome_unknown", Some(1_500)));
    assert_eq!(no(6), ("limit_rate", Some(40)));
    assert_eq!(no(7), ("limit_rate", Some(40)), "and so is what came behind it");
    assert!(shard.core.unanswered.take().is_empty());
    // Half of it was its own doing.
    assert_eq!((conn.take_refusals(), shard.core.metrics.refused_frames.get()), (3, 6));
}

#[tokio::test]
async fn an_owner_that_lets_no_more_through_says_so_behind_what_it_took() {
    let (mut shard, _) = shard();
    configure(&mut shard, class("store = \"chat\"\nlimits = { publish_per_second = 1, publish_burst = 2 }"));
    let key = room("a");
    let ask = |count| Ask::Publish { publications: vec![publication("p"); count] };
    let mut asked = Vec::new();
    for count in [3, 2] {
        let (reply, answer) = Replier::channel();
        let body = Question::Room { tenant: key.tenant.clone(), room: key.room.clone(), ask: ask(count) };
        let request = Request { from: "n2".parse().unwrap(), body, traceparent: None };
        shard.asked(&key, IncomingRequest { request, reply });
        shard.settle();
        asked.push(answer);
    }
    let mut answers = Vec::new();
    for answer in asked {
        let Answer::Fates(fates) = timeout(FAR, answer).await.unwrap().unwrap() else { panic!("fates") };
        answers.push(fates);
    }
    // Nothing can be stored here.
    assert_eq!(answers[0][..2], [Fate::Unavailable; 2]);
    assert!(matches!(answers[0][2..], [Fate::Limited { retry_ms: Some(1..) }]), "{answers:?}");
    assert!(matches!(answers[1][..], [Fate::Limited { .. }]), "{answers:?}");
}

#[tokio::test]
async fn what_was_under_way_when_a_room_became_another_is_told_and_its_lane_goes_on() {
    let (mut shard, _) = shard();
    configure(&mut shard, class(""));
    let (conn, (mut client, _reader)) = connection().await;
    let key = room("a");
    // Its owner is asked, and the answer comes when there is another room.
    let view = |shard: &mut Shard, tenants: Tenants| {
        let Placement { me, pool, .. } = &*shard.core.placement;
        let mut membership = ringway_ring::Membership::new();
        let other = ringway_ring::Announcement::new("n2".parse().unwrap(), 1, pool.clone(), String::new());
        membership.heard(other, 0);
        let placement = Placement::new(me.clone(), pool.clone(), membership.view(), &tenants);
        shard.configured(tenants, Arc::new(placement));
    };
    view(&mut shard, class(""));
    shard.settle();
    shard.client(&conn, &key, publish(1));
    shard.client(&conn, &key, Op::Leave { id: Some(2) });
    view(&mut shard, class("store = \"chat\""));
    shard.settle();
    let unknown = frame(&mut shard, &mut client).await;
    assert_eq!((&unknown["id"], &unknown["code"]), (&1.into(), &"outcome_unknown".into()), "{unknown}");
    assert_eq!(frame(&mut shard, &mut client).await["code"], "not_joined", "what waited behind it is done");
}

#[tokio::test]
async fn rooms_hear_of_other_streams_only_where_theirs_are_others() {
    let key = |store: &str| StoreKey { group: "shared".parse().unwrap(), store: store.parse().unwrap() };
    let stream = |name: &str, ms| StreamState { name: name.into(), epoch: epoch(ms), parts: u64::MAX };
    let mut known = Known::default();
    let state = StoreState { streams: vec![stream("one", 1)], ..StoreState::default() };
    known.stores.insert(key("chat"), state);
    let here = KnownHere::new(Arc::new(known));
    assert_eq!(here.stream("one"), Some((&key("chat"), epoch(1))));
    assert_eq!((here.stream("two"), here.streams(&key("other")).len()), (None, 0));
    let (mut shard, _) = shard();
    configure(&mut shard, class("store = \"chat\""));
    shard.host(&room("a"));
    let at = shard.core.room_at(&room("a")).unwrap();
    assert_eq!((at.key(), at.latest_per_key), (key("chat"), false));
    shard.stores_known(here);
    assert_eq!(shard.core.known.epoch(&at), Some(epoch(1)));
    configure(&mut shard, class(""));
    assert!(shard.core.room_at(&room("a")).is_none());
}
