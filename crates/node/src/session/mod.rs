//! One connection's life: hello, the rooms the server joins it to, its frames, goodbye. Of one whose socket a gateway holds
//! the same, by its link's records (`linked`).

mod frames;
mod linked;
mod refusals;

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use ringway_auth::{Right, SessionToken, Ticket};
use ringway_edge::{Due, Ended, Reader};
use ringway_protocol::Code;
use ringway_protocol::frame::{Hello, Limits, Position, ServerFrame};
use ringway_protocol::name::RoomName;
use ringway_ring::Slot;
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TrySendError;

use crate::clock;
use crate::conn::{Conn, ConnRef, Who};
use crate::encode::finished;
use crate::heartbeat::PING_INTERVAL;
use crate::moves::Home;
use crate::node::Inner;
use crate::shard::{Command, Join, No, Op, RoomKey};
use crate::tenant::{Place, TenantHere};
use crate::trace;
use crate::way::Way;
pub(crate) use linked::{CameBy, Heard};
use refusals::{Came, Kept};

/// Seconds that a session's string is good for after its token has ended, or since it was made: long enough for a
/// laptop's lid, short enough to forget a lost one.
const SESSION_LIFE: u64 = 24 * 3600;

/// What waits for a shard's place, where one is full, or with the answer to a client that goes on regardless: rare, so
/// boxed, and no part of an idle connection.
pub(crate) type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection and what its own task knows of it, or its link's.
pub(crate) struct Session {
    node: Arc<Inner>,
    conn: ConnRef,
    home: Option<RoomName>,
    /// The shards that may have something of it, by bit.
    shards: u64,
    /// Its place among the tenant's and the user's connections, until it ends. None where it is another node's.
    place: Option<Place>,
    /// There once it used a limited rate of its own, or was refused something.
    kept: Option<Box<Kept>>,
}

/// What a connection begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// Where its client wants to resume its home room.
    since: Option<Position>,
    /// Rooms that the server joins it to, beside its home room.
    join: Vec<RoomName>,
    span: tracing::Span,
}

/// A connection that was let in: who it is, and its place, given back where it never comes.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) ticket: Ticket,
    pub(crate) place: Place,
}

/// Begins a connection: its hello, and the joins that are the server's. What comes back runs it to its end.
// No `async fn`, and begun outside of the future: that holds what an idle connection needs, and nothing of its beginning.
pub(crate) fn run(
    node: Arc<Inner>,
    socket: TcpStream,
    early: Bytes,
    admitted: Admitted,
    span: tracing::Span,
) -> impl Future<Output = ()> + Send + 'static {
    let mut begun = Some(begin(node, socket, &early, admitted, &span));
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
    admitted: Admitted,
    span: &tracing::Span,
) -> (Session, Reader, Option<Wait>) {
    let (outbound, reader) = ringway_edge::open(socket, early, node.limits());
    let Admitted { ticket, place } = admitted;
    let tenant = place.tenant().clone();
    let (mut session, beginning) = Session::new(node, outbound, ticket, tenant, span);
    session.place = Some(place);
    let wait = session.begin(beginning);
    (session, reader, wait)
}

impl Session {
    /// A session, and what is to be done once its client is there.
    fn new(
        node: Arc<Inner>,
        way: impl Into<Way>,
        ticket: Ticket,
        tenant: Arc<TenantHere>,
        span: &tracing::Span,
    ) -> (Session, Beginning) {
        let Ticket { user, grants, join, session, room, since, conn, format, expires, .. } = ticket;
        let home = Home::of(&tenant.id, room.as_ref(), user.as_ref(), &node.configured.borrow().tenants);
        let grants = node.grants.same(grants);
        let who = Who { id: conn, tenant, user, session, format, grants, expires, home };
        let conn = Conn::new(who, way);
        let session = Session { node, conn, home: room, shards: 0, place: None, kept: None };
        (session, Beginning { since, join, span: span.clone() })
    }

    /// The client is there: `hello`, and the server's joins.
    pub(crate) fn begin(&mut self, beginning: Beginning) -> Option<Wait> {
        let Beginning { since, join, span } = beginning;
        self.say_hello(&span);
        // After the hello, which is first on every connection: from here on others may send to it.
        self.arrive();
        self.node.metrics.opened.inc();
        self.join_by_server(since, join, &span)
    }

    /// The connection is one of this node's.
    pub(crate) fn arrive(&self) {
        let (node, conn) = (&self.node, &self.conn);
        node.registry.insert(conn, clock::wall_seconds());
        node.metrics.connections.inc();
        if node.is_leaving() {
            crate::leave::send_away(conn, &node.metrics);
            crate::leave::close(conn);
        }
        // Its tenant may have been removed since it was let in: who is removed after this finds it in the registry.
        crate::configured::send_away(conn);
    }

