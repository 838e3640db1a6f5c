//! A member of some rooms across its reconnects, by the rules of `docs/protocol.md` and no more clever than they are:
//! it keeps a position for each room, comes back with it, drops nothing, and writes down what it hears.

mod life;
mod record;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringway_protocol::{Format, RoomName};
use ringway_testkit::transcript::{Accepted, Room, Transcript};
use ringway_testkit::wait::until;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::name;
pub use life::marked;
use life::{Again, Command, Life, Reply, Saying};
pub use record::{Outcome, Record, Sent};

/// How soon a publication is sent again whose outcome isn't the one that is wanted.
const AGAIN: Duration = Duration::from_millis(100);

/// How a member comes in.
#[derive(Clone)]
pub struct Way {
    /// Tried in turn, at each reconnect the next.
    pub gateways: Vec<SocketAddr>,
    pub format: Format,
    pub tenant: &'static str,
}

/// A running member. Dropped, it is gone without a goodbye.
pub struct Member {
    pub name: String,
    voice: Voice,
    task: JoinHandle<()>,
}

/// What makes a member publish.
#[derive(Clone)]
struct Voice {
    commands: mpsc::UnboundedSender<Command>,
    record: Arc<Mutex<Record>>,
}

/// A member that goes on publishing until it is told to stop.
pub struct Talk {
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Member {
    /// Connects, with the first of `rooms` as its home, and joins the others.
    pub fn start(name: impl Into<String>, way: &Way, rooms: &[impl AsRef<str>]) -> Self {
        let name = name.into();
        let rooms: Vec<RoomName> = rooms.iter().map(|room| crate::support::name(room.as_ref())).collect();
        let record = Arc::new(Mutex::new(Record::of(&rooms)));
        let (commands, commanded) = mpsc::unbounded_channel();
        let life = Life::new(name.clone(), way.clone(), rooms, Arc::clone(&record), commanded);
        Self { name, voice: Voice { commands, record }, task: tokio::spawn(life.run()) }
    }

    /// Publishes, and doesn't wait.
    pub fn say(&self, room: &str, text: &str) {
        self.voice.publish(Saying::once(room, text), None);
    }

    /// Publishes, and waits for what becomes of it.
    pub async fn tell(&self, room: &str, text: &str) -> Outcome {
        self.voice.tell(room, text).await
    }

    /// Publishes again and again, each when the one before it has an outcome and `every` has passed.
    pub fn talk(&self, room: &str, every: Duration) -> Talk {
        let (voice, room, end) = (self.voice.clone(), room.to_owned(), CancellationToken::new());
        let ended = end.clone();
        let task = tokio::spawn(async move {
            while !ended.is_cancelled() {
                let _ = voice.tell(&room, "and another thing").await;
                tokio::time::sleep(every).await;
            }
        });
        Talk { end, task }
    }

    /// As [`talk`](Self::talk), and sends each with a `mid` again and again until it is accepted, or `patience` is over.
    pub fn insist(&self, room: &str, every: Duration, patience: Duration) -> Talk {
        self.insist_on(room, None, every, patience)
    }

    /// As [`insist`](Self::insist), by turns with each of these keys.
    pub fn insist_on(&self, room: &str, keys: Option<&[&str]>, every: Duration, patience: Duration) -> Talk {
        let (voice, end) = (self.voice.clone(), CancellationToken::new());
        let keys: Vec<String> = keys.unwrap_or_default().iter().map(|key| (*key).to_owned()).collect();
        let (ended, mut saying) = (end.clone(), Saying::once(room, "and I say it again"));
        let task = tokio::spawn(async move {
            let mut keys = keys.iter().cycle();
            while !ended.is_cancelled() {
                saying.key = keys.next().cloned();
                voice.insist(&saying, patience).await;
                tokio::time::sleep(every).await;
            }
        });
        Talk { end, task }
    }

    /// Sends a signal every so often, and doesn't wait for what becomes of it.
    pub fn whisper(&self, room: &str, every: Duration) -> Talk {
        let (voice, end) = (self.voice.clone(), CancellationToken::new());
        let (ended, saying) = (end.clone(), Saying { store: false, ..Saying::once(room, "psst") });
        let task = tokio::spawn(async move {
            while !ended.is_cancelled() {
                voice.publish(saying.clone(), None);
                tokio::time::sleep(every).await;
            }
        });
        Talk { end, task }
    }

    /// Its TCP connection breaks; it comes back at once.
    pub fn cut(&self) {
        self.cut_for(Duration::ZERO);
    }

    /// Its TCP connection breaks; it comes back so much later.
    pub fn cut_for(&self, away: Duration) {
        self.voice.command(Command::Cut(away));
    }

    /// What is written down so far.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.voice.record()
    }

