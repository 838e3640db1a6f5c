//! One connection's life: hello, the rooms the server joins it to, its frames, goodbye.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use ringway_auth::{Right, SessionToken, Ticket, TokenError};
use ringway_backplane::message::Publication;
use ringway_edge::{Due, Ended, Message, Reader};
use ringway_protocol::Code;
use ringway_protocol::close::CloseCode;
use ringway_protocol::codec::{self, DecodeError, Format};
use ringway_protocol::frame::{
    Answer, Auth, AuthResult, ClientFrame, Hello, Limits, OkResult, Position, Pub, Refusal, ServerFrame,
};
use ringway_protocol::name::RoomName;
use ringway_ring::Slot;
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TrySendError;

use crate::clock;
use crate::conn::{Conn, ConnRef, Who};
use crate::encode::finished;
use crate::heartbeat::PING_INTERVAL;
use crate::node::Inner;
use crate::shard::{Command, Join, No, Op, RoomKey};
use crate::trace;

/// Seconds that a session's string is good for after its token has ended, or since it was made: long enough for a
/// laptop's lid, short enough to forget a lost one.
const SESSION_LIFE: u64 = 24 * 3600;

/// What waits for a shard's place, where one is full: rare, so boxed, and no part of an idle connection.
type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection and what its own task knows of it.
struct Session {
    node: Arc<Inner>,
    conn: ConnRef,
    home: Option<RoomName>,
    /// The shards that may have something of it, by bit.
    shards: u64,
}

/// Begins a connection: its hello, and the joins that are the server's. What comes back runs it to its end.
// No `async fn`, and begun outside of the future: that holds what an idle connection needs, and nothing of its beginning.
pub(crate) fn run(
    node: Arc<Inner>,
    socket: TcpStream,
    early: Bytes,
    ticket: Ticket,
    span: tracing::Span,
) -> impl Future<Output = ()> + Send + 'static {
    let mut begun = begin(node, socket, &early, ticket, &span);
    // What came early keeps the handshake's whole buffer.
    drop((early, span));
    async move {
        // Used where it lies: whatever is moved within a future has two places in it.
        let Some((session, reader, wait)) = &mut begun else { return };
        if let Some(wait) = wait.take() {
            wait.await;
        }
        let ended = session.serve(reader).await;
        if let Some(wait) = session.say_goodbye(ended) {
            wait.await;
        }
        if let Some(finish) = begun.take().map(|(_, reader, _)| reader.finish()) {
            finish.await;
        }
    }
}

fn begin(
    node: Arc<Inner>,
    socket: TcpStream,
    early: &Bytes,
    ticket: Ticket,
    span: &tracing::Span,
) -> Option<(Session, Reader, Option<Wait>)> {
    let tenant = node.tenants.get(&ticket.tenant)?;
    let (outbound, reader) = ringway_edge::open(socket, early, node.limits());
    let Ticket { user, grants, join, session, room, since, conn, format, expires, .. } = ticket;
    let who = Who {
        id: conn,
        // Not the ticket's own copy of the name: one is enough for all connections of a tenant.
        tenant: tenant.id.clone(),
        user,
        session,
        format,
        grants: node.grants.same(grants),
        expires,
    };
    let conn = Conn::new(who, outbound, tenant.limits.rooms);
    let mut session = Session { node, conn, home: room, shards: 0 };
    session.say_hello(span);
    let (node, conn) = (&session.node, &session.conn);
    // After the hello, which is first on every connection: from here on others may send to it.
    node.registry.insert(conn, clock::wall_seconds());
    node.metrics.opened.inc();
    node.metrics.connections.inc();
    if node.is_leaving() {
        crate::leave::send_away(conn);
    }
    let wait = session.join_by_server(since, join, span);
    Some((session, reader, wait))
}

