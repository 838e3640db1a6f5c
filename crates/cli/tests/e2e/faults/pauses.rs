//! A node stands still for longer than others wait for it, and then goes on as if nothing had been.

use std::collections::BTreeSet;
use std::time::Duration;

use ringway_testkit::transcript::Event;

use super::{SETTLED, all_hear, example, members, nothing_strange, room_on};
use crate::member::{Member, all_joined, settled};
use crate::support::name;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stood_still_comes_back_into_one_order() {
    let cluster = example(3, 2);
    let held = room_on(&cluster, "node-1", "held.").await;
    let followed = room_on(&cluster, "node-2", "followed.").await;
    let third = room_on(&cluster, "node-3", "third.").await;
    let mut all = members(&cluster, "still", 3, &[&held, &followed]);
    all.extend(members(&cluster, "awake", 3, &[&followed, &held]));
    all.extend(members(&cluster, "third", 2, &[&third, &held, &followed]));
    all_joined(&all);
    let every = Duration::from_millis(25);
    // On each of the three nodes somebody talks, in the room that the still node holds and in one that it follows.
    let talks = [
        all[0].talk(&held, every),
        all[1].talk(&followed, every),
        all[3].talk(&held, every),
        all[4].talk(&followed, every),
        all[6].talk(&held, every),
    ];
    all_hear(&all, &held, 20);
    cluster.nodes[0].pause();
    tokio::time::sleep(Duration::from_secs(4)).await;
    cluster.nodes[0].resume();
    all_hear(&all, &held, 40);
    all_hear(&all, &followed, 40);
    for talk in talks {
        talk.stop().await;
    }
    for room in [&held, &followed] {
        let verdict = settled(room, &all, SETTLED).assert_kept();
        println!("{room}: {verdict}");
        for member in &all {
            let epochs = epochs(member, room);
            assert!(epochs.len() <= 2, "{} went through {epochs:?} in {room}", member.name);
        }
    }
    let verdict = settled(&followed, &all, SETTLED).assert_kept();
    assert_eq!(verdict.new_epochs, 0, "its holder never stood still: {verdict}");
    nothing_strange(&all);
}

/// The epochs that a member was in.
fn epochs(member: &Member, room: &str) -> BTreeSet<String> {
    let record = member.record();
    let places = record.rooms[&name(room)].events.iter().filter_map(|(_, event)| match event {
        Event::Joined { place, .. } => place.clone(),
        Event::Gap(place) => Some(place.clone()),
        Event::Heard { .. } => None,
    });
    places.map(|place| place.epoch.to_string()).collect()
}
