//! A node's inbox, whose questions the test answers.

use std::sync::Arc;

use ringway_backplane::message::{Answer, Ask, Epoch, Question};
use ringway_backplane::{Backplane, Inbox, IncomingRequest, Subscription};
use ringway_protocol::RoomName;
use ringway_ring::NodeId;
use tokio::sync::mpsc;

use super::{World, soon};

/// The epoch of all that the nodes of these tests say.
pub(crate) const EPOCH: Epoch = Epoch { ms: 1, node: 2, random: 3 };

/// A node's inbox.
pub(crate) struct Inbound {
    pub(crate) requests: mpsc::Receiver<IncomingRequest>,
    _subscription: Subscription,
    _party: Arc<dyn Backplane>,
}

impl Inbound {
    pub(crate) async fn of(world: &World, node: &NodeId) -> Self {
        let party = world.party(node.as_str());
        let (sink, requests) = mpsc::channel(16);
        let inbox = Inbox { group: "shared".parse().expect("a group"), node: node.clone() };
        let subscription = party.serve(&inbox, sink).await.expect("served");
        Self { requests, _subscription: subscription, _party: party }
    }

    /// The next question about a room, answered with what `answer` says.
    pub(crate) async fn next(&mut self, answer: impl FnOnce(&RoomName, &Ask) -> Answer) -> (RoomName, Ask) {
        let incoming = soon("a question", self.requests.recv()).await.expect("open");
        let Question::Room { room, ask, .. } = incoming.request.body else { panic!("about a room") };
        assert_eq!(incoming.request.from.as_str(), "gateway-1");
        incoming.reply.send(answer(&room, &ask));
        (room, ask)
    }
}
