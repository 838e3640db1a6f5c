//! The count that every live message of this node carries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts this node's live messages from 1, over all shards.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveCount(Arc<AtomicU64>);

impl LiveCount {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}
