//! What a connection asks for waits in bounded lanes, however far away the room's owner is.
#![allow(clippy::unwrap_used)]

mod support;

use ringway_backplane::Inbox;
use ringway_backplane::cluster::Announcer;
use ringway_protocol::PoolId;
use ringway_ring::{Announcement, NodeId, Slot};
use serde_json::json;
use support::House;
use tokio::sync::mpsc;

/// What a connection's publications may weigh on one shard, and what one of ours weighs.
const LANES_BYTES: usize = 1 << 20;
const PAYLOAD: usize = 50_000;
const LET_IN: usize = LANES_BYTES / (PAYLOAD + 260);

#[tokio::test(flavor = "multi_thread")]
async fn publications_that_wait_for_a_silent_owner_are_bounded_by_their_bytes() {
    let house = House::start("", 1 << 30).await;
    // A node that takes questions, and answers none.
    let silent: NodeId = "silent".parse().unwrap();
    let backplane = house.hub.attach("silent");
    let (questions, unanswered) = mpsc::channel(1_024);
    let inbox = Inbox { group: "shared".parse().unwrap(), node: silent.clone() };
    let _served = backplane.serve(&inbox, questions).await.unwrap();
    let _announcer = Announcer::start(backplane, announcement(&silent)).await.unwrap();
    let pool: PoolId = "shared".parse().unwrap();
    let mut view = house.node.view();
    view.wait_for(|view| view.node(&silent).is_some()).await.unwrap();
    let view = view.borrow().clone();
    let room = (0..1_000)
        .map(|number| format!("r{number}"))
        .find(|room| {
            let slot = Slot::of_room(&"acme".parse().unwrap(), &room.parse().unwrap());
            view.owner(&pool, slot) == Some(&silent)
        })
        .unwrap();

    let mut client = house.client("acme").await;
    let text = "x".repeat(PAYLOAD);
    let publish = |id: usize| json!({"t": "pub", "room": room, "data": text, "id": id});
    // Until the shard has heard of the other node, it is the owner itself.
    loop {
        client.send(&[publish(0)]).await;
        let answer = client.frame().await;
        if answer["t"] == "err" {
            break;
        }
    }
    for id in 1..=2 * LET_IN {
        client.send(&[publish(id)]).await;
    }
    let (mut refused, mut waited, mut unanswered) = (Vec::new(), Vec::new(), Some(unanswered));
    while refused.len() + waited.len() < 2 * LET_IN {
        if refused.len() == LET_IN {
            // It is gone, and so are the questions to it.
            unanswered.take();
        }
        let answer = client.frame().await;
        assert_eq!(answer["t"], "err", "{answer}");
        let id = answer["id"].as_u64().unwrap();
        match answer["code"].as_str().unwrap() {
            "limit_rate" => {
                assert!(answer["retry"].as_u64().is_some_and(|retry| retry > 0), "{answer}");
                refused.push(id);
            }
            _ => waited.push(id),
        }
    }
    let let_in = LET_IN as u64;
    assert_eq!(waited, (1..=let_in).collect::<Vec<_>>(), "in the order sent");
    assert_eq!(refused, (let_in + 1..=2 * let_in).collect::<Vec<_>>());
    // What they took is given back.
    for id in 1..=LET_IN {
        client.send(&[publish(id)]).await;
    }
    for id in 1..=LET_IN {
        let answer = client.frame().await;
        assert_eq!((&answer["id"], answer["code"] == "limit_rate"), (&json!(id), false), "{answer}");
    }
}

fn announcement(id: &NodeId) -> Announcement {
    Announcement::new(id.clone(), 1, "shared".parse().unwrap(), "127.0.0.1:1".to_owned())
}
