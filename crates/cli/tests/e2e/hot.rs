//! A room too big for one node: its members sit on several, each comes back to the one that it was on, and all hear one
//! order. Three nodes and two gateways over a real `nats-server`.

mod class;
mod size;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringway_protocol::Format;
use ringway_testkit::wait::until;

use crate::cluster::Cluster;
use crate::member::{Member, Way};
use crate::support::open_over;

/// How long anything may take in the end.
const WITHIN: Duration = Duration::from_secs(30);

/// Replay for whoever comes back late on a busy machine.
const LONG: &str = "replay = { messages = 1000, age = \"5m\" }\n";

fn cluster(config: &str) -> Cluster {
    Cluster::with(3, 2, |nats| format!("{}{config}", open_over(nats)))
}

/// Members of one room, by turns through either gateway first and in either format.
fn members(cluster: &Cluster, room: &str, numbers: std::ops::Range<usize>) -> Vec<Member> {
    numbers
        .map(|number| {
            let mut gateways: Vec<_> = cluster.gateways.iter().map(|gateway| gateway.listen).collect();
            gateways.rotate_left(number % 2);
            let format = if (number / 2).is_multiple_of(2) { Format::Json } else { Format::Msgpack };
            Member::start(format!("m{number}"), &Way { gateways, format, tenant: "default" }, &[room])
        })
        .collect()
}

/// How many of them are on which node.
fn by_node(members: &[Member]) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for member in members {
        *nodes.entry(member.node()).or_default() += 1;
    }
    nodes
}

/// Each connection breaks and comes back, again and again until nine of ten are where they should be: a node that is too
/// busy to take them in time leaves some to another. By chance so many never are.
fn cut_all_until(members: &[Member], is_right: impl Fn(usize, &str) -> bool) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let before: Vec<usize> = members.iter().map(|member| member.record().hellos.len()).collect();
        members.iter().for_each(Member::cut);
        for (member, before) in members.iter().zip(before) {
            until(&format!("{} is back", member.name), WITHIN, || {
                (member.record().hellos.len() > before).then_some(())
            });
        }
        let wrong = members.iter().enumerate().filter(|(number, member)| !is_right(*number, &member.node()));
        let wrong = wrong.count();
        println!("{wrong} of {} came back elsewhere", members.len());
        if wrong * 10 <= members.len() {
            return;
        }
        assert!(Instant::now() < deadline, "{wrong} of {} are elsewhere", members.len());
    }
}

/// Live deliveries of all nodes: where it is at home, and elsewhere.
fn deliveries(cluster: &Cluster) -> [f64; 2] {
    let sum = |label: &str| {
        cluster.nodes.iter().map(|node| node.metrics().sum("ringway_deliveries_total", &[label])).sum()
    };
    [sum("place=\"owner\""), sum("place=\"elsewhere\"")]
}

/// Each of these says something, without waiting for the others.
fn all_say(members: &[Member], room: &str, lines: usize) {
    for line in 0..lines {
        members.iter().for_each(|member| member.say(room, &format!("line {line}")));
    }
}
