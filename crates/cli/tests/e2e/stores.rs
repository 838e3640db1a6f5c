//! Durable rooms from outside: what is acknowledged is kept, in one order; who comes back gets what it missed, each once, or
//! is told plainly that it can't; whatever becomes of the stream that keeps it.

mod changed;
mod faults;
mod history;
mod hostile;
mod posted;
mod publish;
mod quorum;
mod resume;
mod slow;
mod streams;
mod terminal;

use std::time::Duration;

use ringway_protocol::frame::{JoinResult, Msg, Position};
use ringway_protocol::{Format, ServerFrame};

use crate::cluster::{self, Cluster};
use crate::peer::{Peer, text};
use crate::support::durable_over;
use ringway_testkit::nats::Api;

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

/// Beside what every test of durable rooms has: rooms `short.**` keep ten publications each, `full.**` refuse where 64 KiB
/// are kept.
fn config(nats: &str) -> String {
    durable_over(nats)
        + r#"
[stores.short]
messages_per_room = 10
age = "1h"

[stores.full]
bytes = "64KiB"
when_full = "refuse"
age = "1h"

[[classes]]
rooms = "short.**"
store = "short"

[[classes]]
rooms = "full.**"
store = "full"
"#
}

/// So many nodes, behind one gateway.
fn nodes(count: usize) -> Cluster {
    Cluster::over_jetstream(count, 1, config)
}

/// The stream of a store, by the server's own word.
fn stream_of(api: &Api, store: &str) -> String {
    let word = format!(".store.{store}.");
    let has = |stream: &String| api.info(stream).unwrap()["config"]["subjects"].to_string().contains(&word);
    let mut streams: Vec<String> = api.streams().unwrap().into_iter().filter(has).collect();
    assert_eq!(streams.len(), 1, "{streams:?}");
    streams.remove(0)
}

/// A room that this node owns.
async fn room_on(cluster: &Cluster, node: &str, prefix: &str) -> String {
    cluster::rooms(&cluster.http(), prefix, 1, |owner| owner == node).await.remove(0)
}

/// A member of a room by the rules of the page: it keeps its position, and comes back with it.
struct Kept {
    room: String,
    position: Option<Position>,
    /// What it heard, as JSON.
    heard: Vec<String>,
    offsets: Vec<u64>,
    /// Gaps that it was told, by reason.
    gaps: Vec<String>,
}

impl Kept {
    fn of(room: &str) -> Self {
        Self {
            room: room.to_owned(),
            position: None,
            heard: Vec::new(),
            offsets: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Joins with its position.
    async fn join(&mut self, peer: &mut Peer, last: Option<u32>) -> JoinResult {
        let result = peer.join_from(&self.room, self.position.clone(), last).await;
        self.place(result.epoch.clone(), result.offset, result.ts);
        result
    }

    fn place(&mut self, epoch: Option<ringway_protocol::EpochName>, offset: Option<u64>, ts: Option<u64>) {
        if let (Some(epoch), Some(offset)) = (epoch, offset) {
            self.position = Some(Position { epoch, offset, ts });
        }
    }

    /// Takes what comes next of its room. Its peer may be at home in an ephemeral room, which may begin another epoch where NATS was
    /// away: that is no gap of this one.
    async fn next(&mut self, peer: &mut Peer) {
        let mut frame = peer.next().await;
        while matches!(&frame, ServerFrame::Gap(gap) if gap.room.as_str() != self.room) {
            frame = peer.next().await;
        }
        match frame {
            ServerFrame::Msg(msg) => self.msg(&msg),
            ServerFrame::Gap(gap) => {
                self.gaps.push(gap.reason.as_str().to_owned());
                self.place(Some(gap.epoch), Some(gap.offset), gap.ts);
            }
            other => panic!("neither a msg nor a gap: {other:?}"),
        }
    }

    fn msg(&mut self, msg: &Msg) {
        assert_eq!(msg.room.as_ref().map(|room| room.as_str()), Some(&*self.room));
        self.heard.push(text(&msg.data));
        if let Some(offset) = msg.offset {
            self.offsets.push(offset);
            let epoch = self.position.as_ref().map(|position| position.epoch.clone());
            self.place(epoch, Some(offset), msg.ts);
        }
    }

    /// Takes what comes until it has heard so much.
    async fn hears(&mut self, peer: &mut Peer, count: usize) {
        while self.heard.len() < count {
            self.next(peer).await;
        }
    }

    /// What it heard since it was last asked.
    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }
}

/// Numbers, as JSON.
fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<String> {
    range.into_iter().map(|n| n.to_string()).collect()
}

/// Publishes these numbers, one after another; their offsets.
async fn publish_all(peer: &mut Peer, room: &str, range: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut offsets = Vec::new();
    for n in range {
        offsets.push(peer.publish(room, &n.to_string()).await.offset.expect("stored"));
    }
    offsets
}

/// How long until a fault that is over has no consequences any more.
const SETTLED: Duration = Duration::from_secs(30);
