//! Who is in the view, and for how long, over each carrier.
#![allow(clippy::print_stdout)] // The figures, for who asks for them (`--nocapture`).

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_backplane::Backplane;
use ringway_backplane::cluster::{Announcer, ClaimError, Twin, Watcher, claim};
use ringway_backplane::message::ClusterEvent;
use ringway_ring::{Announcement, NodeState, View};
use tokio::sync::watch;
use tokio::time::timeout;
use world::*;

over_both_carriers! {
    a_newcomer_soon_knows_everyone
    a_silent_node_leaves_within_three_seconds
    a_departure_and_a_change_count_at_once
    whoever_is_blind_keeps_its_view
    a_name_that_nobody_has_can_be_taken
    a_name_that_somebody_has_is_refused
    of_two_with_one_name_the_elder_falls_silent
    two_that_began_in_the_same_millisecond_agree_who_is_the_younger
    a_run_that_nobody_listens_to_is_told_so_and_goes_on_as_a_younger_one
    a_node_that_flaps_is_held_back_and_comes_back
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
    // Not by its silence.
    assert!(departed.elapsed() < Duration::from_secs(2));
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

/// The announcement of another run, reached elsewhere.
fn run(node: &str, incarnation: u64, advertise: &str) -> Announcement {
    Announcement { incarnation, advertise: advertise.to_owned(), ..announcement(node) }
}

async fn start(backplane: &Arc<dyn Backplane>, first: Announcement) -> Announcer {
    Announcer::start(Arc::clone(backplane), first).await.expect("open")
}

async fn replaced(announcer: &Announcer) -> Twin {
    let mut replaced = announcer.replaced();
    let twin =
        timeout(LIMIT, replaced.wait_for(Option::is_some)).await.expect("in time").expect("it watches");
    twin.clone().expect("waited for")
}

async fn a_name_that_nobody_has_can_be_taken(world: &mut World) {
    let other = world.party("node-b").await;
    let _other = start(&other, announcement("node-b")).await;
    let newcomer = world.party("node-a").await;
    let began = Instant::now();
    assert_eq!(claim(&*newcomer, &name("node-a"), 7).await, Ok(7));
    println!("the name was free after {:?}", began.elapsed());
    // A word of a run that is dead, late on its way: none of a twin, but the next run is younger.
    let late = world.party("late").await;
    let (_subscription, mut words) = heard(&late).await;
    let node = name("node-a");
    for _ in 0..20 {
        let claiming = claim(&*newcomer, &node, 7);
        let answering = async {
            while words.recv().await != Some(ClusterEvent::Hello) {}
            late.announce(&run("node-a", 20, "a:1")).expect("accepted");
            std::future::pending::<()>().await;
        };
        let claimed = tokio::select! {
            claimed = claiming => claimed,
            () = answering => unreachable!("it doesn't end"),
        };
        if claimed == Ok(21) {
            return;
        }
        println!("not heard in time: {claimed:?}");
    }
    panic!("the late word is never heard");
}

async fn heard(
    party: &Arc<dyn Backplane>,
) -> (ringway_backplane::Subscription, tokio::sync::mpsc::Receiver<ringway_backplane::message::ClusterEvent>)
{
    let (sink, words) = tokio::sync::mpsc::channel(64);
    (party.watch_cluster(sink).await.expect("open"), words)
}

async fn a_name_that_somebody_has_is_refused(world: &mut World) {
    let elder = world.party("elder").await;
    let _elder = start(&elder, run("node-a", 5, "10.0.0.5:7001")).await;
    let newcomer = world.party("newcomer").await;
    // A machine that is too busy to answer in time is no error: then the elder leaves (the next test).
    for _ in 0..20 {
        match claim(&*newcomer, &name("node-a"), 9).await {
            Err(ClaimError::Taken(twin)) => {
                let told = "another node is called \"node-a\": it is reached at 10.0.0.5:7001";
                assert_eq!((twin.to_string().as_str(), twin.incarnation), (told, 5));
                return;
            }
            other => println!("not heard in time: {other:?}"),
        }
    }
    panic!("the elder is never heard");
}

async fn of_two_with_one_name_the_elder_falls_silent(world: &mut World) {
    let (a, b) = (world.party("elder").await, world.party("younger").await);
    let gateway = world.party("gateway").await;
    let watcher = Watcher::start(gateway).await.expect("open");
    let mut view = watcher.view();
    let elder = start(&a, run("node-a", 5, "old:1")).await;
    view_becomes(&mut view, |view| has(view, "node-a")).await;
    let younger = start(&b, run("node-a", 9, "new:1")).await;
    let twin = replaced(&elder).await;
    assert_eq!((twin.incarnation, twin.advertise.as_str()), (9, "new:1"));
    elder.depart().await.expect("nothing is said");
    view_becomes(&mut view, |view| view.node(&name("node-a")).is_some_and(|node| node.advertise == "new:1"))
        .await;
    assert_eq!(*younger.replaced().borrow(), None);
    // Nor does the younger leave the view for what became of the elder: for what doesn't happen there is nothing to wait for but
    // two announcements' time.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(has(&view.borrow(), "node-a"));
}

async fn two_that_began_in_the_same_millisecond_agree_who_is_the_younger(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let one = start(&a, run("node-a", 5, "10.0.0.1:7001")).await;
    let two = start(&b, run("node-a", 5, "10.0.0.2:7001")).await;
    assert_eq!(replaced(&one).await.advertise, "10.0.0.2:7001");
    assert_eq!(*two.replaced().borrow(), None);
}

async fn a_run_that_nobody_listens_to_is_told_so_and_goes_on_as_a_younger_one(world: &mut World) {
    let gateway = world.party("gateway").await;
    let watcher = Watcher::start(gateway).await.expect("open");
    let mut view = watcher.view();
    let party = world.party("node-a").await;
    let first = start(&party, run("node-a", 1_000, "a:1")).await;
    view_becomes(&mut view, |view| has(view, "node-a")).await;
    first.depart().await.expect("the link stands");
    view_becomes(&mut view, |view| !has(view, "node-a")).await;
    // The clock was set back meanwhile.
    let second = start(&party, run("node-a", 400, "a:1")).await;
    let shown = view_becomes(&mut view, |view| has(view, "node-a")).await;
    assert_eq!(shown.node(&name("node-a")).map(|node| node.incarnation), Some(1_001));
    assert_eq!(second.current().incarnation, 1_001);
    assert_eq!(*second.replaced().borrow(), None);
}

async fn a_node_that_flaps_is_held_back_and_comes_back(world: &mut World) {
    let gateway = world.party("gateway").await;
    let watcher = Watcher::start(gateway).await.expect("open");
    let mut view = watcher.view();
    let _stays = start(&world.party("node-a").await, announcement("node-a")).await;
    view_becomes(&mut view, |view| has(view, "node-a")).await;
    let party = world.party("node-b").await;
    let owns = |view: &View| view.pool(&name("shared")).slots_of(&name("node-b")).next().is_some();
    for incarnation in 1..=2 {
        let node = start(&party, run("node-b", incarnation, "b:1")).await;
        view_becomes(&mut view, owns).await;
        node.depart().await.expect("the link stands");
        view_becomes(&mut view, |view| !has(view, "node-b")).await;
    }
    let third = start(&party, run("node-b", 3, "b:1")).await;
    let held = view_becomes(&mut view, |view| view.is_held(&name("node-b"))).await;
    assert!(!owns(&held), "known, and owns nothing");
    let since = Instant::now();
    view_becomes(&mut view, owns).await;
    println!("it stood for {:?}", since.elapsed());
    drop(third);
}
