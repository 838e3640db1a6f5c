//! A store for tests: its stream made by hand, as Ringway makes it, and known to who uses it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::Backplane;
use ringway_backplane::message::{Epoch, Publication};
use ringway_backplane::nats::{MessageId, NatsSettings, Stores, connect};
use ringway_backplane::store::{Known, NotStored, Placed, RoomAt, StoreState, StreamState};
use ringway_ring::NodeId;
use ringway_testkit::nats::{NatsOptions, NatsServer};
use serde_json::{Value, json};

use super::{LIMIT, group, name, publication, slot_of, tenant};

pub(crate) const STREAM: &str = "ringway-shared-chat";

pub(crate) const EPOCH: Epoch = Epoch { ms: 7, node: 8, random: 9 };

/// A server with JetStream, a party, and somebody who sets things up and breaks them.
pub(crate) struct Store {
    pub(crate) server: NatsServer,
    pub(crate) party: Arc<dyn Backplane>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) stranger: async_nats::Client,
}

impl Store {
    /// A store with a stream that has these settings beside the usual ones.
    pub(crate) async fn with(settings: Value) -> Self {
        Self::on(NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() }), settings)
            .await
    }

    pub(crate) async fn on(server: NatsServer, settings: Value) -> Self {
        let party = patient(&server.url()).await;
        let stores = party.stores().expect("NATS keeps");
        let stranger = async_nats::connect(server.url()).await.expect("it runs");
        let store = Self { server, party, stores, stranger };
        let made = store.api(&format!("STREAM.CREATE.{STREAM}"), &stream(STREAM, settings)).await;
        assert!(made["error"].is_null(), "{made}");
        store.stores.know(known(&[(STREAM, u64::MAX)]));
        store
    }

    /// Asks JetStream, in its own words.
    pub(crate) async fn api(&self, what: &str, question: &Value) -> Value {
        let asking = self.stranger.request(format!("$JS.API.{what}"), question.to_string().into());
        let answer = tokio::time::timeout(LIMIT, asking).await.expect("in time").expect("an answer");
        serde_json::from_slice(&answer.payload).expect("JSON")
    }

    /// Returns when the server has taken all that the stranger sent before.
    pub(crate) async fn stranger_is_heard(&self) {
        self.api("INFO", &json!({})).await;
    }

    /// What comes on a subject from now on, as the server sends it.
    pub(crate) async fn overhear(&self, subject: &str) -> async_nats::Subscriber {
        let subscriber = self.stranger.subscribe(subject.to_owned()).await.expect("subscribed");
        self.stranger_is_heard().await;
        subscriber
    }

    pub(crate) async fn messages(&self) -> u64 {
        let info = self.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await;
        info["state"]["messages"].as_u64().expect("a number")
    }

    pub(crate) async fn publish(&self, at: &RoomAt, text: &str) -> Result<Placed, NotStored> {
        self.publish_as(at, rand_id(), &publication(text)).await
    }

    pub(crate) async fn publish_as(
        &self,
        at: &RoomAt,
        id: MessageId,
        publication: &Publication,
    ) -> Result<Placed, NotStored> {
        self.stores.publish(at, id, &node(), publication, LIMIT).await
    }
}

/// The next that is overheard.
pub(crate) async fn overhear(subscriber: &mut async_nats::Subscriber) -> async_nats::Message {
    let next = futures_util::StreamExt::next(subscriber);
    tokio::time::timeout(LIMIT, next).await.expect("in time").expect("it goes on")
}

/// A party with the default for what may wait.
pub(crate) async fn patient(url: &str) -> Arc<dyn Backplane> {
    connect(&NatsSettings::new(url)).await.expect("the server was just started")
}

pub(crate) fn node() -> NodeId {
    name("node-a")
}

pub(crate) fn rand_id() -> MessageId {
    MessageId(rand::random())
}

/// These streams, each with these parts.
pub(crate) fn known(streams: &[(&str, u64)]) -> Known {
    let streams = streams
        .iter()
        .map(|(name, parts)| StreamState { name: (*name).into(), epoch: EPOCH, parts: *parts })
        .collect();
    let state = StoreState { streams, ..StoreState::default() };
    Known { stores: BTreeMap::from([(room("any").key(), state)]) }
}

pub(crate) fn room(text: &str) -> RoomAt {
    RoomAt {
        group: group(),
        store: name("chat"),
        slot: slot_of(text),
        tenant: tenant(),
        room: name(text),
        latest_per_key: false,
    }
}

/// A room whose store keeps the newest of each key.
pub(crate) fn keyed(text: &str) -> RoomAt {
    RoomAt { latest_per_key: true, ..room(text) }
}

/// Two rooms in different halves of the parts.
pub(crate) fn rooms_in_both_halves() -> (RoomAt, RoomAt) {
    let in_half = |upper: bool| {
        (0..).map(|n| room(&format!("room-{n}"))).find(|room| (room.slot.number() >= 8_192) == upper)
    };
    (in_half(false).expect("there are many"), in_half(true).expect("there are many"))
}

/// The subjects of these parts.
pub(crate) fn parts(parts: std::ops::Range<u8>) -> Vec<String> {
    parts.map(|part| format!("ringway.g.shared.store.chat.{part}.*.*.*.*")).collect()
}

/// A stream's settings, as a store has them: these on top.
pub(crate) fn stream(name: &str, settings: Value) -> Value {
    let mut stream = json!({
        "name": name,
        "subjects": parts(0..64),
        "storage": "file",
        "num_replicas": 1,
        "retention": "limits",
        "discard": "old",
        "allow_direct": true,
        "duplicate_window": 30_000_000_000_u64,
        "republish": {
            "src": "ringway.g.shared.store.chat.*.*.*.*.*",
            "dest": "ringway.g.shared.live.{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}.{{wildcard(5)}}",
        },
    });
    let Value::Object(settings) = settings else { panic!("no settings: {settings}") };
    stream.as_object_mut().expect("an object").extend(settings);
    stream
}
