//! One direction of a tunnel: what was read from one side and not yet taken by the other.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::buffer;

/// How long a sink may take nothing while bytes wait for it. While they do, its source isn't read, not even to see
/// that it has ended: without a limit a tunnel whose client reads no more would stand as long as that client does. A
/// node gives up a socket of its own after 5 s of that; it should have the time to say so first.
pub(crate) const STALLED: Duration = Duration::from_secs(30);

/// Whose fault ended a direction.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Reading failed.
    Source,
    /// Writing failed.
    Sink,
    /// The sink has taken nothing for [`STALLED`].
    Stalled,
}

/// Bytes in one direction. Nothing is read while something waits to be written: a slow sink slows its source.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Allocated only while the sink is behind.
    tail: Option<Box<Tail>>,
}

/// What was read and not yet written; never empty.
#[derive(Debug)]
struct Tail {
    bytes: Bytes,
    /// Running since the sink was found full.
    limit: Option<Pin<Box<Sleep>>>,
}

impl Tail {
    fn of(bytes: Bytes) -> Option<Box<Self>> {
        // An empty slice may hold on to the whole buffer it was cut from.
        (!bytes.is_empty()).then(|| Box::new(Self { bytes, limit: None }))
    }
}

impl Pipe {
    /// A pipe that begins with bytes which came early.
    pub(crate) fn beginning_with(early: Bytes) -> Self {
        Self { tail: Tail::of(early) }
    }

    /// Adds bytes of the gateway's own behind what waits.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let waits = self.tail.as_ref().map_or(&[][..], |tail| &tail.bytes);
        let mut both = BytesMut::with_capacity(waits.len() + bytes.len());
        both.extend_from_slice(waits);
        both.extend_from_slice(bytes);
        self.tail = Tail::of(both.freeze());
    }

    /// Moves bytes until the source has ended and all of it is written (`Ok`), showing `see` all that is read.
    pub(crate) fn poll_move(
        &mut self,
        source: &mut TcpStream,
        sink: &mut TcpStream,
        cx: &mut Context<'_>,
        mut see: impl FnMut(&[u8]),
    ) -> Poll<Result<(), Broken>> {
        loop {
            ready!(self.poll_flush(sink, cx))?;
            let read = buffer::poll_read(source, cx, |bytes, cx| {
                see(bytes);
                self.write_or_keep(bytes, sink, cx)
            });
            match ready!(read) {
                Ok(Some(written)) => written?,
                Ok(None) => return Poll::Ready(Ok(())),
                Err(_) => return Poll::Ready(Err(Broken::Source)),
            }
        }
    }

    /// Moves bytes only up to where `see`, given what was read, says that enough is there: it returns how many
    /// of them to take. `Ok(false)`: the source ended first.
    pub(crate) fn poll_move_some(
        &mut self,
        source: &mut TcpStream,
        sink: &mut TcpStream,
        cx: &mut Context<'_>,
        see: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<Result<bool, Broken>> {
        ready!(self.poll_flush(sink, cx))?;
        let read = buffer::poll_read(source, cx, |bytes, cx| {
            let take = see(bytes);
            self.write_or_keep(&bytes[..take], sink, cx)
        });
        match ready!(read) {
            Ok(Some(written)) => written.map(|()| true).into(),
            Ok(None) => Poll::Ready(Ok(false)),
            Err(_) => Poll::Ready(Err(Broken::Source)),
        }
    }

    /// Writes what waits.
    pub(crate) fn poll_flush(
        &mut self,
        sink: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        let Some(tail) = &mut self.tail else { return Poll::Ready(Ok(())) };
        while !tail.bytes.is_empty() {
            match Pin::new(&mut *sink).poll_write(cx, &tail.bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Broken::Sink)),
                Poll::Ready(Ok(written)) => {
                    tail.bytes.advance(written);
                    tail.limit = None;
                }
                Poll::Pending => {
                    let limit = tail.limit.get_or_insert_with(|| Box::pin(sleep(STALLED)));
                    ready!(limit.as_mut().poll(cx));
                    return Poll::Ready(Err(Broken::Stalled));
                }
            }
        }
        self.tail = None;
        Poll::Ready(Ok(()))
    }

    fn write_or_keep(
        &mut self,
        mut bytes: &[u8],
        sink: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match Pin::new(&mut *sink).poll_write(cx, bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Broken::Sink),
                Poll::Ready(Ok(written)) => bytes = &bytes[written..],
                Poll::Pending => {
                    self.tail = Tail::of(Bytes::copy_from_slice(bytes));
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Ends one side's writing half; an error means that it is gone anyway.
pub(crate) fn poll_end(sink: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
    let _: io::Result<()> = ready!(Pin::new(sink).poll_shutdown(cx));
    Poll::Ready(())
}
