//! What the suites share: a world with one of the carriers in it, and things to send through it.
#![allow(dead_code, unused_macros, unused_imports)] // Each suite uses its own part.

pub(crate) mod store;

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::message::{Epoch, LiveBody, LiveMessage, Publication};
use ringway_backplane::nats::NatsSettings;
use ringway_backplane::{Backplane, Inbox, Interest, Link, Scope, memory, nats};
use ringway_protocol::name::{GroupId, RoomName, TenantId};
use ringway_protocol::payload::Payload;
use ringway_ring::{Announcement, Slot};
use ringway_testkit::nats::NatsServer;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long anything that must happen may take. Generous: machines are busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How long to look before believing that nothing comes.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

/// How many messages wait for a slow receiver in these worlds.
pub(crate) const CAPACITY: usize = 64;

pub(crate) enum World {
    Memory { hub: memory::Hub, names: Vec<String> },
    Nats(NatsServer),
}

impl World {
    pub(crate) fn in_memory() -> Self {
        Self::Memory { hub: memory::Hub::with_capacity(CAPACITY), names: Vec::new() }
    }

    pub(crate) fn over_nats() -> Self {
        Self::Nats(NatsServer::start())
    }

    pub(crate) async fn party(&mut self, name: &str) -> Arc<dyn Backplane> {
        match self {
            Self::Memory { hub, names } => {
                names.push(name.to_owned());
                hub.attach(name)
            }
            Self::Nats(server) => connect(server, name).await,
        }
    }

    /// A party for which very much may wait.
    pub(crate) async fn patient_party(&mut self, name: &str) -> Arc<dyn Backplane> {
        match self {
            Self::Memory { .. } => self.party(name).await,
            Self::Nats(server) => nats::connect(&NatsSettings::new(server.url())).await.expect("it runs"),
        }
    }

    /// Takes the carrier away from everyone.
    pub(crate) fn go_away(&mut self) {
        match self {
            Self::Memory { hub, names } => names.iter().for_each(|name| hub.cut(name, true)),
            Self::Nats(server) => server.kill(),
        }
    }

    /// Gives it back.
    pub(crate) fn come_back(&mut self) {
        match self {
            Self::Memory { hub, names } => names.iter().for_each(|name| hub.cut(name, false)),
            Self::Nats(server) => server.restart(),
        }
    }
}

pub(crate) async fn connect(server: &NatsServer, name: &str) -> Arc<dyn Backplane> {
    let settings = NatsSettings {
        name: name.to_owned(),
        subscription_capacity: CAPACITY,
        ..NatsSettings::new(server.url())
    };
    nats::connect(&settings).await.expect("the server was just started")
}

/// Runs each test once in each world.
macro_rules! over_both_carriers {
    ($($test:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&mut crate::world::World::in_memory()).await;
            })*
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&mut crate::world::World::over_nats()).await;
            })*
        }
    };
}
pub(crate) use over_both_carriers;

pub(crate) fn name<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a good name")
}

pub(crate) fn group() -> GroupId {
    name("shared")
}

pub(crate) fn tenant() -> TenantId {
    name("acme")
}

pub(crate) fn inbox(node: &str) -> Inbox {
    Inbox { group: group(), node: name(node) }
}

pub(crate) fn slot_of(room: &str) -> Slot {
    Slot::of_room(&tenant(), &name::<RoomName>(room))
}

pub(crate) fn interest(scope: Scope) -> Interest {
    Interest { group: group(), scope }
}

pub(crate) fn room_interest(room: &str) -> Interest {
    interest(Scope::Room { slot: slot_of(room), tenant: tenant(), room: name(room) })
}

pub(crate) fn publication(text: &str) -> Publication {
    Publication {
        user: Some(name("u1")),
        ..Publication::new(1_795_625_000_000, Payload::from_bytes(text.as_bytes().to_vec()))
    }
}

pub(crate) fn live(room: &str, count: u64) -> LiveMessage {
    LiveMessage {
        from: name("node-a"),
        count,
        tenant: tenant(),
        room: name(room),
        body: LiveBody::Publication {
            epoch: Epoch { ms: 1, node: 2, random: 3 },
            offset: count,
            publication: Arc::new(publication(&format!("{room} {count}"))),
        },
        traceparent: None,
    }
}

pub(crate) fn send(backplane: &Arc<dyn Backplane>, message: &LiveMessage) {
    backplane.publish_live(&group(), slot_of(message.room.as_str()), message).expect("accepted");
}

pub(crate) async fn listen(
    backplane: &Arc<dyn Backplane>,
    interest: &Interest,
) -> (ringway_backplane::Subscription, mpsc::Receiver<LiveMessage>) {
    let (sink, messages) = mpsc::channel(16);
    let subscription = backplane.subscribe(interest, sink).await.expect("open");
    // Over NATS the subscription is on its way; what comes round afterwards was behind it.
    let _ = backplane.round_trip(LIMIT).await;
    (subscription, messages)
}

pub(crate) async fn next<T>(messages: &mut mpsc::Receiver<T>) -> T {
    timeout(LIMIT, messages.recv()).await.expect("a message in time").expect("an open sink")
}

pub(crate) async fn nothing_comes<T: Debug>(messages: &mut mpsc::Receiver<T>) {
    if let Ok(Some(message)) = timeout(QUIET, messages.recv()).await {
        panic!("nothing should have come, but {message:?}");
    }
}

pub(crate) async fn link_becomes(link: &mut watch::Receiver<Link>, wanted: impl Fn(&Link) -> bool) -> Link {
    let link = timeout(LIMIT, link.wait_for(wanted)).await.expect("in time");
    *link.expect("the handle is open")
}

pub(crate) fn announcement(node: &str) -> Announcement {
    Announcement::new(name(node), 1, name("shared"), "127.0.0.1:7001".into())
}
