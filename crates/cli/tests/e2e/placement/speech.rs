//! Numbered publications, one after another, until somebody says that it is enough.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_protocol::Payload;
use ringway_testkit::transcript::Name;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::follower::{Follower, lock};
use super::record::{Outcome, Sent, place_of};
use crate::support::name;

pub(super) struct Speech {
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Speech {
    /// `by` publishes to a room every so often; the next only when the one before has an outcome, so that one order of
    /// them is promised over all of its connections.
    pub(super) fn begin(by: &Follower, room: &str, every: Duration) -> Self {
        let end = CancellationToken::new();
        let (ended, client, record) = (end.clone(), by.client.clone(), Arc::clone(&by.record));
        let (speaker, tenant, room): (Arc<str>, _, _) = (by.name.as_str().into(), by.tenant, name(room));
        let task = tokio::spawn(async move {
            while !ended.is_cancelled() {
                let (index, number) = {
                    let mut record = lock(&record);
                    let number = record.sent.len() as u64 + 1;
                    let name = Name { by: Arc::clone(&speaker), number };
                    record.sent.push(Sent {
                        room: room.clone(),
                        name,
                        asked: Instant::now(),
                        answered: None,
                    });
                    (record.sent.len() - 1, number)
                };
                let body = json!({"tenant": tenant, "room": room.as_str(), "by": &*speaker, "n": number});
                let data = Payload::from_json(body.to_string().as_bytes()).unwrap();
                let outcome = match client.publish(&room, data).await {
                    Ok(result) => {
                        let place = result.epoch.as_ref().zip(result.offset);
                        Outcome::Accepted(place.map(|(epoch, offset)| place_of(epoch, offset)))
                    }
                    Err(error) => Outcome::Not(error.to_string()),
                };
                lock(&record).sent[index].answered = Some((Instant::now(), outcome));
                tokio::time::sleep(every).await;
            }
        });
        Self { end, task }
    }

    /// Returns when the last word has its outcome.
    pub(super) async fn stop(self) {
        self.end.cancel();
        self.task.await.unwrap();
    }
}
