//! Frames from and to bytes, in both formats and both directions.
//!
//! Reading judges a message in this order: is it JSON, or MessagePack, at all ([`DecodeError::Unreadable`]);
//! is it a frame of a type that is known; are its fields there and of their kinds. A message that
//! is readable but not a frame keeps its id where there is one, so that the answer finds its
//! question. How big a message may be is for whoever receives it to say: both formats are counted
//! as received.

mod answer;
mod client;
mod field;
mod json;
mod msgpack;
mod result;
mod server;

pub use answer::{Answered, answer_id};
use bytes::Bytes;
use field::{Fault, Field, Row, Take, required};

use crate::code::Code;
use crate::frame::{ClientFrame, Msg, ServerFrame};
use crate::payload::Source;

/// The two forms of every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text messages; also for a client that names no subprotocol.
    Json,
    /// Binary messages; what SDKs ask for.
    Msgpack,
}

impl Format {
    /// The format's WebSocket subprotocol.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "ringway.v1.json",
            Self::Msgpack => "ringway.v1.msgpack",
        }
    }

    /// The format that a subprotocol names, compared byte by byte.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        [Self::Json, Self::Msgpack].into_iter().find(|format| format.subprotocol() == name)
    }
}

/// Why bytes aren't a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// JSON or MessagePack, but not a frame that can be carried out: answer `err`.
    #[error("{code}: {message}")]
    Frame {
        /// What to answer.
        code: Code,
        /// The frame's id, where it could be read.
        id: Option<u64>,
        /// What was wrong, for people.
        message: String,
    },
    /// Not JSON, or not MessagePack, at all: close with [`crate::CloseCode::UNREADABLE`].
    #[error("not readable at all")]
    Unreadable,
}

impl DecodeError {
    fn new(id: Option<u64>, fault: Fault) -> Self {
        match fault {
            Fault::Unreadable => Self::Unreadable,
            Fault::Frame(inner) => {
                let (code, message) = *inner;
                Self::Frame { code, id, message }
            }
        }
    }
}

/// Reads a frame from a client. What is kept of `bytes` is copied, once.
///
/// # Errors
/// What to answer, or that the connection has to be closed.
pub fn decode_client(format: Format, bytes: &[u8]) -> Result<ClientFrame, DecodeError> {
    match format {
        Format::Json => client_json(bytes),
        Format::Msgpack => client_msgpack(Source::Slice(bytes)),
    }
}

/// As [`decode_client`], but a MessagePack payload that is canonical already is a slice of `bytes`,
/// which it keeps in memory: for buffers that hold little else.
///
/// # Errors
/// As [`decode_client`].
pub fn decode_client_shared(format: Format, bytes: &Bytes) -> Result<ClientFrame, DecodeError> {
    match format {
        Format::Json => client_json(bytes),
        Format::Msgpack => client_msgpack(Source::Shared(bytes)),
    }
}

/// Reads a frame from a server; none: of a type that this release doesn't know, to be ignored.
///
/// # Errors
/// Where it isn't a frame.
pub fn decode_server(format: Format, bytes: &[u8]) -> Result<Option<ServerFrame>, DecodeError> {
    match format {
        Format::Json => server_json(bytes),
        Format::Msgpack => server_msgpack(Source::Slice(bytes)),
    }
}

fn client_msgpack(source: Source<'_>) -> Result<ClientFrame, DecodeError> {
    from_msgpack(
        source,
        |kind| client::Kind::of_number(kind).ok_or_else(|| unknown(&kind.to_string())),
        client::take,
    )
}

fn server_msgpack(source: Source<'_>) -> Result<Option<ServerFrame>, DecodeError> {
    from_msgpack(
        source,
        |kind| Ok(server::Kind::of_number(kind)),
        |kind, id, elements| kind.map(|kind| server::take(kind, id, elements)).transpose(),
    )
}

fn client_json(bytes: &[u8]) -> Result<ClientFrame, DecodeError> {
    from_json(bytes, |kind| client::Kind::of_name(kind).ok_or_else(|| unknown(kind)), client::take)
}

fn server_json(bytes: &[u8]) -> Result<Option<ServerFrame>, DecodeError> {
    from_json(
        bytes,
        |kind| Ok(server::Kind::of_name(kind)),
        |kind, id, object| kind.map(|kind| server::take(kind, id, object)).transpose(),
    )
}

#[cold]
fn unknown(kind: &str) -> Fault {
    let kind: String = kind.chars().take(32).collect();
    Fault::new(Code::UnknownFrame, format!("no frame of type `{kind}` is known here"))
}

#[inline]
fn from_msgpack<'a, K, F>(
    source: Source<'a>,
    kind: impl FnOnce(u64) -> Result<K, Fault>,
    take: impl FnOnce(K, Option<u64>, &mut msgpack::Elements<'a>) -> Result<F, Fault>,
) -> Result<F, DecodeError> {
    let mut known_id = None;
    let read = || {
        let mut elements = msgpack::Elements::open(source)?;
        let number = elements.kind();
        let id = elements.uint(Field::Id);
        known_id = *id.as_ref().unwrap_or(&None);
        let frame = take(kind(number?)?, id?, &mut elements)?;
        elements.finish()?;
        Ok(frame)
    };
    read().map_err(|fault| {
        // What is behind the fault hasn't been looked at yet.
        let fault = if msgpack::is_msgpack(source.bytes()) { fault } else { Fault::Unreadable };
        DecodeError::new(known_id, fault)
    })
}

#[inline]
fn from_json<'a, K, F>(
    bytes: &'a [u8],
    kind: impl FnOnce(&str) -> Result<K, Fault>,
    take: impl FnOnce(K, Option<u64>, &mut json::Object<'a>) -> Result<F, Fault>,
) -> Result<F, DecodeError> {
    let mut known_id = None;
    let read = || {
        let mut object = json::open(bytes)?;
        let id = object.uint(Field::Id);
        known_id = *id.as_ref().unwrap_or(&None);
        let kind = kind(&required(Field::T, object.text(Field::T)?)?)?;
        take(kind, id?, &mut object)
    };
    read().map_err(|fault| DecodeError::new(known_id, fault))
}

/// Appends a client's frame.
pub fn encode_client(format: Format, frame: &ClientFrame, out: &mut Vec<u8>) {
    encode(format, client::Kind::of(frame) as u8, frame.kind(), frame.id(), frame, out);
}

/// Appends a server's frame. Never fails.
pub fn encode_server(format: Format, frame: &ServerFrame, out: &mut Vec<u8>) {
    encode(format, server::Kind::of(frame) as u8, frame.kind(), server::id(frame), frame, out);
}

/// Appends a `msg` without wrapping it into a [`ServerFrame`] first.
pub fn encode_msg(format: Format, msg: &Msg, out: &mut Vec<u8>) {
    encode(format, server::Kind::Msg as u8, "msg", msg.id, msg, out);
}

#[inline]
fn encode<R: Row>(format: Format, number: u8, name: &str, id: Option<u64>, frame: &R, out: &mut Vec<u8>) {
    match format {
        Format::Json => {
            let mut object = json::ObjectOut::begin(out, name, id);
            frame.put(&mut object);
            object.finish();
        }
        Format::Msgpack => {
            let mut elements = msgpack::ElementsOut::begin(out, number, id);
            frame.put(&mut elements);
            elements.finish();
        }
    }
}
