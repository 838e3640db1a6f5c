//! What Ringway says on the wire, and the words it says it in.
//!
//! This crate owns the frames of both directions, the rules for payloads, the JSON and the
//! MessagePack codec, the registry of codes and close codes, and the names and patterns that
//! every other part speaks of. It does no I/O, reads no clock, and keeps no state: bytes in,
//! values out, and back.
//!
//! | module | holds |
//! |---|---|
//! | [`name`] | tenant, room, user, key, connection …: text that was checked once |
//! | [`pattern`] | the room patterns of grants, classes, hooks and limits |
//! | [`code`] | what a refusal is called; [`close`]: how a WebSocket ends, and what to do then |
//! | [`payload`] | what applications send: a value or bytes, in one form per format |
//! | [`frame`] | the frames as values |
//! | [`codec`] | frames from and to bytes |
//!
//! Whatever it is given, decoding never panics, never recurses, and never allocates more than a
//! small multiple of the bytes that it was given.

pub mod close;
pub mod code;
pub mod codec;
pub mod frame;
mod json;
mod msgpack;
pub mod name;
pub mod pattern;
pub mod payload;
#[cfg(test)]
mod seeded;

pub use close::CloseCode;
pub use code::Code;
pub use codec::{
    DecodeError, Format, decode_client, decode_client_shared, decode_server, encode_client, encode_msg,
    encode_server,
};
pub use frame::{ClientFrame, ServerFrame};
pub use name::{
    ConnId, EpochName, GroupId, Key, NameError, PoolId, RoomName, SessionId, StoreName, TenantId, UserId,
};
pub use pattern::Pattern;
pub use payload::{Payload, PayloadError};
