//! A member's task: connect, listen, publish, come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringway_client::{Closed, Connection, ReceiveError};
use ringway_protocol::frame::{OkResult, PubResult};
use ringway_protocol::{ClientFrame, CloseCode, RoomName, ServerFrame};
use ringway_testkit::transcript::{Name, Place};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::Way;
use super::record::{Outcome, Record, Sent};
use crate::{peer, support};

/// How soon it tries again. Far below the protocol's back-off: a test hasn't the time, and a server has to bear it.
const AGAIN: Duration = Duration::from_millis(50);

/// What a member is told to do.
pub(super) enum Command {
    Publish(Saying, Option<Reply>),
    /// And comes back so much later.
    Cut(Duration),
}

/// What a member is told to publish.
#[derive(Debug, Clone)]
pub(super) struct Saying {
    pub(super) room: RoomName,
    pub(super) text: String,
    pub(super) key: Option<String>,
    /// False: a signal, where the room is durable.
    pub(super) store: bool,
    pub(super) again: Again,
}

/// Whether a publication may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It won't be.
    Never,
    /// It may be later on.
    Later,
    /// This of `Record::sent` is, with the `mid` that it had.
    Now(usize),
}

/// To whom it is told which of `Record::sent` it was, and what became of it.
pub(super) type Reply = oneshot::Sender<(usize, Outcome)>;

/// What a request without an answer was.
enum Waiting {
    Join(RoomName),
    /// Which of `Record::sent`.
    Publish(usize, Option<Reply>),
}

pub(super) struct Life {
    name: String,
    way: Way,
    rooms: Vec<RoomName>,
    record: Arc<Mutex<Record>>,
    commands: mpsc::UnboundedReceiver<Command>,
    session: Option<String>,
    /// Connections so far.
    connections: usize,
    last_id: u64,
    waiting: HashMap<u64, Waiting>,
    /// How long it stays away after a cut.
    away: Duration,
}

