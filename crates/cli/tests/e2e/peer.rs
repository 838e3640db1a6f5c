//! One connection of a test: what it sends and what it is told, frame by frame, no wait without a deadline.

use std::collections::VecDeque;
use std::time::Duration;

use ringway_client::{Closed, ConnectOptions, Connection, ReceiveError};
use ringway_protocol::frame::{
    Answer, Gap, Hello, Join, JoinResult, Joined, Leave, Members, MembersResult, Msg, OkResult, Position,
    Pub, PubResult, Refusal,
};
use ringway_protocol::{ClientFrame, CloseCode, Payload, RoomName, ServerFrame};
use ringway_testkit::transcript::Name;
use tokio::time::timeout;

use crate::support::name;

/// How long anything may take that should take milliseconds.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// An open connection whose `hello` was read.
pub(crate) struct Peer {
    conn: Connection,
    pub(crate) hello: Hello,
    last_id: u64,
    /// What came while something else was waited for.
    heard: VecDeque<ServerFrame>,
}

impl Peer {
    /// Connects, and reads `hello`, which has to be first.
    pub(crate) async fn open(options: &ConnectOptions) -> Self {
        let conn = Connection::open(options).await.unwrap();
        Self::after_hello(conn).await
    }

    /// As [`Self::open`], where it may be turned away.
    pub(crate) async fn try_open(options: &ConnectOptions) -> Result<Self, Closed> {
        Self::hello(Connection::open(options).await.unwrap()).await
    }

    /// Reads the `hello` of a connection that was opened otherwise.
    pub(crate) async fn after_hello(conn: Connection) -> Self {
        Self::hello(conn).await.unwrap_or_else(|closed| panic!("instead of hello: {closed:?}"))
    }

    async fn hello(mut conn: Connection) -> Result<Self, Closed> {
        match timeout(SOON, conn.receive()).await.expect("a hello in time") {
            Ok(ServerFrame::Hello(hello)) => Ok(Self { conn, hello, last_id: 0, heard: VecDeque::new() }),
            Err(ReceiveError::Closed(closed)) => Err(closed),
            other => panic!("instead of hello: {other:?}"),
        }
    }

    /// The node that holds the connection.
    pub(crate) fn node(&self) -> &str {
        self.hello.node.as_deref().expect("hello names the node")
    }

    /// Sends frames in one write, as they are.
    pub(crate) async fn send(&mut self, frames: &[ClientFrame]) {
        timeout(SOON, self.conn.send_all(frames)).await.expect("the socket takes it").unwrap();
    }

    /// An id that no request of this connection had.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The next frame, the server's pings apart.
    pub(crate) async fn next(&mut self) -> ServerFrame {
        self.try_next().await.unwrap_or_else(|closed| panic!("closed: {closed:?}"))
    }

    /// The next frame, or how the connection ended.
    pub(crate) async fn try_next(&mut self) -> Result<ServerFrame, Closed> {
        match self.heard.pop_front() {
            Some(frame) => Ok(frame),
            None => self.receive().await,
        }
    }

    /// What came already while something else was waited for.
    pub(crate) fn heard_next(&mut self) -> Option<ServerFrame> {
        self.heard.pop_front()
    }

    async fn receive(&mut self) -> Result<ServerFrame, Closed> {
        loop {
            match timeout(SOON, self.conn.receive()).await.expect("a frame in time") {
                Ok(ServerFrame::Ping) => {}
                Ok(frame) => return Ok(frame),
                Err(ReceiveError::Closed(closed)) => return Err(closed),
                Err(error) => panic!("not a frame: {error}"),
            }
        }
    }

    /// Sends a request and waits for its answer. What comes meanwhile is kept for [`Self::next`].
    pub(crate) async fn ask(&mut self, frame: ClientFrame) -> Result<Option<OkResult>, Refusal> {
        let id = self.fresh_id();
        self.send(&[with_id(frame, id)]).await;
        self.answer(id).await
    }

    /// The answer to the request of this id.
    pub(crate) async fn answer(&mut self, id: u64) -> Result<Option<OkResult>, Refusal> {
        let mut others = VecDeque::new();
        let answer = loop {
            match self.next().await {
                ServerFrame::Ok(Answer { id: Some(of), result, .. }) if of == id => break Ok(result),
                ServerFrame::Err(refusal) if refusal.id == Some(id) => break Err(refusal),
                other => others.push_back(other),
            }
        };
        others.append(&mut self.heard);
        self.heard = others;
        answer
    }

    pub(crate) async fn join(&mut self, room: &str) -> JoinResult {
        self.join_from(room, None, None).await
    }

    pub(crate) async fn join_from(
        &mut self,
        room: &str,
        since: Option<Position>,
        last: Option<u32>,
    ) -> JoinResult {
        let answer = self.ask(join_from(room, since, last)).await;
        answer.unwrap_or_else(|no| panic!("join {room}: {no:?}")).map(OkResult::into_join).unwrap_or_default()
    }

    pub(crate) async fn leave(&mut self, room: &str) {
        self.ask(leave(room)).await.unwrap_or_else(|no| panic!("leave {room}: {no:?}"));
    }

    pub(crate) async fn publish(&mut self, room: &str, data: &str) -> PubResult {
        let answer = self.ask(publish(room, data)).await;
        answer.unwrap_or_else(|no| panic!("pub {room}: {no:?}")).map(OkResult::into_pub).unwrap_or_default()
    }

