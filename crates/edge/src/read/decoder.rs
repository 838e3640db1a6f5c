//! From a peer's bytes to messages: the receiving half of RFC 6455, without a socket.
//!
//! It is fed whatever came, in pieces of any size, unmasks in place and hands out whole messages.
//! A message that lies complete in one piece is never copied. Kept between two pieces are only
//! the bytes of what is unfinished; when nothing is, nothing is allocated.

use std::ops::ControlFlow;

use ringway_protocol::CloseCode;

use super::head::{self, HEAD_LIMIT, Head, Opcode, Violation};
use super::mask::unmask;

/// Frames that one message may come in. An honest client sends one; a library that fragments by
/// 1 KiB needs 64 for the largest message. Without a bound, a peer could keep a connection busy
/// for ever with fragments of no bytes.
const FRAGMENT_LIMIT: u16 = 1_024;

/// A whole message from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message; always valid UTF-8.
    Text(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
}

/// What comes out of the decoder. Pongs don't: that bytes came at all is what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Message(Message<'a>),
    Ping(&'a [u8]),
    /// The last event of a connection; nothing after it is looked at.
    Close(Option<CloseCode>),
}

/// Whom events are handed to; `Break` ends the connection's input.
pub(crate) type Sink<'s> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 's;

#[derive(Debug)]
pub(crate) struct Decoder {
    /// The message under way (its first `message` bytes, unmasked), and after it whatever else is
    /// unfinished: the beginning of a head, or a part of a control frame's payload.
    held: Vec<u8>,
    message: u32,
    /// The most bytes that a message may have, over all its fragments.
    limit: u32,
    /// Frames of the message under way, 0 between messages.
    fragments: u16,
    /// Whether the message under way is text.
    text: bool,
    from: Peer,
    frame: Option<Frame>,
}

/// Whose bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A client's, each frame with a mask.
    Client,
    /// Those of the other end of a link, without.
    Link,
    /// Nobody's any more: closed, or broken.
    Nobody,
}

/// The frame whose payload is being read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    /// Payload bytes still to come.
    left: u32,
    /// The mask, turned so that its first byte belongs to the next payload byte.
    mask: [u8; 4],
}

impl Decoder {
    pub(crate) fn new(limit: u32, from: Peer) -> Decoder {
        Decoder { held: Vec::new(), message: 0, limit, fragments: 0, text: false, from, frame: None }
    }

    /// Takes in what came. `input` is unmasked in place, so it holds nothing of use afterwards.
    pub(crate) fn feed(&mut self, input: &mut [u8], sink: &mut Sink<'_>) -> Result<(), Violation> {
        let result = self.consume(input, sink);
        if result.is_err() {
            self.finish();
        }
        result
    }

    /// Bytes kept for what is unfinished.
    #[cfg(test)]
    fn kept(&self) -> usize {
        self.held.capacity()
    }

