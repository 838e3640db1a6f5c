//! One client's task: reads what it sends and hands it to the worker, which knows where it goes. What is for the client is
//! pushed to its socket by others; this task writes only where the client is behind.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway_edge::{Ended, Message, Outbound, Reader};
use ringway_link::ConnNo;
use ringway_protocol::codec::{self, DecodeError, Format};
use ringway_protocol::frame::{ClientFrame, Refusal, ServerFrame};
use ringway_protocol::name::RoomName;
use ringway_protocol::{CloseCode, Code, close};
use tokio::time::timeout;

use super::Relay;
use super::rates::{Kept, TooMuch};
use super::table::{Ask, Flow};
use super::tenants::TenantHere;
use super::worker::Worker;
use crate::encode::finished;

/// How long a client may be kept from being read because what it sent can't go on: longer than any node is looked for. Who
/// waits longer is told to come again.
const HELD_FOR: Duration = Duration::from_secs(30);

/// What its task waits for before it reads on: rare, so boxed, and no part of an idle connection.
type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A client and what its own task knows of it.
struct Session {
    relay: Arc<Relay>,
    worker: Arc<Worker>,
    tenant: Arc<TenantHere>,
    out: Arc<Outbound>,
    /// There once it used a limited rate of its own, or was refused something.
    kept: Option<Box<Kept>>,
    /// What has to wait, and what came behind it.
    rest: Option<Box<Rest>>,
    conn: ConnNo,
    format: Format,
}

#[derive(Default)]
struct Rest {
    wait: Option<Wait>,
    came: VecDeque<(bool, Box<[u8]>)>,
}

/// Runs a client that has begun to its end.
// No `async fn`, whose future would hold its arguments twice.
pub(crate) fn run(
    relay: Arc<Relay>,
    worker: Arc<Worker>,
    tenant: Arc<TenantHere>,
    conn: ConnNo,
    format: Format,
    reader: Reader,
) -> impl Future<Output = ()> + Send + 'static {
    let out = Arc::clone(reader.outbound());
    let session = Session { relay, worker, tenant, out, kept: None, rest: None, conn, format };
    let mut both = Some((session, reader));
    async move {
        // Used where it lies: whatever is moved within a future has two places in it.
        let Some((session, reader)) = &mut both else { return };
        let ended = session.serve(reader).await;
        session.say_goodbye(ended);
        if let Some(finish) = both.take().map(|(_, reader)| reader.finish()) {
            finish.await;
        }
    }
}

impl Session {
    // No `async fn`, which would hold its arguments twice.
    #[allow(clippy::manual_async_fn)]
    fn serve(&mut self, reader: &mut Reader) -> impl Future<Output = Ended> + Send {
        async move {
            loop {
                let read = reader.read(&mut |message| self.take_in(&message)).await;
                if let Some(kept) = &mut self.kept {
                    kept.read();
                }
                while let Some(wait) = self.next_wait() {
                    reader.while_draining(wait).await;
                }
                if let Err(ended) = read {
                    return ended;
                }
            }
        }
    }

    /// One message as it was read.
    fn take_in(&mut self, message: &Message<'_>) {
        let (text, bytes) = match *message {
            Message::Text(bytes) => (true, bytes),
            Message::Binary(bytes) => (false, bytes),
        };
        if let Some(rest) = &mut self.rest {
            rest.came.push_back((text, bytes.into()));
            return;
        }
        let wait = self.hand_on(text, bytes);
        if wait.is_some() {
            self.rest = Some(Box::new(Rest { wait, came: VecDeque::new() }));
        }
    }

    /// What is to be awaited before anything more is read; what waited until here is done.
    fn next_wait(&mut self) -> Option<Wait> {
        let mut rest = self.rest.take()?;
        let mut wait = rest.wait.take();
        while wait.is_none() {
            let (text, bytes) = rest.came.pop_front()?;
            wait = self.hand_on(text, &bytes);
        }
        self.rest = Some(rest);
        wait
    }

    /// Hands a message to the worker, unless it is too much. What comes back is to be awaited before the next.
    fn hand_on(&mut self, text: bool, bytes: &[u8]) -> Option<Wait> {
        let frame = match (self.format, text) {
            (Format::Json, true) | (Format::Msgpack, false) => codec::decode_client(self.format, bytes),
            // Its home has the words for it.
            _ => Err(DecodeError::Unreadable),
        };
        if let Err(over) = self.spend(bytes.len(), &frame)
            && let Ok(frame) = &frame
        {
            return self.refuse(frame, over);
        }
        let handed = self.worker.frame(self.conn, text, bytes, Ask::of(frame));
        self.relay.metrics.refused(handed.refusals);
        let refused = (handed.refusals > 0).then(|| self.wait_for_refusals(handed.refusals)).flatten();
        match handed.flow {
            Flow::Go => refused,
            Flow::Stop => Some(self.held()),
        }
    }

