//! What a node may not say.

/// A node broke the rules of its link, which is to be cut: nothing of the record, or a part of it, has been carried out,
/// and `Table::link_lost` must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// A record about a connection that isn't open there.
    #[error("a record about a connection that isn't open there")]
    UnknownConnection,
    /// An answer to an open that nobody waits for.
    #[error("an answer to an open that nobody waits for")]
    NotOpening,
    /// The end of a connection that wasn't closed.
    #[error("the end of a connection that wasn't closed")]
    NotClosing,
    /// Something about the room by a number that means none.
    #[error("a room's number that wasn't declared")]
    UndeclaredRoom,
    /// A room's number beyond any that a node needs.
    #[error("a room's number that is too big")]
    RoomNumber,
    /// A number with members was given to another room.
    #[error("a room's number was given to another while somebody is in")]
    NumberInUse,
    /// Somebody entered a room by another number than those who are in it.
    #[error("somebody entered a room by another number than those who are in it")]
    TwoNumbers,
    /// An offset in a room that was declared without an epoch.
    #[error("an offset in a room without an epoch")]
    NoEpoch,
    /// A room of another tenant for a connection.
    #[error("a room of another tenant")]
    OtherTenant,
    /// Somebody entered a room twice.
    #[error("somebody entered a room twice")]
    EnteredTwice,
    /// A cast for some who aren't in the room alone.
    #[error("a cast for somebody who isn't in the room")]
    NotEntered,
}
