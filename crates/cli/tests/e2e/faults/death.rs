//! Nodes end: killed without a word, or asked to leave.

use std::time::{Duration, Instant};

use ringway_protocol::CloseCode;
use ringway_testkit::path::Path;
use ringway_testkit::processes::ended_well;
use ringway_testkit::transcript::Event;
use ringway_testkit::wait::until;

use super::{Reach, SETTLED, all_hear, example, members, nothing_strange, room_on, until_accepted};
use crate::member::{Member, all_joined, settled};
use crate::support::{name, path};

#[tokio::test(flavor = "multi_thread")]
async fn when_a_node_is_killed_its_clients_are_served_by_another_within_five_seconds() {
    let mut cluster = example(3, 2);
    let (lost, kept) =
        (room_on(&cluster, "node-1", "lost.").await, room_on(&cluster, "node-2", "kept.").await);
    let mut all = members(&cluster, "on-1", 4, &[&lost, &kept]);
    all.extend(members(&cluster, "on-2", 4, &[&kept, &lost]));
    all_joined(&all);
    assert!(all[..4].iter().all(|m| m.node() == "node-1") && all[4..].iter().all(|m| m.node() == "node-2"));
    let talks = [&all[4], &all[5]].map(|m| m.talk(&lost, Duration::from_millis(30)));
    let keeps = [all[6].talk(&kept, Duration::from_millis(30))];
    all_hear(&all, &lost, 20);

    let killed = Instant::now();
    cluster.nodes[0].kill();
    // Where the gateway has the sockets, they stay.
    let moved = if path() == Path::Tunnel { &all[..4] } else { &[] };
    for member in moved {
        let served = until(&format!("{} is served again", member.name), Duration::from_secs(5), || {
            member.record().hellos.last().filter(|(at, _)| *at > killed).cloned()
        });
        assert_ne!(served.1, "node-1");
    }
    // Served means that it publishes, and is heard.
    let within = Duration::from_secs(5).saturating_sub(killed.elapsed());
    let said = tokio::time::timeout(within, until_accepted(&all[0], &lost, Reach::All))
        .await
        .expect("within five seconds");
    for member in &all {
        until(
            &format!("{} hears it", member.name),
            Duration::from_secs(5).saturating_sub(killed.elapsed()),
            || member.record().rooms[&name(&lost)].names().contains(&said).then_some(()),
        );
    }
    println!("all served {:?} after the kill", killed.elapsed());
    for talk in talks.into_iter().chain(keeps) {
        talk.stop().await;
    }

    let verdict = settled(&lost, &all, SETTLED).assert_kept();
    assert_eq!(verdict.new_epochs, all.len(), "each is told once of the new epoch: {verdict}");
    let verdict = settled(&kept, &all, SETTLED).assert_kept();
    assert!(verdict.is_whole(), "its holder lives: one epoch, nothing lost: {verdict}");
    let cut = all.iter().filter(|member| !member.record().closes.is_empty()).count();
    assert_eq!(cut, moved.len(), "nobody else's connection suffered");
    nothing_strange(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_gateway_is_killed_its_clients_come_back_through_the_other_and_lose_nothing() {
    let mut cluster = example(3, 2);
    let (here, there) =
        (room_on(&cluster, "node-1", "here.").await, room_on(&cluster, "node-2", "there.").await);
    // By turns, so half of them through the one that is killed.
    let mut all = members(&cluster, "local", 4, &[&here, &there]);
    all.extend(members(&cluster, "guest", 4, &[&there, &here]));
    all_joined(&all);
    // Through the other gateway.
    let talks =
        [all[1].talk(&here, Duration::from_millis(20)), all[5].talk(&there, Duration::from_millis(20))];
    all_hear(&all, &here, 10);
    cluster.gateways[0].kill();
    for member in all.iter().step_by(2) {
        until(&format!("{} is back", member.name), Duration::from_secs(5), || {
            (member.record().hellos.len() == 2).then_some(())
        });
    }
    all_hear(&all, &here, 20);
    for talk in talks {
        talk.stop().await;
    }
    for room in [&here, &there] {
        let verdict = settled(room, &all, SETTLED).assert_kept();
        assert!(verdict.is_whole(), "no node died: {verdict}");
    }
    nothing_strange(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_asked_to_leave_moves_its_clients_and_hands_its_rooms_over() {
    let mut cluster = example(3, 2);
    let room = room_on(&cluster, "node-1", "moves.").await;
    let other = room_on(&cluster, "node-2", "stays.").await;
    let mut all = members(&cluster, "on-1", 40, &[&room]);
    all.extend(members(&cluster, "on-2", 2, &[&other, &room]));
    all_joined(&all);
    let talk = all[41].talk(&room, Duration::from_millis(20));
    all_hear(&all, &room, 10);

    let began = Instant::now();
    cluster.nodes[0].terminate();
    // Where the gateway has the sockets, it moves what is behind them, and nobody is told.
    let moved = if path() == Path::Tunnel { &all[..40] } else { &[] };
    for member in moved {
        until(&format!("{} has moved", member.name), Duration::from_secs(5), || {
            (member.record().hellos.len() == 2 && member.node() != "node-1").then_some(())
        });
    }
    let status = cluster.nodes[0].wait_end(Duration::from_secs(10));
    assert!(ended_well(status), "{status}\n{}", cluster.nodes[0].log());
    println!("all have moved, and the node has ended, within {:?}", began.elapsed());
    all_hear(&all, &room, 10);
    talk.stop().await;

    for member in &all[moved.len()..] {
        let record = member.record();
        assert_eq!((record.goaways, record.closes.len(), record.hellos.len()), (0, 0, 1), "{}", member.name);
    }
    for member in moved {
        let record = member.record();
        let codes: Vec<_> = record.closes.iter().map(|closed| closed.code).collect();
        assert_eq!((record.goaways, &codes[..]), (1, &[CloseCode::RESTART][..]), "{}", member.name);
    }
    let verdict = settled(&room, &all, SETTLED).assert_kept();
    assert!(verdict.is_whole(), "the new owner took the room: one epoch, nothing lost: {verdict}");
    let resumed = moved.iter().filter(|m| resumed(m, &room)).count();
    assert_eq!(resumed, moved.len(), "everybody who came back was resumed");
    nothing_strange(&all);
}

/// Whether its last join said so.
fn resumed(member: &Member, room: &str) -> bool {
    let record = member.record();
    let mut joins = record.rooms[&name(room)].events.iter().filter_map(|(_, event)| match event {
        Event::Joined { resumed, .. } => Some(*resumed),
        Event::Heard { .. } | Event::Gap(_) => None,
    });
    joins.next_back().flatten() == Some(true)
}
