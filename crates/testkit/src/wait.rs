//! Waiting for a condition, with a deadline: never a sleep that hopes.

use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` finds something.
///
/// # Panics
/// It doesn't within that time; with `what`.
pub fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
