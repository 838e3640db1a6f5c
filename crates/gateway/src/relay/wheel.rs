//! What a wheel ([`Wheel`]) comes by all clients for: pings, the silent, the stuck. As a node does it for the sockets that it
//! holds; the end of a token is the home node's to say.

use std::sync::Arc;

use ringway_edge::{Frame, Wheel};
use ringway_protocol::codec::Format;
use ringway_protocol::frame::ServerFrame;
use tokio_util::sync::CancellationToken;

use super::Relay;
use crate::encode::finished;

/// Turns the wheel until `end`.
pub(crate) async fn run(relay: Arc<Relay>, end: CancellationToken) {
    // A browser's code can't see the WebSocket ping, a bare WebSocket library answers nothing else: both, in one write.
    let beat_of = |format| [Frame::ping(&[]), finished(format, &ServerFrame::Ping)];
    let (json, msgpack) = (beat_of(Format::Json), beat_of(Format::Msgpack));
    let mut wheel = Wheel::new();
    let mut some = Vec::new();
    while let Some(tick) = end.run_until_cancelled(wheel.tick()).await {
        if let Some(spoke) = tick.asked_after() {
            relay.on_spoke(spoke, &mut some);
            // Of who isn't read from, no sign of life can be seen.
            for client in some.drain(..).filter(|client| !client.is_held) {
                client.out.cut_unless_alive();
            }
        }
        for spoke in tick.looked_at() {
            relay.on_spoke(spoke, &mut some);
            for client in some.drain(..) {
                client.out.check_stalled(tick.now);
            }
        }
        relay.on_spoke(tick.pinged(), &mut some);
        for client in some.drain(..) {
            // `hello` is first: before it there is nothing to say.
            if tick.is_young(client.out.opened()) || !client.greeted {
                continue;
            }
            client.out.beat(match client.format {
                Format::Json => &json,
                Format::Msgpack => &msgpack,
            });
        }
    }
}
