//! What a carrier counts, for metrics to export.

use std::sync::atomic::{AtomicU64, Ordering};

/// Plain counts since the handle was made. Each only rises.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that came in and could be read: live (but for what was published, which is read where it is needed),
    /// direct, cluster, questions and answers.
    pub received: Count,
    /// Messages handed to the carrier.
    pub sent: Count,
    /// Messages not sent: queue full, link away, too large.
    pub refused: Count,
    /// Messages that came in and couldn't be read; they were ignored. A broken publication counts where it was needed.
    pub garbage: Count,
    /// Incoming messages dropped because their receiver was behind, as far as they were told.
    pub slow: Count,
    /// Times the link came back.
    pub reconnects: Count,
}

/// One count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Its value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Raises it to `total`, where the carrier itself keeps the count.
    pub(crate) fn raise_to(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }
}