    fn spend(&mut self, bytes: usize, frame: &Result<ClientFrame, DecodeError>) -> Result<(), TooMuch> {
        let limits = self.tenant.own();
        if limits.bytes.is_none() && limits.publish.is_none() {
            return Ok(());
        }
        let publishes = matches!(frame, Ok(ClientFrame::Pub(_)));
        let now = Instant::now();
        kept(&mut self.kept, now).spend(limits, bytes, publishes, now)
    }

    /// The frame goes nowhere: it is too much.
    fn refuse(&self, frame: &ClientFrame, over: TooMuch) -> Option<Wait> {
        // Only a frame that is about a room is about the home room where it names none.
        let about_none = matches!(frame, ClientFrame::Auth(_) | ClientFrame::Ping { .. });
        let home = || if about_none { None } else { self.worker.home_room(self.conn) };
        let refusal = ServerFrame::Err(Refusal {
            id: frame.id(),
            room: frame.room().cloned().or_else(home),
            code: Code::LimitRate,
            message: Some(over.whose.into()),
            retry: over.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)),
        });
        self.relay.metrics.refused(1);
        let frame = finished(self.format, &refusal);
        if self.waits_not(over.wait) {
            self.out.send(&frame);
            return None;
        }
        let out = Arc::clone(&self.out);
        Some(Box::pin(async move {
            tokio::time::sleep(over.wait).await;
            out.send(&frame);
        }))
    }

    /// What was refused here at once counts as well: then the next frame waits.
    fn wait_for_refusals(&mut self, count: u16) -> Option<Wait> {
        let now = Instant::now();
        let wait = kept(&mut self.kept, now).were_told(now, count.into());
        (!self.waits_not(wait)).then(|| -> Wait { Box::pin(tokio::time::sleep(wait)) })
    }

    /// Where the connection has ended, nothing is gained by waiting, and the end waits for it.
    fn waits_not(&self, wait: Duration) -> bool {
        wait.is_zero() || self.out.is_closed()
    }

    /// Until the table lets the client be read again, or it is gone.
    fn held(&self) -> Wait {
        let (worker, out, conn) = (Arc::clone(&self.worker), Arc::clone(&self.out), self.conn);
        Box::pin(async move {
            let resumed = poll_fn(|cx| {
                // Its end wakes this task, since the reader drains the queue meanwhile.
                let waits =
                    !out.is_closed() && worker.with(|_, hands| hands.sockets.is_held(conn, cx.waker()));
                if waits { Poll::Pending } else { Poll::Ready(()) }
            });
            if timeout(HELD_FOR, resumed).await.is_err() {
                let reason = close::reason(Code::Unavailable.as_str(), None);
                out.close(CloseCode::TRY_LATER, &reason);
            }
        })
    }

    fn say_goodbye(&mut self, ended: Ended) {
        self.tenant.count_end(ended);
        self.relay.metrics.closed(ended);
        self.worker.gone(self.conn);
    }
}

/// What became of a message.
struct Handed {
    flow: Flow,
    /// What the worker has refused the client since the last time.
    refusals: u16,
}

impl Worker {
    fn frame(self: &Arc<Self>, conn: ConnNo, text: bool, message: &[u8], ask: Ask) -> Handed {
        self.with(|table, hands| {
            let mut flow = table.frame(hands, conn, text, message, ask);
            if flow == Flow::Go && hands.nodes.is_crowded() {
                hands.crowded_out.push(conn);
                self.owing.notify_one();
                flow = Flow::Stop;
            }
            if flow == Flow::Stop {
                hands.sockets.hold(conn);
            }
            Handed { flow, refusals: hands.sockets.take_refusals(conn) }
        })
    }

    /// The room that a client means where it names none.
    fn home_room(self: &Arc<Self>, conn: ConnNo) -> Option<RoomName> {
        self.with(|_, hands| hands.home_room(conn))
    }
}

fn kept(kept: &mut Option<Box<Kept>>, now: Instant) -> &mut Kept {
    kept.get_or_insert_with(|| Box::new(Kept::new(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a function gives back.
    fn size_given<F: Future>(
        _: impl FnOnce(Arc<Relay>, Arc<Worker>, Arc<TenantHere>, ConnNo, Format, Reader) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_session_is_small() {
        // With tokio's own words it fits into three times 128 bytes, which tasks are multiples of.
        let size = size_given(run);
        assert!(size <= 272, "{size}");
    }
}
