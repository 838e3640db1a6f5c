//! One read buffer per thread, for all tunnels of that thread: an idle tunnel has none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// What one read takes at most, so also what a tunnel keeps at most for a side that is behind. A whole frame
/// of the largest size fits.
const SIZE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into_boxed_slice());
}

/// Reads once and gives what was read to `take`. `Ok(None)`: the other side has ended its stream.
///
/// `poll_read` rather than `try_read`: after a short read tokio already knows that nothing is left, and the
/// next call answers without asking the kernel.
pub(crate) fn poll_read<T>(
    from: &mut TcpStream,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8], &mut Context<'_>) -> T,
) -> Poll<io::Result<Option<T>>> {
    BUFFER.with(|buffer| {
        let mut buffer = buffer.borrow_mut();
        let mut read = ReadBuf::new(&mut buffer);
        ready!(Pin::new(from).poll_read(cx, &mut read))?;
        let bytes = read.filled();
        Poll::Ready(Ok(if bytes.is_empty() { None } else { Some(take(bytes, cx)) }))
    })
}
