//! The frames as values.
//!
//! One struct a frame, with the fields of its row in `docs/protocol.md`, in that order. Fields are
//! only ever appended. Which bytes stand for them is the codec's ([`crate::codec`]).

mod client;
mod result;
mod server;

pub use client::{Auth, BadPosition, Call, ClientFrame, History, Join, Leave, Members, Position, Pub, State};
pub use result::{AuthResult, HistoryResult, JoinResult, MembersResult, OkResult, PubResult, ResultFields};
pub use server::{
    Answer, Gap, GapReason, Goaway, Hello, Joined, Left, Limits, Member, Msg, Presence, Refusal, ServerFrame,
    Updated,
};

/// Longest `event`, in bytes.
pub const EVENT_MAX: usize = 64;
/// Longest `mid`, in bytes.
pub const MID_MAX: usize = 64;
/// Longest `method`, in bytes.
pub const METHOD_MAX: usize = 64;
/// Most that `last` and `limit` may ask for.
pub const PAGE_MAX: u32 = 1_000;
/// Biggest presence state, in bytes of its MessagePack form (whatever format it came in).
pub const STATE_MAX: usize = 1_024;
/// Numbers in frames are below this: what a double can hold exactly.
pub const UINT_END: u64 = 1 << 53;
