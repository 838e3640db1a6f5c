//! Over how many nodes a placement key is spread: at once over more where it has become too big, and over fewer only when
//! it has been small enough for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_config::Placement;
use ringway_ring::{KeyHash, MAX_SPREAD, Spread};

/// How much of what fewer nodes could carry there may be, for it to be spread over so few.
const SPARE: f64 = 0.7;

/// And for how long.
const COOLS_FOR: Duration = Duration::from_secs(60);

/// Keys below this part of what one node carries aren't worth a word.
const WORTH: f64 = 0.25;

/// The most keys that are kept in mind, far more than are told.
pub(crate) const KEYS: usize = 256;

/// What one node may have of a key before that is spread over more; 0: anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bars {
    members: u64,
    deliveries: u64,
}

/// How big a key is: all its rooms, on all nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) members: u64,
    /// A second.
    pub(crate) deliveries: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, other: Sum) {
        self.members += other.members;
        self.deliveries += other.deliveries;
    }
}

impl Bars {
    pub(crate) fn of(placement: Placement) -> Self {
        Self { members: placement.spread_members, deliveries: placement.spread_deliveries }
    }

    /// How many nodes could just carry it.
    pub(crate) fn nodes(self, sum: Sum) -> f64 {
        let part = |amount: f64, bar: u64| if bar == 0 { 0.0 } else { amount / bar as f64 };
        part(sum.members as f64, self.members).max(part(sum.deliveries, self.deliveries))
    }

    /// Whether a key is near enough to being too big for one node to be spoken of.
    pub(crate) fn is_worth(self, sum: Sum) -> bool {
        self.nodes(sum) >= WORTH
    }

    /// Over how many nodes it is to be, of which that part is used at most: never more than it has members.
    fn over(self, sum: Sum, part: f64) -> u8 {
        let nodes = (self.nodes(sum) / part).ceil().min(sum.members as f64);
        // Within a u8 by then, and `NaN` can't be.
        nodes.clamp(1.0, f64::from(MAX_SPREAD)) as u8
    }
}

/// The keys of one shard, over how many nodes each is spread, and which of them cool.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    keys: BTreeMap<KeyHash, Key>,
}

#[derive(Debug)]
struct Key {
    /// At least 2.
    over: u8,
    cools: Option<Cooling>,
}

/// Fewer nodes would have been enough since then.
#[derive(Debug)]
struct Cooling {
    since: Duration,
    /// The most that would have been needed meanwhile.
    over: u8,
}

impl Heat {
    /// What the shard found: each key once, and none that is nowhere near too big. `now` is on any clock that never goes
    /// back.
    pub(crate) fn look(&mut self, now: Duration, found: &[(KeyHash, Sum)], bars: Bars) {
        let sums: BTreeMap<KeyHash, Sum> = found.iter().copied().collect();
        for (&key, &sum) in &sums {
            let over = bars.over(sum, 1.0);
            if over > 1 && (self.keys.contains_key(&key) || self.keys.len() < KEYS) {
                let key = self.keys.entry(key).or_insert(Key { over, cools: None });
                if over >= key.over {
                    *key = Key { over, cools: None };
                }
            }
        }
        self.keys.retain(|key, state| {
            let sum = sums.get(key).copied().unwrap_or_default();
            state.cool(now, bars.over(sum, SPARE));
            state.over > 1
        });
    }

    /// Goes on with what the slot's former owner said, until it has been too much for long enough.
    pub(crate) fn take_over(&mut self, said: Spread, now: Duration) {
        let over = said.over.min(MAX_SPREAD);
        if over > 1 && self.keys.len() < KEYS {
            let new = || Key { over, cools: Some(Cooling { since: now, over: 1 }) };
            self.keys.entry(said.key).or_insert_with(new);
        }
    }

    /// What is to be told.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = Spread> {
        self.keys.iter().map(|(&key, state)| Spread { key, over: state.over })
    }
}

impl Key {
    /// So many nodes would be enough now, with something to spare.
    fn cool(&mut self, now: Duration, enough: u8) {
        if enough >= self.over {
            self.cools = None;
            return;
        }
        let cools = self.cools.get_or_insert(Cooling { since: now, over: enough });
        cools.over = cools.over.max(enough);
        if now.saturating_sub(cools.since) >= COOLS_FOR {
            self.over = cools.over;
            self.cools = None;
        }
    }
}

/// Those of the wanted that are told, sorted by key: where they are more than `most`, those that are spread over the most
/// nodes; of equals those that were told `before`.
pub(crate) fn told(wanted: impl Iterator<Item = Spread>, before: &[Spread], most: usize) -> Vec<Spread> {
    let mut all: Vec<Spread> = wanted.collect();
    if all.len() > most {
        let is_new = |key: KeyHash| before.binary_search_by_key(&key, |spread| spread.key).is_err();
        all.sort_by_cached_key(|spread| (u8::MAX - spread.over, is_new(spread.key), spread.key));
        all.truncate(most);
    }
    all.sort_by_key(|spread| spread.key);
    all
}

#[cfg(test)]
mod tests;
