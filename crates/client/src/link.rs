//! The task of one connection: it opens it, and moves frames between the socket and two bounded
//! queues. It decides nothing, and ends when it is told to, or when the connection does.

use std::time::Duration;

use bytes::Bytes;
use ringway_protocol::{CloseCode, Format, ServerFrame};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::connect::ConnectOptions;
use crate::connection::{self, Closed, Connection, Reader, ReceiveError, Writer};

/// How many frames may wait to be written. A socket that takes so few is as good as dead: the
/// connection is given up, and what wasn't answered is sent on the next.
pub(crate) const OUTGOING: usize = 4_096;
/// How many frames leave in one write, at most.
const BATCH: usize = 256;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What became of a connection.
#[derive(Debug)]
pub(crate) enum News {
    /// The application gave a token, or says why not.
    Token(Result<String, String>),
    Opened,
    Frame(Box<ServerFrame>),
    Closed(Closed),
}

/// Opens a connection and serves it until one side ends it. `end` closes it with 1000.
pub(crate) async fn run(
    link: u64,
    options: ConnectOptions,
    outgoing: mpsc::Receiver<Bytes>,
    news: mpsc::Sender<(u64, News)>,
    end: CancellationToken,
) {
    let opening = Connection::open(&options);
    let connection = tokio::select! {
        biased;
        () = end.cancelled() => return,
        opened = opening => opened,
    };
    let closed = match connection {
        Ok(connection) => {
            if news.send((link, News::Opened)).await.is_err() {
                return;
            }
            let format = options.format.unwrap_or(Format::Json);
            serve(link, connection, format, outgoing, &news, &end).await
        }
        Err(error) => Some(Closed { code: error.close_code(), reason: error.reason() }),
    };
    if let Some(closed) = closed {
        // Nobody listens any more: then nobody minds.
        let _ = news.send((link, News::Closed(closed))).await;
    }
}

/// How the connection ended; nothing, where we ended it.
async fn serve(
    link: u64,
    connection: Connection,
    format: Format,
    outgoing: mpsc::Receiver<Bytes>,
    news: &mpsc::Sender<(u64, News)>,
    end: &CancellationToken,
) -> Option<Closed> {
    let (mut writer, mut reader) = connection.split();
    // Both at once: a socket that takes nothing mustn't keep us from reading, nor the other way
    // round, or two sides that are full would wait for each other.
    tokio::select! {
        biased;
        () = end.cancelled() => {}
        closed = read(link, &mut reader, news) => return Some(closed),
        closed = write(&mut writer, format, outgoing) => return Some(closed),
    }
    let _ = tokio::time::timeout(GOODBYE, async {
        writer.close(CloseCode::NORMAL, "").await?;
        loop {
            reader.receive_raw().await?;
        }
        #[allow(unreachable_code)]
        Ok::<(), Closed>(())
    })
    .await;
    None
}

async fn read(link: u64, reader: &mut Reader, news: &mpsc::Sender<(u64, News)>) -> Closed {
    loop {
        match reader.receive().await {
            Ok(frame) => {
                if news.send((link, News::Frame(Box::new(frame)))).await.is_err() {
                    return Closed { code: CloseCode::GOING_AWAY, reason: "nobody listens".to_owned() };
                }
            }
            Err(ReceiveError::Closed(closed)) => return closed,
            Err(ReceiveError::Decode(error)) => {
                return Closed {
                    code: CloseCode(1006),
                    reason: format!("the server's frame can't be read: {error}"),
                };
            }
        }
    }
}

/// Writes what is queued, all that waits in one write. Ends only with the connection: that the
/// queue is dropped means that the end was asked for.
async fn write(writer: &mut Writer, format: Format, mut outgoing: mpsc::Receiver<Bytes>) -> Closed {
    let mut batch = Vec::with_capacity(BATCH);
    while outgoing.recv_many(&mut batch, BATCH).await > 0 {
        for bytes in batch.drain(..) {
            if let Err(closed) = writer.feed_raw(connection::message(format, bytes)).await {
                return explained(closed).await;
            }
        }
        if let Err(closed) = writer.flush().await {
            return explained(closed).await;
        }
    }
    std::future::pending().await
}

/// A failed write says little: the reader, which gets the server's close frame, goes first.
async fn explained(closed: Closed) -> Closed {
    tokio::time::sleep(GOODBYE).await;
    closed
}
