//! A server with JetStream, nodes that look after a store in it, and a hand that meddles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::Backplane;
use ringway_backplane::message::Epoch;
use ringway_backplane::nats::{self, NatsSettings, Stores};
use ringway_backplane::store::{RoomAt, StoreKey, StoreSettings, StoreState};
use ringway_testkit::nats::{NatsOptions, NatsServer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::world::{group, name, slot_of, tenant};

/// How long anything may take that needs servers to agree, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The stream that the store has.
pub(crate) const STREAM: &str = "ringway-shared-chat";

pub(crate) struct Site {
    pub(crate) server: NatsServer,
    /// Where the server keeps its streams.
    pub(crate) files: TempDir,
}

/// One process that looks after the store.
pub(crate) struct Keeper {
    pub(crate) stores: Arc<Stores>,
    _backplane: Arc<dyn Backplane>,
    end: CancellationToken,
}

impl Site {
    pub(crate) fn start() -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let config = format!("jetstream {{ store_dir: {:?} }}\n", files.path());
        let server = NatsServer::start_with(&NatsOptions { jetstream: false, config });
        Self { server, files }
    }

    /// A process that looks after the store by these settings, from now on.
    pub(crate) async fn keeper(&self, settings: &StoreSettings) -> Keeper {
        Keeper::of(&[self.server.url()], settings).await
    }

    pub(crate) async fn hand(&self) -> Hand {
        Hand::of(&[self.server.url()]).await
    }
}

impl Keeper {
    /// A process that looks after the store by these settings, from now on.
    pub(crate) async fn of(servers: &[String], settings: &StoreSettings) -> Self {
        let reached = NatsSettings { urls: servers.to_vec(), ..NatsSettings::default() };
        let backplane = nats::connect(&reached).await.expect("a server runs");
        let stores = backplane.stores().expect("NATS has stores");
        stores.configure(BTreeMap::from([(key(), settings.clone())]));
        let end = CancellationToken::new();
        let (watching, ended) = (stores.clone(), end.clone());
        tokio::spawn(async move { watching.watch(ended).await });
        Self { stores, _backplane: backplane, end }
    }
}

impl Keeper {
    /// Waits until what is known of the store is so.
    pub(crate) async fn until(&self, what: &str, mut so: impl FnMut(&StoreState) -> bool) -> StoreState {
        let mut known = self.stores.known();
        let waiting = async {
            loop {
                let state = known.borrow_and_update().stores.get(&key()).cloned();
                if let Some(state) = state.filter(|state| so(state)) {
                    return state;
                }
                // Looks are made at once where somebody asks for them, as often as that is allowed.
                self.stores.look_again(&key());
                let _ = tokio::time::timeout(Duration::from_millis(100), known.changed()).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("not in time: {what}; known is {:?}", self.stores.now()))
    }

    /// Waits until all is well.
    pub(crate) async fn well(&self) -> StoreState {
        self.until("the store is well", |state| state.hurt.is_none() && covers_all(state)).await
    }

    pub(crate) async fn epoch(&self) -> Epoch {
        self.well().await.streams[0].epoch
    }

    /// Waits until the store has another epoch than this one, and is well.
    pub(crate) async fn epoch_after(&self, epoch: Epoch) -> Epoch {
        let other =
            |state: &StoreState| state.hurt.is_none() && covers_all(state) && state.streams[0].epoch != epoch;
        self.until("another epoch", other).await.streams[0].epoch
    }

    /// Waits until two further looks have been made at the least, and returns the store as it is then.
    pub(crate) async fn looked(&self, hand: &Hand) -> StoreState {
        // A setting that is put back shows that somebody has looked.
        hand.edit(|config| config["max_msg_size"] = json!(77_777)).await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while hand.config().await["max_msg_size"] != -1 {
            assert!(tokio::time::Instant::now() < deadline, "nobody looks");
            self.stores.look_again(&key());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.well().await
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn covers_all(state: &StoreState) -> bool {
    state.streams.iter().fold(0, |parts, stream| parts | stream.parts) == u64::MAX
}

/// Somebody with the NATS tools.
pub(crate) struct Hand(pub(crate) async_nats::Client);

impl Hand {
    pub(crate) async fn of(servers: &[String]) -> Self {
        Self(async_nats::connect(servers).await.expect("a server runs"))
    }

    /// Asks JetStream's API.
    pub(crate) async fn ask(&self, what: &str, body: &Value) -> Value {
        let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let asking = self.0.request(format!("$JS.API.{what}"), payload.into());
        let answer =
            tokio::time::timeout(PATIENCE, asking).await.expect("in time").expect("JetStream answers");
        serde_json::from_slice(&answer.payload).expect("JSON")
    }

    /// As [`ask`](Self::ask), and it must have been done.
    pub(crate) async fn done(&self, what: &str, body: &Value) -> Value {
        let answer = self.ask(what, body).await;
        assert!(answer.get("error").is_none(), "{what}: {answer}");
        answer
    }

    pub(crate) async fn config(&self) -> Value {
        self.done(&format!("STREAM.INFO.{STREAM}"), &Value::Null).await["config"].clone()
    }

    pub(crate) async fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config().await;
        change(&mut config);
        self.done(&format!("STREAM.UPDATE.{STREAM}"), &config).await;
    }

    /// Publishes into a room, and returns the number that it got.
    pub(crate) async fn publish(&self, room: &str) -> u64 {
        let subject = subject(room);
        let asking = self.0.request(subject, "x".into());
        let answer = tokio::time::timeout(PATIENCE, asking).await.expect("in time").expect("it is stored");
        let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        answer["seq"].as_u64().unwrap_or_else(|| panic!("not stored: {answer}"))
    }
}

pub(crate) fn subject(room: &str) -> String {
    let slot = slot_of(room).number();
    format!("ringway.g.shared.store.chat.{}.{slot}.acme.{room}._", slot / 256)
}

pub(crate) fn key() -> StoreKey {
    StoreKey { group: group(), store: name("chat") }
}

pub(crate) fn at(room: &str) -> RoomAt {
    RoomAt {
        group: group(),
        store: name("chat"),
        slot: slot_of(room),
        tenant: tenant(),
        room: name(room),
        latest_per_key: false,
    }
}

pub(crate) fn settings() -> StoreSettings {
    StoreSettings {
        messages_per_room: Some(100),
        age: Some(Duration::from_secs(3_600)),
        bytes: None,
        refuse_when_full: false,
        repeat_window: Duration::from_secs(30),
        replicas: 1,
        latest_per_key: false,
        in_memory: false,
    }
}
