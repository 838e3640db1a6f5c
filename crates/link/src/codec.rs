//! Records as bytes: each a MessagePack array, its kind first, then the fields in the order of the type's own.
//!
//! An array may be longer than this release knows: what follows the last known field is passed over, so that fields can
//! be appended. A kind that isn't known is an error: whoever adds one says another version in [`hello`](crate::hello).
//!
//! Frames for clients are looked at here, once: who gets them writes them to sockets as they are, so half a frame would
//! make nonsense of everything behind it.

mod down;
mod up;
mod whole;
mod wire;

pub use down::{decode_down, encode_down};
pub use up::{decode_up, encode_up};

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// It ends too early or too late, or isn't what a record is made of.
    #[error("a record that can't be read")]
    Unreadable,
    /// A kind that this release doesn't know.
    #[error("a record of an unknown kind, {0}")]
    Unknown(u64),
    /// A field that breaks its rule.
    #[error("a record's {0} is wrong")]
    Field(&'static str),
}

#[cfg(test)]
mod tests;
