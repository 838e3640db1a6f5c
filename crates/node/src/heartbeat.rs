//! What a wheel ([`Wheel`]) comes by all connections for: pings, the silent, the stuck, the expired. They lie on the
//! registry's spokes.

use std::sync::Arc;

pub(crate) use ringway_edge::PING_INTERVAL;
use ringway_edge::{Frame, Wheel};
use ringway_protocol::close::CloseCode;
use ringway_protocol::codec::Format;
use ringway_protocol::frame::ServerFrame;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::conn::ConnRef;
use crate::encode::finished;
use crate::node::Inner;

/// Turns the wheel until `end`.
pub(crate) async fn run(node: Arc<Inner>, end: CancellationToken) {
    // A browser's code can't see the WebSocket ping, a bare WebSocket library answers nothing else: both, in one write.
    let beat_of = |format| [Frame::ping(&[]), finished(format, &ServerFrame::Ping)];
    let (json, msgpack) = (beat_of(Format::Json), beat_of(Format::Msgpack));
    let mut wheel = Wheel::new();
    let mut some: Vec<ConnRef> = Vec::new();
    while let Some(tick) = end.run_until_cancelled(wheel.tick()).await {
        let wall = clock::wall_seconds();
        if tick.is_second() {
            for conn in node.registry.take_ended(wall) {
                conn.way.close(CloseCode::TOKEN, ringway_protocol::Code::Expired.as_str());
            }
        }
        if let Some(spoke) = tick.asked_after() {
            node.registry.on_spoke(spoke, &mut some);
            for conn in some.drain(..) {
                conn.way.cut_unless_alive();
            }
        }
        for spoke in tick.looked_at() {
            node.registry.on_spoke(spoke, &mut some);
            for conn in some.drain(..) {
                conn.way.check_stalled(tick.now);
                node.registry.watch_end(&conn, wall);
            }
        }
        node.registry.on_spoke(tick.pinged(), &mut some);
        for conn in some.drain(..) {
            if tick.is_young(conn.way.opened()) {
                continue;
            }
            conn.way.beat(match conn.format {
                Format::Json => &json,
                Format::Msgpack => &msgpack,
            });
        }
    }
}
