//! Rooms too big for one node: their owner says over how many they are spread, and what is delivered at any of these
//! doesn't count as delivered elsewhere.
#![allow(clippy::unwrap_used)]

mod world;

use std::sync::Arc;

use ringway_protocol::RoomName;
use ringway_ring::{KeyHash, NodeId, View};
use world::{Client, Here, World, publish, until};

/// More than ten members on one node are too many.
const TEN: &str = "[placement]\nspread_members = 10\nspread_deliveries = 0\n";

const NODES: [&str; 4] = ["a", "b", "c", "d"];

fn key(room: &str) -> KeyHash {
    KeyHash::of_room(&"acme".parse().unwrap(), &room.parse::<RoomName>().unwrap())
}

fn view(here: &Here) -> Arc<View> {
    here.node.view().borrow().clone()
}

/// The room's homes as the first node sees them.
fn homes(world: &World, room: &str, at_least: u8) -> Vec<NodeId> {
    view(world.node()).homes(&"shared".parse().unwrap(), key(room), at_least).cloned().collect()
}

/// Waits until all nodes have heard over how many a room is spread.
async fn spread_over(world: &World, room: &str, over: u8) {
    until(&format!("{room} is spread over {over}"), || {
        world.nodes.iter().all(|here| view(here).spread_of(key(room)) == over)
    })
    .await;
}

async fn members(here: &Here, room: &str, count: usize) -> Vec<Client> {
    let mut members = Vec::new();
    for _ in 0..count {
        let mut member = here.connect(None).await;
        member.join(room).await;
        members.push(member);
    }
    members
}

fn delivered(here: &Here, place: &str) -> i64 {
    here.metric(&format!("ringway_deliveries_total{{place=\"{place}\"}}"))
}

/// Publishes at the first node, and waits until everybody has all of it.
async fn everybody_hears(world: &World, room: &str, members: &mut [Client]) {
    const PUBLICATIONS: u64 = 20;
    let mut speaker = world.node().connect(None).await;
    for id in 0..PUBLICATIONS {
        assert_eq!(speaker.ask(id, &publish(room, id)).await["t"], "ok");
    }
    let expected: Vec<_> = (0..PUBLICATIONS).map(serde_json::Value::from).collect();
    for member in members {
        assert_eq!(member.messages(expected.len()).await, expected);
    }
}

/// Three members on each of four nodes: what counts as delivered at a home, and what elsewhere, of the publications of
/// [`everybody_hears`].
async fn deliveries_count_by(world: &World, room: &str, homes: &[NodeId]) {
    let mut all = Vec::new();
    for here in &world.nodes {
        all.extend(members(here, room, 3).await);
    }
    let before: Vec<_> =
        world.nodes.iter().map(|here| ["owner", "elsewhere"].map(|place| delivered(here, place))).collect();
    everybody_hears(world, room, &mut all).await;
    for (here, before) in world.nodes.iter().zip(before) {
        let now = ["owner", "elsewhere"].map(|place| delivered(here, place));
        let new = [now[0] - before[0], now[1] - before[1]];
        let expected = if homes.contains(here.node.id()) { [60, 0] } else { [0, 60] };
        assert_eq!(new, expected, "at {} of {homes:?}", here.node.id());
    }
}

#[tokio::test]
async fn members_over_all_nodes_make_a_room_too_big_and_its_homes_deliver_as_owners() {
    let world = World::of(TEN, &NODES).await;
    let room = world.room_of(&world.nodes[1], "r");
    // Most of them elsewhere than at the owner.
    let mut all = Vec::new();
    for here in &world.nodes {
        all.extend(members(here, &room, 5).await);
    }
    spread_over(&world, &room, 2).await;
    all.extend(members(&world.nodes[2], &room, 1).await);
    spread_over(&world, &room, 3).await;
    assert_eq!(world.nodes[1].metric("ringway_spread_keys"), 1);
    assert_eq!(world.nodes[0].metric("ringway_spread_keys"), 0);
    let homes = homes(&world, &room, 1);
    assert_eq!((homes.len(), &homes[0]), (3, world.nodes[1].node.id()));
    drop(all);
    // For a minute it stays so, whoever goes.
    deliveries_count_by(&world, &room, &homes).await;
    assert_eq!(view(world.node()).spread_of(key(&room)), 3);
}

