//! What `ringway top` shows of a cluster: a line for all, a table of nodes, one of rooms.

use std::fmt::Write as _;

use ringway_ring::{Hottest, NodeId};

use crate::cluster_page::{ClusterPage, NodeRow, share};
use crate::table;

/// Room names are cut to so many characters.
const NAME: usize = 48;

/// The whole screen. `rooms`: how many of the busiest are shown at most.
pub(super) fn of(page: &ClusterPage, rooms: usize) -> String {
    let mut screen = summary(page);
    let header = [
        "NODE", "POOL", "STATE", "SLOTS", "SHARE", "CONNS", "ROOMS", "PUB/s", "DELIV/s", "λ", "RECV/s",
        "UNWANTED", "TO MOVE",
    ];
    let mut nodes = table::new(&header, 3);
    for node in &page.nodes {
        nodes.add_row(node_row(page, node));
    }
    let _ = write!(screen, "\n{}\n", table::text(&nodes));
    let busiest = busiest(page);
    if !busiest.is_empty() {
        let mut rows = table::new(&["ROOM", "TENANT", "NODE", "MEMBERS", "DELIV/s"], 3);
        for (node, room) in busiest.into_iter().take(rooms) {
            rows.add_row([
                cut(room.room.as_str()),
                room.tenant.to_string(),
                node.to_string(),
                grouped(room.members),
                grouped(room.deliveries),
            ]);
        }
        let _ = write!(screen, "\n{}\n", table::text(&rows));
    }
    screen
}

fn summary(page: &ClusterPage) -> String {
    let sum = |of: fn(&NodeRow) -> u64| page.nodes.iter().map(of).sum::<u64>();
    let elsewhere = sum(|node| node.said.load.deliveries_elsewhere);
    let deliveries = sum(|node| node.said.load.deliveries) + elsewhere;
    let (unwanted, received) = (sum(|node| node.said.load.unwanted), sum(|node| node.said.load.received));
    let spread: usize = page.nodes.iter().map(|node| node.said.spreads.len()).sum();
    let mut line = format!(
        "{} in {}  {} connections  {} deliveries/s  λ {}  unwanted {}",
        counted(page.nodes.len(), "node"),
        counted(page.pools().len(), "pool"),
        grouped(sum(|node| node.said.connections)),
        grouped(deliveries),
        part(share(elsewhere, deliveries)),
        part(share(unwanted, received)),
    );
    if spread > 0 {
        let _ = write!(line, "  {spread} keys spread over several nodes");
    }
    line.push('\n');
    line
}

fn node_row(page: &ClusterPage, node: &NodeRow) -> Vec<String> {
    let (said, load) = (&node.said, &node.said.load);
    vec![
        said.id.to_string(),
        said.pool.to_string(),
        node.state().to_owned(),
        node.slots.to_string(),
        share(u64::from(node.slots), u64::from(page.slots))
            .map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0)),
        grouped(said.connections),
        grouped(said.rooms),
        grouped(load.publications),
        grouped(load.deliveries + load.deliveries_elsewhere),
        part(node.lambda()),
        grouped(load.received),
        part(node.unwanted()),
        grouped(load.misplaced),
    ]
}

/// The busiest rooms of all nodes: by deliveries, then by members. A room that several nodes serve has a line for each.
fn busiest<'a>(page: &'a ClusterPage) -> Vec<(&'a NodeId, &'a Hottest)> {
    let on = |node: &'a NodeRow| node.said.load.hottest.iter().map(move |room| (&node.said.id, room));
    let mut all: Vec<_> = page.nodes.iter().flat_map(on).collect();
    all.sort_by(|(_, one), (_, other)| one.by_size(other).then_with(|| one.room.cmp(&other.room)));
    all
}

fn part(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"))
}

fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A number with its thousands apart: 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn cut(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    let mut cut: String = name.chars().take(NAME - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_ring::{Announcement, Load, Membership};

    fn page() -> ClusterPage {
        let mut membership = Membership::new();
        for (id, deliveries) in [("node-a", 900), ("node-b", 40_000)] {
            let hottest = Hottest {
                tenant: "acme".parse().unwrap(),
                room: format!("{{team7}}.{}", "x".repeat(100)).parse().unwrap(),
                members: 12_345,
                deliveries,
            };
            let load = Load {
                deliveries,
                deliveries_elsewhere: deliveries / 9,
                received: 10,
                unwanted: 5,
                misplaced: 7,
                hottest: vec![hottest],
                ..Load::default()
            };
            let (name, pool) = (id.parse().unwrap(), "shared".parse().unwrap());
            let said =
                Announcement { load, connections: 1_234_567, ..Announcement::new(name, 1, pool, id.into()) };
            membership.heard(said, 0);
        }
        ClusterPage::of(&membership.view())
    }

    #[test]
    fn the_screen_has_a_line_for_all_one_for_each_node_and_the_busiest_room_first() {
        let screen = of(&page(), 1);
        let lines: Vec<&str> = screen.lines().collect();
        assert!(
            lines[0].starts_with("2 nodes in 1 pool  2,469,134 connections  45,444 deliveries/s  λ 0.100")
        );
        assert!(lines[0].ends_with("unwanted 0.500"), "{}", lines[0]);
        assert!(lines[2].starts_with("NODE    POOL    STATE"), "{screen}");
        assert!(lines[3].contains("node-a") && lines[4].contains("node-b"), "{screen}");
        assert!(lines[4].contains("1,234,567") && lines[4].ends_with('7'), "{screen}");
        assert!(lines[7].contains("{team7}.xxx") && lines[7].contains('…') && lines[7].contains("node-b"));
        assert_eq!(lines.len(), 8, "{screen}");
    }

    #[test]
    fn thousands_stand_apart() {
        let shown = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
