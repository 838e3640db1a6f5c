//! What a process says it holds: every gauge of its own on `/metrics`.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::target::Running;

/// All gauges of all of Ringway's processes, by role and name. The process's own (`process_*`) and what is possible or
/// built (`*_limit`, `*_info`) say nothing about what is held.
pub(super) fn read(running: &Running) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut all = BTreeMap::new();
    for (role, admin) in &running.admin {
        let answer = ringway_testkit::http::get(*admin, "/metrics").context("no metrics")?;
        all.extend(of(&answer.body).map(|(name, value)| (format!("{role} {name}"), value)));
    }
    Ok(all)
}

/// Those that aren't what they were.
pub(super) fn changed(before: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> Vec<String> {
    let was = |name: &String| before.get(name).copied().unwrap_or(0.0);
    let changed = now.iter().filter(|(name, value)| was(name) != **value);
    changed.map(|(name, value)| format!("{name} is {value}, and was {}", was(name))).collect()
}

fn of(text: &str) -> impl Iterator<Item = (String, f64)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" gauge"));
    let gauges: Vec<&str> = types
        .filter(|name| name.starts_with("ringway_"))
        .filter(|name| !["_limit", "_info", "_open_files"].iter().any(|end| name.ends_with(end)))
        .collect();
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(move |(name, value)| {
        let family = name.split('{').next()?;
        Some((name.to_owned(), value.parse().ok()?)).filter(|_| gauges.contains(&family))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gauges_that_hold_something_count() {
        let text = "# TYPE ringway_connections gauge\nringway_connections 3\n# TYPE ringway_a counter\nringway_a_total 9\n\
                    # TYPE ringway_connections_limit gauge\nringway_connections_limit 50\n\
                    # TYPE ringway_rooms gauge\nringway_rooms{tenant=\"a\"} 1\nringway_rooms{tenant=\"b\"} 0\n";
        let now: BTreeMap<_, _> = of(text).collect();
        let before = BTreeMap::from([("ringway_rooms{tenant=\"a\"}".to_owned(), 1.0)]);
        assert_eq!(now.len(), 3);
        assert_eq!(changed(&before, &now), ["ringway_connections is 3, and was 0"]);
    }
}
