//! Placement holds what is promised of it: one mapping everywhere, bounded loads, little movement, tags together.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::process::Command;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use ringway_protocol::name::{RoomName, TenantId};
use ringway_ring::{NodeId, SLOTS, Slot, SlotTable};

/// Set in the process that another one compares itself with.
const CHILD: &str = "RINGWAY_PRINT_FINGERPRINTS";

/// A fixed seed, or the one in `RINGWAY_SEED`; printed, so that a failure can be repeated.
fn seeded(fixed: u64) -> StdRng {
    let seed = std::env::var("RINGWAY_SEED").map_or(fixed, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

type Cluster = Vec<(NodeId, u8)>;

fn random_cluster(random: &mut StdRng, most: usize) -> Cluster {
    let nodes = random.random_range(1..=most);
    // Weights mostly small, as in life; sometimes the whole range.
    let heaviest = if random.random_bool(0.3) { 16 } else { 2 };
    (0..nodes)
        .map(|_| {
            let name = format!("node-{:x}.example", random.random::<u32>());
            (id(&name), random.random_range(0..=heaviest))
        })
        .collect()
}

fn shares(table: &SlotTable) -> BTreeMap<NodeId, u32> {
    let mut shares = BTreeMap::new();
    for owner in Slot::all().filter_map(|slot| table.owner(slot)) {
        *shares.entry(owner.clone()).or_default() += 1;
    }
    shares
}

/// Clusters whose fingerprints are written down: a change of any moves rooms in a rolling upgrade.
fn known_clusters() -> Vec<(&'static str, Cluster, u64)> {
    let numbered = |count: u32, weight: fn(u32) -> u8| -> Vec<_> {
        (0..count).map(|n| (id(&format!("node-{n}")), weight(n))).collect()
    };
    vec![
        ("one node", numbered(1, |_| 1), 0x04e3_48d1_93ea_a1ec),
        ("three nodes", numbered(3, |_| 1), 0xbe3f_4d51_81ef_3d85),
        ("every weight", numbered(17, |n| n as u8), 0x26d2_58f3_218b_e6b8),
        ("a hundred nodes", numbered(100, |_| 1), 0xc4e1_0ef7_ad20_e481),
    ]
}

#[test]
fn the_mapping_is_the_same_in_every_release() {
    let found: Vec<_> = known_clusters()
        .into_iter()
        .map(|(name, cluster, _)| (name, format!("{:#018x}", SlotTable::build(&cluster).fingerprint())))
        .collect();
    let known: Vec<_> = known_clusters()
        .into_iter()
        .map(|(name, _, fingerprint)| (name, format!("{fingerprint:#018x}")))
        .collect();
    assert_eq!(found, known);
}

#[test]
fn the_mapping_is_the_same_in_any_insertion_order() {
    let mut random = seeded(1);
    for _ in 0..20 {
        let mut cluster = random_cluster(&mut random, 60);
        let table = SlotTable::build(&cluster);
        for _ in 0..3 {
            cluster.shuffle(&mut random);
            assert_eq!(SlotTable::build(&cluster).fingerprint(), table.fingerprint(), "{cluster:?}");
        }
    }
}

fn fingerprints() -> String {
    let known = known_clusters().into_iter().map(|(_, cluster, _)| cluster);
    let tables = known.map(|cluster| SlotTable::build(&cluster).fingerprint().to_string());
    tables.collect::<Vec<_>>().join(",")
}

#[test]
fn the_mapping_is_the_same_in_another_process() {
    let test = "the_mapping_is_the_same_in_another_process";
    if std::env::var_os(CHILD).is_some() {
        println!("fingerprints={}", fingerprints());
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8(child.stdout).unwrap();
    assert!(printed.contains(&format!("fingerprints={}\n", fingerprints())), "{printed}");
}

#[test]
fn no_node_holds_more_than_its_bound() {
    let mut random = seeded(2);
    for _ in 0..60 {
        let cluster = random_cluster(&mut random, 120);
        let table = SlotTable::build(&cluster);
        let shares = shares(&table);
        let total: u32 = table.members().iter().map(|(_, weight)| u32::from(*weight)).sum();
        let slots: u32 = shares.values().sum();
        assert_eq!(slots, if total == 0 { 0 } else { u32::from(SLOTS) });
        for (node, weight) in table.members() {
            let fair = f64::from(SLOTS) * f64::from(*weight) / f64::from(total);
            let held = shares.get(node).copied().unwrap_or(0);
            assert!(f64::from(held) <= (1.10 * fair - 1e-9).ceil(), "{node} holds {held}, fair is {fair}");
            assert!(held <= table.bound(node));
        }
    }
}

#[test]
fn a_node_of_weight_0_holds_nothing() {
    let table = SlotTable::build(&[(id("idle"), 0), (id("a"), 1), (id("b"), 16)]);
    assert_eq!(shares(&table).get("idle"), None);
    assert_eq!(table.slots_of(&id("idle")).count(), 0);
}

/// Coming and going are the same comparison: the tables with and without the node.
#[test]
fn one_of_a_hundred_nodes_coming_or_going_moves_little() {
    const NODES: u32 = 100;
    let slots = f64::from(SLOTS);
    for seed in 1..=5_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let cluster: Vec<_> =
            (0..NODES).map(|_| (id(&format!("n{:08x}", random.random::<u32>())), 1)).collect();
        let full = SlotTable::build(&cluster);
        let (mut sum, mut worst) = (0.0_f64, 0.0_f64);
        for gone in 0..cluster.len() {
            let mut rest = cluster.clone();
            rest.remove(gone);
            let share = full.moved(&SlotTable::build(&rest)) as f64 / slots * f64::from(NODES);
            sum += share;
            worst = worst.max(share);
        }
        let mean = sum / f64::from(NODES);
        println!("seed {seed}: mean {mean:.3}/N, worst {worst:.3}/N");
        assert!(mean <= 1.15, "seed {seed}: {mean}");
        assert!(worst <= 1.5, "seed {seed}: {worst}");
    }
}

#[test]
fn a_tag_keeps_its_rooms_together() {
    let mut random = seeded(3);
    for _ in 0..2_000 {
        let tenant: TenantId = format!("t{}", random.random_range(0..50)).parse().unwrap();
        let tag: String = (0..random.random_range(1..20)).map(|_| anything_but_braces(&mut random)).collect();
        let room = |before: String, after: String| -> RoomName {
            format!("{before}{{{tag}}}{after}").parse().unwrap()
        };
        let mut noise = |length: usize| (0..length).map(|_| anything_but_braces(&mut random)).collect();
        let rooms = [
            room(noise(0), noise(0)),
            room(noise(5), noise(9)),
            room(noise(3), "{another}".to_owned()),
            room("}".to_owned(), "}}{".to_owned()),
        ];
        let slot = Slot::of(&tenant, &tag);
        for room in &rooms {
            assert_eq!(Slot::of_room(&tenant, room), slot, "{room}");
        }
    }
}

fn anything_but_braces(random: &mut StdRng) -> char {
    let choices = ['a', 'Z', '7', '.', ' ', '*', 'é', '🦀', '中', '/', ':', '-'];
    choices[random.random_range(0..choices.len())]
}
