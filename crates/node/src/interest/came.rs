//! What came to a shard and was wanted or not, where a subscription may take more than was asked for.

use std::collections::HashMap;

use ringway_protocol::name::TenantId;

/// Of one tenant in one slot.
#[derive(Debug)]
struct Of {
    tenant: TenantId,
    received: u32,
    unwanted: u32,
}

/// Counts of one shard, since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Came(HashMap<u16, Vec<Of>>);

impl Came {
    pub(crate) fn add(&mut self, tenant: &TenantId, slot: u16, wanted: bool) {
        let of_slot = self.0.entry(slot).or_default();
        let unwanted = u32::from(!wanted);
        match of_slot.iter_mut().find(|of| of.tenant == *tenant) {
            Some(of) => {
                of.received = of.received.saturating_add(1);
                of.unwanted = of.unwanted.saturating_add(unwanted);
            }
            None => of_slot.push(Of { tenant: tenant.clone(), received: 1, unwanted }),
        }
    }

    /// Tenant, slot, how many came and how many of them nobody wanted.
    pub(crate) fn take(&mut self) -> Vec<(TenantId, u16, u32, u32)> {
        let taken = std::mem::take(&mut self.0).into_iter();
        taken
            .flat_map(|(slot, of)| of.into_iter().map(move |of| (of.tenant, slot, of.received, of.unwanted)))
            .collect()
    }
}
