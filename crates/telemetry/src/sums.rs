//! Gauges that nobody keeps: sums that are made when somebody asks.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::slow::{Shown, TenantLabel};

/// Shows one gauge.
///
/// # Errors
/// As the encoder's.
pub fn show(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

/// Shows a gauge of several labels.
///
/// # Errors
/// As the encoder's.
pub fn show_each(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = (impl EncodeLabelSet, u64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Shows what waits for sockets, by tenant, those among `tenants` for which nothing does too. `waiting`: the bytes of each
/// connection, by its tenant.
///
/// # Errors
/// As the encoder's.
pub fn show_queued(
    encoder: &mut DescriptorEncoder<'_>,
    tenants: impl Iterator<Item = Shown>,
    waiting: impl Iterator<Item = (Shown, u64)>,
) -> Result<(), fmt::Error> {
    let mut queued: BTreeMap<Shown, u64> = tenants.map(|tenant| (tenant, 0)).collect();
    for (tenant, bytes) in waiting {
        *queued.entry(tenant).or_default() += bytes;
    }
    let queued = queued.into_iter().map(|(tenant, bytes)| (TenantLabel { tenant }, bytes));
    show_each(encoder, "queued_bytes", "Bytes that wait for sockets now, by tenant", queued)
}
