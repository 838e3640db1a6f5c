//! What would move if a pool had other nodes: asked by people before they change it.

use std::collections::BTreeMap;

use crate::{NodeId, Slot, SlotTable};

/// A change of a pool's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node has this weight: it comes, or it is there and has another.
    Weigh {
        /// Which.
        node: NodeId,
        /// 0 to [`MAX_WEIGHT`](crate::MAX_WEIGHT); 0: it holds nothing.
        weight: u8,
    },
    /// A node goes.
    Remove(NodeId),
}

/// A pool's table before and after a change.
#[derive(Clone, Debug)]
pub struct Plan {
    before: SlotTable,
    after: SlotTable,
}

/// Slots that go from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Who owns them; none: nobody does.
    pub from: Option<NodeId>,
    /// Who would; none: nobody would.
    pub to: Option<NodeId>,
    /// How many.
    pub slots: u16,
}

impl Plan {
    /// What becomes of these nodes, with their weights, by these changes, one after the other.
    pub fn new(nodes: &[(NodeId, u8)], changes: &[Change]) -> Self {
        let mut weights: BTreeMap<NodeId, u8> = nodes.iter().cloned().collect();
        for change in changes {
            match change {
                Change::Weigh { node, weight } => drop(weights.insert(node.clone(), *weight)),
                Change::Remove(node) => drop(weights.remove(node)),
            }
        }
        let after: Vec<_> = weights.into_iter().collect();
        Self { before: SlotTable::build(nodes), after: SlotTable::build(&after) }
    }

    /// The table as it is.
    pub fn before(&self) -> &SlotTable {
        &self.before
    }

    /// The table as it would be.
    pub fn after(&self) -> &SlotTable {
        &self.after
    }

    /// Who would give how many slots to whom, sorted by giver and taker; what stays isn't in it.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves: BTreeMap<(Option<&NodeId>, Option<&NodeId>), u16> = BTreeMap::new();
        for slot in Slot::all() {
            let ends = (self.before.owner(slot), self.after.owner(slot));
            if ends.0 != ends.1 {
                *moves.entry(ends).or_default() += 1;
            }
        }
        let moves = moves.into_iter();
        moves.map(|((from, to), slots)| Move { from: from.cloned(), to: to.cloned(), slots }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SLOTS;

    fn id(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn three() -> Vec<(NodeId, u8)> {
        ["n1", "n2", "n3"].map(|name| (id(name), 1)).to_vec()
    }

    #[test]
    fn a_fourth_node_gets_a_quarter_and_nothing_else_moves() {
        let plan = Plan::new(&three(), &[Change::Weigh { node: id("n4"), weight: 1 }]);
        let moves = plan.moves();
        assert!(moves.iter().all(|one| one.to == Some(id("n4")) && one.from.is_some()), "{moves:?}");
        let slots: u16 = moves.iter().map(|one| one.slots).sum();
        assert_eq!(usize::from(slots), plan.after().slots_of(&id("n4")).count());
        assert!((u32::from(SLOTS) / 5..u32::from(SLOTS) * 3 / 10).contains(&u32::from(slots)), "{slots}");
    }

    #[test]
    fn who_goes_leaves_everything_it_had() {
        let plan = Plan::new(&three(), &[Change::Remove(id("n2"))]);
        let moves = plan.moves();
        let gone: u16 = moves.iter().filter(|one| one.from == Some(id("n2"))).map(|one| one.slots).sum();
        assert_eq!(usize::from(gone), plan.before().slots_of(&id("n2")).count());
        assert!(moves.iter().all(|one| one.to != Some(id("n2"))));
        let nobody = Plan::new(&three()[..1], &[Change::Remove(id("n1"))]).moves();
        assert_eq!(nobody, [Move { from: Some(id("n1")), to: None, slots: SLOTS }]);
    }

    #[test]
    fn a_heavier_node_takes_and_one_without_weight_gives_all() {
        let plan = Plan::new(&three(), &[Change::Weigh { node: id("n1"), weight: 2 }]);
        let all = usize::from(SLOTS);
        assert!(plan.after().slots_of(&id("n1")).count() > all * 9 / 20);
        let plan = Plan::new(&three(), &[Change::Weigh { node: id("n1"), weight: 0 }]);
        assert_eq!(plan.after().slots_of(&id("n1")).count(), 0);
        assert!(Plan::new(&three(), &[]).moves().is_empty());
    }
}
