mod again;
mod gateway;
mod kept;

use ringway_backplane::message::{LiveBody, LiveMessage, Publication};
use ringway_config::{Config, Tenants};
use ringway_protocol::codec::Format;
use ringway_protocol::frame::Position;
use ringway_protocol::payload::Payload;

use self::gateway::Gateway;
use super::*;
use crate::shard::scene::{self, configure, until};
use crate::shard::{Join, Op, Shard};

fn tenants(class: &str) -> Tenants {
    tenants_with("", class)
}

/// `more`: of the configuration of the store `chat`.
fn tenants_with(more: &str, class: &str) -> Tenants {
    let stores = "[stores.chat]\nage = \"1h\"\nbytes = \"1MiB\"\n";
    let text = format!("gateway.auth = \"off\"\n{stores}{more}[[classes]]\nrooms = \"**\"\n{class}\n");
    let config = Config::from_text(&text, "r.toml".as_ref(), &Default::default());
    config.unwrap_or_else(|error| panic!("{error}")).tenants()
}

/// A shard that is alone, with rooms of this class.
fn shard(class: &str) -> Shard {
    let (mut shard, _) = scene::shard();
    configure(&mut shard, tenants(class));
    shard
}

fn join(id: u64) -> Op {
    since(id, None)
}

fn since(id: u64, since: Option<Position>) -> Op {
    Op::Join(Join { id: Some(id), since, last: None, by_server: false, span: None })
}

fn publication(by: &ConnRef, word: &str, echo: bool) -> Publication {
    Publication {
        conn: Some(by.id.clone()),
        echo,
        ..Publication::new(
            crate::clock::wall_ms(),
            Payload::from_json(format!("\"{word}\"").as_bytes()).unwrap(),
        )
    }
}

fn publish(by: &ConnRef, word: &str, echo: bool) -> Op {
    let publication = Box::new(publication(by, word, echo));
    Op::Publish { id: None, publication, span: tracing::Span::none() }
}

/// Does what a connection wants of the room `a`, and all that comes of it.
async fn done(shard: &mut Shard, conn: &ConnRef, op: Op) {
    let room = scene::room("a");
    shard.client(conn, &room, op);
    shard.settle();
    let over = |shard: &mut Shard| !shard.core.guests.is_busy(&conn.id, &room);
    until(shard, over).await;
}

/// Where the room is.
fn place(shard: &mut Shard) -> Position {
    let hosted = shard.rooms.get(&scene::room("a")).unwrap();
    let terms = hosted.relayed.as_ref().unwrap().links[0].terms;
    Position { epoch: answers::epoch_name(terms.epoch.unwrap()), offset: 0, ts: None }
}

/// Another node says that it numbers the room, and has come so far.
fn mark(shard: &mut Shard, offset: u64) {
    let room = scene::room("a");
    let epoch = Epoch { ms: 9_000_000_000_000, node: 2, random: 3 };
    let message = LiveMessage {
        from: "n2".parse().unwrap(),
        count: offset,
        tenant: room.tenant,
        room: room.room,
        body: LiveBody::Mark { epoch, offset },
        traceparent: None,
    };
    shard.live(message);
    shard.settle();
}

#[tokio::test]
async fn who_joins_is_answered_then_enters_and_is_cast_to_until_it_leaves() {
    let mut shard = shard("");
    let mut gateway = Gateway::new().await;
    let (c1, c2) = (gateway.conn(1, Format::Json), gateway.conn(2, Format::Msgpack));
    done(&mut shard, &c1, join(7)).await;
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard, ["room 0: a, epoch, Disconnect, 0", "c1: ok 7 at 0.0", "c1 enters 0 at 0.0"]);
    done(&mut shard, &c1, publish(&c1, "x", true)).await;
    assert_eq!(gateway.heard(&mut shard).await, ["cast 0.1: msg x"]);
    done(&mut shard, &c2, join(8)).await;
    assert_eq!(gateway.heard(&mut shard).await, ["c2: msgpack at 0.1", "c2 enters 0 at 0.1"]);
    done(&mut shard, &c2, publish(&c2, "y", false)).await;
    assert_eq!(gateway.heard(&mut shard).await, ["cast 0.2: msg y and msgpack, not to [2]"]);
    done(&mut shard, &c1, Op::Leave { id: Some(9) }).await;
    assert_eq!(gateway.heard(&mut shard).await, ["c1 exits a", "c1: ok 9 at -"]);
    done(&mut shard, &c1, publish(&c1, "z", true)).await;
    assert_eq!(gateway.heard(&mut shard).await, ["cast 0.3: nothing and msgpack"]);
    done(&mut shard, &c2, publish(&c2, "u", false)).await;
    assert!(gateway.heard(&mut shard).await.is_empty(), "nobody else is there");
}

