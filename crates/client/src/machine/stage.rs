//! For tests: a machine whose actions are sorted by whom they concern, and short words for frames.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_protocol::frame::{
    Answer, Gap, GapReason, Goaway, Hello, JoinResult, Joined, Left, Limits, Msg, OkResult, Position, Pub,
    PubResult, Refusal,
};
use ringway_protocol::{ClientFrame, CloseCode, Code, Format, Payload, RoomName, ServerFrame, decode_client};

use super::{Action, Answered, Machine, Settings};
use crate::connection::Closed;
use crate::event::{Event, JoinOptions, RequestError, State};

/// What was asked of the network for one connection.
#[derive(Debug, Default)]
pub(super) struct Socket {
    pub(super) home: Option<String>,
    pub(super) session: Option<String>,
    pub(super) new_token: bool,
    pub(super) sent: Vec<ClientFrame>,
    pub(super) ended: bool,
}

/// A machine and all that it wanted so far.
pub(super) struct Stage {
    pub(super) machine: Machine<&'static str>,
    pub(super) now: Duration,
    pub(super) answer_within: Duration,
    pub(super) sockets: BTreeMap<u64, Socket>,
    /// What the application heard, as short words.
    pub(super) heard: Vec<String>,
    pub(super) states: Vec<State>,
    pub(super) replies: Vec<(&'static str, Result<Answered, RequestError>)>,
}

pub(super) fn settings() -> Settings {
    Settings {
        format: Format::Json,
        home: None,
        session: None,
        renewable: false,
        prefix: "p".to_owned(),
        seed: 1,
        most_waiting: 1_000,
    }
}

pub(super) fn room(name: &str) -> RoomName {
    name.parse().unwrap()
}

pub(super) fn text(word: &str) -> Payload {
    Payload::from_json(format!("{word:?}").as_bytes()).unwrap()
}

fn word(data: &Payload) -> String {
    let mut json = Vec::new();
    data.write_json(&mut json);
    String::from_utf8(json).unwrap().trim_matches('"').to_owned()
}

pub(super) fn msg(name: &str, offset: u64) -> ServerFrame {
    message(Some(name), Some(offset), &format!("m{offset}"))
}

pub(super) fn message(name: Option<&str>, offset: Option<u64>, data: &str) -> ServerFrame {
    ServerFrame::Msg(Msg {
        id: None,
        room: name.map(room),
        data: text(data),
        offset,
        ts: offset.map(|offset| offset * 10),
        user: None,
        event: None,
        key: None,
        mid: None,
        prev: None,
        trace: None,
    })
}

pub(super) fn hello(session: &str) -> ServerFrame {
    ServerFrame::Hello(Hello {
        room: None,
        conn: "c".parse().unwrap(),
        session: session.into(),
        ping: 25,
        expires: None,
        limits: Limits { frame: Some(65_536), rooms: None, publish_per_second: None },
        user: None,
        server: None,
        node: Some("n1".into()),
        trace: None,
    })
}

pub(super) fn gap(name: &str, reason: GapReason, epoch: &str, offset: u64) -> ServerFrame {
    let epoch = epoch.parse().unwrap();
    ServerFrame::Gap(Gap { room: room(name), reason, epoch, offset, ts: Some(offset * 10), lost: None })
}

pub(super) fn goaway(after: u64) -> ServerFrame {
    ServerFrame::Goaway(Goaway { after, reason: None })
}

pub(super) fn left(name: &str, code: Code, retry: Option<u64>) -> ServerFrame {
    ServerFrame::Left(Left { room: room(name), code, message: None, retry })
}

pub(super) fn joined(name: &str, result: JoinResult) -> ServerFrame {
    ServerFrame::Joined(Joined { room: room(name), result })
}

/// A join's result.
pub(super) fn at(epoch: &str, offset: u64, newest: u64, resumed: Option<bool>) -> JoinResult {
    JoinResult {
        epoch: Some(epoch.parse().unwrap()),
        offset: Some(offset),
        ts: Some(offset * 10),
        newest: Some(newest),
        resumed,
        ..JoinResult::default()
    }
}

pub(super) fn position(epoch: &str, offset: u64) -> Position {
    Position { epoch: epoch.parse().unwrap(), offset, ts: Some(offset * 10) }
}

impl Stage {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            machine: Machine::new(settings),
            now: Duration::ZERO,
            answer_within: Duration::from_secs(30),
            sockets: BTreeMap::new(),
            heard: Vec::new(),
            states: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// A client that is connected by socket 1 and has joined `a`, at epoch e, offset 10.
    pub(super) fn standing(settings: Settings) -> Self {
        let mut stage = Self::new(settings);
        stage.join("a");
        stage.machine.dial(stage.now);
        stage.open(1);
        stage.say(1, hello("s1"));
        stage.answer_join(1, "a", at("e", 10, 10, None));
        stage.heard.clear();
        stage.states.clear();
        stage.replies.clear();
        stage
    }