#[tokio::test]
async fn all_rooms_of_a_tag_are_big_together() {
    let world = World::of(TEN, &["a", "b"]).await;
    let tag = world.room_of(&world.nodes[0], "tag");
    let rooms: Vec<String> = (0..4).map(|number| format!("{{{tag}}}.{number}")).collect();
    let mut all = Vec::new();
    for room in &rooms {
        all.extend(members(&world.nodes[0], room, 2).await);
        all.extend(members(&world.nodes[1], room, 2).await);
    }
    spread_over(&world, &rooms[0], 2).await;
    assert_eq!(view(world.node()).spread_of(key(&rooms[3])), 2);
}

#[tokio::test]
async fn a_class_says_for_itself_over_how_many_nodes_its_rooms_are_spread() {
    let classes =
        "[[classes]]\nrooms = \"one.**\"\nspread = 1\n[[classes]]\nrooms = \"three.**\"\nspread = 3\n";
    let world = World::of(&format!("{TEN}{classes}"), &NODES).await;
    let (one, three) = (world.room_of(&world.nodes[0], "one"), world.room_of(&world.nodes[0], "three"));
    let other = world.room_of(&world.nodes[0], "other");
    let mut all = Vec::new();
    for room in [&one, &three, &other] {
        all.extend(members(&world.nodes[0], room, 11).await);
    }
    spread_over(&world, &other, 2).await;
    // Looked at together with the other, at the latest.
    let told = view(world.node()).node(world.nodes[0].node.id()).unwrap().spreads.clone();
    assert_eq!(told.iter().map(|spread| spread.key).collect::<Vec<_>>(), [key(&other)]);
    drop(all);
    deliveries_count_by(&world, &one, &homes(&world, &one, 1)).await;
    let homes = homes(&world, &three, 3);
    assert_eq!(homes.len(), 3);
    deliveries_count_by(&world, &three, &homes).await;
}

#[tokio::test]
async fn much_that_is_delivered_makes_a_room_too_big_and_is_told() {
    let bars = "[placement]\nspread_members = 0\nspread_deliveries = 100\n";
    let world = World::of(bars, &["a", "b"]).await;
    let room = world.room_of(&world.nodes[0], "r");
    // Their owner hears of them, and has none itself.
    let members = members(&world.nodes[1], &room, 8).await;
    let mut speaker = world.nodes[0].connect(None).await;
    let load = |here: &Here| view(&world.nodes[1]).node(here.node.id()).unwrap().load.clone();
    let told = || {
        let (a, b) = (load(&world.nodes[0]), load(&world.nodes[1]));
        let hottest = b.hottest.first().filter(|hottest| hottest.room.as_str() == room);
        view(&world.nodes[1]).spread_of(key(&room)) >= 2
            && a.publications > 0
            && a.deliveries + a.deliveries_elsewhere == 0
            && b.received > 0
            && b.unwanted == 0
            && b.deliveries + b.deliveries_elsewhere > b.received
            && hottest.is_some_and(|hottest| hottest.members == 8 && hottest.deliveries > 0)
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut id = 0;
    while !told() {
        id += 1;
        speaker.ask(id, &publish(&room, id)).await;
        // The members read nothing meanwhile: slow enough for their queues.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let loads = || (load(&world.nodes[0]), load(&world.nodes[1]));
        assert!(std::time::Instant::now() < deadline, "{:?}", loads());
    }
    drop(members);
}

#[tokio::test]
async fn who_takes_a_slot_over_goes_on_with_what_its_former_owner_said() {
    let mut world = World::of(TEN, &["a", "b", "c"]).await;
    let room = world.room_of(&world.nodes[0], "r");
    let all = members(&world.nodes[0], &room, 25).await;
    spread_over(&world, &room, 3).await;
    // Both others have looked at their view since, for what they count after it they told.
    let mut speakers = Vec::new();
    for here in &world.nodes[1..] {
        let mut speaker = here.connect(None).await;
        let name = here.node.id();
        until(&format!("{name} counts nothing"), || {
            view(world.node()).node(name).unwrap().load.publications == 0
        })
        .await;
        for id in 0..50 {
            speaker.ask(id, &publish("anything", id)).await;
        }
        until(&format!("{name} has looked"), || view(world.node()).node(name).unwrap().load.publications > 0)
            .await;
        speakers.push(speaker);
    }
    // With it all its members go.
    let gone = world.nodes.remove(0);
    drop(all);
    gone.node.shutdown().await;
    let heir = view(world.node()).owner(&"shared".parse().unwrap(), key(&room).slot()).unwrap().clone();
    until("the heir says it", || {
        let view = view(world.node());
        view.nodes().len() == 2
            && view
                .node(&heir)
                .unwrap()
                .spreads
                .iter()
                .any(|spread| spread.key == key(&room) && spread.over == 3)
    })
    .await;
}
