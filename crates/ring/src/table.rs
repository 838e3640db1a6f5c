//! The slot table of one pool: which node owns each slot, and whom to try next.
//!
//! `hashring` decides, the table remembers: the ring is asked once per slot when the table is made, a look-up is an
//! index. The table is a function of the set of (node, weight) alone, the same in every process.

use std::fmt;
use std::iter;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::assign::{self, Assignment, NOBODY};
use crate::{NodeId, SLOTS, Slot};

/// The greatest weight a node can have.
pub const MAX_WEIGHT: u8 = 16;

/// Which node owns each of the 16,384 slots of a pool.
///
/// No node holds more than 1.10 × its fair share (by weight), rounded up to a whole slot.
#[derive(Clone)]
pub struct SlotTable {
    /// Sorted by name; weights between 1 and [`MAX_WEIGHT`].
    members: Arc<[(NodeId, u8)]>,
    assignment: Arc<Assignment>,
}

impl SlotTable {
    /// The table of these nodes, in whatever order they come.
    ///
    /// A weight of 0 holds nothing, one above [`MAX_WEIGHT`] counts as that; of a node given twice the greater weight
    /// counts. Costs about 3 ms for 100 nodes of weight 1 and 30 ms for 1,000: once per change of membership, never per
    /// look-up.
    pub fn build(nodes: &[(NodeId, u8)]) -> Self {
        Self::of_members(members(nodes.iter().map(|(id, weight)| (id, *weight))))
    }

    /// The table of members in canonical form.
    pub(crate) fn of_members(members: Arc<[(NodeId, u8)]>) -> Self {
        let assignment = Arc::new(assign::assign(&members, None));
        Self { members, assignment }
    }

    /// The node that owns a slot; none where no node has any weight.
    pub fn owner(&self, slot: Slot) -> Option<&NodeId> {
        self.node(self.assignment.owners[usize::from(slot.number())])
    }

    /// All nodes of the table, each once, in the order in which to try them for a slot: its owner, then clockwise from
    /// where the owner was found. The second is nearly always the slot's owner once the first is gone.
    pub fn walk(&self, slot: Slot) -> impl Iterator<Item = &NodeId> {
        let owner = self.assignment.owners[usize::from(slot.number())];
        let mut seen = vec![0_u64; self.members.len().div_ceil(64)];
        iter::once(owner)
            .filter(|&owner| owner != NOBODY)
            .chain(self.assignment.clockwise(slot))
            .filter(move |&node| {
                let (word, bit) = (node as usize / 64, 1_u64 << (node % 64));
                let fresh = seen[word] & bit == 0;
                seen[word] |= bit;
                fresh
            })
            // Ends at the last node, not after the last point.
            .take(self.members.len())
            .filter_map(|node| self.node(node))
    }

    /// The nodes that hold slots, with their weights, sorted by name.
    pub fn members(&self) -> &[(NodeId, u8)] {
        &self.members
    }

    /// The slots that a node owns, in order; none for a node that isn't in the table.
    pub fn slots_of(&self, node: &NodeId) -> impl Iterator<Item = Slot> {
        let index = self.index(node).unwrap_or(NOBODY);
        let found = index != NOBODY;
        Slot::all()
            .zip(self.assignment.owners.iter())
            .filter(move |&(_, &owner)| found && owner == index)
            .map(|(slot, _)| slot)
    }

    /// How many slots each member owns, in the order of [`members`](Self::members): one pass over all slots.
    pub fn counts(&self) -> impl Iterator<Item = (&NodeId, u16)> {
        let mut counts = vec![0; self.members.len()];
        for &owner in self.assignment.owners.iter().filter(|&&owner| owner != NOBODY) {
            counts[owner as usize] += 1;
        }
        self.members.iter().map(|(id, _)| id).zip(counts)
    }

    /// How many slots have another owner in `other`: what a change of membership moves.
    pub fn moved(&self, other: &Self) -> usize {
        Slot::all().filter(|&slot| self.owner(slot) != other.owner(slot)).count()
    }

    /// The most slots that this node may hold: 1.10 × its fair share, rounded up; 0 for a stranger.
    pub fn bound(&self, node: &NodeId) -> u32 {
        let total = assign::total_weight(&self.members);
        self.index(node).map_or(0, |index| assign::bound(self.members[index as usize].1, total))
    }

    /// A short value that two processes can compare to see that they place alike.
    pub fn fingerprint(&self) -> u64 {
        let mut text = Vec::with_capacity(usize::from(SLOTS) * 8);
        for slot in Slot::all() {
            if let Some(owner) = self.owner(slot) {
                text.extend_from_slice(owner.as_str().as_bytes());
            }
            text.push(0);
        }
        xxh3_64(&text)
    }

    /// The owner of each slot if `node` weren't in the table; `None` for a node that isn't.
    pub(crate) fn owners_without(&self, node: &NodeId) -> Option<Box<[u32]>> {
        let left_out = self.index(node)?;
        Some(assign::assign(&self.members, Some(left_out)).owners)
    }

