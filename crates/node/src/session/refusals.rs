//! What a session refuses: what is no frame, what may not be, and what is too much. Told at once, or later to a client that
//! goes on regardless.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ringway_edge::Message;
use ringway_limits::Own;
use ringway_limits::Patience;
use ringway_protocol::Code;
use ringway_protocol::close::CloseCode;
use ringway_protocol::codec::{self, DecodeError, Format};
use ringway_protocol::frame::{ClientFrame, Refusal, ServerFrame};
use ringway_protocol::name::RoomName;

use super::{Session, Wait};
use crate::encode::finished;
use crate::shard::No;
use crate::tenant::{Spent, TooMuch};

/// What came in one message.
pub(super) struct Came {
    pub(super) frame: Result<ClientFrame, Bad>,
    /// As received, without what the WebSocket adds.
    bytes: usize,
}

/// What is kept of a connection that used a rate, or was refused something.
#[derive(Debug)]
pub(super) struct Kept {
    own: Own,
    pub(super) patience: Patience,
}

/// A message that is no frame.
pub(super) enum Bad {
    Frame(DecodeError),
    WrongKind,
}

impl Came {
    pub(super) fn read(format: Format, message: &Message<'_>) -> Came {
        let (Message::Text(bytes) | Message::Binary(bytes)) = message;
        let frame = match (format, message) {
            (Format::Json, Message::Text(_)) | (Format::Msgpack, Message::Binary(_)) => {
                codec::decode_client(format, bytes).map_err(Bad::Frame)
            }
            _ => Err(Bad::WrongKind),
        };
        Came { frame, bytes: bytes.len() }
    }
}

impl Session {
    /// Holds what came against the limits of the connection, its user and its tenant.
    pub(super) fn spend(&mut self, came: &Came) -> Result<(), TooMuch> {
        let usage = &self.conn.tenant.usage;
        if !usage.has_rates() {
            return Ok(());
        }
        let publications = u32::from(matches!(came.frame, Ok(ClientFrame::Pub(_))));
        let beside = if self.place.is_none() { usage.limited_user(self.conn.user.as_ref()) } else { None };
        let user = self.place.as_ref().and_then(|place| place.user()).or(beside.as_deref());
        // Those of one behind a link its gateway holds it to, over all of its nodes.
        let its_own = usage.has_own_rates() && self.conn.way.linked().is_none();
        let own = its_own.then(|| &kept(&mut self.kept, Instant::now).own);
        usage.spend(own, user, Spent { bytes: came.bytes, publications })
    }

    /// The frame isn't done: it is too much.
    pub(super) fn too_much(&mut self, frame: &ClientFrame, over: TooMuch) -> Option<Wait> {
        self.node.metrics.refused_frames.inc();
        let now = Instant::now();
        let wait = self.patience(now).too_much(now, over.retry);
        // From when it is told. What was true is rounded up, so that it stays true.
        let retry = over.retry.map(|retry| retry.saturating_sub(wait).max(Duration::from_millis(1)));
        let no = No { code: Code::LimitRate, message: over.whose, retry };
        let room = frame.room().cloned().or_else(|| self.home_of(frame));
        self.tell_after(wait, no.err(frame.id(), room))
    }

    /// Only a frame that is about a room is about the home room where it names none.
    fn home_of(&self, frame: &ClientFrame) -> Option<RoomName> {
        let none = matches!(frame, ClientFrame::Auth(_) | ClientFrame::Ping { .. });
        self.home.clone().filter(|_| !none)
    }

    /// Answers what is no frame; `Break` where that ends the connection.
    pub(super) fn refuse_bad(&mut self, bad: Bad) -> ControlFlow<(), Option<Wait>> {
        match bad {
            Bad::Frame(DecodeError::Unreadable) => {
                let word = match self.conn.format {
                    Format::Json => "not JSON",
                    Format::Msgpack => "not MessagePack",
                };
                self.conn.way.close(CloseCode::UNREADABLE, word);
                ControlFlow::Break(())
            }
            Bad::Frame(DecodeError::Frame { code, id, message }) => {
                let refusal = Refusal { id, room: None, code, message: Some(message.into()), retry: None };
                ControlFlow::Continue(self.refuse(refusal))
            }
            Bad::WrongKind => {
                let due = match self.conn.format {
                    Format::Json => "text messages are due here",
                    Format::Msgpack => "binary messages are due here",
                };
                self.conn.way.close(CloseCode::WRONG_KIND, due);
                ControlFlow::Break(())
            }
        }
    }

    pub(super) fn no(&mut self, id: Option<u64>, room: Option<RoomName>, no: &No) -> Option<Wait> {
        self.refuse_with(no.err(id, room))
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) -> Option<Wait> {
        self.refuse_with(ServerFrame::Err(refusal))
    }

    fn refuse_with(&mut self, frame: ServerFrame) -> Option<Wait> {
        self.node.metrics.refused_frames.inc();
        let now = Instant::now();
        let wait = self.patience(now).refused(now);
        self.tell_after(wait, frame)
    }

    /// What shards refused meanwhile counts as well, though they told it at once: then the next frame waits.
    pub(crate) fn wait_for_refusals(&mut self) -> Option<Wait> {
        let count = self.conn.take_refusals();
        if count == 0 {
            return None;
        }
        let now = Instant::now();
        let wait = self.patience(now).were_told(now, count);
        (!self.waits_not(wait)).then(|| -> Wait { Box::pin(tokio::time::sleep(wait)) })
    }

    fn tell_after(&self, wait: Duration, frame: ServerFrame) -> Option<Wait> {
        if self.waits_not(wait) {
            self.tell(&frame);
            return None;
        }
        let conn = self.conn.clone();
        Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            conn.send(&finished(conn.format, &frame));
        }))
    }

    /// Where the connection has ended, nothing is gained by waiting, and the end waits for it.
    fn waits_not(&self, wait: Duration) -> bool {
        wait.is_zero() || self.conn.way.is_closed()
    }

    fn patience(&mut self, now: Instant) -> &mut Patience {
        &mut kept(&mut self.kept, || now).patience
    }
}

fn kept(kept: &mut Option<Box<Kept>>, now: impl FnOnce() -> Instant) -> &mut Kept {
    kept.get_or_insert_with(|| Box::new(Kept { own: Own::default(), patience: Patience::new(now()) }))
}
