//! The task of one link: what comes is done, what is waited for goes on, and a gateway that is silent is given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ringway_edge::{Due, Limits, Message, Reader};
use ringway_link::Down;
use ringway_link::hello::RECORD_LIMIT;
use ringway_protocol::close::{self, CloseCode};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use super::desk::{Desk, Pending};
use super::here::Broken;
use crate::node::Inner;
use crate::way::Link;

/// What one link may use. Its queue holds what waits for all clients of a worker of the gateway.
const LIMITS: Limits = Limits { message: RECORD_LIMIT, queue: 16 << 20, frames: 262_144 };

/// Between two looks at a link.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A gateway pings twice a second. Who says nothing for so many looks is gone; a process that stood still looks no more
/// often than it lived.
const SILENT_LOOKS: u32 = 10;

/// How long a link that ends may take to say so.
const FINISH_WITHIN: Duration = Duration::from_secs(4);

/// Serves a gateway's link until it ends, and sees its connections off.
pub(crate) async fn serve(node: Arc<Inner>, socket: TcpStream, early: Bytes, gateway: String) {
    let (outbound, mut reader) = ringway_edge::open_link(socket, &early, LIMITS);
    drop(early);
    let link = Link::new(outbound);
    let entered = node.relay.enter(&link);
    tracing::debug!(%gateway, "a gateway's link");
    let mut desk = Desk::new(node.clone(), link.clone(), gateway.clone());
    let mut waits: FuturesUnordered<Pending> = FuturesUnordered::new();
    if let Err(broken) = run(&node, &link, &mut reader, &mut desk, &mut waits).await {
        tracing::warn!(%gateway, %broken, "a gateway's link is ended: what came on it can't be meant");
        let reason = broken.to_string();
        let mut end = reason.len().min(close::REASON_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        link.outbound().close(CloseCode::PROTOCOL, &reason[..end]);
    }
    drop(entered);
    desk.hang_up();
    waits.extend(desk.take_begun());
    let seen_off = async {
        while let Some(done) = waits.next().await {
            // Nothing but ends is left to be done.
            let _ = done.map(|conn| desk.go_on(conn));
            waits.extend(desk.take_begun());
        }
    };
    let finish = tokio::time::timeout(FINISH_WITHIN, reader.finish());
    let _ = tokio::join!(seen_off, finish);
}

async fn run(
    node: &Inner,
    link: &Link,
    reader: &mut Reader,
    desk: &mut Desk,
    waits: &mut FuturesUnordered<Pending>,
) -> Result<(), Broken> {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut silent, mut heard) = (0, link.outbound().last_received());
    let mut leaving = false;
    loop {
        waits.extend(desk.take_begun());
        let mut broken = Ok(());
        let mut take = |message: Message<'_>| {
            if broken.is_ok() {
                broken = desk.take(&message);
            }
        };
        tokio::select! {
            read = reader.read(&mut take) => {
                broken?;
                if read.is_err() {
                    return Ok(());
                }
            }
            Some(done) = waits.next(), if !waits.is_empty() => {
                if let Some(conn) = done {
                    desk.go_on(conn)?;
                    link.outbound().flush();
                }
            }
            _ = looks.tick() => {
                let last = link.outbound().last_received();
                silent = if last == heard { silent + 1 } else { 0 };
                heard = last;
                if silent >= SILENT_LOOKS || link.outbound().check_stalled(Instant::now()) {
                    link.outbound().cut();
                    return Ok(());
                }
            }
            () = node.relay.leaving.cancelled(), if !leaving => {
                leaving = true;
                link.push(&Down::Leaving, Due::Now);
                link.outbound().flush();
            }
            () = link.is_to_be_flushed() => link.outbound().flush(),
            () = link.emptied(), if leaving => {
                link.outbound().close(CloseCode::RESTART, "the node is leaving");
                return Ok(());
            }
            () = node.relay.end.cancelled() => {
                link.outbound().close(CloseCode::RESTART, "restart");
                return Ok(());
            }
        }
    }
}
