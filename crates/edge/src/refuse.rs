//! Refusing a client after the 101, by a close code: a browser's code sees nothing else.

use ringway_protocol::CloseCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::frame::Frame;
use crate::read::finish::{WRITE_LIMIT, linger};

/// Sends a close frame on a socket whose upgrade was answered with 101, and waits at most 3 s for
/// the client to close its side. What the client sent is dropped.
pub async fn refuse(mut stream: TcpStream, code: CloseCode, reason: &str) {
    let frame = Frame::close(code, reason);
    // A fresh socket takes 127 bytes at once; the limit is for one that doesn't.
    let written = timeout(WRITE_LIMIT, stream.write_all(frame.encoded())).await;
    if matches!(written, Ok(Ok(()))) {
        linger(&stream).await;
    }
}