#[tokio::test]
async fn what_was_missed_comes_behind_the_answer_and_casts_behind_that() {
    let mut shard = shard("");
    let mut gateway = Gateway::new().await;
    let (c1, c2) = (gateway.conn(1, Format::Json), gateway.conn(2, Format::Json));
    done(&mut shard, &c1, join(1)).await;
    for word in ["x", "y"] {
        done(&mut shard, &c1, publish(&c1, word, true)).await;
    }
    gateway.heard(&mut shard).await;
    let begin = place(&mut shard);
    done(&mut shard, &c2, since(2, Some(begin))).await;
    done(&mut shard, &c1, publish(&c1, "z", true)).await;
    let heard = gateway.heard(&mut shard).await;
    let replayed = ["c2: msg x at 0.1", "c2: msg y at 0.2"];
    assert_eq!(heard[..2], ["c2: ok 2 at 0.0", "c2 enters 0 at 0.0"]);
    assert_eq!(
        (&heard[2..4], &heard[4..]),
        (&replayed.map(str::to_owned)[..], &["cast 0.3: msg z".to_owned()][..])
    );
}

#[tokio::test]
async fn what_is_refused_or_taken_away_is_told_the_link_first() {
    let mut shard = shard("limits = { members = 1 }");
    let mut gateway = Gateway::new().await;
    let (c1, c2) = (gateway.conn(1, Format::Json), gateway.conn(2, Format::Json));
    done(&mut shard, &c1, join(1)).await;
    gateway.heard(&mut shard).await;
    done(&mut shard, &c2, join(2)).await;
    assert_eq!(gateway.heard(&mut shard).await, ["c2 exits a", "c2: err 2 at -"]);
    done(&mut shard, &c1, join(3)).await;
    assert_eq!(gateway.heard(&mut shard).await, ["c1: err 3 at -"], "it is in already, and stays so");
    shard.regranted(&c1, &ringway_auth::Grants::none());
    shard.settle();
    assert_eq!(gateway.heard(&mut shard).await, ["c1 exits a", "c1: left forbidden at -"]);
    assert!(shard.rooms.get(&scene::room("a")).unwrap().relayed.is_none());
}

#[tokio::test]
async fn a_server_join_is_the_clients_own_after_its_own() {
    let mut shard = shard("");
    let mut gateway = Gateway::new().await;
    let c1 = gateway.conn(1, Format::Json);
    let join_of_server = Join { id: None, since: None, last: None, by_server: true, span: None };
    done(&mut shard, &c1, Op::Join(join_of_server)).await;
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard[1..], ["c1: joined at 0.0", "c1 enters 0 at 0.0, by the server"]);
    done(&mut shard, &c1, join(1)).await;
    assert_eq!(gateway.heard(&mut shard).await, ["c1: ok 1 at 0.0", "c1 enters 0 at 0.0"]);
}

#[tokio::test]
async fn sockets_and_two_links_get_each_publication_once() {
    let mut shard = shard("");
    let (mut one, mut two) = (Gateway::new().await, Gateway::new().await);
    let (mut c1, c2) = (one.conn(1, Format::Json), two.conn(2, Format::Json));
    let (direct, (mut client, _reader)) = scene::connection().await;
    for (id, conn) in [(1, &c1), (2, &c2), (3, &direct)] {
        done(&mut shard, conn, join(id)).await;
    }
    one.heard(&mut shard).await;
    let heard = two.heard(&mut shard).await;
    assert_eq!(heard[0], "room 0: a, epoch, Disconnect, 0", "each link has numbers of its own");
    for (by, echo) in [(&c1, true), (&c1, false), (&direct, false), (&direct, true)] {
        done(&mut shard, by, publish(by, "x", echo)).await;
    }
    let heard = one.heard(&mut shard).await;
    let casts = [1, 2, 3, 4].map(|offset| format!("cast 0.{offset}: msg x"));
    assert_eq!(heard, [&casts[0][..], &casts[2], &casts[3]]);
    assert_eq!(two.heard(&mut shard).await, casts);
    let told = scene::frames(&mut client, 4).await;
    assert!(told[0].contains("\"id\":3"), "{told:?}");
    let offsets = |told: &[String]| {
        let offset =
            |told: &String| serde_json::from_str::<serde_json::Value>(told).unwrap()["offset"].as_u64();
        told.iter().filter_map(offset).collect::<Vec<_>>()
    };
    assert_eq!(offsets(&told), [1, 2, 4]);
    let counted = shard.core.metrics.counted();
    assert_eq!(counted.deliveries + counted.deliveries_elsewhere, 3 + 2 + 2 + 3);
    // A link that ends takes all of its connections along.
    one.link.outbound().cut();
    done(&mut shard, &direct, publish(&direct, "y", true)).await;
    assert_eq!(two.heard(&mut shard).await, ["cast 0.5: msg x".replace('x', "y")]);
    shard.gone(&c1, None);
    c1 = two.conn(1, Format::Json);
    done(&mut shard, &c1, join(4)).await;
    done(&mut shard, &direct, publish(&direct, "z", true)).await;
    assert_eq!(two.heard(&mut shard).await, ["c1: ok 4 at 0.5", "c1 enters 0 at 0.5", "cast 0.6: msg z"]);
}

