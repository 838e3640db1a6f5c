//! The bound on what waits for slow peers: all of it together has a budget, and when that is nearly spent the slowest give
//! way first. Who has connections looks every [`LOOK_EVERY`], and says which of them are behind.

use std::cmp::Reverse;
use std::time::Duration;

/// Between two looks. A queue grows by no more than its socket's peers publish meanwhile.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// At most so often it is said that memory runs short, and looked again where nothing could give way.
pub const TELL_EVERY: Duration = Duration::from_secs(1);

/// Connections that are emptied before others have their turn.
const AT_ONCE: usize = 64;

/// Bytes that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(pub u64);

impl Budget {
    /// Whether less than a tenth is left.
    #[must_use]
    pub fn is_near(self, used: u64) -> bool {
        used > self.0 / 10 * 9
    }

    /// Bytes that have to go until a fifth is left.
    #[must_use]
    pub fn beyond_goal(self, used: u64) -> u64 {
        used.saturating_sub(self.0 / 10 * 8)
    }
}

/// Empties the queues of connections that are behind, those with the most bytes first, until `is_enough`. `shed`: empties
/// one; the bytes that no longer wait for it. Returns how many gave way.
pub async fn empty_slowest<C>(
    mut behind: Vec<(usize, C)>,
    shed: impl Fn(&C) -> u64,
    is_enough: impl Fn() -> bool,
) -> u64 {
    behind.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
    let mut emptied = 0;
    for (at, (_, conn)) in behind.iter().enumerate() {
        if is_enough() {
            break;
        }
        emptied += u64::from(shed(conn) > 0);
        if at % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
    emptied
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn over_nine_tenths_it_is_brought_down_to_eight() {
        let budget = Budget(1_000);
        assert!(!budget.is_near(900) && budget.is_near(901));
        assert_eq!((budget.beyond_goal(800), budget.beyond_goal(801)), (0, 1));
        assert!(Budget(0).is_near(1) && Budget(0).beyond_goal(0) == 0);
    }

    #[tokio::test]
    async fn the_slowest_go_first_and_no_more_than_needed() {
        let gone = RefCell::new(Vec::new());
        let behind = vec![(1, "a"), (5, "b"), (3, "c"), (4, "d")];
        let shed = |name: &&'static str| {
            gone.borrow_mut().push(*name);
            u64::from(*name != "d")
        };
        assert_eq!(empty_slowest(behind, shed, || gone.borrow().len() == 3).await, 2);
        assert_eq!(*gone.borrow(), ["b", "d", "c"]);
    }
}