    pub(crate) fn node(&self, index: u32) -> Option<&NodeId> {
        self.members.get(index as usize).map(|(id, _)| id)
    }

    pub(crate) fn index(&self, node: &NodeId) -> Option<u32> {
        let index = self.members.binary_search_by(|(id, _)| id.cmp(node)).ok()?;
        u32::try_from(index).ok()
    }
}

/// The members of a table in their canonical form: sorted, each once, no weight of 0 or above the greatest.
pub(crate) fn members<'a>(nodes: impl Iterator<Item = (&'a NodeId, u8)>) -> Arc<[(NodeId, u8)]> {
    let mut members: Vec<_> = nodes
        .filter(|&(_, weight)| weight > 0)
        .map(|(id, weight)| (id.clone(), weight.min(MAX_WEIGHT)))
        .collect();
    members.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    members.dedup_by(|later, first| later.0 == first.0);
    members.into()
}

impl fmt::Debug for SlotTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotTable").field("members", &self.members).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(weights: &[(&str, u8)]) -> Vec<(NodeId, u8)> {
        weights.iter().map(|&(id, weight)| (id.parse().unwrap(), weight)).collect()
    }

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn without_nodes_nobody_owns_anything() {
        for table in [SlotTable::build(&[]), SlotTable::build(&nodes(&[("a", 0)]))] {
            assert_eq!(table.owner(slot(7)), None);
            assert_eq!(table.walk(slot(7)).count(), 0);
            assert!(table.members().is_empty());
        }
    }

    #[test]
    fn one_node_owns_everything() {
        let table = SlotTable::build(&nodes(&[("a", 3), ("idle", 0)]));
        assert!(Slot::all().all(|slot| table.owner(slot).is_some_and(|owner| owner.as_str() == "a")));
        assert_eq!(table.walk(slot(0)).count(), 1);
        assert_eq!(
            table.counts().map(|(id, slots)| (id.as_str(), slots)).collect::<Vec<_>>(),
            [("a", SLOTS)]
        );
        assert_eq!(table.bound(&"a".parse().unwrap()), 18_023);
        assert_eq!(table.bound(&"idle".parse().unwrap()), 0);
    }

    #[test]
    fn a_walk_meets_every_node_once_and_its_owner_first() {
        let list: Vec<_> = (0..70).map(|n| (format!("n{n}").parse().unwrap(), 1 + (n % 3))).collect();
        let table = SlotTable::build(&list);
        for slot in Slot::all().step_by(97) {
            let walk: Vec<_> = table.walk(slot).collect();
            assert_eq!(Some(walk[0]), table.owner(slot));
            let once: std::collections::BTreeSet<_> = walk.iter().collect();
            assert_eq!((walk.len(), once.len()), (70, 70));
        }
        assert!(table.counts().all(|(id, slots)| usize::from(slots) == table.slots_of(id).count()));
    }

    #[test]
    fn the_next_on_the_walk_is_mostly_the_heir() {
        let list: Vec<_> = (0..20).map(|n| (format!("n{n}").parse().unwrap(), 1)).collect();
        let table = SlotTable::build(&list);
        let mut same = 0;
        let mut all = 0;
        for (gone, _) in &list {
            let rest: Vec<_> = list.iter().filter(|(id, _)| id != gone).cloned().collect();
            let after = SlotTable::build(&rest);
            for slot in table.slots_of(gone) {
                all += 1;
                same += usize::from(table.walk(slot).nth(1) == after.owner(slot));
            }
        }
        assert_eq!(all, usize::from(SLOTS));
        assert!(same * 10 >= all * 8, "{same} of {all}");
    }

    #[test]
    fn the_greater_weight_of_a_repeated_node_counts_in_any_order() {
        let once = SlotTable::build(&nodes(&[("a", 2), ("b", 1)]));
        for twice in [[("a", 1), ("b", 1), ("a", 2)], [("a", 2), ("a", 1), ("b", 1)]] {
            let table = SlotTable::build(&nodes(&twice));
            assert_eq!(table.members(), once.members());
            assert_eq!(table.moved(&once), 0);
        }
        assert_eq!(SlotTable::build(&nodes(&[("a", 200)])).members()[0].1, MAX_WEIGHT);
    }

    #[test]
    fn leaving_a_node_out_is_the_table_without_it() {
        let list = nodes(&[("a", 1), ("b", 4), ("c", 16), ("d", 2)]);
        let table = SlotTable::build(&list);
        for (gone, _) in &list {
            let rest: Vec<_> = list.iter().filter(|(id, _)| id != gone).cloned().collect();
            let built = SlotTable::build(&rest);
            let owners = table.owners_without(gone).unwrap();
            assert!(
                Slot::all().all(|slot| table.node(owners[usize::from(slot.number())]) == built.owner(slot))
            );
        }
        assert_eq!(table.owners_without(&"stranger".parse().unwrap()), None);
    }
}
