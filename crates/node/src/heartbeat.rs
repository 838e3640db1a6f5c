//! One sweep over all connections in place of timers of their own: pings, the silent, the stuck, the expired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_edge::Frame;
use ringway_protocol::close::CloseCode;
use ringway_protocol::codec::Format;
use ringway_protocol::frame::ServerFrame;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::encode::finished;
use crate::node::Inner;

/// Between two pings: shorter than the 30 s after which the most impatient of common proxies and mobile networks
/// forget an idle connection.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(25);

/// How often all connections are looked at; what they are looked at for is late by so much at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Sweeps until `end`.
pub(crate) async fn run(node: Arc<Inner>, end: CancellationToken) {
    // A browser's code can't see the WebSocket ping, a bare WebSocket library answers nothing else: both, in one write.
    let beat_of = |format| [Frame::ping(&[]), finished(format, &ServerFrame::Ping)];
    let (json, msgpack) = (beat_of(Format::Json), beat_of(Format::Msgpack));
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (now, wall) = (Instant::now(), clock::wall_seconds());
        for conn in node.registry.all() {
            if wall >= conn.expires() {
                conn.outbound.close(CloseCode::TOKEN, ringway_protocol::Code::Expired.as_str());
                continue;
            }
            conn.outbound.check_stalled(now);
            if conn.is_ping_due(now, PING_INTERVAL) {
                conn.outbound.beat(match conn.format {
                    Format::Json => &json,
                    Format::Msgpack => &msgpack,
                });
            }
        }
    }
}
