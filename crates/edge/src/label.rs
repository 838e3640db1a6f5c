//! What a frame says about itself for the case that its connection is behind: whose it is, and what may become of it.

use std::fmt;
use std::sync::Arc;

use ringway_protocol::name::Key;

use crate::frame::{COUNTS, Frame};

/// What may become of a frame that waits for a peer that is behind. A frame without a [`Label`] is never left out: for
/// it every frame with one gives way, and where it still finds no room, the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Where there is no room for more, the oldest are left out.
    DropOldest,
    /// A newer frame of the same feed and key replaces it, and goes to the queue's end; and where there is no room for
    /// more, or more than [`KEYS_LIMIT`](crate::KEYS_LIMIT) keys of the feed wait, the oldest are left out.
    Conflate,
}

/// A frame's place among those of its feed.
#[derive(Clone, Debug)]
pub struct Label {
    /// Whose frame it is.
    pub feed: Arc<dyn Feed>,
    /// What may become of it.
    pub policy: Policy,
    /// Its number in the feed, rising. None: it has none, and its loss can only be counted.
    pub offset: Option<u64>,
    /// When it was published, milliseconds since 1970.
    pub ts: u64,
    /// What it is a value of; all frames without a key are values of one thing.
    pub key: Option<Key>,
}

impl Label {
    /// What it takes of memory, in bytes, its key included.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Label>() + COUNTS + self.key.as_ref().map_or(0, |key| key.as_str().len() + COUNTS)
    }
}

/// A sequence of numbered frames in which something may be left out, such as a room's publications of one epoch. Two
/// labels are of one feed if they hold the same `Arc`. All of it is called while a connection is locked: it may not
/// touch any connection.
pub trait Feed: Send + Sync + fmt::Debug {
    /// The frame that tells a peer of a loss. Called right before it is written, once for each loss; it is never left
    /// out.
    fn gap(&self, lost: Lost) -> Frame;
    /// So many frames were left out for one peer. Those without a number are among them, though no gap tells of them.
    fn dropped(&self, frames: u64);
    /// So many frames were replaced by newer ones of their key, for one peer.
    fn conflated(&self, frames: u64);
}

/// What a peer lost of one feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Up to this number nothing more comes of what hasn't come.
    pub offset: u64,
    /// When that was published, milliseconds since 1970.
    pub ts: u64,
    /// How many frames were left out since the last such word. What a newer one replaced isn't counted.
    pub frames: u64,
    /// Whether the peer speaks text frames.
    pub text: bool,
}
