//! Where deliveries were made, and what nodes heard of each other: what nodes count themselves.

use anyhow::Context as _;

use crate::result::Placed;
use crate::target::Running;

/// All nodes together, since they started.
pub(super) fn read(running: &Running) -> anyhow::Result<Placed> {
    let mut all = Placed::default();
    for (role, admin) in &running.admin {
        if *role == "node" {
            let answer = ringway_testkit::http::get(*admin, "/metrics").context("no metrics")?;
            all.add(&of(&answer.body));
        }
    }
    Ok(all)
}

/// Members of rooms on each node, now.
pub(super) fn members(running: &Running) -> anyhow::Result<Vec<u64>> {
    let nodes = running.admin.iter().filter(|(role, _)| *role == "node");
    let members = nodes.map(|(_, admin)| {
        let answer = ringway_testkit::http::get(*admin, "/metrics").context("no metrics")?;
        Ok(sample(&answer.body, "ringway_members"))
    });
    members.collect()
}

/// Connections that aren't at home, and attempts of gateways to reach a node that failed, since they started: what explains
/// deliveries on another node than the room's.
pub(super) fn astray(running: &Running) -> anyhow::Result<Vec<String>> {
    let mut astray = Vec::new();
    for (role, admin) in &running.admin {
        let answer = ringway_testkit::http::get(*admin, "/metrics").context("no metrics")?;
        astray.extend(failed_attempts(&answer.body));
        let misplaced = sample(&answer.body, "ringway_misplaced");
        if *role == "node" && misplaced > 0 {
            astray.push(format!("{misplaced} connections of a node aren't at home"));
        }
    }
    Ok(astray)
}

fn failed_attempts(text: &str) -> impl Iterator<Item = String> {
    let attempts = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("ringway_gateway_route_attempts_total{outcome=\"")?;
        let (outcome, count) = rest.split_once("\"} ")?;
        Some((outcome, count.trim().parse::<u64>().ok()?))
    });
    attempts
        .filter(|(outcome, count)| !["ok", "local"].contains(outcome) && *count > 0)
        .map(|(outcome, count)| format!("{count} attempts to hand an upgrade to a node ended as {outcome}"))
}

fn sample(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn of(text: &str) -> Placed {
    let count = |name: &str| sample(text, name);
    Placed {
        owner: count("ringway_deliveries_total{place=\"owner\"}"),
        elsewhere: count("ringway_deliveries_total{place=\"elsewhere\"}"),
        wanted: count("ringway_backplane_received_total{wanted=\"true\"}"),
        unwanted: count("ringway_backplane_received_total{wanted=\"false\"}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_labels() {
        let text = "# TYPE ringway_deliveries counter\nringway_deliveries_total{place=\"owner\"} 30\n\
                    ringway_deliveries_total{place=\"elsewhere\"} 10\n\
                    ringway_backplane_received_total{wanted=\"true\"} 5\n";
        let placed = of(text);
        assert_eq!(placed, Placed { owner: 30, elsewhere: 10, wanted: 5, unwanted: 0 });
        assert_eq!((placed.lambda(), placed.unwanted()), (Some(0.25), Some(0.0)));
        let text = "ringway_gateway_route_attempts_total{outcome=\"ok\"} 90\n\
                    ringway_gateway_route_attempts_total{outcome=\"timeout\"} 7\n\
                    ringway_gateway_route_attempts_total{outcome=\"refused\"} 0\n";
        let told: Vec<_> = failed_attempts(text).collect();
        assert_eq!(told, ["7 attempts to hand an upgrade to a node ended as timeout"]);
        assert_eq!(Placed::default().lambda(), None);
        assert_eq!(sample(text, "ringway_members"), 0);
        assert_eq!(placed.since(&Placed { owner: 29, ..Placed::default() }).owner, 1);
    }
}
