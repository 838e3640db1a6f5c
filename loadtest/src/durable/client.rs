//! The usual raw publisher: NATS' own client for Rust, which waits for acknowledgements at an inbox of its own, as Ringway's
//! node does.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::{Client, HeaderMap, Subject};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use super::nats::{Message, Published, is_stored};
use super::shape::Shape;
use super::words::Words;

/// How long an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Publishes for so long with so many on their way, after a while that isn't measured; and the CPU of the server meanwhile.
pub(super) fn pipeline(
    address: SocketAddr,
    shape: &Shape,
    words: &Words,
    rooms: Range<usize>,
    (window, warm, lasting): (usize, Duration, Duration),
) -> anyhow::Result<Published> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let subjects: Vec<Subject> = rooms.map(|room| Subject::from(words.stored(room))).collect();
    runtime.block_on(async {
        let client = async_nats::connect(format!("nats://{address}")).await?;
        let mut publisher =
            Publisher { client, subjects, body: shape.body(), number: rand::random::<u32>().into(), turn: 0 };
        publisher.publish(window, warm).await?;
        publisher.publish(window, lasting).await
    })
}

struct Publisher {
    client: Client,
    subjects: Vec<Subject>,
    body: Bytes,
    /// Of the next id.
    number: u128,
    turn: usize,
}

impl Publisher {
    async fn publish(&mut self, window: usize, lasting: Duration) -> anyhow::Result<Published> {
        let inbox = self.client.new_inbox();
        let mut acknowledgements = self.client.subscribe(format!("{inbox}.*")).await?;
        let reply = Subject::from(format!("{inbox}.1"));
        let free = Arc::new(Semaphore::new(window));
        let (freed, began) = (free.clone(), Instant::now());
        let acknowledged = tokio::spawn(async move {
            let mut stored = 0_u64;
            while let Ok(Some(message)) = tokio::time::timeout(PATIENCE, acknowledgements.next()).await {
                if !is_stored(&Message { headers: b"", payload: &message.payload }) {
                    break;
                }
                stored += u64::from(began.elapsed() < lasting);
                freed.add_permits(1);
                if freed.available_permits() == window && began.elapsed() >= lasting {
                    return Some(stored);
                }
            }
            None
        });
        while began.elapsed() < lasting {
            free.acquire().await?.forget();
            self.number += 1;
            self.turn = if self.turn + 1 == self.subjects.len() { 0 } else { self.turn + 1 };
            let mut headers = HeaderMap::new();
            headers.insert(async_nats::header::NATS_MESSAGE_ID, format!("{:032x}", self.number << 64));
            let subject = self.subjects[self.turn].clone();
            self.client
                .publish_with_reply_and_headers(subject, reply.clone(), headers, self.body.clone())
                .await?;
        }
        let acknowledged = acknowledged.await?.context("an acknowledgement is missing, or refuses")?;
        ensure!(acknowledged > 0, "nothing was acknowledged");
        Ok(Published { acknowledged, refused: 0, seconds: lasting.as_secs_f64() })
    }
}
