//! A real text in real rooms: every line of this repository's own pages is published once by a member of one of 50
//! rooms, held by 200 connections through two gateways on three nodes over a real `nats-server`; beside them another
//! tenant has rooms of the same names. What each member heard is held against what it was promised, and where it was
//! delivered against what the ring says.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringway_protocol::Format;
use ringway_ring::{NodeId, Slot, SlotTable};
use ringway_testkit::metrics::Scrape;
use ringway_testkit::path::Path as ClientPath;

use crate::cluster::Cluster;
use crate::member::{Member, Outcome, Way, all_joined, settled};
use crate::support::name;

const ROOMS: usize = 50;
const CONNECTIONS: usize = 200;
/// The tenant whose rooms these are, and the one beside it.
const TENANT: &str = "acme";
const OTHER: &str = "globex";

/// How long anything may take in the end.
const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn with_one_room_a_connection_everything_arrives_and_nothing_crosses_nodes() {
    let cluster = Cluster::over_nats(3, 2);
    let lines = corpus();
    let room = |index: usize| format!("talk.{}", index % ROOMS);
    let others = members(&cluster, OTHER, 0..ROOMS, |index| vec![room(index)]);
    // A quarter comes when half of it has been said.
    let early = CONNECTIONS * 3 / 4;
    let mut all = members(&cluster, TENANT, 0..early, |index| vec![room(index)]);
    assert_homes(&all, TENANT);
    let before = Figures::of(&cluster);

    let (first, second) = lines.split_at(lines.len() / 2);
    publish(&all, first, room);
    publish(&others, &lines[..ROOMS * 2], room);
    all.extend(members(&cluster, TENANT, early..CONNECTIONS, |index| vec![room(index)]));
    publish(&all, second, room);

    assert_eq!(check(&all, ROOMS, room), lines.len());
    assert_eq!(check(&others, ROOMS, room), ROOMS * 2);
    let figures = Figures::of(&cluster).since(&before);
    assert!(figures.owner > lines.len() as f64, "{figures:?}");
    assert_eq!((figures.elsewhere, figures.wanted, figures.unwanted), (0.0, 0.0, 0.0), "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_five_rooms_under_one_tag_nothing_crosses_nodes_either() {
    const TAGS: usize = ROOMS / 5;
    let cluster = Cluster::over_nats(3, 2);
    let lines = corpus();
    let rooms_of = |index: usize| (0..5).map(|n| format!("{{team{}}}.{n}", index % TAGS)).collect::<Vec<_>>();
    let room = |index: usize| rooms_of(index)[index / TAGS % 5].clone();
    let all = members(&cluster, TENANT, 0..CONNECTIONS, rooms_of);
    assert_homes(&all, TENANT);
    let before = Figures::of(&cluster);
    publish(&all, &lines, room);
    assert_eq!(check(&all, ROOMS, room), lines.len());
    let figures = Figures::of(&cluster).since(&before);
    assert_eq!(figures.owner, (lines.len() * CONNECTIONS / TAGS) as f64, "{figures:?}");
    assert_eq!((figures.elsewhere, figures.wanted, figures.unwanted), (0.0, 0.0, 0.0), "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_five_independent_rooms_as_much_crosses_nodes_as_the_ring_predicts() {
    let (predicted, figures) = five_independent_rooms(ClientPath::Tunnel).await;
    assert!(figures.wanted > 0.0, "what is delivered elsewhere came over NATS: {figures:?}");
    let found = share(figures.elsewhere, figures.owner);
    println!("λ: {found:.3}, the ring predicts {predicted:.3}; {figures:?}");
    assert!(
        (found - predicted).abs() <= 0.05 * predicted,
        "λ is {found}, and should be {predicted}: {figures:?}"
    );
    assert!((0.5..0.7).contains(&predicted), "of three nodes two are elsewhere: {predicted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_five_independent_rooms_and_the_sockets_at_gateways_nothing_crosses_nodes() {
    let (_, figures) = five_independent_rooms(ClientPath::Relay).await;
    assert!(figures.owner > 0.0, "{figures:?}");
    assert_eq!((figures.elsewhere, figures.wanted, figures.unwanted), (0.0, 0.0, 0.0), "{figures:?}");
}

/// Everybody is in five rooms of any nodes. The share of deliveries that the ring predicts away from the owner where each
/// connection is on one node, and what was.
async fn five_independent_rooms(path: ClientPath) -> (f64, Figures) {
    let cluster = Cluster::by(path, 3, 2);
    let lines = corpus();
    let room = |index: usize| format!("talk.{}", index % ROOMS);
    // The home room, and four others of strides that share no divisor with 50: never one twice.
    let rooms_of = |index: usize| {
        let strides = [0, 1, 7, 13, 29].map(|stride| room(index + stride * (1 + index / ROOMS)));
        strides.to_vec()
    };
    let all = members(&cluster, TENANT, 0..CONNECTIONS, rooms_of);
    assert_homes(&all, TENANT);
    let before = Figures::of(&cluster);
    publish(&all, &lines, room);
    assert_eq!(check(&all, ROOMS, room), lines.len());

    let ring = ring();
    let owner =
        |room: &str| ring.owner(Slot::of_room(&TENANT.parse().unwrap(), &name(room))).unwrap().clone();
    let (mut here, mut elsewhere) = (0, 0);
    for index in 0..CONNECTIONS {
        let rooms = rooms_of(index);
        let home = owner(&rooms[0]);
        for of_member in &rooms {
            let said = (0..lines.len()).filter(|line| room(*line) == *of_member).count();
            *(if owner(of_member) == home { &mut here } else { &mut elsewhere }) += said;
        }
    }
    (share(elsewhere as f64, here as f64), Figures::of(&cluster).since(&before))
}

/// This repository's pages, by line.
fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = pages_in(&root.join("docs"));
    pages
        .extend(fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_page(path)));
    pages.sort();
    let text: Vec<String> = pages.iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    let lines = text.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty());
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    assert!(lines.len() >= 1_000, "{} lines are too few for {CONNECTIONS} connections", lines.len());
    lines
}

