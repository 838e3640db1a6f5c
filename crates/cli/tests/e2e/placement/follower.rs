//! A client that follows some rooms, whatever happens to its connections, and writes down what it hears.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringway_client::{Client, ClientOptions, JoinOptions};
use ringway_protocol::{Format, RoomName};
use tokio::task::JoinHandle;

use super::record::Record;
use crate::support::{self, name};

/// How long a publication may wait for its answer, reconnects included: as long as servers know a repeat of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How a client comes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) gateway: SocketAddr,
    pub(crate) format: Format,
    pub(crate) tenant: &'static str,
}

/// A running client. Dropped, it is gone without a goodbye.
pub(crate) struct Follower {
    pub(crate) name: String,
    pub(crate) tenant: &'static str,
    /// The first is its home.
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) client: Client,
    pub(crate) record: Arc<Mutex<Record>>,
    tasks: [JoinHandle<()>; 2],
}

impl Follower {
    /// Connects, with the first of `rooms` as its home, and joins them all.
    pub(crate) fn start(called: impl Into<String>, way: Way, rooms: &[String]) -> Self {
        let rooms: Vec<RoomName> = rooms.iter().map(|room| name(room)).collect();
        let mut connect = support::options(way.gateway, way.format, None);
        connect.room = rooms.first().cloned();
        connect.tenant = Some(way.tenant.parse().unwrap());
        let mut options = ClientOptions::new(connect);
        options.answer_within = ANSWER_WITHIN;
        let (client, mut events) = Client::start(options);
        let record = Arc::new(Mutex::new(Record::of(&rooms)));
        let written = Arc::clone(&record);
        let listening = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                lock(&written).event(way.tenant, event);
            }
        });
        let (joiner, joined, of_refused) = (client.clone(), rooms.clone(), Arc::clone(&record));
        let joining = tokio::spawn(async move {
            for room in joined {
                if let Err(error) = joiner.join(&room, JoinOptions::default()).await {
                    lock(&of_refused).strange.push(format!("{room}: {error}"));
                }
            }
        });
        Self { name: called.into(), tenant: way.tenant, rooms, client, record, tasks: [listening, joining] }
    }

    /// What is written down so far.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// The node that holds it, or held it last.
    pub(crate) fn node(&self) -> String {
        self.record().node().to_owned()
    }

    /// The room that it is placed by.
    pub(crate) fn home(&self) -> &str {
        self.rooms[0].as_str()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub(crate) fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
