//! What is promised about order, each promise a test of its name: in both formats, in rooms of the connection's own
//! node and of another, by either path over a real NATS server, and over memory.

mod delivery;
mod repeats;
mod requests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use ringway_client::{ConnectOptions, Connection, To};
use ringway_protocol::frame::{JoinResult, Msg, OkResult, Position, Pub, Refusal};
use ringway_protocol::{ClientFrame, Code, Format, ServerFrame};
use ringway_testkit::path::Path;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, http_to, rooms};
use crate::peer::{
    Peer, SOON, join, join_from, json, leave, members, position, publication, publish, room_of, text, with_id,
};
use crate::support::name;

/// The node that holds the connections of these tests.
const NODE: &str = "node-1";

/// One of the ways in which every promise is tried.
struct Way<'a> {
    cluster: &'a Cluster,
    format: Format,
    /// Whether the rooms are those of the connection's node, or of others.
    own: bool,
    /// A room of the connection's node, for nothing else.
    home: String,
    rooms: Vec<String>,
}

impl Way<'_> {
    /// A connection on [`NODE`].
    async fn peer(&self) -> Peer {
        let mut peer = Peer::open(&self.options()).await;
        assert_eq!(peer.node(), NODE);
        assert_eq!(peer.joined().await.room, name(&self.home));
        peer
    }

    fn options(&self) -> ConnectOptions {
        self.cluster.options(self.format, Some(&self.home))
    }

    /// A connection on the rooms' owner, of the other format.
    async fn peer_at_owner(&self) -> Peer {
        let format = if self.format == Format::Json { Format::Msgpack } else { Format::Json };
        let mut peer = Peer::open(&self.cluster.options(format, Some(&self.rooms[0]))).await;
        assert_eq!(peer.node() == NODE, self.own);
        peer.joined().await;
        peer
    }
}

