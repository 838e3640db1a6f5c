//! A client that goes where it is told to go, as applications have it, and what it hears on the way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringway_client::{Client, ClientOptions, Event as News, Events, JoinOptions, State};
use ringway_protocol::frame::{JoinResult, Msg};
use ringway_protocol::{Payload, RoomName};
use ringway_testkit::transcript::{Accepted, Event, Name, Place, Transcript};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::peer;

/// A member of one room, its home.
pub(super) struct Traveller {
    pub(super) name: String,
    pub(super) room: RoomName,
    client: Client,
    diary: Arc<Mutex<Diary>>,
}

/// What a traveller writes down.
#[derive(Debug, Default)]
pub(super) struct Diary {
    /// The nodes that it was on, in order.
    pub(super) nodes: Vec<String>,
    pub(super) events: Vec<Event>,
    pub(super) sent: Vec<Name>,
    pub(super) accepted: Vec<Accepted>,
    /// Where it is in the room.
    pub(super) place: Option<Place>,
    /// What shouldn't have happened.
    pub(super) strange: Vec<String>,
}

impl Traveller {
    pub(super) fn start(name: String, cluster: &Cluster, room: &str) -> Self {
        let format = if name.len().is_multiple_of(2) {
            ringway_protocol::Format::Json
        } else {
            ringway_protocol::Format::Msgpack
        };
        let (client, events) = Client::start(ClientOptions::new(cluster.options(format, Some(room))));
        let diary = Arc::<Mutex<Diary>>::default();
        tokio::spawn(listen(events, Arc::clone(&diary)));
        let (joining, room) = (client.clone(), crate::support::name(room));
        let joined = room.clone();
        tokio::spawn(async move {
            // Whether it has, the diary says.
            drop(joining.join(&joined, JoinOptions::default()).await);
        });
        Self { name, room, client, diary }
    }

    pub(super) fn diary(&self) -> MutexGuard<'_, Diary> {
        read(&self.diary)
    }

    /// Publishes again and again, each when the one before it was answered and `every` has passed.
    pub(super) fn talk(&self, every: Duration, end: CancellationToken) -> JoinHandle<()> {
        let (client, diary) = (self.client.clone(), Arc::clone(&self.diary));
        let (room, by) = (self.room.clone(), Arc::<str>::from(&*self.name));
        tokio::spawn(async move {
            for number in 1.. {
                if end.is_cancelled() {
                    return;
                }
                let name = Name { by: Arc::clone(&by), number };
                read(&diary).sent.push(name.clone());
                let body = json!({"by": &*by, "n": number}).to_string();
                let payload = Payload::from_json(body.as_bytes()).unwrap();
                match client.publish(&room, payload).await {
                    Ok(result) => {
                        let place = result.epoch.as_ref().zip(result.offset);
                        let place = place.map(|(epoch, offset)| place_of(epoch.as_str(), offset));
                        read(&diary).accepted.push(Accepted { name, place });
                    }
                    Err(error) => read(&diary).strange.push(format!("{name}: {error}")),
                }
                tokio::time::sleep(every).await;
            }
        })
    }

    pub(super) fn transcript(&self) -> Transcript {
        Transcript { member: self.name.clone(), left: false, events: self.diary().events.clone() }
    }
}

fn read(diary: &Mutex<Diary>) -> MutexGuard<'_, Diary> {
    diary.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(mut events: Events, diary: Arc<Mutex<Diary>>) {
    while let Some(news) = events.next().await {
        read(&diary).note(news);
    }
}

impl Diary {
    fn note(&mut self, news: News) {
        match news {
            News::Hello(hello) => self.nodes.push(hello.node.as_deref().unwrap_or_default().to_owned()),
            News::Joined { result, .. } => self.joined(&result),
            News::Msg(msg) => self.heard(&msg),
            News::Gap(gap) => self.put(Event::Gap, place_of(gap.epoch.as_str(), gap.offset)),
            // On a busy machine an attempt may fail: what is missed by it, the transcript says.
            News::State(State::Connecting | State::Open { .. } | State::Reconnecting { .. })
            | News::Presence(_) => {}
            other => self.strange.push(format!("{other:?}")),
        }
    }

    fn joined(&mut self, result: &JoinResult) {
        let resumed = result.resumed;
        let Some((epoch, offset)) = result.epoch.as_ref().zip(result.offset) else {
            return self.events.push(Event::Joined { place: None, resumed });
        };
        let place = place_of(epoch.as_str(), offset);
        // What the old connection brought while the new one was being opened isn't told again.
        let further =
            self.place.clone().filter(|here| here.epoch == place.epoch && here.offset >= place.offset);
        let place = if resumed == Some(true) { further.unwrap_or(place) } else { place };
        self.put(|place| Event::Joined { place: Some(place), resumed }, place);
    }

    fn heard(&mut self, msg: &Msg) {
        let body: Value = serde_json::from_str(&peer::text(&msg.data)).unwrap_or_default();
        let (Some(by), Some(number)) = (body["by"].as_str(), body["n"].as_u64()) else {
            return self.strange.push(format!("{msg:?}"));
        };
        self.events.push(Event::Heard { offset: msg.offset, name: Name { by: by.into(), number } });
        if let (Some(place), Some(offset)) = (&mut self.place, msg.offset) {
            place.offset = offset;
        }
    }

    fn put(&mut self, event: impl FnOnce(Place) -> Event, place: Place) {
        self.events.push(event(place.clone()));
        self.place = Some(place);
    }
}

fn place_of(epoch: &str, offset: u64) -> Place {
    Place { epoch: epoch.into(), offset }
}
