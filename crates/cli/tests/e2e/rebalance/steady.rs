//! Whether the machine gave everybody its turn: on one that doesn't, what a test sees is what happens when nodes don't
//! answer in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Who is late by more than this is on a machine on which nodes may be late by a second.
const LATE: Duration = Duration::from_millis(250);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Watches from its making to its end.
pub(crate) struct Steady {
    /// How late it was at worst, in milliseconds.
    worst: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Steady {
    pub(crate) fn watch() -> Self {
        let steady = Self { worst: Arc::default(), ended: Arc::default() };
        let (worst, ended) = (Arc::clone(&steady.worst), Arc::clone(&steady.ended));
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let since = Instant::now();
                thread::sleep(LOOK_EVERY);
                let late = since.elapsed().saturating_sub(LOOK_EVERY).as_millis();
                worst.fetch_max(late as u64, Ordering::Relaxed);
            }
        });
        steady
    }

    pub(crate) fn was(&self) -> bool {
        u128::from(self.worst.load(Ordering::Relaxed)) < LATE.as_millis()
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
