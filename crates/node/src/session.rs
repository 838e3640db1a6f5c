//! One connection's life: hello, the rooms the server joins it to, its frames, goodbye.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use ringway_auth::{Grants, Right, SessionToken, Ticket, TokenError};
use ringway_backplane::message::Publication;
use ringway_edge::{Ended, Message, Reader};
use ringway_protocol::Code;
use ringway_protocol::close::CloseCode;
use ringway_protocol::codec::{self, DecodeError, Format};
use ringway_protocol::frame::{
    Answer, Auth, AuthResult, ClientFrame, Hello, Limits, OkResult, Pub, Refusal, ServerFrame,
};
use ringway_protocol::name::RoomName;
use ringway_ring::Slot;
use tokio::net::TcpStream;

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

/// A connection and what its own task knows of it.
struct Session<'a> {
    node: &'a Arc<Inner>,
    conn: ConnRef,
    home: Option<RoomName>,
    /// The shards that may have something of it, by bit.
    shards: u64,
}

/// Runs a connection from its hello to its end.
pub(crate) async fn run(
    node: Arc<Inner>,
    socket: TcpStream,
    early: Bytes,
    ticket: Ticket,
    span: tracing::Span,
) {
    let Some(tenant) = node.tenants.get(&ticket.tenant) else { return };
    let (outbound, mut reader) = ringway_edge::open(socket, &early, node.limits());
    let who = Who {
        id: ticket.conn.clone(),
        tenant: ticket.tenant.clone(),
        user: ticket.user.clone(),
        session: ticket.session.clone(),
        format: ticket.format,
        grants: ticket.grants.clone(),
        expires: ticket.expires,
    };
    let conn = Conn::new(who, outbound, tenant.limits.rooms);
    let mut session = Session { node: &node, conn: conn.clone(), home: ticket.room.clone(), shards: 0 };
    session.say_hello(&span);
    // After the hello, which is first on every connection: from here on others may send to it.
    node.registry.insert(&conn);
    node.metrics.opened.inc();
    node.metrics.connections.inc();
    if node.is_leaving() {
        crate::leave::send_away(&conn);
    }
    session.join_by_server(ticket, span).await;
    let ended = session.serve(&mut reader).await;
    node.registry.remove(&conn);
    session.say_goodbye().await;
    node.metrics.connections.dec();
    node.metrics.closed(ended.code.map_or(1006, |code| code.0));
    reader.finish().await;
}

