//! Tells nodes that nobody listens to them, since a younger run of theirs has departed.
//!
//! Whoever remembers that departure repeats it: the node takes a greater incarnation then. One of all who remember is enough,
//! so each waits for a moment of its own whether another does it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringway_ring::NodeId;
use tokio::time::Instant;

use crate::Backplane;

/// Until this at the latest somebody has said it.
const WITHIN: Duration = Duration::from_secs(1);

/// More aren't told at once; their next word begins it anew.
const AT_ONCE: usize = 64;

/// Who is to be told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    due: BTreeMap<NodeId, (Instant, u64)>,
}

impl Telling {
    /// A run was heard that isn't listened to, since `ended` of the same node has departed.
    pub(super) fn outlived(&mut self, id: NodeId, ended: u64) {
        if self.due.len() < AT_ONCE || self.due.contains_key(&id) {
            let at = Instant::now() + WITHIN.mul_f64(rand::random_range(0.0..=1.0));
            self.due.entry(id).or_insert((at, ended));
        }
    }

    /// Somebody has said it.
    pub(super) fn said(&mut self, id: &NodeId) {
        self.due.remove(id);
    }

    /// Whose time has come.
    pub(super) fn next(&mut self) -> Option<(NodeId, u64)> {
        let now = Instant::now();
        let id = self.due.iter().find(|(_, (at, _))| *at <= now).map(|(id, _)| id.clone())?;
        let (_, ended) = self.due.remove(&id)?;
        Some((id, ended))
    }
}

/// Says it.
pub(super) async fn tell(backplane: Arc<dyn Backplane>, (id, ended): (NodeId, u64)) {
    // Refused, the node's next word begins it anew.
    let _ = backplane.depart(&id, ended).await;
}
