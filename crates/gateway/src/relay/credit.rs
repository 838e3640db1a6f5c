//! When a node is told that what it sent to one client alone has left: lazily, since each telling is a record.
//!
//! At once where much has gone out and the socket keeps up; a client that is behind is looked at again and again until it
//! has taken what it was sent. Less than what is worth telling may stay untold for ever: a node reckons with it.

use std::time::Duration;

/// From so many bytes on a node is told.
pub(crate) const WORTH_TELLING: u32 = 16 * 1024;

/// Between two looks at clients that are behind: a node paces what it sends to them by this.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);
