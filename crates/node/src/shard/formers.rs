//! The placements before the present one: for a moment a room may still be where one of them had it.

use std::collections::VecDeque;
use std::sync::Arc;

use ringway_protocol::name::TenantId;
use ringway_ring::{NodeId, Slot};
use tokio::time::Instant;

use crate::placement::Placement;
use crate::room::FORMER_FOR;

/// How many: of more that follow each other so closely the oldest are forgotten.
const FORMERS: usize = 8;

/// Until when each is remembered; the newest last.
#[derive(Debug, Default)]
pub(crate) struct Formers(VecDeque<(Arc<Placement>, Instant)>);

impl Formers {
    /// Another placement has just taken the place of this one.
    pub(crate) fn push(&mut self, before: Arc<Placement>) {
        let now = Instant::now();
        self.0.retain(|(_, until)| now < *until);
        if self.0.len() == FORMERS {
            self.0.pop_front();
        }
        self.0.push_back((before, now + FORMER_FOR));
    }

    /// The last that owned a slot before this node, if that isn't long ago. Who fell silent answers nobody, and isn't named.
    pub(crate) fn owner(&self, present: &Placement, tenant: &TenantId, slot: Slot) -> Option<&NodeId> {
        let now = Instant::now();
        let mut owners = self
            .0
            .iter()
            .rev()
            .filter(|(_, until)| now < *until)
            .filter_map(|(before, _)| before.owner(tenant, slot));
        owners.find(|owner| **owner != present.me && !present.view.is_silent(owner))
    }
}