impl Session<'_> {
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
        self.tell(&ServerFrame::Hello(hello));
    }

    async fn join_by_server(&mut self, ticket: Ticket, span: tracing::Span) {
        let mut since = ticket.since;
        let rooms = ticket.room.into_iter().chain(ticket.join);
        let mut seen = std::collections::HashSet::new();
        for room in rooms {
            if !seen.insert(room.clone()) {
                continue;
            }
            if !self.may(Right::Join, &room) {
                self.tell(&No::new(Code::Forbidden, "the token doesn't allow joining this room").left(room));
                continue;
            }
            // `since` is the home room's, which is first.
            let join =
                Join { id: None, since: since.take(), last: None, by_server: true, span: span.clone() };
            self.hand_to_shard(room, Op::Join(join)).await;
        }
    }

    async fn serve(&mut self, reader: &mut Reader) -> Ended {
        loop {
            let mut frames = Vec::new();
            let format = self.conn.format;
            let read = reader.read(&mut |message| frames.push(decode(format, &message))).await;
            for frame in frames {
                // What came before the end is done, whoever ended it: only what no reader could follow ends the rest too.
                match frame {
                    Ok(frame) => self.handle(frame).await,
                    Err(bad) => {
                        if self.refuse_bad(bad).is_break() {
                            break;
                        }
                    }
                }
            }
            if let Err(ended) = read {
                return ended;
            }
        }
    }

    async fn say_goodbye(&self) {
        for (index, shard) in self.node.shards.iter().enumerate() {
            if self.shards & (1 << index) != 0 {
                // A shard that has ended has no members either.
                let _ = shard.send(Command::Gone(self.conn.clone())).await;
            }
        }
    }

    async fn handle(&mut self, frame: ClientFrame) {
        match frame {
            ClientFrame::Ping { id } => self.ok(id, None),
            ClientFrame::Auth(auth) => self.authenticate(auth).await,
            ClientFrame::Join(join) => {
                let wish = Join {
                    id: join.id,
                    since: join.since,
                    last: join.last,
                    by_server: false,
                    span: tracing::Span::none(),
                };
                self.if_allowed(Right::Join, join.id, join.room, Op::Join(wish)).await;
            }
            ClientFrame::Leave(leave) => self.hand_to_shard(leave.room, Op::Leave { id: leave.id }).await,
            ClientFrame::Pub(publish) => self.publish(publish).await,
            ClientFrame::Members(members) => {
                if let Some(room) = self.room_or_home(members.id, members.room) {
                    self.if_allowed(Right::Presence, members.id, room, Op::Members { id: members.id }).await;
                }
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
    }

    async fn publish(&mut self, publish: Pub) {
        let Some(room) = self.room_or_home(publish.id, publish.room) else { return };
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
        self.if_allowed(Right::Publish, publish.id, room, op).await;
    }

    async fn authenticate(&mut self, auth: Auth) {
        let now = clock::wall_seconds();
        let Some(keys) = self.node.keys.get(&self.conn.tenant) else {
            if self.node.settings.open {
                return self.ok(auth.id, Some(OkResult::Auth(AuthResult { expires: None })));
            }
            return self.no(auth.id, None, &No::new(Code::TokenInvalid, "the tenant has no keys"));
        };
        let identity = match keys.verify(&auth.token, now) {
            Ok(identity) if identity.tenant == self.conn.tenant && identity.user == self.conn.user => {
                identity
            }
            Ok(_) | Err(TokenError::OtherTenant) => {
                let no = No::new(Code::TokenInvalid, "the token is another tenant's or user's");
                return self.no(auth.id, None, &no);
            }
            Err(error) => {
                let refusal = ServerFrame::Err(Refusal {
                    id: auth.id,
                    room: None,
                    code: error.code(),
                    message: Some(error.to_string().into()),
                    retry: None,
                });
                return self.tell(&refusal);
            }
        };
        self.conn.renew(identity.grants.clone(), identity.expires);
        self.regrant(&identity.grants).await;
        let expires = identity.expires.map(|at| at.saturating_sub(now));
        self.ok(auth.id, Some(OkResult::Auth(AuthResult { expires })));
    }

    async fn regrant(&self, grants: &Grants) {
        for (index, shard) in self.node.shards.iter().enumerate() {
            if self.shards & (1 << index) != 0 {
                // A shard that has ended has no members either.
                let _ = shard.send(Command::Regranted(self.conn.clone(), grants.clone())).await;
            }
        }
    }

    async fn if_allowed(&mut self, right: Right, id: Option<u64>, room: RoomName, op: Op) {
        if self.may(right, &room) {
            self.hand_to_shard(room, op).await;
        } else {
            self.no(id, Some(room), &No::new(Code::Forbidden, "the token doesn't allow that in this room"));
        }
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

    async fn hand_to_shard(&mut self, room: RoomName, op: Op) {
        let slot = Slot::of_room(&self.conn.tenant, &room);
        let index = self.node.shard_of(slot);
        self.shards |= 1 << index;
        let room = RoomKey { tenant: self.conn.tenant.clone(), room };
        // A shard ends only after all connections have.
        let _ = self.node.shards[index].send(Command::Client { conn: self.conn.clone(), room, op }).await;
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
        if id.is_some() {
            self.tell(&ServerFrame::Ok(Answer { id, room: None, data: None, result }));
        }
    }

    fn no(&self, id: Option<u64>, room: Option<RoomName>, no: &No) {
        self.node.metrics.refused_frames.inc();
        self.tell(&no.err(id, room));
    }

    fn tell(&self, frame: &ServerFrame) {
        self.conn.send(&finished(self.conn.format, frame));
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
