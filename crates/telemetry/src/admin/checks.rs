//! Whether the process can serve: a few questions, asked anew each time.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

/// A question: fine, or why not.
type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A question of what works, but not as it should.
type Notice = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// Why a process isn't ready, or what should be looked at though it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The check that says no, such as `nats`.
    pub check: &'static str,
    /// Its reason, for people.
    pub reason: String,
}

/// The questions of a process. A clone is the same questions.
#[derive(Clone, Default)]
pub struct Checks(Arc<Questions>);

#[derive(Default)]
struct Questions {
    checks: RwLock<Vec<(&'static str, Check)>>,
    notices: RwLock<Vec<(&'static str, Notice)>>,
}

impl Checks {
    /// No questions yet: ready.
    #[must_use]
    pub fn new() -> Self {
        Checks::default()
    }

    /// Adds a question. It is asked on a runtime's thread, so it looks at what others found out and never waits.
    pub fn add(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.0.checks.write().push((name, Box::new(check)));
    }

    /// Adds a question of what should be looked at by people, though it works. It never makes a process unready, and it,
    /// too, never waits.
    pub fn notice(&self, name: &'static str, notice: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        self.0.notices.write().push((name, Box::new(notice)));
    }

    /// Asks for everything that works, but not as it should.
    #[must_use]
    pub fn notices(&self) -> Vec<Failure> {
        let notices = self.0.notices.read();
        let told = notices
            .iter()
            .flat_map(|(check, ask)| ask().into_iter().map(move |reason| Failure { check, reason }));
        told.collect()
    }

    /// Asks all of them; empty: ready.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        let checks = self.0.checks.read();
        checks.iter().filter_map(|(check, ask)| ask().err().map(|reason| Failure { check, reason })).collect()
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.checks.read().iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_nothing_says_no() {
        let checks = Checks::new();
        assert!(checks.failures().is_empty());
        checks.add("nats", || Ok(()));
        checks.notice("stores", || vec!["two replicas".into()]);
        assert!(checks.failures().is_empty());
        assert_eq!(checks.notices(), [Failure { check: "stores", reason: "two replicas".into() }]);
        checks.add("drain", || Err("leaving".into()));
        assert_eq!(checks.failures(), [Failure { check: "drain", reason: "leaving".into() }]);
    }
}
