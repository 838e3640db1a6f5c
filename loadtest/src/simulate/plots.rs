//! The plots of `docs/scaling.md`.

use super::chart::{Along, Bars, Line, Up, bars, lines};
use super::grain::Grain;
use super::nats::{AT_THE_NODE, PUBLISHED_OUT, servers};
use super::study::{FIVE, FIVE_BY_USER, FIVE_TAGGED, FOUR_AND_ONE, ONE, THIRTY, THIRTY_TAGGED};
use super::traffic::Traffic;
use super::world::Kind;
use super::{Found, Move};
use crate::report::plot::canvas::Ink;
use crate::report::unit::Unit;

const NODES: [f64; 6] = [3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0];
const PLAIN: [Grain; 4] = [Grain::Rooms, Grain::Slots, Grain::Adaptive, Grain::Everything];

pub(super) fn all(found: &Found) -> anyhow::Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("lambda.svg", lambda(found)?),
        ("heard.svg", heard(found)?),
        ("received.svg", received(found)?),
        ("subscriptions.svg", subscriptions(found)?),
        ("balance.svg", balance(found)?),
        ("movement.svg", movement(&found.moves)?),
        ("nats.svg", nats(found)?),
    ])
}

impl Found {
    pub(super) fn of(&self, kind: Kind) -> &[Traffic] {
        self.kinds.iter().find(|(one, _)| *one == kind).map_or(&[], |(_, traffic)| traffic)
    }
}

fn ink(kind: Kind) -> Ink {
    match kind {
        ONE => Ink::FLOOR,
        FIVE_TAGGED => Ink::ONE,
        THIRTY_TAGGED => Ink::other(5),
        FOUR_AND_ONE => Ink::GATEWAY,
        FIVE => Ink::DIRECT,
        FIVE_BY_USER => Ink::other(2),
        THIRTY => Ink::other(0),
        _ => Ink::other(4),
    }
}

fn grain_ink(grain: Grain) -> Ink {
    match grain {
        Grain::Rooms => Ink::DIRECT,
        Grain::Slots => Ink::other(0),
        Grain::Everything => Ink::other(2),
        _ => Ink::ONE,
    }
}

fn nodes() -> Along<'static> {
    Along { label: "nodes, each with 10,000 connections and 2,000 rooms", ticks: &NODES }
}

fn by_nodes(traffic: &[Traffic], value: impl Fn(&Traffic) -> f64) -> Vec<(f64, f64)> {
    traffic.iter().map(|traffic| (traffic.nodes as f64, value(traffic))).collect()
}

fn lambda(found: &Found) -> anyhow::Result<String> {
    let up = Up {
        unit: Unit::Share,
        logarithmic: false,
        label: "share of deliveries made on a node that isn't the room's",
        mark: Some((0.05, "5 %: below this nothing needs to be done")),
    };
    let drawn: Vec<Line> = [ONE, FIVE_TAGGED, FOUR_AND_ONE, FIVE, FIVE_BY_USER, THIRTY]
        .map(|kind| Line {
            label: kind.name.to_owned(),
            ink: ink(kind),
            points: by_nodes(found.of(kind), Traffic::lambda),
        })
        .into();
    lines("λ: what kinds of clients make of it (simulated)", &nodes(), up, &drawn)
}

fn heard(found: &Found) -> anyhow::Result<String> {
    let up = Up {
        unit: Unit::Number,
        logarithmic: true,
        label: "nodes that must hear a publication, the room's own among them",
        mark: None,
    };
    let drawn: Vec<Line> = [FIVE_TAGGED, FOUR_AND_ONE, FIVE, FIVE_BY_USER, THIRTY]
        .map(|kind| Line {
            label: kind.name.to_owned(),
            ink: ink(kind),
            points: by_nodes(found.of(kind), |traffic| traffic.heard(Grain::Rooms)),
        })
        .into();
    lines("Nodes that a publication reaches (simulated)", &nodes(), up, &drawn)
}

fn received(found: &Found) -> anyhow::Result<String> {
    let up = Up {
        unit: Unit::PerSecond,
        logarithmic: true,
        label: "publications that a node receives from others, thirty independent rooms a client",
        mark: None,
    };
    let a_node = |traffic: &Traffic, grain| traffic.of(grain).received / traffic.nodes as f64;
    let drawn = grains(found.of(THIRTY), a_node);
    lines("What a node receives, by what it listens to (simulated)", &nodes(), up, &drawn)
}

