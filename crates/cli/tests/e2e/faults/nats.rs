//! NATS goes away: for all, or for one node; in the open, or in silence.

use std::time::{Duration, Instant};

use ringway_testkit::http;
use ringway_testkit::nats::NatsServer;
use ringway_testkit::path::Path;
use ringway_testkit::processes::Process;
use ringway_testkit::proxy::Proxy;
use ringway_testkit::transcript::Name;
use ringway_testkit::wait::until;

use super::{Reach, SETTLED, all_hear, config, example, members, nothing_strange, room_on, until_accepted};
use crate::cluster::{self, Cluster};
use crate::member::{Member, all_joined, settled};
use crate::support::{name, path};

/// How soon a process says that it can't reach the others.
const NOTICED: Duration = Duration::from_secs(5);

/// How long NATS stays away: longer than a node that falls silent stays in the view.
const OUTAGE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn while_nats_is_stopped_local_members_hear_each_other_and_afterwards_all_do() {
    outage(NatsServer::stop, NatsServer::restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nats_stands_still_local_members_hear_each_other_and_afterwards_all_do() {
    outage(|nats| nats.pause(), |nats| nats.resume()).await;
}

async fn outage(begin: impl FnOnce(&mut NatsServer), end: impl FnOnce(&mut NatsServer)) {
    let mut cluster = example(3, 2);
    let (here, there) =
        (room_on(&cluster, "node-1", "here.").await, room_on(&cluster, "node-2", "there.").await);
    let busy = room_on(&cluster, "node-3", "busy.").await;
    let mut all = members(&cluster, "local", 4, &[&here]);
    all.extend(members(&cluster, "guest", 4, &[&there, &here]));
    all.extend(members(&cluster, "busy", 1, &[&busy]));
    all_joined(&all);
    let every = Duration::from_millis(20);
    let talks = [all[0].talk(&here, every), all[1].talk(&here, every), all[4].talk(&here, every)];
    // A link over which much goes out and nothing comes back mustn't pass for one that lives.
    let flood = all[8].talk(&busy, Duration::from_millis(1));
    all_hear(&all[..8], &here, 20);

    begin(cluster.nats.as_mut().unwrap());
    let began = Instant::now();
    for process in cluster.nodes.iter().chain(&cluster.gateways) {
        until(
            &format!("{} says that it is cut off", process.name),
            NOTICED.saturating_sub(began.elapsed()),
            || (process.readyz() == Some(503)).then_some(()),
        );
        assert_eq!(livez(process), Some(200), "{}", process.name);
    }
    println!("all say so after {:?}", began.elapsed());
    // Who is on one node hears each other, and is told that it is only them.
    for group in [&all[..4], &all[4..8]] {
        let said = until_accepted(&group[1], &here, Reach::Local).await;
        all_heard(group, &here, &said, Duration::from_secs(2));
    }
    tokio::time::sleep(OUTAGE.saturating_sub(began.elapsed())).await;
    end(cluster.nats.as_mut().unwrap());
    let back = Instant::now();
    for process in cluster.nodes.iter().chain(&cluster.gateways) {
        until(&format!("{} is back", process.name), Duration::from_secs(5), || {
            (process.readyz() == Some(200)).then_some(())
        });
    }
    println!("all are back {:?} later", back.elapsed());
    // Those of the other node hear it again.
    let said = until_accepted(&all[0], &here, Reach::All).await;
    all_heard(&all[..8], &here, &said, SETTLED);
    for talk in talks.into_iter().chain([flood]) {
        talk.stop().await;
    }
    for room in [&here, &busy] {
        println!("{room}: {}", settled(room, &all, SETTLED).assert_kept());
    }
    assert!(all.iter().all(|member| member.record().closes.is_empty()), "nobody's connection suffered");
    nothing_strange(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nats_restarts_again_and_again_what_was_lost_is_told() {
    let mut cluster = example(3, 2);
    let (here, there) =
        (room_on(&cluster, "node-1", "here.").await, room_on(&cluster, "node-2", "there.").await);
    let mut all = members(&cluster, "local", 3, &[&here, &there]);
    all.extend(members(&cluster, "guest", 3, &[&there, &here]));
    all_joined(&all);
    let every = Duration::from_millis(5);
    let talks = [all[0].talk(&here, every), all[3].talk(&here, every), all[1].talk(&there, every)];
    const RESTARTS: usize = 4;
    for _ in 0..RESTARTS {
        cluster.nats.as_mut().unwrap().restart();
        let said = until_accepted(&all[4], &here, Reach::All).await;
        all_heard(&all, &here, &said, SETTLED);
    }
    for talk in talks {
        talk.stop().await;
    }
    for room in [&here, &there] {
        let verdict = settled(room, &all, SETTLED).assert_kept();
        println!("{room}: {verdict}");
        // A holder that comes back before those whom it asks whether they took over can't know, and begins anew.
        assert!(verdict.new_epochs <= RESTARTS * all.len(), "at most once a restart: {verdict}");
    }
    nothing_strange(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_packets_are_lost_says_so_and_the_others_go_on_without_it() {
    let mut cluster = Cluster::with(2, 0, config);
    let nats = ([127, 0, 0, 1], cluster.nats.as_ref().unwrap().port()).into();
    let proxy = Proxy::start(nats).await.unwrap();
    let url = format!("nats://{}", proxy.address());
    let third = cluster.launcher.node("node-3", &[("RINGWAY_NATS__URLS", &url)]);
    cluster.nodes.push(third);
    cluster.gateways.extend((0..2).map(|_| cluster.launcher.gateway(&[])).collect::<Vec<_>>());
    cluster.nodes.iter().chain(&cluster.gateways).for_each(|process| cluster::sees(process, 3));

    let (cut, other) =
        (room_on(&cluster, "node-3", "cut.").await, room_on(&cluster, "node-1", "other.").await);
    let mut all = members(&cluster, "cut", 3, &[&cut]);
    all.extend(members(&cluster, "other", 3, &[&other, &cut]));
    all_joined(&all);
    let talks = [all[0].talk(&cut, Duration::from_millis(20)), all[3].talk(&cut, Duration::from_millis(20))];
    all_hear(&all, &cut, 10);

    proxy.silence();
    let node = &cluster.nodes[2];
    until("the node says that it is cut off", NOTICED, || (node.readyz() == Some(503)).then_some(()));
    assert_eq!(livez(node), Some(200));
    assert!(cluster.nodes[..2].iter().chain(&cluster.gateways).all(|process| process.readyz() == Some(200)));
    match path() {
        // Both sides go on: the node's members among themselves, the others with a new holder.
        Path::Tunnel => {
            let said = until_accepted(&all[1], &cut, Reach::Local).await;
            all_heard(&all[..3], &cut, &said, Duration::from_secs(2));
            let said = until_accepted(&all[4], &cut, Reach::All).await;
            all_heard(&all[3..], &cut, &said, Duration::from_secs(2));
        }
        // Nobody stays behind: the gateways have gone around the node.
        Path::Relay => {
            for speaker in [&all[1], &all[4]] {
                let said = until_accepted(speaker, &cut, Reach::All).await;
                all_heard(&all, &cut, &said, SETTLED);
            }
        }
    }
    proxy.open();
    until("the node is back", Duration::from_secs(5), || (node.readyz() == Some(200)).then_some(()));
    all_hear(&all, &cut, 10);
    for talk in talks {
        talk.stop().await;
    }
    println!("{}", settled(&cut, &all, SETTLED).assert_kept());
    nothing_strange(&all);
}

fn livez(process: &Process) -> Option<u16> {
    http::get(process.admin, "/livez").ok().map(|answer| answer.status)
}

fn all_heard(members: &[Member], room: &str, said: &Name, within: Duration) {
    let room = name(room);
    for member in members {
        until(&format!("{} hears {said}", member.name), within, || {
            member.record().rooms[&room].names().contains(said).then_some(())
        });
    }
}
