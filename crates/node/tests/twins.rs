//! A node whose name a younger one has taken leaves: it sends its connections away, and answers under that name no more.

mod world;

use std::time::{Duration, SystemTime};

use world::{Here, World, soon};

const CONFIG: &str = "[tenants.acme]\n";

#[tokio::test]
async fn the_elder_of_two_with_one_name_leaves_and_the_younger_serves_its_rooms() {
    let mut world = World::of(CONFIG, &["n1", "n2"]).await;
    let room = world.room_of(world.node(), "r");
    let mut client = world.node().connect(None).await;
    client.join(&room).await;
    // Another run has another time.
    let begun = SystemTime::now();
    while begun.elapsed().unwrap_or_default() < Duration::from_millis(2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let younger = Here::start(&world.hub, CONFIG, "n1").await;
    let elder = world.nodes.remove(0);
    let twin = soon("word of the younger", elder.node.replaced()).await;
    assert_eq!(twin.advertise, younger.address().to_string());
    let away = tokio::spawn(async move { (client.next().await, client.closed().await) });
    soon("the end", elder.node.shutdown()).await;
    let (goaway, closed) = away.await.unwrap();
    assert_eq!((goaway["t"].as_str(), closed.0), (Some("goaway"), 1012));
    // What is asked under its name is asked of the younger.
    let mut view = world.node().node.view();
    let seen = view.wait_for(|view| {
        view.node(younger.node.id()).is_some_and(|node| node.advertise == younger.address().to_string())
    });
    soon("the younger in the other's view", seen).await.unwrap();
    let mut here = younger.connect(None).await;
    here.join(&room).await;
    let mut there = world.node().connect(None).await;
    there.join(&room).await;
    there.say(&world::publish(&room, 1)).await;
    assert_eq!(here.messages(1).await, [1]);
    assert_eq!(there.messages(1).await, [1]);
}
