//! The carrier inside one process: for `ringway dev`, for one box without NATS, and for tests, which can cut a
//! party off or lose its messages.
//!
//! It keeps to what NATS does, losses and all: a full sink drops and says so, an answer across a cut
//! never comes, nothing is kept for who isn't there.

mod exchange;
mod feeder;
mod party;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Backplane;
use exchange::Exchange;
use party::Party;

/// How many messages wait for a slow receiver, of one party into one sink, before more are dropped.
const CAPACITY: usize = 16_384;

/// What the parties of one process meet at. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    exchange: Arc<Exchange>,
    parties: Arc<Mutex<HashMap<String, Arc<Party>>>>,
}

impl Hub {
    /// A hub without parties.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// A hub whose parties drop what comes when more than `capacity` messages wait behind one full sink, of all the
    /// subscriptions into it together.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { exchange: Arc::new(Exchange::new(capacity)), parties: Arc::default() }
    }

    /// A new party. Its name is for [`cut`](Self::cut) and [`lose_live`](Self::lose_live) alone; who attaches
    /// under a name in use takes the name over, and the other party goes on without.
    #[must_use]
    pub fn attach(&self, name: &str) -> Arc<dyn Backplane> {
        let party = Arc::new(Party::new(Arc::clone(&self.exchange)));
        self.parties.lock().insert(name.to_owned(), Arc::clone(&party));
        Arc::new(party::Handle::new(party))
    }

    /// Cuts a party off from all others, at once and noticed by it, or heals the cut: a new generation of its
    /// link. A name that never attached is left alone.
    pub fn cut(&self, name: &str, cut: bool) {
        if let Some(party) = self.parties.lock().get(name) {
            party.cut(cut);
        }
    }

    /// Loses the next `messages` live messages on their way to a party, without a word to anyone.
    pub fn lose_live(&self, name: &str, messages: u64) {
        if let Some(party) = self.parties.lock().get(name) {
            party.lose_live(messages);
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("parties", &self.parties.lock().keys()).finish_non_exhaustive()
    }
}
