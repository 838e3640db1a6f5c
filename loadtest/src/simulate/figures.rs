//! `figures.md`: every figure, in tables.

use std::fmt::Write as _;

use super::crowd::{A_CLIENT, A_ROOM};
use super::grain::Grain;
use super::headline::{NODES, USERS};
use super::nats::{AT_THE_NODE, servers};
use super::study::FIVE;
use super::traffic::Traffic;
use super::{Found, Move};
use crate::report::unit::Unit;

pub(super) fn markdown(found: &Found, seed: u64, seconds: f64, load: f64) -> String {
    let machine = crate::proc::machine(&[], &[]);
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let mut out = format!(
        "# Scaling: all figures\n\n\
         Simulated, not measured, but for the last table. Made by `cargo run --release -p ringway-loadtest -- {command}` (seed \
         {seed}) in {seconds:.0} s on {} cores of {} (load {load:.1} as it began). What it means is in [scaling](../scaling.md).\n\n\
         A client publishes {A_CLIENT} times a second, over all its rooms together; no room has more than {A_ROOM} publications a \
         second.\n",
        machine.cores, machine.cpu,
    );
    headline(&mut out, found);
    traffic(&mut out, found);
    grains(&mut out, found);
    balance(&mut out, found);
    moves(&mut out, &found.moves);
    nats(&mut out, found);
    costs(&mut out, found);
    out
}

