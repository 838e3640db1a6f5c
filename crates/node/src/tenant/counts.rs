//! What is counted of one tenant: what became of frames that waited for slow clients, and of those clients.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use ringway_edge::{By, Ended};
use ringway_protocol::TenantId;
use ringway_telemetry::BoundedLabels;

/// Tenants that have figures of their own: the first so many that come. What is counted of all others is one, `other`.
const TENANTS_SHOWN: usize = 1_000;

/// A tenant as figures are labelled with it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shown(Arc<str>);

impl EncodeLabelValue for Shown {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct TenantLabel {
    pub(crate) tenant: Shown,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClosedLabel {
    tenant: Shown,
    reason: Why,
}

/// Why a slow client's connection was ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[allow(non_camel_case_types)]
enum Why {
    full,
    send_timeout,
    memory,
}

/// Handles to one tenant's counters.
#[derive(Debug)]
pub(crate) struct TenantCounts {
    pub(crate) shown: Shown,
    /// Frames that were left out.
    pub(crate) dropped: Counter,
    /// Frames in whose place a newer one of their key came.
    pub(crate) conflated: Counter,
    /// Gaps told for what was left out.
    pub(crate) gaps: Counter,
    full: Counter,
    send_timeout: Counter,
    memory: Counter,
}

impl TenantCounts {
    /// A connection has ended: whether for being slow is counted, nothing else.
    pub(crate) fn closed(&self, ended: Ended) {
        match ended.by {
            By::Slow => self.full.inc(),
            By::Stalled => self.send_timeout.inc(),
            By::Shed => self.memory.inc(),
            By::Peer | By::Us | By::Lost => 0,
        };
    }
}

/// All tenants' counters, as the metrics have them. A clone is the same counters.
#[derive(Clone, Debug)]
pub(crate) struct CountsByTenant {
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
    pub(crate) fn register(registry: &mut Registry) -> Self {
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
    pub(crate) fn of(&self, tenant: &TenantId) -> TenantCounts {
        let shown = Shown(self.labels.get(tenant.as_str()));
        let label = TenantLabel { tenant: shown.clone() };
        let closed = |reason| self.closed.get_or_create_owned(&ClosedLabel { tenant: shown.clone(), reason });
        TenantCounts {
            dropped: self.dropped.get_or_create_owned(&label),
            conflated: self.conflated.get_or_create_owned(&label),
            gaps: self.gaps.get_or_create_owned(&label),
            full: closed(Why::full),
            send_timeout: closed(Why::send_timeout),
            memory: closed(Why::memory),
            shown,
        }
    }
}
