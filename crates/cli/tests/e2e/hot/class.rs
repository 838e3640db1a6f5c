//! Spread because its class says so.

use super::{LONG, WITHIN, all_say, by_node, cluster, cut_all_until, deliveries, members};
use crate::member::{all_joined, settled};

const MEMBERS: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_is_spread_has_members_on_all_its_nodes_who_come_back_to_theirs() {
    let cluster = cluster(&format!("[[classes]]\nrooms = \"stadium.**\"\nspread = 3\n{LONG}"));
    let room = "stadium.final";
    let all = members(&cluster, room, 0..MEMBERS);
    all_joined(&all);
    let nodes = by_node(&all);
    println!("{nodes:?}");
    // A third each; five standard deviations of fair draws off.
    assert!(nodes.len() == 3 && nodes.values().all(|count| (20..=80).contains(count)), "{nodes:?}");

    // A few of them speak on each node, all at once.
    all_say(&all[..30], room, 10);
    let verdict = settled(room, &all, WITHIN).assert_kept();
    assert!(verdict.is_whole(), "nobody had to lose anything: {verdict}");
    let [home, elsewhere] = deliveries(&cluster);
    assert_eq!((home, elsewhere), ((MEMBERS * 300) as f64, 0.0), "each of them is a home");

    let homes: Vec<String> = all.iter().map(|member| member.node()).collect();
    cut_all_until(&all, |number, node| *node == homes[number]);
    all_say(&all[30..60], room, 5);
    let verdict = settled(room, &all, WITHIN).assert_kept();
    assert_eq!(verdict.new_epochs, 0, "{verdict}");
    for member in &all {
        assert_eq!(member.record().strange, [""; 0], "{}", member.name);
    }
}
