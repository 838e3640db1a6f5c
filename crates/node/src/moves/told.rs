//! Who was told to move lately.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Nobody is told more often than once in this time: longer than a move takes, be it with all the tries of a client whose
/// new home can't be reached yet.
pub(super) const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The clients that were told within the last minute, by a hash of their sessions: a client that came back to this node,
/// since its home couldn't be reached, was told as well. As many as were told; a connection that wasn't costs nothing.
#[derive(Debug, Default)]
pub(super) struct Told {
    when: HashMap<u64, Instant>,
    /// In that order. One that was told again is in it twice, as long as the older time isn't a minute ago.
    order: VecDeque<(Instant, u64)>,
}

impl Told {
    /// When this client was told, if that is less than a minute ago.
    pub(super) fn lately(&self, who: u64, now: Instant) -> Option<Instant> {
        let when = *self.when.get(&who)?;
        (now.saturating_duration_since(when) < AGAIN_AFTER).then_some(when)
    }

    pub(super) fn note(&mut self, who: u64, now: Instant) {
        self.when.insert(who, now);
        self.order.push_back((now, who));
    }

    /// Forgets what was a minute ago.
    pub(super) fn tidy(&mut self, now: Instant) {
        while let Some(&(when, who)) = self.order.front()
            && now.saturating_duration_since(when) >= AGAIN_AFTER
        {
            self.order.pop_front();
            if self.when.get(&who) == Some(&when) {
                self.when.remove(&who);
            }
        }
        if self.when.is_empty() && self.when.capacity() > 0 {
            *self = Told::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_a_minute_and_no_longer() {
        let (mut told, start) = (Told::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        told.note(7, at(0));
        told.note(8, at(10));
        assert_eq!(told.lately(7, at(59)), Some(at(0)));
        assert_eq!((told.lately(7, at(60)), told.lately(9, at(5))), (None, None));
        told.note(7, at(61));
        told.tidy(at(69));
        assert_eq!((told.when.len(), told.order.len()), (2, 2), "the older word of 7 is forgotten, 7 isn't");
        assert_eq!(told.lately(7, at(70)), Some(at(61)));
        told.tidy(at(121));
        assert_eq!((told.when.capacity(), told.order.capacity()), (0, 0));
    }
}