impl Life {
    pub(super) fn new(
        name: String,
        way: Way,
        rooms: Vec<RoomName>,
        record: Arc<Mutex<Record>>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let (session, waiting) = (None, HashMap::new());
        let away = Duration::ZERO;
        Self { name, way, rooms, record, commands, session, connections: 0, last_id: 0, waiting, away }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.connections += 1;
            let gateway = self.way.gateways[(self.connections - 1) % self.way.gateways.len()];
            let home = self.rooms.first().map(RoomName::as_str);
            let mut options = support::options(gateway, self.way.format, home);
            options.tenant = Some(self.way.tenant.parse().unwrap());
            options.session.clone_from(&self.session);
            options.since = self.rooms.first().and_then(|home| self.position(home));
            match Connection::open(&options).await {
                Ok(connection) => {
                    let closed = self.converse(connection).await;
                    self.record().closes.push(closed);
                    self.lose_answers();
                }
                Err(_) => self.record().failures += 1,
            }
            tokio::time::sleep(AGAIN + std::mem::take(&mut self.away)).await;
        }
    }

    async fn converse(&mut self, mut connection: Connection) -> Closed {
        if let Err(closed) = self.join_others(&mut connection).await {
            return closed;
        }
        loop {
            tokio::select! {
                received = connection.receive() => match received {
                    Ok(frame) => {
                        if let Some(closed) = self.hear(frame) {
                            return closed;
                        }
                    }
                    Err(ReceiveError::Closed(closed)) => return closed,
                    Err(error) => panic!("{}: {error}", self.name),
                },
                command = self.commands.recv() => match command {
                    Some(Command::Publish(saying, reply)) => {
                        let frame = self.publication(saying, reply);
                        if let Err(closed) = connection.send(&frame).await {
                            return closed;
                        }
                    }
                    // Dropped, the socket is closed without a goodbye.
                    Some(Command::Cut(away)) => {
                        self.away = away;
                        return Closed { code: CloseCode::NORMAL, reason: "cut".into() };
                    }
                    None => std::future::pending().await,
                },
            }
        }
    }

    /// The home room is joined by the server.
    async fn join_others(&mut self, connection: &mut Connection) -> Result<(), Closed> {
        let mut joins = Vec::new();
        for room in self.rooms.clone().into_iter().skip(1) {
            let since = self.position(&room);
            let id = self.ask(Waiting::Join(room.clone()));
            joins.push(peer::with_id(peer::join_from(room.as_str(), since, None), id));
        }
        connection.send_all(&joins).await
    }

    fn publication(&mut self, saying: Saying, reply: Option<Reply>) -> ClientFrame {
        let Saying { room, text, key, store, again } = saying;
        let (index, name) = {
            let mut record = self.record();
            if let Again::Now(index) = again {
                (index, record.sent[index].name.clone())
            } else {
                // Order is promised to one connection.
                let by = format!("{}.{}", self.name, self.connections);
                let name = Name { by: by.into(), number: record.sent.len() as u64 + 1 };
                record.sent.push(Sent::now(room.clone(), name.clone(), key.clone(), store));
                (record.sent.len() - 1, name)
            }
        };
        let id = self.ask(Waiting::Publish(index, reply));
        let body = json!({
            "tenant": self.way.tenant, "room": room.as_str(), "by": &*name.by, "n": name.number, "text": text,
            "mark": mark_of(&name),
        });
        let mut frame = peer::publication(room.as_str(), &body.to_string());
        frame.key = key.map(|key| key.parse().unwrap());
        frame.store = store;
        if again != Again::Never {
            frame.mid = Some(name.to_string().into());
        }
        peer::with_id(ClientFrame::Pub(frame), id)
    }

    /// Takes a frame in. Gives how the connection ended, where this member ends it.
    fn hear(&mut self, frame: ServerFrame) -> Option<Closed> {
        match frame {
            ServerFrame::Hello(hello) => {
                self.session = Some(hello.session.to_string());
                let node = hello.node.as_deref().unwrap_or_default().to_owned();
                self.record().hellos.push((Instant::now(), node));
            }
            ServerFrame::Joined(joined) => self.record().joined(&joined.room, &joined.result),
            ServerFrame::Msg(msg) => self.record().msg(self.way.tenant, &msg),
            ServerFrame::Gap(gap) => self.record().gap(&gap),
            ServerFrame::Goaway(_) => self.record().goaways += 1,
            ServerFrame::Ok(answer) => match answer.id.and_then(|id| self.waiting.remove(&id)) {
                Some(Waiting::Join(room)) => {
                    let result = answer.result.map(OkResult::into_join).unwrap_or_default();
                    self.record().joined(&room, &result);
                }
                Some(Waiting::Publish(index, reply)) => {
                    let result = answer.result.map(OkResult::into_pub).unwrap_or_default();
                    self.outcome(index, accepted(&result), reply);
                }
                None => self.record().strange.push("an answer that nobody waits for".to_owned()),
            },
            ServerFrame::Err(refusal) => match refusal.id.and_then(|id| self.waiting.remove(&id)) {
                Some(Waiting::Publish(index, reply)) => {
                    self.outcome(index, Outcome::Refused(refusal.code), reply);
                }
                _ => {
                    return Some(Closed { code: CloseCode::NORMAL, reason: format!("refused: {refusal:?}") });
                }
            },
            ServerFrame::Left(left) => {
                return Some(Closed { code: CloseCode::NORMAL, reason: format!("refused: {left:?}") });
            }
            ServerFrame::Presence(_) | ServerFrame::Ping => {}
        }
        None
    }

    fn ask(&mut self, waiting: Waiting) -> u64 {
        self.last_id += 1;
        self.waiting.insert(self.last_id, waiting);
        self.last_id
    }

    /// The connection has ended: what wasn't answered never will be.
    fn lose_answers(&mut self) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            if let Waiting::Publish(index, reply) = waiting {
                self.outcome(index, Outcome::Unknown, reply);
            }
        }
    }

    fn outcome(&self, index: usize, outcome: Outcome, reply: Option<Reply>) {
        self.record().outcome(index, outcome.clone());
        if let Some(reply) = reply {
            // Who asked may have gone.
            let _ = reply.send((index, outcome));
        }
    }

    fn position(&self, room: &RoomName) -> Option<ringway_protocol::frame::Position> {
        self.record().rooms.get(room).and_then(|heard| heard.position.clone())
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What shows in any encoding of a payload which publication it is.
fn mark_of(name: &Name) -> String {
    format!("@{name}@")
}

/// The publication that these bytes hold, in whatever encoding.
pub fn marked(bytes: &[u8]) -> Option<Name> {
    let text = String::from_utf8_lossy(bytes);
    text.split('@').find_map(|part| {
        let (by, number) = part.rsplit_once('#')?;
        Some(Name { by: by.into(), number: number.parse().ok()? })
    })
}

fn accepted(result: &PubResult) -> Outcome {
    let place = result.epoch.as_ref().zip(result.offset);
    let place = place.map(|(epoch, offset)| Place { epoch: epoch.as_str().into(), offset });
    Outcome::Accepted { place }
}
