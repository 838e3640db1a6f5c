//! A store on a real server: its stream made by hand, as Ringway makes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::Backplane;
use ringway_backplane::message::Publication;
use ringway_backplane::nats::{MessageId, NatsSettings, Stores, connect};
use ringway_backplane::store::{Known, Newest, RoomAt, StoreState, StreamState};
use ringway_backplane::subject::{PARTS, Subjects};
use ringway_ring::Slot;
use ringway_testkit::nats::{NatsOptions, NatsServer};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::reader::tests::fake::{EPOCH, publication};
use crate::reader::{Read, ReadCounts, ReadResult, Reader};

const STREAM: &str = "ringway-shared-chat";

/// How long anything may take here.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) struct World {
    _server: NatsServer,
    _party: Arc<dyn Backplane>,
    pub(super) stores: Arc<Stores>,
    stranger: async_nats::Client,
    pub(super) reader: Reader,
}

impl World {
    pub(super) async fn with(settings: Value) -> Self {
        let server = NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() });
        let party = connect(&NatsSettings::new(server.url())).await.expect("it runs");
        let stores = party.stores().expect("NATS keeps");
        let stranger = async_nats::connect(server.url()).await.expect("it runs");
        let reader = Reader::counted(Arc::clone(&stores), ReadCounts::unread());
        let world = Self { _server: server, _party: party, stores, stranger, reader };
        let mut stream = json!({
            "name": STREAM,
            "subjects": subjects(),
            "storage": "file",
            "discard": "old",
            "allow_direct": true,
        });
        let settings = settings.as_object().expect("settings").clone();
        stream.as_object_mut().expect("an object").extend(settings);
        let made = world.api(&format!("STREAM.CREATE.{STREAM}"), &stream).await;
        assert!(made["error"].is_null(), "{made}");
        let stream = StreamState { name: STREAM.into(), epoch: EPOCH, parts: u64::MAX };
        let state = StoreState { streams: vec![stream], ..StoreState::default() };
        world.stores.know(Known { stores: BTreeMap::from([(room(0).key(), state)]) });
        world
    }

    pub(super) async fn api(&self, what: &str, question: &Value) -> Value {
        let asking = self.stranger.request(format!("$JS.API.{what}"), question.to_string().into());
        let answer = tokio::time::timeout(LIMIT, asking).await.expect("in time").expect("an answer");
        serde_json::from_slice(&answer.payload).expect("JSON")
    }

    pub(super) async fn info(&self) -> Value {
        self.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await
    }

    pub(super) async fn publish(&self, at: &RoomAt, publication: &Publication) -> u64 {
        let id = MessageId(rand::random());
        let placed = self.stores.publish(at, id, &"n1".parse().unwrap(), publication, LIMIT).await;
        placed.expect("stored").offset
    }

    /// What a stranger writes under a room's subject.
    pub(super) async fn rubbish(&self, at: &RoomAt, times: usize) {
        let subjects = Subjects::new("ringway").unwrap();
        let subject = subjects.stored_room(at).unwrap();
        for _ in 0..times {
            self.stranger.request(subject.clone(), "rubbish".into()).await.expect("acknowledged");
        }
    }

    /// Many, without waiting for each. Where each is.
    pub(super) async fn fill(&self, rooms: impl Iterator<Item = RoomAt>) -> Vec<u64> {
        let publication = publication("filling");
        let storing = rooms.map(|at| {
            let publication = &publication;
            async move { self.publish(&at, publication).await }
        });
        futures_util::StreamExt::collect(futures_util::StreamExt::buffered(
            futures_util::stream::iter(storing),
            500,
        ))
        .await
    }

    pub(super) async fn answer(&self, at: &RoomAt, read: Read) -> ReadResult {
        let answer = tokio::time::timeout(LIMIT, self.ask(at, read)).await;
        answer.expect("in time").expect("answered once")
    }

    pub(super) fn ask(&self, at: &RoomAt, read: Read) -> oneshot::Receiver<ReadResult> {
        let (sender, receiver) = oneshot::channel();
        self.reader.read(at.clone(), read, move |result| drop(sender.send(result)));
        receiver
    }

    /// Where a room is, as its members are told.
    pub(super) async fn place(&self, at: &RoomAt) -> Newest {
        match self.answer(at, Read::Newest).await {
            Ok(crate::reader::Found::Newest { epoch: EPOCH, at, .. }) => at,
            other => panic!("{other:?}"),
        }
    }
}

/// Part by part.
fn subjects() -> Vec<String> {
    let subjects = Subjects::new("ringway").unwrap();
    let RoomAt { group, store, .. } = room(0);
    (0..PARTS).map(|part| subjects.stored_part(&group, &store, part)).collect()
}

pub(super) fn room(number: usize) -> RoomAt {
    RoomAt {
        group: "shared".parse().unwrap(),
        store: "chat".parse().unwrap(),
        slot: Slot::new(u16::try_from(number % 16_384).unwrap()).unwrap(),
        tenant: "acme".parse().unwrap(),
        room: format!("room {number}.*").parse().unwrap(),
        latest_per_key: false,
    }
}
