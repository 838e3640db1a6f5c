//! Plain tokio-tungstenite, as its own example `server.rs` has it: a task a connection, the socket split, an unbounded
//! channel a peer in a map. Only that a sender hears itself as well, and that `/echo` sends back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

type Peers = Arc<Mutex<HashMap<SocketAddr, UnboundedSender<Message>>>>;

/// What differs from the example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tuning {
    /// Nothing.
    None,
    /// A read buffer of 4 KiB instead of 128 KiB, and no waiting for more to send (`TCP_NODELAY`).
    Small,
}

/// Serves for ever, with as many threads as cores.
#[tokio::main]
pub(super) async fn run(listen: SocketAddr, tuning: Tuning) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("can't listen on {listen}"))?;
    let peers = Peers::default();
    loop {
        // Without descriptors an accept fails, and the next may not.
        if let Ok((stream, peer)) = listener.accept().await {
            tokio::spawn(serve(stream, peer, Arc::clone(&peers), tuning));
        }
    }
}

// The handshake's callback answers refusals by value: its size isn't ours to choose.
#[allow(clippy::result_large_err)]
async fn serve(stream: TcpStream, peer: SocketAddr, peers: Peers, tuning: Tuning) {
    let config = match tuning {
        Tuning::None => WebSocketConfig::default(),
        Tuning::Small => {
            // Without it, it is only slower.
            let _ = stream.set_nodelay(true);
            WebSocketConfig::default().read_buffer_size(4 * 1024)
        }
    };
    let mut echo = false;
    let look = |request: &Request, response: Response| {
        echo = request.uri().path() == "/echo";
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async_with_config(stream, look, Some(config)).await else { return };
    let (own, inbox) = unbounded();
    if !echo {
        peers.lock().expect("no one panics with the peers").insert(peer, own.clone());
    }
    let (outgoing, incoming) = socket.split();
    let incoming = incoming.try_for_each(|message| {
        if message.is_text() || message.is_binary() {
            if echo {
                // Who is gone needs none.
                let _ = own.unbounded_send(message);
            } else {
                for sender in peers.lock().expect("no one panics with the peers").values() {
                    let _ = sender.unbounded_send(message.clone());
                }
            }
        }
        future::ok(())
    });
    let outgoing = inbox.map(Ok).forward(outgoing);
    future::select(pin!(incoming), pin!(outgoing)).await;
    peers.lock().expect("no one panics with the peers").remove(&peer);
}