/// Tries a promise in every way.
async fn everywhere(promise_name: &str, promise: impl AsyncFn(&Way<'_>)) {
    for (carrier, start) in [
        ("tunnel", (|| Cluster::by(Path::Tunnel, 2, 1)) as fn() -> Cluster),
        ("relay", || Cluster::by(Path::Relay, 2, 1)),
        ("memory", Cluster::dev as fn() -> Cluster),
    ] {
        let cluster = start();
        let http = cluster.http();
        for format in [Format::Json, Format::Msgpack] {
            for own in [true, false] {
                let prefix =
                    format!("{promise_name}.{carrier}.{format:?}.{}.", if own { "own" } else { "foreign" });
                println!("{prefix}");
                let home = rooms(&http, &format!("{prefix}home"), 1, |node| node == NODE).await.remove(0);
                let rooms = rooms(&http, &prefix, 2, |node| (node == NODE) == own).await;
                promise(&Way { cluster: &cluster, format, own, home, rooms }).await;
            }
        }
    }
}

/// Somebody who publishes to a room without a pause, though not as fast as it can: 0, 1, 2 …
struct Flood {
    stop: CancellationToken,
    task: JoinHandle<()>,
    published: watch::Receiver<u64>,
}

impl Flood {
    async fn start(options: &ConnectOptions, room: &str) -> Self {
        const AT_A_TIME: u64 = 4;
        const EVERY: Duration = Duration::from_millis(2);
        let mut peer = Peer::open(options).await;
        let (count, published) = watch::channel(0);
        let (stop, room) = (CancellationToken::new(), room.to_owned());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(EVERY);
            while !stopped.is_cancelled() {
                pace.tick().await;
                let done = *count.borrow();
                let frames: Vec<_> = (0..AT_A_TIME)
                    .map(|n| with_id(publish(&room, &(done + n).to_string()), done + n))
                    .collect();
                peer.send(&frames).await;
                for n in 0..AT_A_TIME {
                    peer.answer(done + n).await.unwrap();
                }
                // Who doesn't ask how far it is needn't be told.
                let _ = count.send(done + AT_A_TIME);
            }
        });
        Self { stop, task, published }
    }

    /// Waits until that many more have been published.
    async fn goes_on(&mut self, more: u64) {
        let enough = *self.published.borrow_and_update() + more;
        timeout(SOON, self.published.wait_for(|n| *n >= enough))
            .await
            .expect("publications in time")
            .unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn o1_hello_is_first() {
    everywhere("o1", async |way| {
        let room = &way.rooms[0];
        let flood = Flood::start(&way.options(), &way.home).await;
        let (stop, gateway) = (CancellationToken::new(), way.cluster.gateway());
        let to_all = tokio::spawn({
            let stop = stop.clone();
            async move {
                let http = http_to(gateway, None);
                while !stop.is_cancelled() {
                    http.publish(&To::All, json("\"all\"")).await.unwrap();
                }
            }
        });
        for _ in 0..10 {
            // Frames that don't wait for it, in a home room where much is going on.
            let mut conn = Connection::open(&way.options()).await.unwrap();
            let early = [
                with_id(join(room), 1),
                with_id(publish(room, "1"), 2),
                with_id(publish(&way.home, "2"), 3),
                ClientFrame::Ping { id: Some(4) },
            ];
            conn.send_all(&early).await.unwrap();
            let mut peer = Peer::after_hello(conn).await;
            for id in 1..=4 {
                peer.answer(id).await.unwrap();
            }
        }
        stop.cancel();
        to_all.await.unwrap();
        flood.stop().await;
    })
    .await;
}

/// Reads the answer to a join, before which nothing of the room may come, and then publications until `enough` says so:
/// each the successor of the one before. The offset of the last.
async fn in_order_after(
    result: &JoinResult,
    peer: &mut Peer,
    room: &str,
    enough: impl Fn(u64) -> bool,
) -> u64 {
    let mut at = result.offset.expect("a position");
    while !enough(at) {
        match peer.next().await {
            ServerFrame::Msg(msg) if msg.room == Some(name(room)) => {
                assert_eq!(msg.offset, Some(at + 1), "after {result:?}");
                at += 1;
            }
            other => panic!("in {room}: {other:?}"),
        }
    }
    at
}

/// How much a room remembers for those who come back, where nothing else is configured.
const REPLAYED: u64 = 100;

#[tokio::test]
async fn o2_a_joins_answer_then_what_was_missed_or_asked_for_then_live() {
    everywhere("o2", async |way| {
        let room = &way.rooms[0];
        let mut flood = Flood::start(&way.options(), room).await;
        flood.goes_on(40).await;
        let mut peer = way.peer().await;
        let mut since: Option<Position> = None;
        for round in 0..8 {
            let last = (round % 2 == 1).then_some(10);
            let id = peer.fresh_id();
            peer.send(&[with_id(join_from(room, since.clone(), last), id)]).await;
            let result = match peer.next().await {
                ServerFrame::Ok(answer) if answer.id == Some(id) => answer.result.unwrap().into_join(),
                other => panic!("before the answer to the join: {other:?}"),
            };
            let (offset, newest) = (result.offset.unwrap(), result.newest.unwrap());
            match &since {
                Some(since) if newest - since.offset <= REPLAYED => {
                    assert_eq!((result.resumed, offset), (Some(true), since.offset));
                }
                Some(_) => {
                    assert_eq!((result.resumed, result.oldest), (Some(false), Some(newest - REPLAYED + 1)));
                }
                None => assert_eq!(newest - offset, u64::from(last.unwrap_or(0))),
            }
            let at = in_order_after(&result, &mut peer, room, |at| at >= newest + 5).await;
            peer.leave(room).await;
            // Live ones that came before the leave was done; nobody minds them here.
            while peer.heard_next().is_some() {}
            since = (round < 5).then(|| Position { offset: at, ..position(result.epoch.as_ref(), Some(at)) });
            flood.goes_on(10).await;
        }
        // The home room: `joined` in place of the answer, and `since` in the URL.
        let first = Peer::open(&way.cluster.options(way.format, Some(room))).await.joined().await.result;
        let begin = position(first.epoch.as_ref(), first.offset);
        flood.goes_on(10).await;
        let mut options = way.cluster.options(way.format, Some(room));
        options.since = Some(begin.clone());
        let mut home = Peer::open(&options).await;
        let result = home.joined().await.result;
        assert_eq!((result.resumed, result.offset), (Some(true), Some(begin.offset)));
        let newest = result.newest.unwrap();
        assert!(newest > begin.offset);
        in_order_after(&result, &mut home, room, |at| at >= newest + 5).await;
        flood.stop().await;
    })
    .await;
}

#[tokio::test]
async fn o3_after_a_leaves_answer_nothing_of_that_room() {
    everywhere("o3", async |way| {
        let room = &way.rooms[0];
        let mut flood = Flood::start(&way.options(), room).await;
        let mut peer = way.peer().await;
        for _ in 0..5 {
            peer.join(room).await;
            flood.goes_on(20).await;
            let id = peer.fresh_id();
            peer.send(&[with_id(leave(room), id)]).await;
            while !matches!(peer.next().await, ServerFrame::Ok(answer) if answer.id == Some(id)) {}
            flood.goes_on(50).await;
            // The next join's answer comes behind whatever had come.
            let id = peer.fresh_id();
            peer.send(&[with_id(join(room), id)]).await;
            match peer.next().await {
                ServerFrame::Ok(answer) if answer.id == Some(id) => {}
                other => panic!("after the leave: {other:?}"),
            }
            peer.leave(room).await;
            while peer.heard_next().is_some() {}
        }
        flood.stop().await;
    })
    .await;
}
