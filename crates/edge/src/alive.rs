//! How much memory the frames of this process take. A frame is shared by all who get it, so no queue can tell.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A few, so that threads seldom meet at one.
const COUNTERS: usize = 8;

/// Alone on its cache lines: processors fetch them by pairs.
#[repr(align(128))]
struct Counter(AtomicU64);

static ALIVE: [Counter; COUNTERS] = [const { Counter(AtomicU64::new(0)) }; COUNTERS];

/// The threads that have come by.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Stands for a thread that hasn't come by.
const NONE: usize = usize::MAX;

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(NONE) };
}

/// A frame came to be that takes so many bytes.
pub(crate) fn add(bytes: usize) {
    mine().fetch_add(bytes as u64, Ordering::Relaxed);
}

/// A frame is gone that took so many bytes. Another thread may have made it: one counter may go below zero, their sum
/// doesn't.
pub(crate) fn subtract(bytes: usize) {
    mine().fetch_sub(bytes as u64, Ordering::Relaxed);
}

/// The bytes of all frames.
pub(crate) fn sum() -> u64 {
    let sum = ALIVE.iter().fold(0_u64, |sum, counter| sum.wrapping_add(counter.0.load(Ordering::Relaxed)));
    // Read one after the other: a frame may have been counted as gone only.
    u64::try_from(sum as i64).unwrap_or(0)
}

fn mine() -> &'static AtomicU64 {
    // Frames may be dropped while a thread's own values are already gone; that of a number isn't.
    let mine = MINE.get();
    let mine = if mine == NONE { assign() } else { mine };
    &ALIVE[mine % COUNTERS].0
}

#[cold]
fn assign() -> usize {
    let mine = THREADS.fetch_add(1, Ordering::Relaxed) % COUNTERS;
    MINE.set(mine);
    mine
}
