//! Who is in the view, and for how long, over each carrier.
#![allow(clippy::print_stdout)] // The figures, for who asks for them (`--nocapture`).

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_backplane::cluster::{Announcer, Watcher};
use ringway_ring::{NodeState, View};
use tokio::sync::watch;
use tokio::time::timeout;
use world::*;

over_both_carriers! {
    a_newcomer_soon_knows_everyone
    a_silent_node_leaves_within_three_seconds
    a_departure_and_a_change_count_at_once
    whoever_is_blind_keeps_its_view
}

async fn view_becomes(view: &mut watch::Receiver<Arc<View>>, wanted: impl Fn(&View) -> bool) -> Arc<View> {
    let found = timeout(LIMIT, view.wait_for(|view| wanted(view))).await.expect("in time");
    Arc::clone(&found.expect("watched"))
}

fn has(view: &View, node: &str) -> bool {
    view.node(&name(node)).is_some()
}

async fn a_newcomer_soon_knows_everyone(world: &mut World) {
    let mut announcers = Vec::new();
    for number in 0..5 {
        let node = format!("node-{number}");
        announcers.push(Announcer::start(world.party(&node).await, announcement(&node)).await.expect("open"));
    }
    let gateway = world.party("gateway").await;
    // Not in step with their announcements, so that only the hello can be the reason.
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let start = Instant::now();
        let watcher = Watcher::start(Arc::clone(&gateway)).await.expect("open");
        view_becomes(&mut watcher.view(), |view| view.nodes().len() == 5).await;
        slowest = slowest.max(start.elapsed());
        watcher.stop().await;
    }
    println!("a newcomer knew five nodes within {slowest:?}");
    let owner = announcers[0].current();
    assert_eq!(owner.id, name("node-0"));
}

async fn a_silent_node_leaves_within_three_seconds(world: &mut World) {
    let gateway = world.party("gateway").await;
    let watcher = Watcher::start(gateway).await.expect("open");
    let mut view = watcher.view();
    let _stays = Announcer::start(world.party("node-a").await, announcement("node-a")).await.expect("open");
    let dies = Announcer::start(world.party("node-b").await, announcement("node-b")).await.expect("open");
    view_becomes(&mut view, |view| has(view, "node-a") && has(view, "node-b")).await;
    let died = Instant::now();
    drop(dies);
    let left = view_becomes(&mut view, |view| !has(view, "node-b")).await;
    let after = died.elapsed();
    println!("a silent node left the view after {after:?}");
    assert!(has(&left, "node-a"));
    assert!(after < Duration::from_secs(3), "{after:?}");
}

async fn a_departure_and_a_change_count_at_once(world: &mut World) {
    let gateway = world.party("gateway").await;
    let watcher = Watcher::start(gateway).await.expect("open");
    let mut view = watcher.view();
    let node = Announcer::start(world.party("node-a").await, announcement("node-a")).await.expect("open");
    view_becomes(&mut view, |view| has(view, "node-a")).await;

    let changed = Instant::now();
    node.update(|announcement| announcement.state = NodeState::Draining);
    view_becomes(&mut view, |view| {
        view.node(&name("node-a")).is_some_and(|node| node.state == NodeState::Draining)
    })
    .await;
    println!("a change was known after {:?}", changed.elapsed());

    node.update(|announcement| announcement.connections = 7);
    let limit = Instant::now() + LIMIT;
    while view.borrow().node(&name("node-a")).map(|node| node.connections) != Some(7) {
        assert!(Instant::now() < limit, "the load comes with a later announcement");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let departed = Instant::now();
    node.depart().await.expect("the link stands");
    view_becomes(&mut view, |view| !has(view, "node-a")).await;
    println!("a departure was known after {:?}", departed.elapsed());
    assert!(departed.elapsed() < Duration::from_secs(1));
}

async fn whoever_is_blind_keeps_its_view(world: &mut World) {
    let gateway = world.party("gateway").await;
    let mut link = gateway.link();
    let watcher = Watcher::start(gateway).await.expect("open");
    let mut view = watcher.view();
    let mut nodes = Vec::new();
    for node in ["node-a", "node-b"] {
        nodes.push(Announcer::start(world.party(node).await, announcement(node)).await.expect("open"));
    }
    view_becomes(&mut view, |view| view.nodes().len() == 2).await;
    view.mark_unchanged();

    world.go_away();
    link_becomes(&mut link, |link| !link.up).await;
    // Longer than any silence that is forgiven.
    assert!(timeout(Duration::from_secs(4), view.changed()).await.is_err(), "nobody left");
    let dead = nodes.pop();
    drop(dead);
    world.come_back();
    link_becomes(&mut link, |link| link.up).await;
    let left = view_becomes(&mut view, |view| view.nodes().len() < 2).await;
    assert!(has(&left, "node-a"), "who lives has not left meanwhile");
}
