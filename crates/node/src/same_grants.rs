//! Grants that are alike, held once: an application gives most of its users the same.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use parking_lot::Mutex;
use ringway_auth::Grants;

/// The grants of the connections that are open, each once.
#[derive(Debug, Default)]
pub(crate) struct SameGrants(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    all: HashTable<Grants>,
    hasher: RandomState,
    /// At so many, those that nobody has any more are dropped.
    look_at: usize,
}

/// Fewer aren't worth looking for what nobody has any more.
const LOOK_FROM: usize = 64;

impl SameGrants {
    /// The same grants, shared with whoever has them already.
    pub(crate) fn same(&self, grants: Grants) -> Grants {
        let known = &mut *self.0.lock();
        let Known { all, hasher, look_at } = known;
        let hash = hasher.hash_one(&grants);
        if let Some(same) = all.find(hash, |other| *other == grants) {
            return same.clone();
        }
        if all.len() >= (*look_at).max(LOOK_FROM) {
            all.retain(|grants| grants.is_shared());
            // So that looking costs each that comes the same, however many are in use.
            *look_at = 2 * all.len();
            all.shrink_to(*look_at, |grants| hasher.hash_one(grants));
        }
        all.insert_unique(hash, grants.clone(), |grants| hasher.hash_one(grants));
        grants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(room: &str) -> Grants {
        serde_json::from_value(serde_json::json!([{ "rooms": room, "rights": ["join"] }])).unwrap()
    }

    #[test]
    fn alike_are_shared_and_others_arent() {
        let same = SameGrants::default();
        let (first, second, other) = (same.same(grants("a.*")), same.same(grants("a.*")), grants("b"));
        assert!(first.is_shared_with(&second));
        assert_eq!(same.same(other.clone()), other);
        assert!(!first.is_shared_with(&same.same(other)));
    }

    #[test]
    fn what_nobody_has_any_more_is_dropped() {
        let same = SameGrants::default();
        let kept = same.same(grants("kept"));
        for number in 0..10_000 {
            same.same(grants(&format!("room {number}")));
        }
        assert!(same.0.lock().all.len() <= 2 * LOOK_FROM);
        assert!(kept.is_shared_with(&same.same(grants("kept"))));
    }
}
