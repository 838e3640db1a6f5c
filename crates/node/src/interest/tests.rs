//! What the owner of all domains keeps beside their machines.

use std::time::Duration;

use prometheus_client::registry::Registry;
use ringway_backplane::memory::Hub;
use ringway_config::Config;
use ringway_ring::{Announcement, Membership};
use tokio::time::timeout;

use super::*;

const FAR: Duration = Duration::from_secs(30);

fn placement(nodes: &[&str]) -> Arc<Placement> {
    let pool: PoolId = "shared".parse().unwrap();
    let mut members = Membership::new();
    for name in nodes {
        members.heard(Announcement::new(name.parse().unwrap(), 1, pool.clone(), String::new()), 1);
    }
    let tenants = Config::dev(([127, 0, 0, 1], 0).into(), 1).config.tenants();
    Arc::new(Placement::new("n1".parse().unwrap(), pool, members.view(), &tenants))
}

/// Of a node that owns nothing, with a shard that takes every word.
fn interests(tasks: &TaskTracker) -> (Arc<Interests>, mpsc::Receiver<Command>) {
    let metrics = Arc::new(NodeMetrics::register(&mut Registry::default()));
    let backplane = Hub::new().attach("n1");
    let interests = Interests::new(backplane, metrics, tasks.clone(), placement(&["n2"]));
    let (shard, commands) = mpsc::channel(4_096);
    interests.add_shard(shard, mpsc::channel(1).0);
    (Arc::new(interests), commands)
}

#[tokio::test]
async fn what_a_shard_that_is_late_says_of_the_cluster_is_old() {
    let (interests, _commands) = interests(&TaskTracker::new());
    let (before, after) = (placement(&["n1", "n2"]), placement(&["n1"]));
    interests.placed(&before);
    interests.placed(&after);
    interests.placed(&before);
    let state = interests.state.lock();
    assert!(Arc::ptr_eq(&state.placement, &after) && state.owned.all());
}

#[tokio::test]
async fn of_a_domain_that_had_to_wait_and_is_needless_nothing_is_left() {
    let tasks = TaskTracker::new();
    let (interests, _commands) = interests(&tasks);
    let group: GroupId = "far".parse().unwrap();
    let rooms: Vec<RoomKey> = (0..=UNDER_WAY)
        .map(|number| RoomKey { tenant: format!("t{number}").parse().unwrap(), room: "r".parse().unwrap() })
        .collect();
    let slot = |room: &RoomKey| Slot::of_room(&room.tenant, &room.room);
    for room in &rooms {
        assert!(!interests.want(&group, slot(room), room));
    }
    assert!(!interests.state.lock().behind.is_empty());
    for room in rooms.iter().rev() {
        interests.unwant(&group, slot(room), room);
    }
    tasks.close();
    timeout(FAR, tasks.wait()).await.expect("all work comes to its end");
    assert!(interests.is_idle() && interests.state.lock().behind.is_empty());
}
