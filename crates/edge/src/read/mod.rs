//! The reading half of a connection, and the connection's only task: what the client sent, as
//! messages, and the writing of whatever waits because the client is behind.
//!
//! Between two reads it holds no buffer. Bytes are read into one buffer per thread, and only what
//! is unfinished is copied out of it.

mod decoder;
pub(crate) mod finish;
mod head;
mod mask;
mod scratch;

use std::future::{Future, poll_fn};
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::TcpStream;

pub use decoder::Message;
use decoder::{Decoder, Event, Peer};

use crate::ended::Ended;
use crate::outbound::{Outbound, QUEUED_FRAMES_LIMIT};

/// What one connection may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of one message from the client, over all its fragments, as received. More
    /// closes with 1009. At most `u32::MAX`.
    pub message: usize,
    /// The most bytes that may wait for a client that doesn't keep up. More closes with 1008.
    pub queue: usize,
    /// The most frames that may, whatever their size; taken up to the next power of two.
    pub frames: usize,
}

impl Default for Limits {
    /// 64 KiB for a message, 1 MiB and [`QUEUED_FRAMES_LIMIT`] for the queue.
    fn default() -> Limits {
        Limits { message: 64 * 1024, queue: 1024 * 1024, frames: QUEUED_FRAMES_LIMIT }
    }
}

/// What comes from the client. Dropping it ends the connection without a word;
/// [`finish`](Reader::finish) ends it politely.
#[derive(Debug)]
pub struct Reader {
    out: Arc<Outbound>,
    decoder: Decoder,
    /// What came together with the upgrade, until it is read.
    early: Option<Box<[u8]>>,
}

/// Makes a WebSocket of a socket on which the upgrade was answered with 101 and everything before
/// was read. `early` is what the client sent right behind its upgrade.
pub fn open(stream: TcpStream, early: &Bytes, limits: Limits) -> (Arc<Outbound>, Reader) {
    open_from(Peer::Client, stream, early, limits)
}

/// Makes one end of a link between two processes of a cluster of a socket on which that was agreed on: like [`open`], at
/// both ends, with frames that have no masks either way.
pub fn open_link(stream: TcpStream, early: &Bytes, limits: Limits) -> (Arc<Outbound>, Reader) {
    open_from(Peer::Link, stream, early, limits)
}

fn open_from(from: Peer, stream: TcpStream, early: &Bytes, limits: Limits) -> (Arc<Outbound>, Reader) {
    let out = Arc::new(Outbound::new(stream, limits.queue, limits.frames));
    let decoder = Decoder::new(u32::try_from(limits.message).unwrap_or(u32::MAX), from);
    // Copied, since `early` keeps the handshake's whole buffer.
    let early = if early.is_empty() { None } else { Some(Box::from(&early[..])) };
    (Arc::clone(&out), Reader { out, decoder, early })
}

impl Reader {
    /// The writing half.
    pub fn outbound(&self) -> &Arc<Outbound> {
        &self.out
    }

    /// Waits for the client and gives `on` each message that came, then returns; an error when
    /// the connection has ended, for whatever reason: then follows [`finish`](Reader::finish).
    /// Meanwhile it answers pings and writes what waits for a client that is behind. What was
    /// pushed while `on` ran is flushed. After a close, from inside `on` too, no message comes.
    ///
    /// Cancel safe: a call that is dropped loses nothing.
    ///
    /// # Errors
    /// How the connection ended.
    // No `async fn`: its future would hold its arguments twice, on every idle connection.
    pub fn read(
        &mut self,
        on: &mut (dyn FnMut(Message<'_>) + Send),
    ) -> impl Future<Output = Result<(), Ended>> + Send {
        poll_fn(|cx| self.poll_read(cx, on))
    }

    /// Waits for `work`, while what waits for the client is still written. For a session that has
    /// to await something before it reads on. Give it a `Pin<Box<_>>` where the work is large and
    /// rare: a session's future is as large as the largest thing it ever awaits.
    pub fn while_draining<W: Future + Unpin>(&self, mut work: W) -> impl Future<Output = W::Output> {
        poll_fn(move |cx| {
            let _ = self.out.poll_drain(cx);
            Pin::new(&mut work).poll(cx)
        })
    }

    /// Waits until at most `bytes` wait for a client that is behind. Who sends a long history does so in parts
    /// and waits in between, so that the queue's bound doesn't end the connection.
    ///
    /// # Errors
    /// How the connection ended.
    pub fn until_queued_below(&self, bytes: usize) -> impl Future<Output = Result<(), Ended>> + Send {
        self.out.flush();
        poll_fn(move |cx| match self.out.poll_drain(cx) {
            Ok(()) if self.out.backlog() > bytes => Poll::Pending,
            result => Poll::Ready(result),
        })
    }

    /// Ends the connection politely: writes what waits and the close frame within 2 s, then waits
    /// 1 s for the client to close its side, so that the close frame isn't lost to a reset. Closes
    /// with 1001 if nobody closed yet. Everything the client still sends is dropped.
    pub fn finish(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Boxed, so that its timers don't weigh on every idle connection.
        Box::pin(finish::finish(self))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        on: &mut (dyn FnMut(Message<'_>) + Send),
    ) -> Poll<Result<(), Ended>> {
        if let Some(mut early) = self.early.take()
            && self.take_in(&mut early, on) > 0
        {
            return Poll::Ready(self.still_open());
        }
        loop {
            self.out.poll_drain(cx)?;
            let ready = ready!(self.out.stream().poll_read_ready(cx));
            let messages = scratch::with(|buffer| {
                match ready.and_then(|()| read_some(self.out.stream(), buffer)) {
                    Ok(0) => self.out.hang_up(),
                    Ok(n) => return self.take_in(&mut buffer[..n], on),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => self.out.die(),
                }
                0
            });
            if messages > 0 {
                return Poll::Ready(self.still_open());
            }
        }
    }

    /// Decodes what came and acts on it. Returns how many messages there were.
    fn take_in(&mut self, bytes: &mut [u8], on: &mut (dyn FnMut(Message<'_>) + Send)) -> usize {
        let out = &*self.out;
        out.note_received();
        let mut messages = 0;
        let fed = self.decoder.feed(bytes, &mut |event| match event {
            Event::Message(message) => {
                messages += 1;
                on(message);
                if out.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Event::Ping(payload) => {
                out.pong(payload);
                ControlFlow::Continue(())
            }
            Event::Close(code) => {
                out.answer_close(code);
                ControlFlow::Break(())
            }
        });
        match fed {
            Ok(()) => out.flush(),
            Err(violation) => {
                out.close(violation.code, violation.reason);
            }
        }
        messages
    }

    fn still_open(&self) -> Result<(), Ended> {
        self.out.ended().map_or(Ok(()), Err)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.out.abandon();
    }
}

/// Reads what is there. After a short read nothing more is, so readiness is cleared at once: that
/// spares the second call that would only find out (as tokio's own `poll_read` does).
fn read_some(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut short = None;
    let full = stream.try_io(Interest::READABLE, || match stream.try_read(buffer)? {
        n if 0 < n && n < buffer.len() => {
            short = Some(n);
            Err(io::ErrorKind::WouldBlock.into())
        }
        n => Ok(n),
    });
    short.map_or(full, Ok)
}