fn table(out: &mut String, title: &str, about: &str, heads: &[&str], rows: &[Vec<String>]) {
    let _ =
        write!(out, "\n## {title}\n{about}\n\n| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

fn headline(out: &mut String, found: &Found) {
    let rows: Vec<_> = found
        .headline
        .iter()
        .map(|row| {
            vec![
                row.kind.name.to_owned(),
                row.members.to_string(),
                if row.skewed { "skewed" } else { "alike" }.to_owned(),
                Unit::Share.show(row.crossing()),
                format!("{:.2}", row.by_room()),
                format!("{:.2}", row.by_slot()),
                format!("{:.2}", row.traffic.heard(Grain::Adaptive)),
                Unit::Share.show(row.traffic.lambda()),
                Unit::Share.show(row.traffic.entered_elsewhere / row.traffic.publications),
            ]
        })
        .collect();
    let title = format!("{} users on {NODES} nodes", Unit::Count.show(f64::from(USERS)));
    let heads = [
        "rooms of a client",
        "members a room",
        "rooms are",
        "publications that cross nodes",
        "nodes that hear one, by room",
        "by slot",
        "adaptive",
        "λ",
        "published elsewhere",
    ];
    table(out, &title, "", &heads, &rows);
}

fn traffic(out: &mut String, found: &Found) {
    let mut rows = Vec::new();
    for (kind, traffic) in &found.kinds {
        for traffic in traffic {
            rows.push(vec![
                kind.name.to_owned(),
                Unit::Count.show(traffic.nodes as f64),
                Unit::Count.show(traffic.connections as f64),
                Unit::Count.show(traffic.rooms as f64),
                format!("{:.1}", traffic.memberships as f64 / traffic.rooms as f64),
                Unit::Count.show(traffic.publications),
                Unit::Count.show(traffic.deliveries),
                Unit::Share.show(traffic.lambda()),
                format!("{:.2}", traffic.heard(Grain::Rooms)),
                traffic.spread.to_string(),
            ]);
        }
    }
    let heads = [
        "rooms of a client",
        "nodes",
        "connections",
        "rooms",
        "members a room",
        "publications/s",
        "deliveries/s",
        "λ",
        "nodes that hear one",
        "keys spread",
    ];
    table(out, "Kinds of clients", "", &heads, &rows);
}

fn grains(out: &mut String, found: &Found) {
    let mut rows = Vec::new();
    for (kind, traffic) in &found.kinds {
        for traffic in traffic {
            for grain in Grain::ALL {
                let a_node = traffic.subscriptions_a_node(grain);
                rows.push(vec![
                    kind.name.to_owned(),
                    Unit::Count.show(traffic.nodes as f64),
                    grain.name().to_owned(),
                    Unit::Count.show(a_node),
                    Unit::Count.show(traffic.most_subscriptions(grain)),
                    Unit::Bytes.show(a_node * AT_THE_NODE),
                    Unit::Count.show(traffic.of(grain).received / traffic.nodes as f64),
                    Unit::Share.show(traffic.of(grain).unwanted()),
                ]);
            }
        }
    }
    let about = "Of a node: on average, but for the most subscriptions of one.";
    let heads = [
        "rooms of a client",
        "nodes",
        "listens to",
        "subscriptions",
        "most",
        "their memory",
        "received/s",
        "unwanted",
    ];
    table(out, "What nodes listen to", about, &heads, &rows);
}

fn balance(out: &mut String, found: &Found) {
    let mut rows = Vec::new();
    let mut add = |what: &str, traffic: &Traffic| {
        for (name, of) in [
            ("connections", &traffic.connections_of),
            ("rooms", &traffic.rooms_of),
            ("deliveries/s", &traffic.deliveries_of),
        ] {
            let mut of = of.clone();
            of.sort_by(f64::total_cmp);
            let mean = of.iter().sum::<f64>() / of.len() as f64;
            let at = |part: f64| of[((of.len() - 1) as f64 * part).round() as usize] / mean;
            rows.push(vec![
                what.to_owned(),
                Unit::Count.show(traffic.nodes as f64),
                name.to_owned(),
                Unit::Count.show(mean),
                format!("{:.2}", at(0.0)),
                format!("{:.2}", at(0.5)),
                format!("{:.2}", at(0.99)),
                format!("{:.2}", at(1.0)),
            ]);
        }
    };
    for (kind, traffic) in &found.kinds {
        for traffic in traffic.iter().filter(|traffic| [20, 100, 1_000].contains(&traffic.nodes)) {
            add(kind.name, traffic);
        }
    }
    if let Some(traffic) = &found.unspread {
        add(&format!("{}, no room spread", FIVE.name), traffic);
    }
    let heads = ["rooms of a client", "nodes", "what", "mean", "least", "median", "p99", "most"];
    table(out, "Balance", "Against the mean of all nodes.", &heads, &rows);
}

fn moves(out: &mut String, moves: &[Move]) {
    let rows: Vec<_> = moves
        .iter()
        .map(|moved| {
            vec![
                Unit::Count.show(f64::from(moved.nodes)),
                moved.what.clone(),
                Unit::Share.show(moved.needed),
                Unit::Share.show(moved.slots),
                Unit::Share.show(moved.connections),
                Unit::Count.show(moved.count as f64),
                Unit::Count.show(moved.told as f64 / 200.0),
            ]
        })
        .collect();
    let about = "Five independent rooms a client. At the default of `placement.moves_per_second`, 200, those whose \
                 node is still there need the seconds in the last column; those of a lost node come back by themselves.";
    let heads = ["nodes", "change", "least", "slots", "connections", "that is", "at 200/s, s"];
    table(out, "What moves", about, &heads, &rows);
}

fn nats(out: &mut String, found: &Found) {
    let mut rows = Vec::new();
    for (kind, traffic) in &found.kinds {
        for traffic in traffic.iter().filter(|traffic| [20, 100, 300, 1_000].contains(&traffic.nodes)) {
            for server in servers(traffic) {
                rows.push(vec![
                    kind.name.to_owned(),
                    Unit::Count.show(traffic.nodes as f64),
                    server.servers.to_string(),
                    Unit::Count.show(server.out),
                    Unit::Count.show(server.announcements),
                    Unit::Count.show(server.subscriptions),
                    Unit::Bytes.show(server.bytes),
                ]);
            }
        }
    }
    let about = "Of each server, where rooms elsewhere are listened to one by one.";
    let heads = [
        "rooms of a client",
        "nodes",
        "servers",
        "messages out/s",
        "of these announcements",
        "subscriptions of its nodes",
        "memory for subscriptions",
    ];
    table(out, "NATS", about, &heads, &rows);
}

fn costs(out: &mut String, found: &Found) {
    let rows: Vec<_> = found
        .costs
        .iter()
        .map(|cost| {
            vec![
                Unit::Count.show(f64::from(cost.nodes)),
                format!("{:.2} ms", cost.first_ms),
                format!("{:.2} ms", cost.change_ms),
                format!("{:.0} µs", cost.loads_us),
                Unit::Bytes.show(cost.bytes),
                format!("{:.1} ns", cost.look_up_ns),
                format!("{:.0} ns", cost.spread_ns),
                Unit::Count.show(cost.announcement_bytes as f64),
                Unit::Count.show(cost.longest_bytes as f64),
            ]
        })
        .collect();
    let about = "Measured: medians of seven, processor time. Memory: a membership and its view, as each gateway and node has \
                 them, of resident memory over 32 at a time.";
    let heads = [
        "nodes",
        "first view",
        "a node more",
        "only loads",
        "memory",
        "home of a key",
        "of a spread key",
        "bytes of an announcement",
        "with 256 tenants",
    ];
    table(out, "What a view costs", about, &heads, &rows);
}
