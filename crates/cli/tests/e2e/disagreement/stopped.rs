//! A node stands still: others go on without it, and then it is back, or another has its name.

use std::time::{Duration, Instant};

use ringway_testkit::wait::until;

use super::{only_through, seen, served};
use crate::cluster;
use crate::faults::{SETTLED, all_hear, example, members, nothing_strange, room_on};
use crate::member::{Member, all_joined, settled};

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_a_node_stands_still_is_served_by_another_and_goes_home_later() {
    let cluster = example(3, 2);
    let room = room_on(&cluster, "node-1", "still.").await;
    let mut all = members(&cluster, "early", 4, &[&room]);
    all_joined(&all);
    let began = Instant::now();
    cluster.nodes[0].pause();
    let first = Member::start("first", &only_through(&cluster, 0), &[&room]);
    served(std::slice::from_ref(&first));
    println!("the first was served after {:?}", began.elapsed());
    let others: Vec<Member> =
        (0..4).map(|n| Member::start(format!("next-{n}"), &only_through(&cluster, 0), &[&room])).collect();
    served(&others);
    println!("the next after {:?}", began.elapsed());
    // Through the other gateway too, where nobody has tried it yet.
    let there = Member::start("there", &only_through(&cluster, 1), &[&room]);
    served(std::slice::from_ref(&there));
    let came: Vec<Member> = others.into_iter().chain([first, there]).collect();
    assert!(came.iter().all(|member| member.node() != "node-1"));
    let talks =
        [came[0].talk(&room, Duration::from_millis(30)), all[0].talk(&room, Duration::from_millis(30))];
    all_hear(&came, &room, 10);
    // So long it stands still, whatever took how long above.
    tokio::time::sleep(Duration::from_secs(5).saturating_sub(began.elapsed())).await;
    cluster.nodes[0].resume();
    all.extend(came);
    all_hear(&all, &room, 20);
    for talk in talks {
        talk.stop().await;
    }
    let mut tries = 0;
    until("who comes later is at home", Duration::from_secs(20), || {
        tries += 1;
        let later = Member::start(format!("later-{tries}"), &only_through(&cluster, 0), &[&room]);
        served(std::slice::from_ref(&later));
        (later.node() == "node-1").then_some(())
    });
    let verdict = settled(&room, &all, SETTLED).assert_kept();
    println!("{verdict}");
    nothing_strange(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_replaced_while_it_stood_still_leaves() {
    let mut cluster = example(3, 2);
    let (lost, kept) =
        (room_on(&cluster, "node-1", "lost.").await, room_on(&cluster, "node-2", "kept.").await);
    let mut all = members(&cluster, "elder", 4, &[&lost, &kept]);
    all.extend(members(&cluster, "neighbour", 4, &[&kept, &lost]));
    all_joined(&all);
    let every = Duration::from_millis(30);
    let talks = [
        all[0].talk(&lost, every),
        all[1].talk(&kept, every),
        all[4].talk(&lost, every),
        all[5].talk(&kept, every),
    ];
    all_hear(&all, &lost, 10);
    cluster.nodes[0].pause();
    // Nobody answers for the name: it can be had.
    let younger = cluster.launcher.node("node-1", &[]);
    let address = younger.listen.to_string();
    for process in cluster.gateways.iter().chain(&cluster.nodes[1..]).chain([&younger]) {
        until(&format!("{} sees the younger", process.name), Duration::from_secs(10), || {
            (seen(process, "node-1")?["advertise"] == *address).then_some(())
        });
    }
    let newcomers = members(&cluster, "newcomer", 2, &[&lost]);
    served(&newcomers);
    all_hear(&newcomers, &lost, 10);
    all.extend(newcomers);

    cluster.nodes[0].resume();
    let status = cluster.nodes[0].wait_end(Duration::from_secs(20));
    let log = cluster.nodes[0].log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("a younger node has taken this one's name: leaving"), "{log}");
    let elder = std::mem::replace(&mut cluster.nodes[0], younger);
    drop(elder);
    cluster.gateways.iter().chain(&cluster.nodes).for_each(|process| cluster::sees(process, 3));
    all_hear(&all, &lost, 20);
    all_hear(&all, &kept, 20);
    for talk in talks {
        talk.stop().await;
    }
    for room in [&lost, &kept] {
        let verdict = settled(room, &all, SETTLED).assert_kept();
        println!("{room}: {verdict}");
    }
    nothing_strange(&all);
}