impl Session {
    fn say_hello(&self, span: &tracing::Span) {
        let conn = &self.conn;
        let now = clock::wall_seconds();
        let expires = (conn.expires() != u64::MAX).then(|| conn.expires());
        let session = SessionToken {
            session: conn.session.clone(),
            tenant: conn.tenant.clone(),
            user: conn.user.clone(),
            grants: conn.grants.read().clone(),
            expires,
            exp: expires.unwrap_or(now) + SESSION_LIFE,
        };
        let hello = Hello {
            room: self.home.clone(),
            conn: conn.id.clone(),
            session: self.node.session_key.seal(&session).into(),
            ping: PING_INTERVAL.as_secs(),
            expires: expires.map(|at| at.saturating_sub(now)),
            limits: Limits {
                frame: Some(self.node.limits().message as u64),
                rooms: Some(u64::from(conn.rooms_limit())),
                publish_per_second: None,
            },
            user: conn.user.clone(),
            server: Some(Cow::Borrowed(concat!("ringway/", env!("CARGO_PKG_VERSION")))),
            node: Some(self.node.id.as_str().into()),
            trace: trace::traceparent_of(span),
        };
        // Whoever carries out the first join of the server's flushes it; without one `begin` does.
        conn.outbound.push_for(&finished(conn.format, &ServerFrame::Hello(hello)), Due::Now);
    }

    fn join_by_server(
        &mut self,
        mut since: Option<Position>,
        join: Vec<RoomName>,
        span: &tracing::Span,
    ) -> Option<Wait> {
        let mut commands = Vec::new();
        let mut seen = HashSet::new();
        for room in self.home.clone().into_iter().chain(join) {
            if !seen.insert(room.clone()) {
                continue;
            }
            if !self.may(Right::Join, &room) {
                self.tell(&No::new(Code::Forbidden, "the token doesn't allow joining this room").left(room));
                continue;
            }
            // `since` is the home room's, which is first.
            let span = trace::kept(span.clone());
            let join = Join { id: None, since: since.take(), last: None, by_server: true, span };
            commands.push(self.command(room, Op::Join(join)));
        }
        if commands.is_empty() {
            self.conn.outbound.flush();
        }
        self.send(commands)
    }

    // No `async fn`, which would hold its arguments twice.
    #[allow(clippy::manual_async_fn)]
    fn serve(&mut self, reader: &mut Reader) -> impl Future<Output = Ended> + Send {
        async move {
            loop {
                let mut frames = VecDeque::new();
                let format = self.conn.format;
                let read = reader.read(&mut |message| frames.push_back(decode(format, &message))).await;
                while let Some(wait) = self.take_in(&mut frames) {
                    wait.await;
                }
                if let Err(ended) = read {
                    return ended;
                }
            }
        }
    }

    /// Handles frames up to the first after which something is to be awaited.
    // A function, so that no frame's place is kept in the future of an idle connection.
    fn take_in(&mut self, frames: &mut VecDeque<Result<ClientFrame, Bad>>) -> Option<Wait> {
        // What came before the end is done, whoever ended it: only what no reader could follow ends the rest too.
        while let Some(frame) = frames.pop_front() {
            match frame {
                Ok(frame) => {
                    if let Some(wait) = self.handle(frame) {
                        return Some(wait);
                    }
                }
                Err(bad) => {
                    if self.refuse_bad(bad).is_break() {
                        frames.clear();
                    }
                }
            }
        }
        None
    }

    fn say_goodbye(&self, ended: Ended) -> Option<Wait> {
        let (node, conn) = (&self.node, &self.conn);
        node.registry.remove(conn);
        node.metrics.connections.dec();
        node.metrics.closed(ended.code.map_or(1006, |code| code.0));
        self.tell_shards(|| Command::Gone(conn.clone()))
    }

