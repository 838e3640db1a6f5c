//! What workers answer, taken into a phase's result.

use anyhow::bail;

use super::stage::Publishing;
use crate::control::{Event, Opened};
use crate::histogram;
use crate::result::Phase;

/// Takes what workers have collected, with how much of it was due.
pub(crate) fn take(
    phase: &mut Phase,
    collected: impl IntoIterator<Item = (Event, Option<u64>)>,
) -> anyhow::Result<()> {
    let (mut latency, mut last) = (histogram::unpack(&phase.latency)?, histogram::empty());
    let (mut bytes, mut reads) = (0, 0);
    for (event, due) in collected {
        let Event::Collected(part) = event else { bail!("collecting was answered by {event:?}") };
        phase.deliveries += part.deliveries;
        phase.due += due.unwrap_or(0);
        phase.lost += due.unwrap_or(0).saturating_sub(part.deliveries);
        phase.out_of_order += part.out_of_order;
        phase.orders.extend(part.orders);
        phase.closed += part.closed;
        for (how, count) in part.closes {
            phase.notes.push(format!("the server closed: {how}"));
            *phase.closes.entry(how).or_default() += count;
        }
        phase.gaps += part.gaps;
        phase.missed += part.missed;
        phase.lags.extend(part.lags);
        phase.notes.extend(part.first_refusal.map(|how| format!("{} refused: {how}", part.refused)));
        latency.add(histogram::unpack(&part.latency)?)?;
        last.add(histogram::unpack(&part.last)?)?;
        bytes += part.delivered_bytes;
        reads += part.reads;
    }
    phase.delivery_bytes = bytes as f64 / phase.deliveries.max(1) as f64;
    phase.deliveries_per_read = phase.deliveries as f64 / reads.max(1) as f64;
    phase.latency = histogram::pack(&latency);
    phase.last = histogram::pack(&last);
    Ok(())
}

/// Takes the answer to a command to publish. Returns how many messages there were, and how many deliveries the worker
/// expects of them where it can tell.
pub(crate) fn note_published(
    phase: &mut Phase,
    event: Event,
    what: Publishing,
) -> anyhow::Result<(u64, Option<u64>)> {
    let Event::Published(published) = event else { bail!("publishing was answered by {event:?}") };
    phase.sent += published.sent;
    phase.body_bytes = what.data;
    phase.lateness = published.lateness;
    Ok((published.sent, published.due))
}

pub(crate) fn add_opened(phase: &mut Phase, opened: &Opened) -> anyhow::Result<()> {
    phase.opened += opened.opened;
    phase.failed += opened.failed;
    phase
        .notes
        .extend(opened.first_failure.clone().map(|why| format!("{} not opened: {why}", opened.failed)));
    let mut latency = histogram::unpack(&phase.latency)?;
    latency.add(histogram::unpack(&opened.latency)?)?;
    phase.latency = histogram::pack(&latency);
    Ok(())
}
