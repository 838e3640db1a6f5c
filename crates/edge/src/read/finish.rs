//! The end of a connection that has ended: what is still owed to the peer, within bounds.

use std::future::poll_fn;
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway_protocol::CloseCode;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Reader, read_some, scratch};

/// How long what waits, and the close frame behind it, may take to be written.
pub(crate) const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// How long the peer has to close its side. A socket closed with unread bytes in it is reset, and
/// a reset can destroy a close frame that the peer hasn't read yet.
const WAIT_LIMIT: Duration = Duration::from_secs(1);

pub(super) async fn finish(reader: Reader) {
    let out = &reader.out;
    out.close(CloseCode::GOING_AWAY, "Going away");
    let mut open = true;
    let emptied = poll_fn(|cx| {
        // Read meanwhile: the peer may be stuck in a write of its own.
        open = open && discard(out.stream(), cx);
        out.poll_emptied(cx)
    });
    if timeout(WRITE_LIMIT, emptied).await.unwrap_or(false) {
        linger(out.stream()).await;
    } else {
        out.reset_when_dropped();
    }
}

/// Says that nothing more will come, and waits until the peer says so too, or the time is up.
pub(crate) async fn linger(stream: &TcpStream) {
    if SockRef::from(stream).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let closed = poll_fn(|cx| if discard(stream, cx) { Poll::Pending } else { Poll::Ready(()) });
    let _ = timeout(WAIT_LIMIT, closed).await;
}

/// Drops what has come. False once nothing more will.
fn discard(stream: &TcpStream, cx: &mut Context<'_>) -> bool {
    while let Poll::Ready(ready) = stream.poll_read_ready(cx) {
        let read = ready.and_then(|()| scratch::with(|buffer| read_some(stream, buffer)));
        match read {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    true
}
