//! Requests: sent now and after each reconnect, until they are answered or given up.

use std::time::Duration;

use bytes::Bytes;
use ringway_protocol::ClientFrame;
use ringway_protocol::frame::{Answer, Msg};

use super::{Action, Answered, Machine, Timer};
use crate::event::RequestError;

/// A request without an answer; outlives connections.
#[derive(Debug)]
pub(super) struct Waiting<R> {
    pub(super) bytes: Bytes,
    pub(super) to: R,
    deadline: Duration,
    pub(super) lines: Vec<Msg>,
}

impl<R> Machine<R> {
    /// A request: sent now and after each reconnect, until it is answered. A publication without
    /// a `mid` gets one, never used before, so that the server knows a repeat.
    pub(crate) fn request(&mut self, mut frame: ClientFrame, to: R, within: Duration, now: Duration) {
        let id = self.fresh_id();
        set_id(&mut frame, id);
        if let ClientFrame::Pub(publication) = &mut frame {
            publication.mid.get_or_insert_with(|| format!("{}-{id}", self.settings.prefix).into());
        }
        let bytes = self.encode(&frame);
        let size = bytes.len() as u64;
        let refusal = if self.closed {
            Some(RequestError::Closed)
        } else if self.waiting.len() >= self.settings.most_waiting {
            Some(RequestError::Busy)
        } else if size > self.frame_limit {
            Some(RequestError::TooBig { size, limit: self.frame_limit })
        } else {
            None
        };
        if let Some(error) = refusal {
            return self.actions.push_back(Action::Reply { to, answer: Err(error) });
        }
        let deadline = now + within;
        self.timers.insert((deadline, Timer::Answer { id }));
        self.waiting.insert(id, Waiting { bytes: bytes.clone(), to, deadline, lines: Vec::new() });
        self.send_current(bytes);
    }

    pub(super) fn settle(&mut self, id: u64, answer: Result<Answer, RequestError>) {
        let Some(waiting) = self.waiting.remove(&id) else { return };
        self.timers.remove(&(waiting.deadline, Timer::Answer { id }));
        let answer = answer.map(|answer| Answered { answer, lines: waiting.lines });
        self.actions.push_back(Action::Reply { to: waiting.to, answer });
    }

    /// The server cut us off for a frame that was too big: the biggest isn't sent again.
    pub(super) fn give_up_biggest(&mut self) {
        let biggest = self.waiting.iter().max_by_key(|(_, waiting)| waiting.bytes.len());
        if let Some((id, size)) = biggest.map(|(id, waiting)| (*id, waiting.bytes.len() as u64)) {
            self.settle(id, Err(RequestError::TooBig { size, limit: self.frame_limit }));
        }
    }
}

fn set_id(frame: &mut ClientFrame, id: u64) {
    let place = match frame {
        ClientFrame::Join(frame) => &mut frame.id,
        ClientFrame::Leave(frame) => &mut frame.id,
        ClientFrame::Pub(frame) => &mut frame.id,
        ClientFrame::State(frame) => &mut frame.id,
        ClientFrame::Members(frame) => &mut frame.id,
        ClientFrame::History(frame) => &mut frame.id,
        ClientFrame::Auth(frame) => &mut frame.id,
        ClientFrame::Call(frame) => &mut frame.id,
        ClientFrame::Ping { id } => id,
    };
    *place = Some(id);
}
