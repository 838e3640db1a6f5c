//! Each ticket opens one connection: those used are remembered for as long as they could be used again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;
use ringway_protocol::name::ConnId;

/// Seconds that a used ticket is remembered at least; it can be used for 30, and clocks differ a little.
const REMEMBERED: u64 = 60;

/// The tickets used lately, by the connection that they name.
#[derive(Debug, Default)]
pub(crate) struct UsedTickets(Mutex<Generations>);

/// Two sets, swapped every [`REMEMBERED`] seconds, so that forgetting costs nothing a ticket. Of the ids, which gateways
/// draw, the hashes are enough: that two of a million are alike happens once in 30 million times.
#[derive(Debug, Default)]
struct Generations {
    since: u64,
    young: HashSet<u64>,
    old: HashSet<u64>,
    hasher: RandomState,
}

impl UsedTickets {
    /// Whether this is the first use of the ticket. `now`: seconds since 1970.
    pub(crate) fn first_use(&self, conn: &ConnId, now: u64) -> bool {
        let mut sets = self.0.lock();
        if now >= sets.since + REMEMBERED {
            let forget_both = now >= sets.since + 2 * REMEMBERED;
            sets.since = now;
            sets.old = std::mem::take(&mut sets.young);
            if forget_both {
                sets.old.clear();
            }
        }
        let hash = sets.hasher.hash_one(conn);
        !sets.old.contains(&hash) && sets.young.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_one_connection() {
        let used = UsedTickets::default();
        let conn: ConnId = "c1".parse().unwrap();
        assert!(used.first_use(&conn, 1_000));
        assert!(!used.first_use(&conn, 1_000));
        assert!(!used.first_use(&conn, 1_059));
        assert!(!used.first_use(&conn, 1_061), "a generation later");
        assert!(used.first_use(&"c2".parse().unwrap(), 1_061));
        assert!(used.first_use(&conn, 1_300), "long after it has expired it is forgotten");
    }
}
