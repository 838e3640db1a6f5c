//! Memberships that go on here, or elsewhere.

use std::sync::Arc;

use ringway_backplane::store::Newest;

use super::kept::{EPOCH, answer, durable};
use super::*;
use crate::reader::Found;
use crate::relay::Relay;
use crate::shard::Rejoin;
use crate::shard::guests::{Asked, Entry};

fn again(since: Option<Position>) -> Op {
    Op::Rejoin(Rejoin { by_server: false, since })
}

fn at(epoch: Epoch, offset: u64) -> Position {
    Position { epoch: answers::epoch_name(epoch), offset, ts: Some(offset) }
}

#[tokio::test]
async fn who_was_elsewhere_goes_on_from_where_it_was_without_a_word() {
    let mut shard = shard("");
    let mut gateway = Gateway::new().await;
    let (c1, c2) = (gateway.conn(1, Format::Json), gateway.conn(2, Format::Json));
    done(&mut shard, &c1, join(1)).await;
    let begin = place(&mut shard);
    for word in ["x", "y"] {
        done(&mut shard, &c1, publish(&c1, word, true)).await;
    }
    gateway.heard(&mut shard).await;
    done(&mut shard, &c2, again(Some(Position { offset: 1, ..begin.clone() }))).await;
    assert_eq!(gateway.heard(&mut shard).await, ["c2 enters 0 at 0.1", "c2: msg y at 0.2"]);
    // Told a second time, it is there already.
    done(&mut shard, &c2, again(Some(begin))).await;
    assert!(gateway.heard(&mut shard).await.is_empty());
    done(&mut shard, &c1, publish(&c1, "z", true)).await;
    assert_eq!(gateway.heard(&mut shard).await, ["cast 0.3: msg z"]);
}

#[tokio::test]
async fn who_cannot_go_on_is_told_a_gap_and_enters_behind_it() {
    let mut shard = shard("replay.messages = 2");
    let mut gateway = Gateway::new().await;
    let c1 = gateway.conn(1, Format::Json);
    done(&mut shard, &c1, join(1)).await;
    let begin = place(&mut shard);
    for _ in 0..5 {
        done(&mut shard, &c1, publish(&c1, "x", true)).await;
    }
    gateway.heard(&mut shard).await;
    let other = at(Epoch { ms: 1, node: 2, random: 3 }, 4);
    for (number, since, reason) in
        [(2, Some(begin), "backplane"), (3, Some(other), "epoch"), (4, None, "backplane")]
    {
        let conn = gateway.conn(number, Format::Json);
        done(&mut shard, &conn, again(since)).await;
        let heard = gateway.heard(&mut shard).await;
        assert_eq!(heard, [format!("c{number}: gap {reason} at 0.5"), format!("c{number} enters 0 at 0.5")]);
    }
}

#[tokio::test]
async fn who_goes_elsewhere_exits_behind_what_is_under_way() {
    let mut shard = shard("");
    let mut gateway = Gateway::new().await;
    let c1 = gateway.conn(1, Format::Json);
    done(&mut shard, &c1, join(1)).await;
    gateway.heard(&mut shard).await;
    let room = scene::room("a");
    assert!(matches!(shard.core.guests.enter(&c1, &room, join(2)), Entry::Now(_)));
    shard.client(&c1, &room, Op::Move);
    shard.settle();
    assert!(gateway.heard(&mut shard).await.is_empty());
    shard.finish(&c1, &room);
    shard.settle();
    assert_eq!(gateway.heard(&mut shard).await, ["c1 exits a moved"]);
    done(&mut shard, &c1, Op::Move).await;
    assert_eq!(gateway.heard(&mut shard).await, ["c1 exits a moved"], "whoever asks is told");
}

#[tokio::test]
async fn where_the_store_cannot_be_read_it_is_tried_again() {
    let mut shard = durable();
    let mut gateway = Gateway::new().await;
    let (c1, room) = (gateway.conn(1, Format::Json), scene::room("a"));
    super::kept::begin_as(
        &mut shard,
        &c1,
        Asked::Again { since: Some(Box::new(at(EPOCH, 3))) },
        Some(at(EPOCH, 3)),
    );
    // The room gives the join up.
    shard.in_durable(&room, |durable, around| assert!(durable.leave(around, &c1.id)));
    shard.settle();
    assert!(gateway.heard(&mut shard).await.is_empty() && shard.core.guests.is_in(&c1, &room));
    let waits = |shard: &mut Shard| shard.rooms.get(&scene::room("a")).unwrap().machine.members() == 1;
    until(&mut shard, waits).await;
    // It is asked for once more, since what the store said meanwhile is no answer.
    shard.with_room(&room, |machine, around| machine.join(around, c1.clone(), Some(at(EPOCH, 3)), None));
    let newest = Newest { offset: 9, ts: 9 };
    answer(&mut shard, Found::NotResumed { epoch: EPOCH, newest, oldest: Some(5) });
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard[1..], ["c1: gap truncated at 0.9", "c1 enters 0 at 0.9"]);
}

#[tokio::test]
async fn a_number_is_free_once_nothing_of_it_is_under_way() {
    let mut shard = shard("");
    let mut gateway = Gateway::new().await;
    let (c1, room, relay) = (gateway.conn(1, Format::Json), scene::room("a"), Relay::default());
    done(&mut shard, &c1, join(1)).await;
    gateway.heard(&mut shard).await;
    assert!(matches!(shard.core.guests.enter(&c1, &room, join(2)), Entry::Now(_)));
    c1.way.cut();
    shard.gone(&c1, Some(relay.last_word(&c1)));
    shard.settle();
    assert!(gateway.heard(&mut shard).await.is_empty());
    // Another of its id isn't touched by what comes late of this one.
    shard.gone(&Arc::clone(&gateway.conn(1, Format::Json)), None);
    assert!(gateway.heard(&mut shard).await.is_empty());
    shard.finish(&c1, &room);
    shard.settle();
    assert_eq!(gateway.heard(&mut shard).await, ["c1 has ended"]);
}