    /// Does what a frame asks for. What comes back is to be awaited before the next.
    fn handle(&mut self, frame: ClientFrame) -> Option<Wait> {
        match frame {
            ClientFrame::Ping { id } => self.ok(id, None),
            ClientFrame::Auth(auth) => return self.authenticate(&auth),
            ClientFrame::Join(join) => {
                let wish =
                    Join { id: join.id, since: join.since, last: join.last, by_server: false, span: None };
                return self.if_allowed(Right::Join, join.id, join.room, Op::Join(wish));
            }
            ClientFrame::Leave(leave) => return self.hand_to_shard(leave.room, Op::Leave { id: leave.id }),
            ClientFrame::Pub(publish) => return self.publish(publish),
            ClientFrame::Members(members) => {
                let room = self.room_or_home(members.id, members.room)?;
                return self.if_allowed(Right::Presence, members.id, room, Op::Members { id: members.id });
            }
            ClientFrame::State(state) => {
                self.no(
                    state.id,
                    state.room.or_else(|| self.home.clone()),
                    &No::new(Code::NoPresence, "presence states aren't kept yet"),
                );
            }
            ClientFrame::History(history) => {
                self.no(
                    history.id,
                    history.room.or_else(|| self.home.clone()),
                    &No::new(Code::NoHistory, "this room's publications aren't stored"),
                );
            }
            ClientFrame::Call(call) => {
                self.no(
                    call.id,
                    call.room.or_else(|| self.home.clone()),
                    &No::new(Code::NoWorker, "no worker of the application answers calls"),
                );
            }
        }
        None
    }

    fn publish(&mut self, publish: Pub) -> Option<Wait> {
        let room = self.room_or_home(publish.id, publish.room)?;
        let span = trace::publish(&self.conn.tenant, &room, publish.trace.as_deref());
        let publication = Publication {
            ts: clock::wall_ms(),
            user: self.conn.user.clone(),
            event: publish.event,
            key: publish.key,
            mid: publish.mid,
            trace: publish.trace,
            data: publish.data,
            conn: Some(self.conn.id.clone()),
            session: Some(self.conn.session.clone()),
            echo: publish.echo,
            span: trace::traceparent_of(&span),
        };
        let op = Op::Publish { id: publish.id, publication: Box::new(publication), span };
        self.if_allowed(Right::Publish, publish.id, room, op)
    }

    fn authenticate(&mut self, auth: &Auth) -> Option<Wait> {
        let now = clock::wall_seconds();
        let Some(keys) = self.node.keys.get(&self.conn.tenant) else {
            if self.node.settings.open {
                self.ok(auth.id, Some(OkResult::Auth(AuthResult { expires: None })));
            } else {
                self.no(auth.id, None, &No::new(Code::TokenInvalid, "the tenant has no keys"));
            }
            return None;
        };
        let identity = match keys.verify(&auth.token, now) {
            Ok(identity) if identity.tenant == self.conn.tenant && identity.user == self.conn.user => {
                identity
            }
            Ok(_) | Err(TokenError::OtherTenant) => {
                let no = No::new(Code::TokenInvalid, "the token is another tenant's or user's");
                self.no(auth.id, None, &no);
                return None;
            }
            Err(error) => {
                let refusal = ServerFrame::Err(Refusal {
                    id: auth.id,
                    room: None,
                    code: error.code(),
                    message: Some(error.to_string().into()),
                    retry: None,
                });
                self.tell(&refusal);
                return None;
            }
        };
        let grants = self.node.grants.same(identity.grants);
        self.conn.renew(grants.clone(), identity.expires);
        self.node.registry.watch_end(&self.conn, now);
        let told = self.tell_shards(|| Command::Regranted(self.conn.clone(), grants.clone()));
        let (conn, id) = (self.conn.clone(), auth.id);
        let expires = identity.expires.map(|at| at.saturating_sub(now));
        let answer = move || {
            ok(&conn, id, Some(OkResult::Auth(AuthResult { expires })));
        };
        match told {
            None => answer(),
            Some(wait) => {
                return Some(Box::pin(async move {
                    wait.await;
                    answer();
                }));
            }
        }
        None
    }

    fn if_allowed(&mut self, right: Right, id: Option<u64>, room: RoomName, op: Op) -> Option<Wait> {
        if self.may(right, &room) {
            return self.hand_to_shard(room, op);
        }
        self.no(id, Some(room), &No::new(Code::Forbidden, "the token doesn't allow that in this room"));
        None
    }

    fn may(&self, right: Right, room: &RoomName) -> bool {
        self.conn.grants.read().allows(right, room, self.conn.user.as_ref())
    }

    fn room_or_home(&self, id: Option<u64>, room: Option<RoomName>) -> Option<RoomName> {
        let room = room.or_else(|| self.home.clone());
        if room.is_none() {
            self.no(id, None, &No::new(Code::BadRoom, "this connection has no home room: name a room"));
        }
        room
    }

