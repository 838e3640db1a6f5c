//! Questions to this node, and messages to users: each to the shard, or the connections, that it is for.

use std::collections::HashMap;
use std::sync::Arc;

use ringway_backplane::IncomingRequest;
use ringway_backplane::message::{Answer, Direct, Question};
use ringway_ring::Slot;
use tokio::sync::mpsc;

use crate::node::Inner;
use crate::shard::{Command, RoomKey, RoomTally};

/// Questions that wait to be handed on; beyond that the backplane's own queue fills.
pub(crate) const QUEUE: usize = 4_096;

/// Hands questions on until the backplane ends.
pub(crate) async fn serve(node: Arc<Inner>, mut questions: mpsc::Receiver<IncomingRequest>) {
    while let Some(asked) = questions.recv().await {
        match &asked.request.body {
            Question::Room { tenant, room, .. } => {
                let key = RoomKey { tenant: tenant.clone(), room: room.clone() };
                let shard = node.shard_of(Slot::of_room(tenant, room));
                // A shard that has ended leaves the asker to its time limit.
                let _ = node.shards[shard].send(Command::Asked(key, asked)).await;
            }
            Question::Tally(_) => {
                let IncomingRequest { request, reply } = asked;
                if let Question::Tally(tallies) = request.body {
                    hand_out(&node, &request.from, tallies).await;
                }
                reply.send(Answer::Done);
            }
            Question::Probe => asked.reply.send(Answer::Done),
        }
    }
}

async fn hand_out(node: &Inner, from: &ringway_ring::NodeId, tallies: Vec<RoomTally>) {
    let mut by_shard: HashMap<usize, Vec<RoomTally>> = HashMap::new();
    for tally in tallies {
        by_shard.entry(node.shard_of(Slot::of_room(&tally.tenant, &tally.room))).or_default().push(tally);
    }
    for (shard, tallies) in by_shard {
        // A shard that has ended counts nobody.
        let _ = node.shards[shard].send(Command::Tallied { from: from.clone(), tallies }).await;
    }
}

/// Delivers messages to users and tenants until the backplane ends.
pub(crate) async fn deliver_directs(node: Arc<Inner>, mut directs: mpsc::Receiver<Direct>) {
    while let Some(direct) = directs.recv().await {
        let span = crate::trace::receive(direct.traceparent.as_deref(), &direct.tenant, None);
        let _entered = span.enter();
        crate::direct::deliver(&node.registry, &direct);
    }
}
