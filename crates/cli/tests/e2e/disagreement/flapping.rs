//! A node dies and is started anew, again and again.

use std::time::{Duration, Instant};

use ringway_testkit::wait::until;

use super::{seen, served};
use crate::faults::{SETTLED, all_hear, example, members, nothing_strange, room_on};
use crate::member::{all_joined, settled};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_every_two_seconds_is_held_back_and_its_neighbours_are_undisturbed() {
    let mut cluster = example(3, 2);
    let rooms = [room_on(&cluster, "node-1", "here.").await, room_on(&cluster, "node-2", "there.").await];
    let its = room_on(&cluster, "node-3", "flaps.").await;
    let mut all = members(&cluster, "local", 4, &[&rooms[0], &rooms[1]]);
    all.extend(members(&cluster, "guest", 4, &[&rooms[1], &rooms[0]]));
    all_joined(&all);
    let talks = [
        all[0].talk(&rooms[0], Duration::from_millis(20)),
        all[4].talk(&rooms[1], Duration::from_millis(20)),
        all[5].talk(&rooms[0], Duration::from_millis(20)),
    ];
    let died = |cluster: &mut crate::cluster::Cluster| {
        cluster.nodes[2].kill();
        cluster.nodes[2] = cluster.launcher.node("node-3", &[]);
    };
    let gateways_hold = |cluster: &crate::cluster::Cluster, held: bool| {
        cluster.gateways.iter().all(|gateway| {
            seen(gateway, "node-3").is_some_and(|node| node["held"] == held && (node["slots"] == 0) == held)
        })
    };
    for _ in 0..3 {
        let began = Instant::now();
        died(&mut cluster);
        // The pace of its deaths is what is tested.
        tokio::time::sleep(Duration::from_secs(2).saturating_sub(began.elapsed())).await;
    }
    until("the gateways hold it back", Duration::from_secs(9), || {
        gateways_hold(&cluster, true).then_some(())
    });
    // It may come and go as it likes: nobody is sent there.
    let mut its_own = Vec::new();
    for round in 0.. {
        assert!(round < 10, "it is never held back for long enough");
        died(&mut cluster);
        let come = members(&cluster, &format!("its-{round}"), 4, &[&its]);
        served(&come);
        // The machine may have been so busy that it has stood for long enough meanwhile.
        if gateways_hold(&cluster, true) {
            assert!(come.iter().all(|member| member.node() != "node-3"));
            its_own.extend(come);
        }
        if its_own.len() == 8 {
            break;
        }
    }
    let said = its_own[0].tell(&its, "undisturbed").await;
    println!("{said:?}");
    all_hear(&all, &rooms[0], 20);
    all_hear(&all, &rooms[1], 20);
    for member in all.iter().chain(&its_own) {
        assert_eq!(member.record().closes.len(), 0, "{} was sent away", member.name);
    }
    until("it stands, and has slots again", Duration::from_secs(30), || {
        gateways_hold(&cluster, false).then_some(())
    });
    for talk in talks {
        talk.stop().await;
    }
    for room in &rooms {
        let verdict = settled(room, &all, SETTLED).assert_kept();
        println!("{room}: {verdict}");
        assert!(verdict.is_whole(), "its holder lived all along: {verdict}");
    }
    let verdict = settled(&its, &its_own, SETTLED).assert_kept();
    assert!(verdict.is_whole(), "whoever served it lived, too: {verdict}");
    nothing_strange(&all);
}
