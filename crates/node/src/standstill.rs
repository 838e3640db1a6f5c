//! Whether this process can speak for its node: one that stood still may have been replaced meanwhile, by a node that was
//! started under its name.
//!
//! A shard that went on at once would answer what was asked of that name while it stood still, and had been answered by the
//! other. So the shards wait, before anything else, until all that was said about the cluster meanwhile has been heard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A node that stood still for longer than this may have been taken for dead: others may number its rooms.
pub(crate) const PAUSE: Duration = Duration::from_millis(1_500);

/// How often who waits looks whether it was noticed that the process stood still.
const UNNOTICED: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Standstill {
    began: Instant,
    /// When the process was last seen to run: milliseconds since it began.
    ran_ms: AtomicU64,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sure,
    Unsure,
    Over,
}

impl Standstill {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), ran_ms: AtomicU64::new(0), state: watch::Sender::new(State::Sure) }
    }

    /// The process runs. To be said several times a second.
    pub(crate) fn runs(&self) {
        self.ran_ms.store(self.now_ms(), Ordering::Release);
    }

    /// For how long it hasn't been seen to run.
    pub(crate) fn since(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.ran_ms.load(Ordering::Acquire)))
    }

    /// It was noticed that the process stood still.
    pub(crate) fn doubt(&self) {
        self.become_unless_over(State::Unsure);
    }

    /// Nobody has replaced the node.
    pub(crate) fn settle(&self) {
        self.become_unless_over(State::Sure);
    }

    /// Another node has its name: this one is over.
    pub(crate) fn end(&self) {
        self.state.send_replace(State::Over);
    }

    /// Whether the node may go on now.
    pub(crate) fn is_sure(&self) -> bool {
        self.since() <= PAUSE && *self.state.borrow() == State::Sure
    }

    /// Waits until it may go on. False: it is over.
    pub(crate) async fn sure(&self) -> bool {
        let mut state = self.state.subscribe();
        while !self.is_sure() {
            if *state.borrow_and_update() == State::Over {
                return false;
            }
            // The sender is here.
            let _ = tokio::time::timeout(UNNOTICED, state.changed()).await;
        }
        true
    }

    fn become_unless_over(&self, next: State) {
        self.state.send_if_modified(|state| {
            let changes = *state != State::Over && *state != next;
            if changes {
                *state = next;
            }
            changes
        });
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn who_waits_goes_on_when_it_is_sure_and_ends_when_it_is_over() {
        let standstill = Arc::new(Standstill::new());
        assert!(standstill.sure().await);
        let waiting = || {
            tokio::spawn({
                let standstill = Arc::clone(&standstill);
                async move { standstill.sure().await }
            })
        };
        standstill.doubt();
        assert!(!standstill.is_sure());
        let (one, two) = (waiting(), waiting());
        standstill.runs();
        standstill.settle();
        assert!(one.await.unwrap() && two.await.unwrap());
        standstill.doubt();
        let one = waiting();
        standstill.end();
        standstill.settle();
        assert!(!one.await.unwrap());
        assert!(!standstill.is_sure());
    }

    #[tokio::test]
    async fn a_pause_that_nobody_has_noticed_yet_counts() {
        let standstill = Arc::new(Standstill { began: Instant::now() - PAUSE * 2, ..Standstill::new() });
        assert!(!standstill.is_sure());
        let waiting = tokio::spawn({
            let standstill = Arc::clone(&standstill);
            async move { standstill.sure().await }
        });
        standstill.runs();
        assert!(waiting.await.unwrap());
    }
}