    /// Carries out what the machine wants.
    pub(super) fn act(&mut self) {
        while let Some(action) = self.machine.action() {
            match action {
                Action::Dial { link, home, session, new_token } => {
                    let (home, session) =
                        (home.map(|home| home.to_string()), session.map(|session| session.to_string()));
                    self.sockets.insert(link, Socket { home, session, new_token, ..Socket::default() });
                }
                Action::Send { link, bytes } => {
                    let frame = decode_client(Format::Json, &bytes).unwrap();
                    self.sockets.get_mut(&link).unwrap().sent.push(frame);
                }
                Action::End { link } => self.sockets.get_mut(&link).unwrap().ended = true,
                Action::Reply { to, answer } => self.replies.push((to, answer)),
                Action::Event(event) => match event {
                    Event::State(state) => self.states.push(state),
                    Event::Msg(msg) => self.heard.push(word(&msg.data)),
                    Event::Gap(gap) => self.heard.push(format!("gap {}", gap.reason.as_str())),
                    Event::Left { room, code, .. } => self.heard.push(format!("left {room} {code}")),
                    Event::Joined { room, .. } => self.heard.push(format!("joined {room}")),
                    Event::Hello(_) | Event::Presence(_) | Event::Refused(_) => {}
                },
            }
        }
    }

    /// Lets time pass: what becomes due happens at its time.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.machine.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.machine.tick(self.now);
            self.act();
        }
        self.now = end;
    }

    pub(super) fn open(&mut self, link: u64) {
        self.machine.opened(link, self.now);
        self.act();
    }

    pub(super) fn say(&mut self, link: u64, frame: ServerFrame) {
        self.machine.frame(link, frame, self.now);
        self.act();
    }

    pub(super) fn drop(&mut self, link: u64, code: u16, reason: &str) {
        self.machine.closed(link, Closed { code: CloseCode(code), reason: reason.to_owned() }, self.now);
        self.act();
    }

    /// The connection that was dialled last.
    pub(super) fn latest(&self) -> u64 {
        *self.sockets.last_key_value().unwrap().0
    }

    /// Waits for the next connection, and opens it.
    pub(super) fn reconnect(&mut self) -> u64 {
        let before = self.latest();
        while self.latest() == before {
            let due = self.machine.due().expect("it comes back");
            self.pass((due - self.now).as_millis() as u64 + 1);
        }
        let link = self.latest();
        self.open(link);
        self.say(link, hello(&format!("s{link}")));
        link
    }

    pub(super) fn join(&mut self, name: &str) {
        self.machine.join(&room(name), JoinOptions::default(), "join");
        self.act();
    }

    pub(super) fn publish(&mut self, name: &str, data: &str, to: &'static str) {
        let frame = Pub {
            id: None,
            room: Some(room(name)),
            data: text(data),
            event: None,
            key: None,
            mid: None,
            echo: true,
            store: true,
            trace: None,
        };
        self.machine.request(ClientFrame::Pub(frame), to, self.answer_within, self.now);
        self.act();
    }

    /// Answers the join of this room that came last on this connection.
    pub(super) fn answer_join(&mut self, link: u64, name: &str, result: JoinResult) {
        let id = self.joins(link).into_iter().rfind(|(room, _, _)| room == name).expect("it was asked").1;
        self.say(
            link,
            ServerFrame::Ok(Answer {
                id: Some(id),
                room: None,
                data: None,
                result: Some(OkResult::Join(result)),
            }),
        );
    }

    /// Answers the publication with this text.
    pub(super) fn answer_pub(&mut self, link: u64, data: &str, offset: u64) {
        let id = self.pubs(link).into_iter().rfind(|(text, ..)| text == data).expect("it was sent").1;
        let result = OkResult::Pub(PubResult { offset: Some(offset), ..PubResult::default() });
        self.say(
            link,
            ServerFrame::Ok(Answer { id: Some(id), room: None, data: None, result: Some(result) }),
        );
    }

    pub(super) fn refuse(&mut self, link: u64, id: u64, code: Code, retry: Option<u64>) {
        self.say(link, ServerFrame::Err(Refusal { id: Some(id), room: None, code, message: None, retry }));
    }

    /// Room, id and `since`'s offset of the joins that were sent.
    pub(super) fn joins(&self, link: u64) -> Vec<(String, u64, Option<u64>)> {
        let join = |frame: &ClientFrame| match frame {
            ClientFrame::Join(join) => {
                Some((join.room.to_string(), join.id.unwrap(), join.since.as_ref().map(|since| since.offset)))
            }
            _ => None,
        };
        self.sockets[&link].sent.iter().filter_map(join).collect()
    }

    /// Text, id and `mid` of the publications that were sent.
    pub(super) fn pubs(&self, link: u64) -> Vec<(String, u64, String)> {
        let publication = |frame: &ClientFrame| match frame {
            ClientFrame::Pub(publication) => {
                let mid = publication.mid.as_ref().unwrap().to_string();
                Some((word(&publication.data), publication.id.unwrap(), mid))
            }
            _ => None,
        };
        self.sockets[&link].sent.iter().filter_map(publication).collect()
    }

    pub(super) fn reply(&mut self) -> Option<(&'static str, Result<Answered, RequestError>)> {
        if self.replies.is_empty() { None } else { Some(self.replies.remove(0)) }
    }

    pub(super) fn offset_of(reply: Option<(&'static str, Result<Answered, RequestError>)>) -> Option<u64> {
        reply?.1.unwrap().answer.result.unwrap().into_pub().offset
    }
}
