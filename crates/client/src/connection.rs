//! One WebSocket, as it is: frames out, frames in, and whatever else a test wants to send. It
//! answers WebSocket pings (while it is read) and decides nothing; what comes back by itself is
//! [`crate::Client`].

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use ringway_protocol::{
    ClientFrame, CloseCode, DecodeError, Format, ServerFrame, decode_server, encode_client,
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::connect::{ConnectError, ConnectOptions};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The server's close code; 1005: it gave none; 1006: there was no close frame.
    pub code: CloseCode,
    /// The server's reason, or what happened to the network.
    pub reason: String,
}

/// Why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The connection has ended.
    #[error("closed: {} {}", .0.code, .0.reason)]
    Closed(Closed),
    /// The server sent something that isn't a frame.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// One open WebSocket.
#[derive(Debug)]
pub struct Connection {
    writer: Writer,
    reader: Reader,
    headers: HeaderMap,
}

/// The half that sends.
#[derive(Debug)]
pub struct Writer {
    sink: SplitSink<Socket, Message>,
    format: Format,
}

/// The half that receives.
#[derive(Debug)]
pub struct Reader {
    stream: SplitStream<Socket>,
    format: Format,
}

impl Connection {
    /// Opens a connection: done when the server has answered 101. `hello` is not waited for, so
    /// frames may be sent at once.
    ///
    /// # Errors
    /// Where there is no 101 within [`ConnectOptions::within`].
    pub async fn open(options: &ConnectOptions) -> Result<Self, ConnectError> {
        crate::install_crypto();
        let request = options.request()?;
        let config = WebSocketConfig::default()
            .read_buffer_size(options.read_buffer)
            .max_frame_size(None)
            .max_message_size(Some(16 << 20));
        // Boxed: the handshake's future is big, and lives for a moment only.
        let opening = Box::pin(connect_async_with_config(request, Some(config), true));
        let (socket, response) = tokio::time::timeout(options.within, opening)
            .await
            .map_err(|_| ConnectError::Timeout(options.within))??;
        let format = options.format.unwrap_or(Format::Json);
        let (sink, stream) = socket.split();
        Ok(Self {
            writer: Writer { sink, format },
            reader: Reader { stream, format },
            headers: response.headers().clone(),
        })
    }

    /// The headers of the server's 101.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn send(&mut self, frame: &ClientFrame) -> Result<(), Closed> {
        self.writer.send(frame).await
    }

    /// Sends several frames in one write, as far as the socket takes them.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn send_all(&mut self, frames: &[ClientFrame]) -> Result<(), Closed> {
        for frame in frames {
            let message = self.writer.message(frame);
            self.writer.feed_raw(message).await?;
        }
        self.writer.flush().await
    }

    /// Sends any message: text, binary, ping …
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn send_raw(&mut self, message: Message) -> Result<(), Closed> {
        self.writer.feed_raw(message).await?;
        self.writer.flush().await
    }

    /// The next frame of a type that is known. Cancelling loses nothing.
    ///
    /// # Errors
    /// Where the connection has ended, or something came that isn't a frame.
    pub async fn receive(&mut self) -> Result<ServerFrame, ReceiveError> {
        self.reader.receive().await
    }

    /// The next message, whatever it is, but for the close. Cancelling loses nothing.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn receive_raw(&mut self) -> Result<Message, Closed> {
        self.reader.receive_raw().await
    }

    /// Says goodbye, and waits for the server's.
    pub async fn close(mut self, code: CloseCode, reason: &str) -> Closed {
        if let Err(closed) = self.writer.close(code, reason).await {
            return closed;
        }
        loop {
            if let Err(closed) = self.reader.receive_raw().await {
                return closed;
            }
        }
    }

    /// The two halves, to be used by two tasks.
    pub fn split(self) -> (Writer, Reader) {
        (self.writer, self.reader)
    }
}

impl Writer {
    /// Sends a frame.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn send(&mut self, frame: &ClientFrame) -> Result<(), Closed> {
        let message = self.message(frame);
        self.feed_raw(message).await?;
        self.flush().await
    }

    /// Puts a message into the buffer: [`Self::flush`] writes it, at the latest.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn feed_raw(&mut self, message: Message) -> Result<(), Closed> {
        self.sink.feed(message).await.map_err(ended)
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn flush(&mut self) -> Result<(), Closed> {
        self.sink.flush().await.map_err(ended)
    }

    /// Sends a close frame. The reader sees the server's.
    ///
    /// # Errors
    /// Where the connection has ended already.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Closed> {
        let frame = CloseFrame { code: code.0.into(), reason: reason.into() };
        self.feed_raw(Message::Close(Some(frame))).await?;
        self.flush().await
    }

    fn message(&self, frame: &ClientFrame) -> Message {
        let mut bytes = Vec::new();
        encode_client(self.format, frame, &mut bytes);
        message(self.format, bytes.into())
    }
}

impl Reader {
    /// The next frame of a type that is known. Cancelling loses nothing.
    ///
    /// # Errors
    /// Where the connection has ended, or something came that isn't a frame.
    pub async fn receive(&mut self) -> Result<ServerFrame, ReceiveError> {
        loop {
            let message = self.receive_raw().await.map_err(ReceiveError::Closed)?;
            let bytes = match message {
                Message::Text(text) => Bytes::from(text),
                Message::Binary(bytes) => bytes,
                _ => continue,
            };
            if let Some(frame) = decode_server(self.format, &bytes)? {
                return Ok(frame);
            }
        }
    }

    /// The next message, whatever it is, but for the close. Cancelling loses nothing.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn receive_raw(&mut self) -> Result<Message, Closed> {
        match self.stream.next().await {
            Some(Ok(Message::Close(frame))) => {
                let closed = match frame {
                    Some(frame) => {
                        Closed { code: CloseCode(frame.code.into()), reason: frame.reason.to_string() }
                    }
                    None => Closed { code: CloseCode(1005), reason: String::new() },
                };
                // One more try to read lets our goodbye out. The end of the socket isn't waited for:
                // a server that is in trouble may never come to it.
                let _ = self.stream.next().now_or_never();
                Err(closed)
            }
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(ended(error)),
            None => Err(Closed { code: CloseCode(1006), reason: "the connection has ended".to_owned() }),
        }
    }
}

/// A frame's bytes as the message that its format wants.
pub(crate) fn message(format: Format, bytes: Bytes) -> Message {
    match format {
        // What the codec writes is UTF-8: names and payloads were checked, the rest is ASCII.
        Format::Json => match tungstenite::Utf8Bytes::try_from(bytes) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Text("".into()),
        },
        Format::Msgpack => Message::Binary(bytes),
    }
}

#[allow(clippy::needless_pass_by_value)] // it is `map_err`'s
fn ended(error: tungstenite::Error) -> Closed {
    Closed { code: CloseCode(1006), reason: error.to_string() }
}
