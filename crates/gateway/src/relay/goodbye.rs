//! The end of a gateway, as its clients see it: each is told to move, then closed. A client that has just come gets its `hello`
//! first: before that nothing can be said but a close frame.

use std::sync::Arc;
use std::time::Duration;

use ringway_edge::{Frame, Outbound};
use ringway_protocol::CloseCode;
use ringway_protocol::codec::Format;
use tokio::time::{Instant, sleep};

use super::Relay;
use crate::encode::{RESTARTS, goaway};

/// How long a `hello` that is on its way may take.
const HELLO: Duration = Duration::from_millis(500);

/// Between two looks whether it has come.
const LOOK: Duration = Duration::from_millis(10);

/// Clients that are told before others have their turn.
const AT_ONCE: usize = 64;

/// Tells all clients to move, and closes them: within [`HELLO`], and the time it takes to write.
pub(crate) async fn say(relay: &Relay) {
    let words = [Format::Json, Format::Msgpack].map(goaway);
    let until = Instant::now() + HELLO;
    loop {
        let (greeted, others) = relay.clients_by_greeting();
        close_all(greeted, Some(&words)).await;
        if others.is_empty() {
            return;
        }
        if Instant::now() >= until {
            return close_all(others, None).await;
        }
        sleep(LOOK).await;
    }
}

/// `words`: what is said before.
async fn close_all(clients: Vec<(Format, Arc<Outbound>)>, words: Option<&[Frame; 2]>) {
    for (at, (format, out)) in clients.into_iter().enumerate() {
        if let Some([json, msgpack]) = words {
            out.send(match format {
                Format::Json => json,
                Format::Msgpack => msgpack,
            });
        }
        out.close(CloseCode::RESTART, RESTARTS);
        if at % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
}
