//! `/debug/ring`: the cluster as one process sees it, as it is shown and as commands read it.

use std::collections::HashMap;

use anyhow::Context;
use ringway_client::Http;
use ringway_protocol::PoolId;
use ringway_ring::{Announcement, NodeId, NodeState, SLOTS, View};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::exit::Failure;

/// The page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClusterPage {
    /// How many slots each pool has.
    pub(crate) slots: u16,
    pub(crate) nodes: Vec<NodeRow>,
}

/// One node: what it last said of itself, and what the ring gives it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeRow {
    #[serde(flatten)]
    pub(crate) said: Announcement,
    /// Slots that it owns.
    pub(crate) slots: u16,
    /// It comes and goes too often, and is given none until it has stood for a while.
    pub(crate) held: bool,
}

impl ClusterPage {
    pub(crate) fn of(view: &View) -> Self {
        let slots: HashMap<&NodeId, u16> = view.pools().flat_map(|(_, table)| table.counts()).collect();
        let row = |node: &Announcement| NodeRow {
            slots: slots.get(&node.id).copied().unwrap_or(0),
            held: view.is_held(&node.id),
            said: node.clone(),
        };
        Self { slots: SLOTS, nodes: view.nodes().map(row).collect() }
    }

    /// Asks a process for it. `admin`: its admin port, `http://host:port`.
    pub(crate) async fn ask(admin: &Url) -> Result<Self, Failure> {
        let url = admin.join("/debug/ring").context("the URL of an admin port")?;
        let page = Http::page(url.as_str()).await;
        Ok(page.with_context(|| format!("{admin} shows no cluster: is it an admin port of Ringway?"))?)
    }

    /// The pools that have nodes, sorted.
    pub(crate) fn pools(&self) -> Vec<&PoolId> {
        let mut pools: Vec<_> = self.nodes.iter().map(|node| &node.said.pool).collect();
        pools.sort();
        pools.dedup();
        pools
    }

    /// The placed nodes of a pool with their weights.
    pub(crate) fn placed(&self, pool: &PoolId) -> Vec<(NodeId, u8)> {
        let in_pool = self.nodes.iter().map(|node| &node.said).filter(|said| said.pool == *pool);
        in_pool.filter(|said| said.is_placed()).map(|said| (said.id.clone(), said.weight)).collect()
    }
}

impl NodeRow {
    /// λ: of what it delivered, the share for rooms that another node owns. None: it delivered nothing.
    pub(crate) fn lambda(&self) -> Option<f64> {
        let load = &self.said.load;
        share(load.deliveries_elsewhere, load.deliveries + load.deliveries_elsewhere)
    }

    /// Of what it received from other nodes, the share for rooms without members here.
    pub(crate) fn unwanted(&self) -> Option<f64> {
        share(self.said.load.unwanted, self.said.load.received)
    }

    pub(crate) fn state(&self) -> &'static str {
        match self.said.state {
            NodeState::Serving if self.held => "held back",
            NodeState::Serving if self.said.weight == 0 => "no weight",
            NodeState::Serving => "serving",
            NodeState::Draining => "draining",
        }
    }
}

/// A part of a whole; none of nothing.
#[allow(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_ring::Membership;

    #[test]
    fn what_is_shown_is_what_is_read() {
        let mut membership = Membership::new();
        for id in ["a", "b"] {
            let said =
                Announcement::new(id.parse().unwrap(), 1, "shared".parse().unwrap(), format!("{id}:1"));
            membership.heard(said, 0);
        }
        let shown = ClusterPage::of(&membership.view());
        let text = serde_json::to_string(&shown).unwrap();
        let read: ClusterPage = serde_json::from_str(&text).unwrap();
        assert_eq!(read.nodes.iter().map(|node| node.slots).sum::<u16>(), SLOTS);
        let pool = "shared".parse().unwrap();
        assert_eq!((read.pools(), read.placed(&pool).len()), (vec![&pool], 2));
        assert_eq!((read.nodes[0].state(), read.nodes[0].lambda()), ("serving", None));
    }
}