    fn hand_to_shard(&mut self, room: RoomName, op: Op) -> Option<Wait> {
        let command = self.command(room, op);
        self.send([command])
    }

    fn command(&mut self, room: RoomName, op: Op) -> (usize, Command) {
        let slot = Slot::of_room(&self.conn.tenant, &room);
        let index = self.node.shard_of(slot);
        self.shards |= 1 << index;
        let room = RoomKey { tenant: self.conn.tenant.clone(), room };
        (index, Command::Client { conn: self.conn.clone(), room, op })
    }

    /// Tells every shard that may have something of this connection.
    fn tell_shards(&self, command: impl Fn() -> Command) -> Option<Wait> {
        let mine = (0..self.node.shards.len()).filter(|index| self.shards & (1 << index) != 0);
        self.send(mine.map(|index| (index, command())).collect::<Vec<_>>())
    }

    /// Sends to shards, in order. From the first on whose shard has no place, they wait.
    fn send(&self, commands: impl IntoIterator<Item = (usize, Command)>) -> Option<Wait> {
        let mut commands = commands.into_iter();
        while let Some((index, command)) = commands.next() {
            // A shard that has ended has no members, and ends only after all connections have.
            if let Err(TrySendError::Full(command)) = self.node.shards[index].try_send(command) {
                let rest: Vec<_> = std::iter::once((index, command)).chain(commands).collect();
                let node = self.node.clone();
                return Some(Box::pin(async move {
                    for (index, command) in rest {
                        let _ = node.shards[index].send(command).await;
                    }
                }));
            }
        }
        None
    }

    /// Answers what is no frame; `Break` where that ends the connection.
    fn refuse_bad(&self, bad: Bad) -> ControlFlow<()> {
        match bad {
            Bad::Frame(DecodeError::Unreadable) => {
                let word = match self.conn.format {
                    Format::Json => "not JSON",
                    Format::Msgpack => "not MessagePack",
                };
                self.conn.outbound.close(CloseCode::UNREADABLE, word);
                ControlFlow::Break(())
            }
            Bad::Frame(DecodeError::Frame { code, id, message }) => {
                self.node.metrics.refused_frames.inc();
                let refusal = Refusal { id, room: None, code, message: Some(message.into()), retry: None };
                self.tell(&ServerFrame::Err(refusal));
                ControlFlow::Continue(())
            }
            Bad::WrongKind => {
                let due = match self.conn.format {
                    Format::Json => "text messages are due here",
                    Format::Msgpack => "binary messages are due here",
                };
                self.conn.outbound.close(CloseCode::WRONG_KIND, due);
                ControlFlow::Break(())
            }
        }
    }

    fn ok(&self, id: Option<u64>, result: Option<OkResult>) {
        ok(&self.conn, id, result);
    }

    fn no(&self, id: Option<u64>, room: Option<RoomName>, no: &No) {
        self.node.metrics.refused_frames.inc();
        self.tell(&no.err(id, room));
    }

    fn tell(&self, frame: &ServerFrame) {
        self.conn.send(&finished(self.conn.format, frame));
    }
}

fn ok(conn: &ConnRef, id: Option<u64>, result: Option<OkResult>) {
    if id.is_some() {
        let frame = ServerFrame::Ok(Answer { id, room: None, data: None, result });
        conn.send(&finished(conn.format, &frame));
    }
}

/// A message that is no frame.
enum Bad {
    Frame(DecodeError),
    WrongKind,
}

fn decode(format: Format, message: &Message<'_>) -> Result<ClientFrame, Bad> {
    match (format, message) {
        (Format::Json, Message::Text(text)) => codec::decode_client(format, text).map_err(Bad::Frame),
        (Format::Msgpack, Message::Binary(bytes)) => codec::decode_client(format, bytes).map_err(Bad::Frame),
        _ => Err(Bad::WrongKind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a function gives back.
    fn size_given<A, F: Future>(
        _: impl FnOnce(Arc<Inner>, TcpStream, Bytes, A, tracing::Span) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_session_is_small() {
        // With tokio's own words it fits into three times 128 bytes, which tasks are multiples of.
        let size = size_given(run);
        assert!(size <= 272, "{size}");
    }
}
