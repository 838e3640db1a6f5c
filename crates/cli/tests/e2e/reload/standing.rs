//! A member who stands through a test.

use ringway_client::{Closed, ConnectOptions, Connection, ReceiveError, Writer};
use ringway_protocol::frame::{Answer, Refusal};
use ringway_protocol::{ClientFrame, Format, ServerFrame};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::peer::{self, with_id};
use crate::support::options;

/// Reads all the time, so that it answers the server's pings however long a test takes; in a runtime with threads of its own.
pub(super) struct Standing {
    writer: Writer,
    heard: mpsc::UnboundedReceiver<Result<ServerFrame, Closed>>,
    last_id: u64,
}

impl Standing {
    /// In that room: the join's answer was heard.
    pub(super) async fn enter(options: &ConnectOptions) -> Self {
        let (writer, mut reader) = Connection::open(options).await.unwrap().split();
        let (hears, heard) = mpsc::unbounded_channel();
        // Ends with the connection, or the runtime.
        tokio::spawn(async move {
            loop {
                let next = match reader.receive().await {
                    Ok(frame) => Ok(frame),
                    Err(ReceiveError::Closed(closed)) => Err(closed),
                    Err(error) => panic!("not a frame: {error}"),
                };
                let is_last = next.is_err();
                if hears.send(next).is_err() || is_last {
                    return;
                }
            }
        });
        let mut standing = Self { writer, heard, last_id: 0 };
        standing.until(|frame| matches!(frame, ServerFrame::Joined(_))).await;
        standing
    }

    /// In the room `r`, by that token.
    pub(super) async fn by(gateway: SocketAddr, token: &str) -> Self {
        let mut options = options(gateway, Format::Json, Some("r"));
        options.token = Some(token.to_owned());
        Self::enter(&options).await
    }

    async fn next(&mut self) -> Result<ServerFrame, Closed> {
        timeout(TAKEN, self.heard.recv())
            .await
            .expect("something in time")
            .expect("it stands, or was told of its end")
    }

    /// The next frame that is looked for.
    pub(super) async fn until(&mut self, wanted: impl Fn(&ServerFrame) -> bool) -> ServerFrame {
        loop {
            let frame = self.next().await.unwrap_or_else(|closed| panic!("closed: {closed:?}"));
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Whether a request was done.
    pub(super) async fn ask(&mut self, frame: ClientFrame) -> Result<(), Refusal> {
        self.last_id += 1;
        let own = self.last_id;
        timeout(TAKEN, self.writer.send(&with_id(frame, own))).await.expect("the socket takes it").unwrap();
        let is_answer = |frame: &ServerFrame| match frame {
            ServerFrame::Ok(Answer { id, .. }) => *id == Some(own),
            ServerFrame::Err(refusal) => refusal.id == Some(own),
            _ => false,
        };
        match self.until(is_answer).await {
            ServerFrame::Err(refusal) => Err(refusal),
            _ => Ok(()),
        }
    }

    /// # Panics
    /// It doesn't.
    pub(super) async fn stands(&mut self) {
        self.ask(ClientFrame::Ping { id: None }).await.unwrap();
    }

    /// Publishes; the code of a refusal.
    pub(super) async fn publish(&mut self, room: &str, data: &str) -> Result<(), String> {
        self.ask(peer::publish(room, data)).await.map_err(|refusal| refusal.code.to_string())
    }

    /// The next publication.
    pub(super) async fn hears(&mut self) -> String {
        match self.until(|frame| matches!(frame, ServerFrame::Msg(_))).await {
            ServerFrame::Msg(msg) => peer::text(&msg.data),
            other => panic!("{other:?}"),
        }
    }

    /// How it ends.
    pub(super) async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.next().await {
                return closed;
            }
        }
    }
}
