//! What those that don't keep up, or ask for too much, do to the others: a table for each script that looks at it, and the
//! bars that are set for it.

mod bars;
mod noisy;
mod sipping;
mod stalled;
#[cfg(test)]
mod tests;

pub(super) use bars::bars;

use super::book::{Book, phase};
use super::table::Table;
use crate::histogram;
use crate::result::{Phase, Run, Sample};

/// The table of a script; none: it isn't one of these.
pub(super) fn of_script(book: &Book, script: &str) -> Option<Table> {
    let table = match script {
        "slow" => stalled::table(book),
        "conflate" => sipping::table(book),
        "noisy" => noisy::table(book),
        _ => return None,
    };
    Some(table.without_empty_columns()).filter(|table| !table.rows.is_empty())
}

/// How many times as long the 99th percentile is in a phase as in the one before it, within a run. A delivery that didn't
/// come counts as one that took for ever; then there is no such number.
fn p99_ratio(run: &Run, before: &str, name: &str) -> Option<f64> {
    let (before, after) = (p99(phase(run, before)?)?, p99(phase(run, name)?)?);
    (before > 0.0).then(|| after / before)
}

/// Microseconds; none: nothing came, or one of a hundred didn't.
fn p99(phase: &Phase) -> Option<f64> {
    let all = histogram::unpack(&phase.latency).ok()?;
    let due = all.len() + phase.lost;
    let wanted = due as f64 * 0.99;
    let share = wanted / all.len() as f64;
    (!all.is_empty() && share <= 1.0).then(|| all.value_at_quantile(share) as f64)
}

/// The greatest growth while a phase lasted.
fn growth(phase: &Phase, what: impl Fn(&Sample) -> u64) -> Option<f64> {
    let first = what(phase.samples.first()?);
    let most = phase.samples.iter().map(&what).max()?;
    Some(most.saturating_sub(first) as f64)
}

/// Bytes that the server's memory grew by for each that doesn't read.
fn server_growth(run: &Run) -> Option<f64> {
    let at = phase(run, "stalled")?;
    let ours = |sample: &Sample| {
        let of_server = |role: &&String| !run.beside.contains(role);
        sample.rss.iter().filter(|(role, _)| of_server(role)).map(|(_, bytes)| bytes).sum()
    };
    Some(growth(at, ours)? / at.slow.max(1) as f64)
}

fn kernel_growth(run: &Run) -> Option<f64> {
    let at = phase(run, "stalled")?;
    Some(growth(at, |sample| sample.kernel)? / at.slow.max(1) as f64)
}

fn words(heads: &[(&str, bool)]) -> Vec<(String, bool)> {
    heads.iter().map(|(head, words)| ((*head).to_owned(), *words)).collect()
}
