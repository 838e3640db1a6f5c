//! One direction of a tunnel: what was read from one side and not yet taken by the other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::buffer;

/// Whose fault ended a direction.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Reading failed.
    Source,
    /// Writing failed.
    Sink,
}

/// Bytes in one direction. Nothing is read while something waits to be written: a slow sink slows its source.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Read and not yet written; allocated only while the sink is behind.
    tail: Bytes,
}

impl Pipe {
    /// A pipe that begins with bytes which came early.
    pub(crate) fn beginning_with(early: Bytes) -> Self {
        // An empty slice may hold on to the whole buffer it was cut from.
        Self { tail: if early.is_empty() { Bytes::new() } else { early } }
    }

    /// Adds bytes of the gateway's own behind what waits.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let mut tail = BytesMut::with_capacity(self.tail.len() + bytes.len());
        tail.extend_from_slice(&self.tail);
        tail.extend_from_slice(bytes);
        self.tail = tail.freeze();
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
        while !self.tail.is_empty() {
            match ready!(Pin::new(&mut *sink).poll_write(cx, &self.tail)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sink)),
                Ok(written) => self.tail.advance(written),
            }
            if self.tail.is_empty() {
                self.tail = Bytes::new();
            }
        }
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
                    self.tail = Bytes::copy_from_slice(bytes);
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