    /// And it isn't any more.
    fn depart(&mut self) {
        // At once: whoever comes back at the limit finds a place.
        self.place = None;
        self.node.registry.remove(&self.conn);
        self.node.metrics.connections.dec();
    }

    fn say_hello(&self, span: &tracing::Span) {
        let conn = &self.conn;
        let now = clock::wall_seconds();
        let expires = (conn.expires() != u64::MAX).then(|| conn.expires());
        let session = SessionToken {
            session: conn.session.clone(),
            tenant: conn.tenant.id.clone(),
            user: conn.user.clone(),
            grants: conn.grants.lock().clone(),
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
                publish_per_second: self.publish_per_second(),
            },
            user: conn.user.clone(),
            server: Some(Cow::Borrowed(concat!("ringway/", env!("CARGO_PKG_VERSION")))),
            node: Some(self.node.id.as_str().into()),
            trace: trace::traceparent_of(span),
        };
        // Whoever carries out the first join of the server's flushes it; without one `begin` does.
        conn.way.push_for(&finished(conn.format, &ServerFrame::Hello(hello)), Due::Now);
    }

    /// What the connection and its user may publish in a second; what of the tenant's is left depends on others.
    fn publish_per_second(&self) -> Option<u64> {
        let limits = self.conn.tenant.usage.limits();
        let user = limits.user.publish.filter(|_| self.conn.user.is_some());
        let rates = [limits.connection.publish, user];
        rates.into_iter().flatten().map(|quota| u64::from(quota.per_second)).min()
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
                self.tell_gateway_of_no(&room);
                self.tell(&No::new(Code::Forbidden, "the token doesn't allow joining this room").left(room));
                continue;
            }
            // `since` is the home room's, which is first.
            let span = trace::kept(span.clone());
            let join = Join { id: None, since: since.take(), last: None, by_server: true, span };
            commands.push(self.command(room, Op::Join(join)));
        }
        if commands.is_empty() {
            self.conn.way.flush();
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
                let read = reader.read(&mut |message| frames.push_back(Came::read(format, &message))).await;
                if let Some(kept) = &mut self.kept {
                    kept.patience.read();
                }
                while let Some(wait) = self.take_in(&mut frames) {
                    reader.while_draining(wait).await;
                }
                if let Err(ended) = read {
                    return ended;
                }
            }
        }
    }

    /// Handles frames up to the first after which something is to be awaited.
    // A function, so that no frame's place is kept in the future of an idle connection.
    fn take_in(&mut self, frames: &mut VecDeque<Came>) -> Option<Wait> {
        // What came before the end is done, whoever ended it: only what no reader could follow ends the rest too.
        while !frames.is_empty() {
            if let Some(wait) = self.wait_for_refusals() {
                return Some(wait);
            }
            let Some(came) = frames.pop_front() else { break };
            match self.take_one(came) {
                ControlFlow::Continue(None) => {}
                ControlFlow::Continue(wait) => return wait,
                ControlFlow::Break(()) => frames.clear(),
            }
        }
        None
    }

    /// Handles a frame. `Break`: it was the last, whatever else comes.
    fn take_one(&mut self, came: Came) -> ControlFlow<(), Option<Wait>> {
        let over = self.spend(&came).err();
        ControlFlow::Continue(match (came.frame, over) {
            (Ok(frame), None) => self.handle(frame),
            (Ok(frame), Some(over)) => self.too_much(&frame, over),
            // It has its answer, or its end, whatever it used.
            (Err(bad), _) => return self.refuse_bad(bad),
        })
    }

    fn say_goodbye(&mut self, ended: Ended) -> Option<Wait> {
        self.depart();
        let conn = &self.conn;
        self.node.metrics.closed(ended.code.map_or(1006, |code| code.0));
        conn.tenant.count_end(ended);
        self.tell_shards(|| Command::Gone(conn.clone(), None))
    }

    fn hand_to_shard(&mut self, room: RoomName, op: Op) -> Option<Wait> {
        let command = self.command(room, op);
        self.send([command])
    }

    fn command(&mut self, room: RoomName, op: Op) -> (usize, Command) {
        let slot = Slot::of_room(&self.conn.tenant.id, &room);
        let index = self.node.shard_of(slot);
        self.shards |= 1 << index;
        let room = RoomKey { tenant: self.conn.tenant.id.clone(), room };
        (index, Command::Client { conn: self.conn.clone(), room, op })
    }

    fn tell(&self, frame: &ServerFrame) {
        self.conn.send(&finished(self.conn.format, frame));
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
