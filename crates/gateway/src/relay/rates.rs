//! What one client may send, and how long it waits for its refusals: what a gateway decides before a frame goes to a node.
//! Rates of the user and of the tenant are the home node's.

use std::time::{Duration, Instant};

use ringway_config::ConnectionLimits;
use ringway_limits::{Claim, Exceeded, Own, Patience};

/// What is kept of a client that used a rate of its own, or was refused something. There once it was.
#[derive(Debug)]
pub(crate) struct Kept {
    own: Own,
    patience: Patience,
}

/// Why a frame isn't passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch {
    /// For people.
    pub(crate) whose: &'static str,
    /// How long the client waits for the answer.
    pub(crate) wait: Duration,
    /// After which time from then on it would be passed on. None: never.
    pub(crate) retry: Option<Duration>,
}

impl Kept {
    pub(crate) fn new(now: Instant) -> Self {
        Self { own: Own::default(), patience: Patience::new(now) }
    }

    /// What comes now was read at another time.
    pub(crate) fn read(&mut self) {
        self.patience.read();
    }

    /// So many were refused by others meanwhile: how long the client's next frame waits.
    pub(crate) fn were_told(&mut self, now: Instant, count: u32) -> Duration {
        self.patience.were_told(now, count)
    }

    /// Takes a frame of so many bytes from the connection's own rates, or nothing from any.
    pub(crate) fn spend(
        &mut self,
        limits: ConnectionLimits,
        bytes: usize,
        publishes: bool,
        now: Instant,
    ) -> Result<(), TooMuch> {
        let size = u32::try_from(bytes).unwrap_or(u32::MAX);
        let claims = self.own.claims(limits, size, u32::from(publishes));
        let Err(Exceeded { whose, retry }) = Claim::take_all(&claims, now) else { return Ok(()) };
        let wait = self.patience.too_much(now, retry);
        // From when it is told. What was true is rounded up, so that it stays true.
        let retry = retry.map(|retry| retry.saturating_sub(wait).max(Duration::from_millis(1)));
        Err(TooMuch { whose, wait, retry })
    }
}

#[cfg(test)]
mod tests {
    use ringway_config::Quota;

    use super::*;

    fn slow(burst: u32) -> Option<Quota> {
        Some(Quota { per_second: 1, burst })
    }

    fn through(limits: ConnectionLimits, publishes: bool) -> usize {
        let now = Instant::now();
        let mut kept = Kept::new(now);
        (0..100).take_while(|_| kept.spend(limits, 10, publishes, now).is_ok()).count()
    }

    #[test]
    fn each_rate_holds_alone_and_what_is_no_publication_uses_bytes() {
        assert_eq!(through(ConnectionLimits::default(), true), 100);
        assert_eq!(through(ConnectionLimits { publish: slow(4), bytes: None }, true), 4);
        assert_eq!(through(ConnectionLimits { publish: slow(4), bytes: None }, false), 100);
        assert_eq!(through(ConnectionLimits { publish: None, bytes: slow(70) }, false), 7);
    }

    #[test]
    fn what_one_rate_refuses_uses_none_of_the_other() {
        let now = Instant::now();
        let mut kept = Kept::new(now);
        let limits = ConnectionLimits { publish: slow(2), bytes: slow(100) };
        let publishing = (0..50).filter(|_| kept.spend(limits, 10, true, now).is_ok()).count();
        let others = (0..50).filter(|_| kept.spend(limits, 10, false, now).is_ok()).count();
        assert_eq!((publishing, others), (2, 8));
    }

    #[test]
    fn the_first_refusal_comes_at_once_and_who_goes_on_regardless_waits() {
        let now = Instant::now();
        let mut kept = Kept::new(now);
        let limits = ConnectionLimits { publish: slow(1), bytes: None };
        kept.spend(limits, 10, true, now).expect("the first");
        let first = kept.spend(limits, 10, true, now).expect_err("too much");
        assert_eq!((first.wait, first.retry), (Duration::ZERO, Some(Duration::from_secs(1))));
        let second = kept.spend(limits, 10, true, now).expect_err("too much");
        assert_eq!((second.wait, second.retry), (Duration::from_secs(1), Some(Duration::from_millis(1))));
        let never = ConnectionLimits { publish: Some(Quota { per_second: 0, burst: 1 }), bytes: None };
        assert_eq!(kept.spend(never, 10, true, now).expect_err("too much").retry, None);
    }
}