fn subscriptions(found: &Found) -> anyhow::Result<String> {
    let up = Up {
        unit: Unit::Bytes,
        logarithmic: true,
        label: "memory for subscriptions at a node (4.8 KB each), thirty independent rooms a client",
        mark: None,
    };
    let drawn = grains(found.of(THIRTY), |traffic, grain| traffic.subscriptions_a_node(grain) * AT_THE_NODE);
    lines("What listening costs a node, by what it listens to (simulated)", &nodes(), up, &drawn)
}

fn grains(traffic: &[Traffic], value: impl Fn(&Traffic, Grain) -> f64) -> Vec<Line> {
    PLAIN
        .into_iter()
        .map(|grain| Line {
            label: grain.name().to_owned(),
            ink: grain_ink(grain),
            points: by_nodes(traffic, |traffic| value(traffic, grain)),
        })
        .collect()
}

fn balance(found: &Found) -> anyhow::Result<String> {
    let up = Up {
        unit: Unit::Number,
        logarithmic: false,
        label: "load of a node against the mean, five independent rooms a client",
        mark: None,
    };
    let mut drawn = Vec::new();
    let mut line = |label: &str, ink, of: &[f64]| {
        drawn.push(Line { label: label.to_owned(), ink, points: sorted(of) });
    };
    if let Some(traffic) = found.of(FIVE).last() {
        line("connections", Ink::DIRECT, &traffic.connections_of);
        line("rooms", Ink::ONE, &traffic.rooms_of);
        line("deliveries", Ink::other(0), &traffic.deliveries_of);
    }
    if let Some(traffic) = &found.unspread {
        line("connections, unspread", Ink::other(2), &traffic.connections_of);
    }
    let ticks = [0.0, 20.0, 40.0, 60.0, 80.0, 100.0];
    let along = Along { label: "nodes from the least to the most loaded, percent", ticks: &ticks };
    let most = found.of(FIVE).last().map_or(0, |traffic| traffic.nodes);
    lines(&format!("Balance over {} nodes (simulated)", Unit::Count.show(most as f64)), &along, up, &drawn)
}

/// Shares of the mean from the least to the greatest, a hundred and one of them.
fn sorted(of: &[f64]) -> Vec<(f64, f64)> {
    let mut of = of.to_vec();
    of.sort_by(f64::total_cmp);
    let mean = of.iter().sum::<f64>() / of.len() as f64;
    (0..=100)
        .map(|percent| (f64::from(percent), of[(of.len() - 1) * percent as usize / 100] / mean))
        .collect()
}

fn movement(moves: &[Move]) -> anyhow::Result<String> {
    let groups: Vec<Bars> = moves
        .iter()
        .map(|moved| Bars {
            label: format!("{} nodes, {}", Unit::Count.show(f64::from(moved.nodes)), moved.what),
            values: vec![moved.needed, moved.slots, moved.connections],
        })
        .collect();
    let sorts = [
        ("least that must move", Ink::REST),
        ("slots that move", Ink::DIRECT),
        ("connections that move", Ink::ONE),
    ];
    bars(
        "What moves when nodes come or go (simulated)",
        "share of all slots, or of all connections",
        Unit::Share,
        &sorts,
        &groups,
    )
}

fn nats(found: &Found) -> anyhow::Result<String> {
    let up = Up {
        unit: Unit::PerSecond,
        logarithmic: true,
        label: "messages a second that each of 3 NATS servers sends (announcements are in all lines)",
        mark: Some((PUBLISHED_OUT, "NATS' own measurement: 4.3 million")),
    };
    let out = |traffic: &Traffic| servers(traffic)[0].out;
    let mut drawn: Vec<Line> = [FIVE_TAGGED, FOUR_AND_ONE, FIVE, THIRTY]
        .map(|kind| Line {
            label: kind.name.to_owned(),
            ink: ink(kind),
            points: by_nodes(found.of(kind), out),
        })
        .into();
    let announced = by_nodes(found.of(ONE), |traffic| servers(traffic)[0].announcements);
    drawn.push(Line { label: "announcements".to_owned(), ink: Ink::REST, points: announced });
    lines("What NATS is asked for (simulated)", &nodes(), up, &drawn)
}
