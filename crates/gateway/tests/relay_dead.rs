//! A node that a gateway finds dead: who says its good-bye, and when nobody may.

mod support;

use ringway_backplane::Inbox;
use ringway_backplane::message::{Answer, ClusterEvent};
use ringway_link::OpenAs;
use support::client::Client;
use support::linked::{LinkNode, world};
use support::{closed_port, soon};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_node_that_nobody_hears_at_its_port_and_its_inbox_is_said_to_have_departed() {
    for lives in [false, true] {
        let mut world = world().await;
        let (words, mut heard) = mpsc::channel(64);
        let watcher = world.party("watcher");
        let _words = watcher.watch_cluster(words).await.expect("watched");
        let b = LinkNode::start().await;
        let owner = world.node("a", closed_port());
        world.node("b", b.address());
        let (questions, mut asked) = mpsc::channel(16);
        let inbox = Inbox { group: "shared".parse().expect("a group"), node: owner.clone() };
        let party = world.party("a");
        // As where only the way from this gateway to the node is cut.
        let _inbox = if lives { Some(party.serve(&inbox, questions).await.expect("served")) } else { None };
        tokio::spawn(async move {
            while let Some(asked) = asked.recv().await {
                asked.reply.send(Answer::Done);
            }
        });
        let target = format!("/v1/ws?room={}", world.room_of("default", &owner));
        let mut client = Client::ask(&world, &target).await;
        let mut at_b = b.link().await;
        at_b.take(OpenAs::Home).await;
        client.is_in().await;
        let departed = |event: &ClusterEvent| matches!(event, ClusterEvent::Departed { id, incarnation: 1 } if *id == owner);
        if lives {
            // It would have been said before anybody else was asked.
            let said = std::iter::from_fn(|| heard.try_recv().ok()).any(|event| departed(&event));
            assert!(!said, "it answers");
        } else {
            let said = async { while !departed(&heard.recv().await.expect("open")) {} };
            soon("its departure", said).await;
        }
    }
}