    pub(crate) async fn members(&mut self, room: &str) -> MembersResult {
        let answer = self.ask(members(room)).await;
        answer
            .unwrap_or_else(|no| panic!("members {room}: {no:?}"))
            .map(OkResult::into_members)
            .unwrap_or_default()
    }

    /// The next frame, which has to be a publication.
    pub(crate) async fn msg(&mut self) -> Msg {
        match self.next().await {
            ServerFrame::Msg(msg) => msg,
            other => panic!("instead of a msg: {other:?}"),
        }
    }

    /// The next frame, which has to be word of a room that the server joined.
    pub(crate) async fn joined(&mut self) -> Joined {
        match self.next().await {
            ServerFrame::Joined(joined) => joined,
            other => panic!("instead of joined: {other:?}"),
        }
    }

    /// The next frame, which has to be a gap.
    pub(crate) async fn gap(&mut self) -> Gap {
        match self.next().await {
            ServerFrame::Gap(gap) => gap,
            other => panic!("instead of a gap: {other:?}"),
        }
    }

    /// Reads until the server closes; what came before.
    pub(crate) async fn until_closed(&mut self) -> (Vec<ServerFrame>, Closed) {
        let mut frames = Vec::new();
        loop {
            match self.try_next().await {
                Ok(frame) => frames.push(frame),
                Err(closed) => return (frames, closed),
            }
        }
    }

    /// Says goodbye, and waits for the server's.
    pub(crate) async fn close(self) {
        timeout(SOON, self.conn.close(CloseCode::NORMAL, "")).await.expect("a goodbye in time");
    }
}

pub(crate) fn join(room: &str) -> ClientFrame {
    join_from(room, None, None)
}

pub(crate) fn join_from(room: &str, since: Option<Position>, last: Option<u32>) -> ClientFrame {
    ClientFrame::Join(Join { id: None, room: name(room), since, last, state: None })
}

pub(crate) fn leave(room: &str) -> ClientFrame {
    ClientFrame::Leave(Leave { id: None, room: name(room) })
}

pub(crate) fn members(room: &str) -> ClientFrame {
    ClientFrame::Members(Members { id: None, room: Some(name(room)), after: None, limit: None })
}

/// `data` is JSON.
pub(crate) fn publish(room: &str, data: &str) -> ClientFrame {
    ClientFrame::Pub(publication(room, data))
}

/// As [`publish`], to be changed.
pub(crate) fn publication(room: &str, data: &str) -> Pub {
    Pub {
        id: None,
        room: Some(name(room)),
        data: json(data),
        event: None,
        key: None,
        mid: None,
        echo: true,
        store: true,
        trace: None,
    }
}

/// The frame, as a request of this id.
pub(crate) fn with_id(mut frame: ClientFrame, new: u64) -> ClientFrame {
    let id = match &mut frame {
        ClientFrame::Join(frame) => &mut frame.id,
        ClientFrame::Leave(frame) => &mut frame.id,
        ClientFrame::Pub(frame) => &mut frame.id,
        ClientFrame::State(frame) => &mut frame.id,
        ClientFrame::Members(frame) => &mut frame.id,
        ClientFrame::History(frame) => &mut frame.id,
        ClientFrame::Auth(frame) => &mut frame.id,
        ClientFrame::Call(frame) => &mut frame.id,
        ClientFrame::Ping { id } => id,
    };
    *id = Some(new);
    frame
}

/// The payload that this JSON is.
pub(crate) fn json(text: &str) -> Payload {
    Payload::from_json(text.as_bytes()).unwrap()
}

/// A payload as JSON.
pub(crate) fn text(payload: &Payload) -> String {
    let mut json = Vec::new();
    payload.write_json(&mut json);
    String::from_utf8(json).unwrap()
}

/// Who published this and which of theirs it is, where what it says of itself (`tenant`, `room`, `by`, `n`) is what it came
/// as; none: it is another's.
pub(crate) fn name_in(msg: &Msg, tenant: &str) -> Option<Name> {
    let body: serde_json::Value = serde_json::from_str(&text(&msg.data)).unwrap_or_default();
    let mine = body["tenant"] == tenant && body["room"] == msg.room.as_ref()?.as_str();
    mine.then(|| Some(Name { by: body["by"].as_str()?.into(), number: body["n"].as_u64()? }))?
}

/// The room that a frame is about.
pub(crate) fn room_of(frame: &ServerFrame) -> Option<&RoomName> {
    match frame {
        ServerFrame::Hello(_) | ServerFrame::Goaway(_) | ServerFrame::Ping => None,
        ServerFrame::Ok(answer) => answer.room.as_ref(),
        ServerFrame::Err(refusal) => refusal.room.as_ref(),
        ServerFrame::Msg(msg) => msg.room.as_ref(),
        ServerFrame::Joined(joined) => Some(&joined.room),
        ServerFrame::Left(left) => Some(&left.room),
        ServerFrame::Presence(presence) => Some(&presence.room),
        ServerFrame::Gap(gap) => Some(&gap.room),
    }
}

/// The position that a join's result, or a publication's, is.
pub(crate) fn position(epoch: Option<&ringway_protocol::EpochName>, offset: Option<u64>) -> Position {
    Position { epoch: epoch.expect("an epoch").clone(), offset: offset.expect("an offset"), ts: None }
}
