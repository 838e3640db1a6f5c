//! The least that brings a message from a client of one process to a client of another over NATS: what a client says is
//! published, what is published goes to all clients. No rooms, numbers or order but NATS' own.

use std::net::SocketAddr;
use std::pin::pin;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _, future};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

const SUBJECT: &str = "loadtest";

/// Serves for ever. The NATS server's address is in `LOADTEST_NATS`.
#[tokio::main]
pub(super) async fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let url = std::env::var("LOADTEST_NATS").context("LOADTEST_NATS names no NATS server")?;
    let nats = async_nats::connect(url).await?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("can't listen on {listen}"))?;
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, nats.clone()));
        }
    }
}

async fn serve(stream: TcpStream, nats: async_nats::Client) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut outgoing, mut incoming) = accept_async(stream).await.ok()?.split();
    let mut published = nats.subscribe(SUBJECT).await.ok()?;
    let publish = async {
        while let Some(Ok(message)) = incoming.next().await {
            if message.is_text() || message.is_binary() {
                nats.publish(SUBJECT, message.into_data()).await.ok()?;
            }
        }
        Some(())
    };
    let deliver = async {
        while let Some(message) = published.next().await {
            outgoing.send(Message::Binary(message.payload)).await.ok()?;
        }
        Some(())
    };
    future::select(pin!(publish), pin!(deliver)).await;
    None
}
