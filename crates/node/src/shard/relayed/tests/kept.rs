//! Durable rooms: a store that the test speaks for.

use std::sync::Arc;

use ringway_backplane::store::{Known, Newest, StoreKey, StoreState, StreamState};

use super::*;
use crate::durable::{Entry, Live};
use crate::reader::{Found, ReadId};
use crate::shard::guests::{Asked, JoinAnswer, Membership};
use crate::shard::keeping::KnownHere;

pub(super) const EPOCH: Epoch = Epoch { ms: 1, node: 2, random: 3 };

/// A shard whose rooms' store has a stream.
pub(super) fn durable() -> Shard {
    durable_by("")
}

/// See [`durable`]. `more`: of its store's configuration.
fn durable_by(more: &str) -> Shard {
    let (mut shard, _) = scene::shard();
    configure(&mut shard, tenants_with(more, "store = \"chat\""));
    let key = StoreKey { group: "shared".parse().unwrap(), store: "chat".parse().unwrap() };
    let stream = StreamState { name: "one".into(), epoch: EPOCH, parts: u64::MAX };
    let mut known = Known::default();
    known.stores.insert(key, StoreState { streams: vec![stream], ..StoreState::default() });
    shard.stores_known(KnownHere::new(Arc::new(known)));
    shard
}

/// A connection joins, as far as the store is asked.
fn begin(shard: &mut Shard, conn: &ConnRef, since: Option<Position>) {
    begin_as(shard, conn, Asked::ByClient { id: Some(1) }, since);
}

/// See [`begin`]. `to`: whose join it is.
pub(super) fn begin_as(shard: &mut Shard, conn: &ConnRef, to: Asked, since: Option<Position>) {
    let key = scene::room("a");
    assert!(shard.host(&key));
    let answer = Some(JoinAnswer { to, _span: None });
    let _ = shard.core.guests.enter(conn, &key, join(1));
    shard.core.guests.seat(&conn.id, &key, Membership { by_server: false, moved: false, answer });
    conn.take_room();
    shard.with_room(&key, |machine, around| machine.join(around, conn.clone(), since, None));
}

/// The store's answer to what was asked last.
pub(super) fn answer(shard: &mut Shard, found: Found) {
    // There is none, which would be told.
    shard.core.later.clear();
    let read = ReadId(shard.core.next_number() - 1);
    shard.in_durable(&scene::room("a"), |room, around| room.read(around, read, Ok(found)));
    shard.settle();
}

fn entry(offset: u64, by: &ConnRef) -> Entry {
    let publication = Arc::new(publication(by, &format!("p{offset}"), true));
    Entry { offset, prev: Some(offset - 1), ts: offset, publication }
}

fn stored(shard: &mut Shard, entry: Entry) {
    let live = Live { epoch: Some(EPOCH), entry };
    shard.in_durable(&scene::room("a"), |room, around| room.stored_live(around, live));
    shard.settle();
}

#[tokio::test]
async fn who_is_on_its_way_gets_its_own_and_no_casts_until_it_is_there() {
    let mut shard = durable();
    let mut gateway = Gateway::new().await;
    let (c1, c2) = (gateway.conn(1, Format::Json), gateway.conn(2, Format::Json));
    begin(&mut shard, &c1, None);
    answer(&mut shard, Found::Newest { epoch: EPOCH, at: Newest { offset: 3, ts: 3 }, has: true });
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard, ["room 0: a, epoch, Disconnect, 0", "c1: ok 1 at 0.3", "c1 enters 0 at 0.3"]);
    // So much waits for it that its replay has to wait.
    let filler = Frame::text(&[b' '; 10_000]);
    while c2.way.queued_bytes() <= crate::shard::clients::JOIN_BEHIND {
        c2.way.push_for(&filler, Due::Later);
    }
    [4, 5].into_iter().for_each(|offset| stored(&mut shard, entry(offset, &c1)));
    gateway.heard(&mut shard).await;
    let since = Position { epoch: answers::epoch_name(EPOCH), offset: 3, ts: Some(3) };
    begin(&mut shard, &c2, Some(since));
    assert_eq!(gateway.heard(&mut shard).await, ["c2: ok 1 at 0.3", "c2 enters 0 at 0.3"]);
    stored(&mut shard, entry(6, &c1));
    assert_eq!(gateway.heard(&mut shard).await, ["cast 0.6: msg p6, not to [2]"]);
    // A signal has no place, and goes to all who are here.
    shard.in_durable(&scene::room("a"), |room, around| room.signal(around, &publication(&c1, "s", false)));
    assert_eq!(gateway.heard(&mut shard).await, ["cast 0.-: msg s, not to [1]"]);
    c2.way.linked().unwrap().credit(u32::MAX);
    until(&mut shard, |_| c2.way.queued_bytes() > 0).await;
    stored(&mut shard, entry(7, &c1));
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard, ["c2: msg p4 at 0.4", "c2: msg p5 at 0.5", "c2: msg p6 at 0.6", "cast 0.7: msg p7"]);
}

#[tokio::test]
async fn what_comes_late_moves_nobody() {
    let mut shard = durable_by("latest_per_key = true\n");
    let mut gateway = Gateway::new().await;
    let c1 = gateway.conn(1, Format::Json);
    begin(&mut shard, &c1, None);
    answer(&mut shard, Found::Newest { epoch: EPOCH, at: Newest { offset: 3, ts: 3 }, has: true });
    gateway.heard(&mut shard).await;
    let of_key = |offset, key: &str| {
        let Entry { publication, .. } = entry(offset, &c1);
        let publication = Publication { key: Some(key.parse().unwrap()), ..(*publication).clone() };
        Entry { offset, prev: Some(0), ts: offset, publication: Arc::new(publication) }
    };
    stored(&mut shard, of_key(5, "b"));
    stored(&mut shard, of_key(4, "a"));
    stored(&mut shard, of_key(6, "a"));
    let heard = gateway.heard(&mut shard).await;
    assert_eq!(heard[..2], ["cast 0.5: msg p5", "cast 0.-: msg p4"]);
}
