//! Publications that nobody has looked into yet.

use std::sync::Arc;

use bytes::Bytes;

use super::{LiveBody, Publication};
use crate::{Counters, codec};

/// A publication as it came. Much of what a node hears is of rooms that nobody there is in: whoever has no use for it
/// is spared reading it. Whoever has, [reads](LiveBody::read) it soon: it keeps alive what it was received into.
#[derive(Clone, Debug)]
pub struct Unread(pub(crate) Bytes);

/// Bytes that may be a publication's.
impl From<Bytes> for Unread {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Unread {
    /// At most this many bytes on the wire.
    #[must_use]
    pub fn wire_bound(&self) -> usize {
        self.0.len()
    }

    /// What was published. `None`: it is no publication, which counts as garbage.
    #[must_use]
    pub fn read(&self, counters: &Counters) -> Option<Arc<Publication>> {
        match codec::read_unread(&self.0) {
            Ok(read) => Some(Arc::new(read)),
            Err(garbage) => {
                counters.garbage.add(1);
                tracing::debug!(%garbage, "a publication that can't be read was ignored");
                None
            }
        }
    }
}

impl LiveBody {
    /// What came unread, read; all else as it is. `None`: it is no publication. That counts as garbage, and the whole
    /// message is to be ignored.
    #[must_use]
    pub fn read(self, counters: &Counters) -> Option<LiveBody> {
        let LiveBody::Unread { epoch, offset, publication } = self else { return Some(self) };
        let publication = publication.read(counters)?;
        Some(LiveBody::Publication { epoch, offset, publication })
    }
}

/// Equal are those that say the same, read or not.
impl PartialEq for LiveBody {
    fn eq(&self, other: &LiveBody) -> bool {
        use LiveBody::{Forgotten, Mark, MarkKeys, Publication, Signal, Stored, Unread};
        match (self, other) {
            (
                Publication { epoch, offset, .. } | Unread { epoch, offset, .. },
                Publication { epoch: e, offset: o, .. } | Unread { epoch: e, offset: o, .. },
            ) => (epoch, offset) == (e, o) && self.published() == other.published(),
            (Mark { epoch, offset }, Mark { epoch: e, offset: o }) => (epoch, offset) == (e, o),
            (MarkKeys { epoch, keys }, MarkKeys { epoch: e, keys: k }) => (epoch, keys) == (e, k),
            (Stored(one), Stored(two)) => {
                let place = |of: &super::Stored| (of.stream.clone(), of.offset, of.prev, of.ts);
                place(one) == place(two) && self.published() == other.published()
            }
            (Signal(one), Signal(two)) => one == two,
            (Forgotten { epoch, offset, ts }, Forgotten { epoch: e, offset: o, ts: t }) => {
                (epoch, offset, ts) == (e, o, t)
            }
            _ => false,
        }
    }
}

impl LiveBody {
    /// What was published; of what can't be read, the bytes.
    fn published(&self) -> Option<Result<Arc<Publication>, &Bytes>> {
        match self {
            LiveBody::Publication { publication, .. } | LiveBody::Signal(publication) => {
                Some(Ok(Arc::clone(publication)))
            }
            LiveBody::Unread { publication: Unread(bytes), .. }
            | LiveBody::Stored(super::Stored { publication: Unread(bytes), .. }) => {
                Some(codec::read_unread(bytes).map(Arc::new).map_err(|_| bytes))
            }
            LiveBody::Mark { .. } | LiveBody::MarkKeys { .. } | LiveBody::Forgotten { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Epoch;

    fn body(bytes: &'static [u8]) -> LiveBody {
        let epoch = Epoch { ms: 1, node: 2, random: 3 };
        LiveBody::Unread { epoch, offset: 4, publication: Bytes::from_static(bytes).into() }
    }

    #[test]
    fn what_cant_be_read_is_garbage_when_somebody_looks() {
        let counters = Counters::default();
        for (number, bytes) in [&b""[..], b"\x93\x01", b"\xc1", b"hello"].into_iter().enumerate() {
            let unread = body(bytes);
            assert_eq!(counters.garbage.get(), number as u64);
            assert_eq!(unread.read(&counters), None);
            assert_eq!(counters.garbage.get(), number as u64 + 1);
        }
    }

    #[test]
    fn what_neednt_be_read_stays_as_it_is() {
        let counters = Counters::default();
        for message in codec::samples::live() {
            assert_eq!(message.body.clone().read(&counters), Some(message.body));
        }
        assert_eq!(counters.garbage.get(), 0);
    }

    #[test]
    fn what_cant_be_read_is_like_the_same_bytes_only() {
        assert_eq!(body(b"\xc1"), body(b"\xc1"));
        assert_ne!(body(b"\xc1"), body(b"\xc0"));
        assert_ne!(body(b"\xc1"), codec::samples::live().remove(0).body);
    }
}
