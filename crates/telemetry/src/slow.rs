//! What is counted of one tenant: what became of frames that waited for slow clients, and of those clients. Sockets are
//! held by nodes and by gateways: both count the same.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::BoundedLabels;

/// Tenants that have figures of their own: the first so many that come. What is counted of all others is one, `other`.
const TENANTS_SHOWN: usize = 1_000;

/// A tenant as figures are labelled with it: its name, or `other`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown(Arc<str>);

impl EncodeLabelValue for Shown {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

/// The label that says whose a figure is.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TenantLabel {
    /// Which one.
    pub tenant: Shown,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClosedLabel {
    tenant: Shown,
    reason: SlowEnd,
}

/// Why a slow client's connection was ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum SlowEnd {
    /// What may not be left out found no room in its queue.
    full,
    /// Its socket took nothing for too long.
    send_timeout,
    /// Memory ran short.
    memory,
}

/// Handles to one tenant's counters.
#[derive(Debug)]
pub struct TenantCounts {
    /// What figures of it are labelled with.
    pub shown: Shown,
    /// Frames that were left out.
    pub dropped: Counter,
    /// Frames in whose place a newer one of their key came.
    pub conflated: Counter,
    /// Gaps told for what was left out.
    pub gaps: Counter,
    full: Counter,
    send_timeout: Counter,
    memory: Counter,
}

impl TenantCounts {
    /// A connection was ended for being slow.
    pub fn closed(&self, why: SlowEnd) {
        match why {
            SlowEnd::full => self.full.inc(),
            SlowEnd::send_timeout => self.send_timeout.inc(),
            SlowEnd::memory => self.memory.inc(),
        };
    }
}

/// All tenants' counters, as the metrics have them. A clone is the same counters.
#[derive(Clone, Debug)]
pub struct CountsByTenant {
    labels: Arc<BoundedLabels>,
    dropped: Family<TenantLabel, Counter>,
    conflated: Family<TenantLabel, Counter>,
    gaps: Family<TenantLabel, Counter>,
    closed: Family<ClosedLabel, Counter>,
}

impl Default for CountsByTenant {
    /// Counters that nobody sees.
    fn default() -> Self {
        Self {
            labels: Arc::new(BoundedLabels::new(TENANTS_SHOWN)),
            dropped: Family::default(),
            conflated: Family::default(),
            gaps: Family::default(),
            closed: Family::default(),
        }
    }
}

impl CountsByTenant {
    /// Registers all four families; the prefix is the registry's.
    pub fn register(registry: &mut Registry) -> Self {
        let counts = Self::default();
        registry.register(
            "slow_dropped",
            "Publications left out for a member that is behind, by tenant",
            counts.dropped.clone(),
        );
        registry.register(
            "slow_conflated",
            "Publications in whose place a newer one of their key went to a member that is behind, by tenant",
            counts.conflated.clone(),
        );
        registry.register(
            "slow_gaps",
            "Gaps told to members for what was left out for them, by tenant",
            counts.gaps.clone(),
        );
        registry.register(
            "slow_closed",
            "Connections ended for being slow, by tenant and reason",
            counts.closed.clone(),
        );
        counts
    }

    /// The counters of one tenant, or those of all that have none of their own.
    #[must_use]
    pub fn of(&self, tenant: &str) -> TenantCounts {
        let shown = Shown(self.labels.get(tenant));
        let label = TenantLabel { tenant: shown.clone() };
        let closed = |reason| self.closed.get_or_create_owned(&ClosedLabel { tenant: shown.clone(), reason });
        TenantCounts {
            dropped: self.dropped.get_or_create_owned(&label),
            conflated: self.conflated.get_or_create_owned(&label),
            gaps: self.gaps.get_or_create_owned(&label),
            full: closed(SlowEnd::full),
            send_timeout: closed(SlowEnd::send_timeout),
            memory: closed(SlowEnd::memory),
            shown,
        }
    }
}
