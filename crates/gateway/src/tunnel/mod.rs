//! Bytes between a client and its node, both ways, understood by neither.
//!
//! Owns both sockets from the node's checked 101 on, and their end: when one side ends its stream the other is
//! told and gets a bounded time to finish; a client whose node died, or whose gateway stops, is told 1012 in a
//! close frame rather than finding its connection cut (1006), if the node's stream is between two frames.
//! Refuses to hold memory for a tunnel at rest: see [`buffer`].

mod boundary;
mod buffer;
mod pipe;
mod registry;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use ringway_protocol::codec::Format;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use boundary::Boundary;
use pipe::{Broken, Pipe, poll_end};
use registry::Registration;
pub(crate) use registry::{LastWords, Tunnels};

use crate::metrics::{TunnelEnd, TunnelMetrics};

/// After one side has ended its stream: how long the other may go on. A node closes at once when its client
/// has gone; only a hung one lets this pass.
const HALF_OPEN: Duration = Duration::from_secs(10);
/// When the gateway stops: how long the node may take to finish the frame it is in, or to send its first.
const FRAME_END: Duration = Duration::from_secs(2);
/// How long a client may take to read its last bytes and end its side. Only then is the socket closed: with
/// bytes of the client's unread, closing would send a reset, which destroys the close frame on its way.
const LINGER: Duration = Duration::from_secs(2);

/// How much of what goes to a client the kernel may keep unsent. Left to itself it takes up to 4 MB, which a slow client reads
/// seconds later, and which nobody can take back from it. What is on its way isn't counted, so it slows no client down.
const UNSENT: u32 = 16 * 1024;

/// The two sockets of a tunnel, and what came early on each.
pub(crate) struct Ends {
    pub(crate) client: TcpStream,
    /// The client's bytes behind its request.
    pub(crate) from_client: Bytes,
    pub(crate) node: TcpStream,
    /// The node's bytes behind its 101.
    pub(crate) from_node: Bytes,
    /// What the client speaks, for a last frame to it.
    pub(crate) format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Bytes move.
    Open,
    /// The gateway stops: the node's frame at hand, or its first, is finished.
    Finishing,
    /// The client gets what waits for it, then its end.
    Last(TunnelEnd),
}

/// One tunnel, as a future that ends with it.
///
/// It must be polled by one task only, from its first poll on: that task's waker is what the registry holds.
pub(crate) struct Tunnel {
    client: TcpStream,
    node: TcpStream,
    to_node: Pipe,
    to_client: Pipe,
    boundary: Boundary,
    phase: Phase,
    format: Format,
    /// The client's stream has ended, or the node takes no more.
    to_node_over: bool,
    /// The client's stream has ended, and all of it was passed on.
    client_ended: bool,
    /// Running once one side has ended; allocated only then.
    deadline: Option<Pin<Box<Sleep>>>,
    registration: Option<Registration>,
    tunnels: Arc<Tunnels>,
    /// How it ended, once it has.
    end: Option<TunnelEnd>,
}