    fn consume(&mut self, mut input: &mut [u8], sink: &mut Sink<'_>) -> Result<(), Violation> {
        while self.from != Peer::Nobody {
            let frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.next_head(input)? {
                    Some((head, used)) => {
                        input = &mut input[used..];
                        self.begin(head)?
                    }
                    None => return Ok(()),
                },
            };
            let here = input.len().min(frame.left as usize);
            let (payload, rest) = input.split_at_mut(here);
            input = rest;
            if frame.mask != [0; 4] {
                unmask(payload, frame.mask);
            }
            if here < frame.left as usize {
                self.keep(payload, self.held.len() + frame.left as usize);
                let mut mask = frame.mask;
                mask.rotate_left(here % 4);
                self.frame = Some(Frame { left: frame.left - here as u32, mask, ..frame });
                return Ok(());
            }
            let flow = if frame.opcode.is_control() {
                self.end_control(frame.opcode, payload, sink)?
            } else {
                self.end_data(frame.fin, payload, sink)?
            };
            if flow.is_break() {
                self.finish();
            }
        }
        Ok(())
    }

    /// The next head, and how many bytes of `input` belong to it; the beginning of one is kept.
    fn next_head(&mut self, input: &[u8]) -> Result<Option<(Head, usize)>, Violation> {
        let room = self.limit - self.message;
        let masked = self.from == Peer::Client;
        let kept = self.held.len() - self.message as usize;
        if kept == 0 {
            let found = head::parse(input, room, masked)?;
            if found.is_none() && !input.is_empty() {
                self.held.extend_from_slice(input);
            }
            return Ok(found);
        }
        let mut joined = [0; HEAD_LIMIT];
        let more = input.len().min(HEAD_LIMIT - kept);
        joined[..kept].copy_from_slice(&self.held[self.message as usize..]);
        joined[kept..kept + more].copy_from_slice(&input[..more]);
        match head::parse(&joined[..kept + more], room, masked)? {
            Some((head, used)) => {
                self.forget_tail();
                Ok(Some((head, used - kept)))
            }
            None => {
                self.held.extend_from_slice(&input[..more]);
                Ok(None)
            }
        }
    }

    /// Judges a frame by its head and its place among the others (RFC 6455 §5.4).
    fn begin(&mut self, head: Head) -> Result<Frame, Violation> {
        match head.opcode {
            Opcode::Continuation if self.fragments == 0 => {
                return Err(Violation::protocol("Continuation of nothing"));
            }
            Opcode::Text | Opcode::Binary if self.fragments > 0 => {
                return Err(Violation::protocol("A message inside a message"));
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                if self.fragments == FRAGMENT_LIMIT {
                    return Err(Violation::policy("Too many fragments"));
                }
                if self.fragments == 0 {
                    self.text = head.opcode == Opcode::Text;
                }
                self.fragments += 1;
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        Ok(Frame { opcode: head.opcode, fin: head.fin, left: head.length, mask: head.mask })
    }

    fn end_control(
        &mut self,
        opcode: Opcode,
        payload: &mut [u8],
        sink: &mut Sink<'_>,
    ) -> Result<ControlFlow<()>, Violation> {
        let kept = self.held.len() > self.message as usize;
        if kept {
            self.held.extend_from_slice(payload);
        }
        let payload = if kept { &self.held[self.message as usize..] } else { &*payload };
        let flow = match opcode {
            Opcode::Close => {
                let code = close_code(payload)?;
                let _ = sink(Event::Close(code));
                ControlFlow::Break(())
            }
            Opcode::Ping => sink(Event::Ping(payload)),
            _ => ControlFlow::Continue(()),
        };
        if kept {
            self.forget_tail();
        }
        Ok(flow)
    }

    fn end_data(
        &mut self,
        fin: bool,
        payload: &mut [u8],
        sink: &mut Sink<'_>,
    ) -> Result<ControlFlow<()>, Violation> {
        if !fin {
            self.keep(payload, self.limit as usize);
            self.message = self.held.len() as u32;
            return Ok(ControlFlow::Continue(()));
        }
        let whole = if self.held.is_empty() {
            &*payload
        } else {
            self.keep(payload, 0);
            &self.held[..]
        };
        if self.text && std::str::from_utf8(whole).is_err() {
            return Err(Violation::not_utf8("Text is not UTF-8"));
        }
        let message = if self.text { Message::Text(whole) } else { Message::Binary(whole) };
        let flow = sink(Event::Message(message));
        self.held = Vec::new();
        self.message = 0;
        self.fragments = 0;
        Ok(flow)
    }

    /// Keeps a part of a payload. Grows by doubling, so with what has come and not with what was
    /// announced, but not beyond `ceiling`, what there can be at most.
    fn keep(&mut self, part: &[u8], ceiling: usize) {
        let needed = self.held.len() + part.len();
        if needed > self.held.capacity() {
            let aim = (self.held.capacity() * 2).min(ceiling).max(needed);
            self.held.reserve_exact(aim - self.held.len());
        }
        self.held.extend_from_slice(part);
    }

    fn forget_tail(&mut self) {
        self.held.truncate(self.message as usize);
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    fn finish(&mut self) {
        self.from = Peer::Nobody;
        self.held = Vec::new();
        self.message = 0;
        self.frame = None;
    }
}

/// The code of a close frame's payload, none of an empty one.
fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Violation::protocol("Close frame of one byte")),
        [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
    };
    if !code.may_be_sent() {
        return Err(Violation::protocol("Close code that may not be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation::not_utf8("Close reason is not UTF-8"));
    }
    Ok(Some(code))
}

#[cfg(test)]
mod tests;
