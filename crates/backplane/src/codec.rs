//! Messages as bytes: MessagePack arrays, each beginning with a version.
//!
//! Reading checks everything and trusts nothing: whatever comes in, it is a message or [`Garbage`], and never
//! costs more than its own length. Elements may be appended in later releases: a reader ignores those it doesn't
//! know. What it doesn't know of another kind is garbage, counted and left alone.

mod cluster;
mod live;
mod request;
mod wire;

pub(crate) use cluster::{read_cluster, write_cluster};
pub(crate) use live::{
    LiveReader, read_direct, read_stored, read_unread, write_direct, write_live, write_stored,
};
pub(crate) use request::{read_answer, read_request, write_answer, write_request};

/// The first element of every message. Another one is another language.
const VERSION: u64 = 1;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbage {
    /// Another version: a release that mustn't run beside this one, or a stranger.
    #[error("version {0}, not {VERSION}")]
    Version(u64),
    /// Not what stands here in this version.
    #[error("{0}")]
    Malformed(&'static str),
}

#[cfg(test)]
pub(crate) mod samples;