impl Tunnel {
    fn new(ends: Ends, tunnels: Arc<Tunnels>) -> Self {
        let mut boundary = Boundary::default();
        boundary.pass(&ends.from_node);
        // A socket that refuses this is about to fail anyway.
        let _: io::Result<()> = SockRef::from(&ends.client).set_tcp_notsent_lowat(UNSENT);
        tunnels.metrics().began();
        Self {
            client: ends.client,
            node: ends.node,
            to_node: Pipe::beginning_with(ends.from_client),
            to_client: Pipe::beginning_with(ends.from_node),
            boundary,
            phase: Phase::Open,
            format: ends.format,
            to_node_over: false,
            client_ended: false,
            deadline: None,
            registration: None,
            tunnels,
            end: None,
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        if !self.to_node_over
            && let Poll::Ready(ended) = self.poll_to_node(cx)
        {
            self.to_node_over = true;
            match ended {
                Err(Broken::Source) => return Poll::Ready(TunnelEnd::Client),
                // The node stands still, so its client would wait for nothing.
                Err(Broken::Stalled) => {
                    self.say(LastWords::node_lost);
                    self.enter_last(TunnelEnd::Stalled);
                    return Poll::Pending;
                }
                // What the node still has to say may be a close frame: it is read to its end.
                Ok(()) | Err(Broken::Sink) => {
                    self.client_ended = ended.is_ok();
                    let _: Poll<()> = poll_end(&mut self.node, cx);
                    self.limit(HALF_OPEN);
                }
            }
        }
        match self.poll_to_client(cx) {
            Poll::Ready(Err(Broken::Sink)) => return Poll::Ready(TunnelEnd::Client),
            Poll::Ready(Err(Broken::Stalled)) => return Poll::Ready(TunnelEnd::Stalled),
            Poll::Ready(Ok(()) | Err(Broken::Source)) => {
                let end = match (self.boundary.is_closed(), self.to_node_over) {
                    (true, _) => TunnelEnd::Node,
                    (false, true) => TunnelEnd::Client,
                    (false, false) => TunnelEnd::NodeLost,
                };
                // Both have ended, and nothing is unread or unwritten: a clean end needs no more than that. It wasn't
                // the node that went first, so the client isn't told so.
                if self.client_ended {
                    return Poll::Ready(end);
                }
                self.say(LastWords::node_lost);
                self.enter_last(end);
                return Poll::Pending;
            }
            Poll::Pending => {}
        }
        if self.poll_deadline(cx).is_ready() { Poll::Ready(TunnelEnd::Late) } else { Poll::Pending }
    }

    fn poll_to_node(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut bytes = 0;
        let moved =
            self.to_node.poll_move(&mut self.client, &mut self.node, cx, |read| bytes += read.len() as u64);
        self.tunnels.metrics().to_node(bytes);
        moved
    }

    fn poll_to_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut bytes = 0;
        let boundary = &mut self.boundary;
        let moved = self.to_client.poll_move(&mut self.node, &mut self.client, cx, |read| {
            boundary.pass(read);
            bytes += read.len() as u64;
        });
        self.tunnels.metrics().to_client(bytes);
        moved
    }

    fn poll_finishing(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        // `hello` is on its way to whoever has just come in: behind it more can be said than a close frame.
        while !(self.boundary.is_between() && self.boundary.any_passed()) {
            let boundary = &mut self.boundary;
            let moved = self
                .to_client
                .poll_move_some(&mut self.node, &mut self.client, cx, |read| boundary.pass_frame(read));
            match moved {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Err(Broken::Sink | Broken::Stalled)) => return Poll::Ready(TunnelEnd::Client),
                Poll::Ready(Ok(false) | Err(Broken::Source)) => break,
                Poll::Pending if self.poll_deadline(cx).is_ready() => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        self.say(LastWords::stopping);
        let _: Poll<()> = poll_end(&mut self.node, cx);
        self.enter_last(TunnelEnd::Stopping);
        Poll::Pending
    }

    fn poll_last(&mut self, end: TunnelEnd, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        if self.poll_deadline(cx).is_ready() {
            return Poll::Ready(end);
        }
        if ready!(self.to_client.poll_flush(&mut self.client, cx)).is_err() {
            return Poll::Ready(end);
        }
        ready!(poll_end(&mut self.client, cx));
        while let Ok(Some(())) = ready!(buffer::poll_read(&mut self.client, cx, |_, _| ())) {}
        Poll::Ready(end)
    }

    /// Puts the gateway's own frames behind the node's last whole one; within a frame, or behind a close frame,
    /// nothing may be said.
    fn say(&mut self, words: impl FnOnce(&LastWords, Option<Format>) -> Bytes) {
        if self.boundary.is_between() && !self.boundary.is_closed() {
            // `hello` is the first frame of all: without it there is nothing but to close.
            let format = self.boundary.any_passed().then_some(self.format);
            self.to_client.append(&words(self.tunnels.last_words(), format));
        }
    }

    fn enter_last(&mut self, end: TunnelEnd) {
        self.phase = Phase::Last(end);
        self.deadline = None;
        self.limit(LINGER);
    }

    fn limit(&mut self, time: Duration) {
        self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Future for Tunnel {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.registration.is_none() {
            this.registration = Some(this.tunnels.register(cx.waker()));
        }
        loop {
            if this.phase == Phase::Open && this.tunnels.are_closing() {
                this.phase = Phase::Finishing;
                this.deadline = None;
                this.limit(FRAME_END);
            }
            let phase = this.phase;
            let polled = match phase {
                Phase::Open => this.poll_open(cx),
                Phase::Finishing => this.poll_finishing(cx),
                Phase::Last(end) => this.poll_last(end, cx),
            };
            match polled {
                Poll::Ready(end) => {
                    this.end = Some(end);
                    return Poll::Ready(());
                }
                Poll::Pending if this.phase == phase => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if let Some(registration) = self.registration.take() {
            self.tunnels.forget(registration);
        }
        self.tunnels.metrics().ended(self.end);
    }
}

#[cfg(test)]
mod tests;