#[tokio::test]
async fn another_class_and_another_epoch_are_declared_before_they_hold() {
    let mut shard = shard("");
    let mut gateway = Gateway::new().await;
    let c1 = gateway.conn(1, Format::Json);
    done(&mut shard, &c1, join(1)).await;
    gateway.heard(&mut shard).await;
    configure(&mut shard, tenants("slow_consumer = \"drop_oldest\"\nflush_window = \"20ms\""));
    done(&mut shard, &c1, publish(&c1, "x", true)).await;
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard, ["room 0: a, epoch, DropOldest, 20", "cast 0.1: msg x"], "and nothing waits here");
    mark(&mut shard, 9);
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard, ["room 0: a, epoch, DropOldest, 20", "c1: gap epoch at 0.9"]);
}

#[tokio::test]
async fn who_joins_nowhere_enters_without_a_place_and_a_gap_brings_it() {
    let (mut shard, _) = scene::shard();
    let mut gateway = Gateway::new().await;
    let c1 = gateway.conn(1, Format::Json);
    done(&mut shard, &c1, join(1)).await;
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard, ["c1: ok 1 at -", "room 0: a, no epoch, Disconnect, 0", "c1 enters 0 at -"]);
    mark(&mut shard, 9);
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard, ["room 0: a, epoch, Disconnect, 0", "c1: gap backplane at 0.9"]);
}

#[tokio::test]
async fn a_number_is_given_again_when_nobody_is_in() {
    let mut shard = shard("");
    let mut gateway = Gateway::new().await;
    let c1 = gateway.conn(1, Format::Json);
    for round in 0..3 {
        done(&mut shard, &c1, join(round)).await;
        assert_eq!(gateway.heard(&mut shard).await[0], "room 0: a, epoch, Disconnect, 0");
        done(&mut shard, &c1, Op::Leave { id: None }).await;
        assert_eq!(gateway.heard(&mut shard).await, ["c1 exits a"]);
    }
}

#[tokio::test]
async fn what_gives_way_on_a_link_that_is_behind_is_told_as_lost() {
    let mut shard = shard("slow_consumer = \"drop_oldest\"");
    let mut gateway = Gateway::with_queue(256 * 1024).await;
    let c1 = gateway.conn(1, Format::Json);
    done(&mut shard, &c1, join(1)).await;
    gateway.heard(&mut shard).await;
    let word = "x".repeat(50_000);
    let mut published = 0;
    // The gateway doesn't read.
    while !gateway.link.outbound().is_behind() {
        done(&mut shard, &c1, publish(&c1, &word, true)).await;
        shard.core.flush();
        published += 1;
    }
    for _ in 0..20 {
        done(&mut shard, &c1, publish(&c1, &word, true)).await;
        published += 1;
    }
    done(&mut shard, &c1, Op::Leave { id: Some(2) }).await;
    assert!(!gateway.link.is_closed());
    let heard = gateway.heard(&mut shard).await;
    let lost: Vec<&String> = heard.iter().filter(|record| record.starts_with("lost")).collect();
    let (place, frames) = lost[0].strip_prefix("lost 0.").unwrap().split_once(": ").unwrap();
    let (place, frames): (u64, u64) = (place.parse().unwrap(), frames.parse().unwrap());
    assert_eq!(lost.len(), 1);
    let casts: Vec<u64> = heard
        .iter()
        .filter_map(|record| record.strip_prefix("cast 0.")?.split_once(':')?.0.parse().ok())
        .collect();
    let expected: Vec<u64> = (1..=place - frames).chain(place + 1..=published).collect();
    assert_eq!(casts, expected, "{place} {frames}");
    assert_eq!(heard[heard.len() - 2..], ["c1 exits a", "c1: ok 2 at -"], "what must come comes");
    let hosted = shard.rooms.get(&scene::room("a")).unwrap();
    assert_eq!(hosted.tenant.counts.dropped.get(), frames);
}

#[tokio::test]
async fn who_is_let_in_after_its_link_has_ended_gets_nothing_and_harms_nobody() {
    let mut shard = shard("");
    let (one, mut two) = (Gateway::new().await, Gateway::new().await);
    let (c1, c2, c3) = (one.conn(1, Format::Json), one.conn(2, Format::Json), two.conn(3, Format::Json));
    done(&mut shard, &c1, join(1)).await;
    done(&mut shard, &c3, join(3)).await;
    two.heard(&mut shard).await;
    one.link.outbound().cut();
    done(&mut shard, &c2, join(2)).await;
    done(&mut shard, &c3, publish(&c3, "x", true)).await;
    assert_eq!(two.heard(&mut shard).await, ["cast 0.1: msg x"]);
    [&c1, &c2].into_iter().for_each(|conn| shard.gone(conn, None));
    shard.settle();
    done(&mut shard, &c3, publish(&c3, "y", true)).await;
    assert_eq!(two.heard(&mut shard).await, ["cast 0.2: msg y"]);
    let room = shard.rooms.get(&scene::room("a")).unwrap();
    assert_eq!((room.relayed.as_ref().unwrap().entered, room.machine.members()), (1, 1));
}