fn pages_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { pages_in(&path) } else { vec![path] })
        .filter(|p| is_page(p))
        .collect()
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// So many members come at a time: a node that doesn't answer a herd in time is passed over, and here everybody is to be at home.
const TOGETHER: usize = 25;

/// That many members, by turns of either format and through either gateway. All have joined.
fn members(
    cluster: &Cluster,
    tenant: &'static str,
    indexes: Range<usize>,
    rooms: impl Fn(usize) -> Vec<String>,
) -> Vec<Member> {
    let start = |index: usize| {
        let gateway = &cluster.gateways[index % cluster.gateways.len()];
        let format = if (index / 2).is_multiple_of(2) { Format::Json } else { Format::Msgpack };
        let way = Way { gateways: vec![gateway.listen], format, tenant };
        Member::start(format!("{tenant}-{index}"), &way, &rooms(index))
    };
    let mut members = Vec::new();
    for first in indexes.clone().step_by(TOGETHER) {
        members.extend((first..indexes.end.min(first + TOGETHER)).map(start));
        all_joined(&members);
    }
    members
}

/// Each is held by the owner of its home room.
fn assert_homes(members: &[Member], tenant: &str) {
    let ring = ring();
    for member in members {
        let home = member.record().home.clone().unwrap();
        let owner = ring.owner(Slot::of_room(&tenant.parse().unwrap(), &home)).unwrap();
        assert_eq!(member.node(), owner.as_str(), "{} of {home}", member.name);
    }
}

/// Each line once, in its room, by some member of that room, without waiting for any.
fn publish(members: &[Member], lines: &[String], room: impl Fn(usize) -> String) {
    let mut speakers: BTreeMap<String, Vec<&Member>> = BTreeMap::new();
    for member in members {
        let rooms: Vec<String> = member.record().rooms.keys().map(ToString::to_string).collect();
        rooms.into_iter().for_each(|room| speakers.entry(room).or_default().push(member));
    }
    for (index, line) in lines.iter().enumerate() {
        let room = room(index);
        let speakers = &speakers[&room];
        speakers[index / ROOMS % speakers.len()].say(&room, line);
    }
}

/// Everybody heard everything since it joined, once and in order, and nothing else. How many publications that were.
fn check(members: &[Member], rooms: usize, room: impl Fn(usize) -> String) -> usize {
    let mut accepted = 0;
    for index in 0..rooms {
        let room = settled(&room(index), members, WITHIN);
        let verdict = room.assert_kept();
        assert!(verdict.is_whole(), "nobody had to lose anything: {verdict}");
        accepted += room.accepted.len();
    }
    for member in members {
        let record = member.record();
        assert_eq!(record.strange, [""; 0], "{}", member.name);
        assert!(record.closes.is_empty() && record.failures == 0, "{}: {:?}", member.name, record.closes);
        let all =
            record.sent.iter().all(|sent| matches!(sent.outcome, Some(Outcome::Accepted { place: Some(_) })));
        assert!(all, "{}: something wasn't accepted", member.name);
    }
    accepted
}

/// The ring of the cluster's three nodes.
fn ring() -> SlotTable {
    let node = |n: usize| -> (NodeId, u8) { (format!("node-{n}").parse().unwrap(), 1) };
    SlotTable::build(&[node(1), node(2), node(3)])
}

fn share(some: f64, others: f64) -> f64 {
    some / (some + others)
}

/// Where publications went, over all nodes.
#[derive(Debug)]
struct Figures {
    owner: f64,
    elsewhere: f64,
    wanted: f64,
    unwanted: f64,
}

impl Figures {
    fn of(cluster: &Cluster) -> Self {
        let scrapes: Vec<Scrape> = cluster.nodes.iter().map(|node| node.metrics()).collect();
        let sum = |family: &str, label: &str| scrapes.iter().map(|scrape| scrape.sum(family, &[label])).sum();
        Self {
            owner: sum("ringway_deliveries_total", "place=\"owner\""),
            elsewhere: sum("ringway_deliveries_total", "place=\"elsewhere\""),
            wanted: sum("ringway_backplane_received_total", "wanted=\"true\""),
            unwanted: sum("ringway_backplane_received_total", "wanted=\"false\""),
        }
    }

    fn since(self, before: &Self) -> Self {
        Self {
            owner: self.owner - before.owner,
            elsewhere: self.elsewhere - before.elsewhere,
            wanted: self.wanted - before.wanted,
            unwanted: self.unwanted - before.unwanted,
        }
    }
}