    /// The node that holds it, or held it last.
    pub fn node(&self) -> String {
        self.record().hellos.last().map(|(_, node)| node.clone()).unwrap_or_default()
    }

    fn has(&self, room: &RoomName) -> bool {
        self.record().rooms.contains_key(room)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Voice {
    async fn tell(&self, room: &str, text: &str) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        self.publish(Saying::once(room, text), Some(reply));
        // Its task has ended with the member.
        outcome.await.map_or(Outcome::Unknown, |(_, outcome)| outcome)
    }

    async fn insist(&self, saying: &Saying, patience: Duration) {
        let (from, mut again) = (Instant::now(), Again::Later);
        loop {
            let (reply, outcome) = oneshot::channel();
            self.publish(Saying { again, ..saying.clone() }, Some(reply));
            let Ok((index, outcome)) = outcome.await else { return };
            if matches!(outcome, Outcome::Accepted { .. }) || from.elapsed() > patience {
                return;
            }
            again = Again::Now(index);
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn publish(&self, saying: Saying, reply: Option<Reply>) {
        if !matches!(saying.again, Again::Now(_)) {
            self.record().asked += 1;
        }
        self.command(Command::Publish(saying, reply));
    }

    fn command(&self, command: Command) {
        // Nobody is there any more: then there is nothing to be done.
        let _ = self.commands.send(command);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Saying {
    /// Said once, whatever becomes of it.
    fn once(room: &str, text: &str) -> Self {
        Self { room: name(room), text: text.to_owned(), key: None, store: true, again: Again::Never }
    }
}

impl Talk {
    /// Returns when the last word has its outcome.
    pub async fn stop(self) {
        self.end.cancel();
        self.task.await.unwrap();
    }
}

/// Waits until each is in all of its rooms.
pub fn all_joined(members: &[Member]) {
    for member in members {
        until(&format!("{} is in its rooms", member.name), Duration::from_secs(10), || {
            member.record().rooms.values().all(|room| room.position.is_some()).then_some(())
        });
    }
}

/// What all of them know of a room.
pub fn room_of<'a>(room: &str, members: impl IntoIterator<Item = &'a Member>) -> Room {
    let room = name(room);
    let mut all = Room::default();
    for member in members {
        let record = member.record();
        if let Some(heard) = record.rooms.get(&room) {
            let events = heard.events.iter().map(|(_, event)| event.clone()).collect();
            all.transcripts.push(Transcript { member: member.name.clone(), left: false, events });
        }
        for sent in record.sent.iter().filter(|sent| sent.room == room) {
            all.sent.insert(sent.name.clone());
            all.keys.extend(sent.key.as_ref().map(|key| (sent.name.clone(), key.as_str().into())));
            match &sent.outcome {
                Some(Outcome::Accepted { place }) => {
                    all.accepted.push(Accepted { name: sent.name.clone(), place: place.clone() });
                }
                Some(Outcome::Refused(_)) if !sent.unsure => {
                    all.refused.insert(sent.name.clone());
                }
                _ => {}
            }
        }
    }
    all
}

/// Waits until every publication has an outcome, and all members of the room are in one place, to which nothing that
/// was accepted is missing; then gives all they know.
pub fn settled(room: &str, members: &[Member], within: Duration) -> Room {
    let of_room = name(room);
    let look = || {
        let known = |m: &Member| m.record().unanswered() == 0;
        let place = |m: &Member| m.record().rooms.get(&of_room).and_then(record::Heard::place);
        let mut places = members.iter().filter(|m| m.has(&of_room)).map(place);
        let first = places.next().flatten();
        let together = first.is_some() && places.all(|place| place == first);
        if !members.iter().all(known) || !together {
            return None;
        }
        let all = room_of(room, members);
        let behind = |place: &ringway_testkit::transcript::Place| {
            first.as_ref().is_some_and(|first| first.epoch == place.epoch && first.offset < place.offset)
        };
        (!all.accepted.iter().any(|a| a.place.as_ref().is_some_and(behind))).then_some(all)
    };
    let deadline = std::time::Instant::now() + within;
    loop {
        if let Some(all) = look() {
            return all;
        }
        if std::time::Instant::now() >= deadline {
            let places = members.iter().filter(|m| m.has(&of_room)).map(|m| {
                let record = m.record();
                format!(
                    "{}: {:?}, {} unanswered",
                    m.name,
                    record.rooms[&of_room].place(),
                    record.unanswered()
                )
            });
            panic!("{room} isn't settled within {within:?}:\n{}", places.collect::<Vec<_>>().join("\n"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
