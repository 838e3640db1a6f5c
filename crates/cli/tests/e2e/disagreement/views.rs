//! A gateway doesn't hear what others hear, while a node joins: for a while two gateways place a room differently.

use std::time::{Duration, Instant};

use ringway_ring::{Slot, SlotTable};
use ringway_testkit::proxy::Proxy;
use ringway_testkit::wait::until;

use super::only_through;
use crate::cluster::{self, Cluster};
use crate::faults::{SETTLED, all_hear, config, nothing_strange};
use crate::member::{Member, all_joined, settled};
use crate::support::name;

/// How a gateway loses NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Its connection breaks, and there is none to be had.
    Broken,
    /// Nothing comes, and it isn't told.
    Silent,
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_gateway_cut_off_while_a_node_joins_all_hear_each_other() {
    all_hear_each_other(Cut::Broken, Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_gateway_that_hears_nothing_while_a_node_joins_all_hear_each_other() {
    all_hear_each_other(Cut::Silent, Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make e2e"]
async fn with_a_gateway_away_for_thirty_seconds_while_a_node_joins_all_hear_each_other() {
    for cut in [Cut::Broken, Cut::Silent] {
        all_hear_each_other(cut, Duration::from_secs(30)).await;
    }
}

/// Two nodes and two gateways, the first of which is cut off `for` so long. A third node starts meanwhile, and takes over
/// one of the rooms, in the view of the other gateway.
async fn all_hear_each_other(cut: Cut, long: Duration) {
    let mut cluster = Cluster::with(2, 0, config);
    let nats = ([127, 0, 0, 1], cluster.nats.as_ref().unwrap().port()).into();
    let proxy = Proxy::start(nats).await.unwrap();
    let url = format!("nats://{}", proxy.address());
    let cut_off = cluster.launcher.gateway(&[("RINGWAY_NATS__URLS", &url)]);
    let other = cluster.launcher.gateway(&[]);
    cluster.gateways = vec![cut_off, other];
    cluster.gateways.iter().for_each(|gateway| cluster::sees(gateway, 2));

    let (moves, stays) = (room_of(&["node-1"], "node-3", "moves."), room_of(&["node-2"], "node-2", "stays."));
    let rooms = [&*moves, &*stays];
    let mut all: Vec<Member> =
        (0..4).map(|n| Member::start(format!("early-{n}"), &only_through(&cluster, n % 2), &rooms)).collect();
    all_joined(&all);
    let every = Duration::from_millis(40);
    let mut talks = vec![all[0].talk(&moves, every), all[1].talk(&stays, every)];
    match cut {
        Cut::Broken => proxy.shut(),
        Cut::Silent => proxy.silence(),
    }
    let began = Instant::now();
    let third = cluster.launcher.node("node-3", &[]);
    cluster.nodes.push(third);
    cluster.nodes.iter().chain(&cluster.gateways[1..]).for_each(|process| cluster::sees(process, 3));

    let (mut round, mut by_the_new_view) = (0, 0);
    while round == 0 || began.elapsed() < long {
        let come = (0..2).map(|gateway| {
            Member::start(format!("late-{round}-{gateway}"), &only_through(&cluster, gateway), &rooms)
        });
        let come: Vec<Member> = come.collect();
        all_joined(&come);
        assert_ne!(come[0].node(), "node-3", "the first gateway's view is the old one");
        by_the_new_view += usize::from(come[1].node() == "node-3");
        if round == 0 {
            talks.extend([come[0].talk(&moves, every), come[1].talk(&moves, every)]);
        }
        all.extend(come);
        all_hear(&all, &moves, 15);
        all_hear(&all, &stays, 5);
        round += 1;
        // Between two rounds: they go on for as long as the views differ.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // On a busy machine a node may be too slow at times, and then the next one is taken.
    assert!(by_the_new_view > 0, "the other's view is the new one");
    until("the gateway says that it is cut off", Duration::from_secs(10), || {
        (cluster.gateways[0].readyz() == Some(503)).then_some(())
    });
    proxy.open();
    cluster::sees(&cluster.gateways[0], 3);
    until("the gateway is ready", Duration::from_secs(10), || {
        (cluster.gateways[0].readyz() == Some(200)).then_some(())
    });
    all_hear(&all, &moves, 15);
    for talk in talks {
        talk.stop().await;
    }
    for room in rooms {
        let verdict = settled(room, &all, SETTLED).assert_kept();
        println!("{cut:?}, {room}: {round} rounds, {verdict}");
        assert!(verdict.is_whole(), "all nodes lived: {verdict}");
    }
    nothing_strange(&all);
}

/// A room that one of `before` owns among the first two nodes, and `after` among three.
fn room_of(before: &[&str], after: &str, prefix: &str) -> String {
    let ring = |nodes: &[&str]| {
        SlotTable::build(&nodes.iter().map(|node| (node.parse().unwrap(), 1)).collect::<Vec<_>>())
    };
    let (two, three) = (ring(&["node-1", "node-2"]), ring(&["node-1", "node-2", "node-3"]));
    let owner = |ring: &SlotTable, room: &str| {
        ring.owner(Slot::of_room(&"default".parse().unwrap(), &name(room))).unwrap().to_string()
    };
    (0..)
        .map(|n| format!("{prefix}{n}"))
        .find(|room| before.contains(&&*owner(&two, room)) && owner(&three, room) == after)
        .unwrap()
}
