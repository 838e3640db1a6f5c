//! What a worker does to its clients' sockets, as its table says: publications to many, frames to one, ends.
//!
//! Under the worker's lock frames are only pushed; they are written after it was let go, by whoever held it
//! ([`Sockets::take_pass`]). The order of what goes to a client is its own queue's, whoever flushes.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use ringway_edge::{Forms, Frame, Label, Outbound, Policy};
use ringway_link::{Cast, ConnNo, RoomDeclared, down};
use ringway_protocol::Code;
use ringway_protocol::close::CloseCode;
use ringway_protocol::codec::Format;
use ringway_protocol::frame::{Gap, GapReason, Refusal, ServerFrame};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::clients::{Client, Clients};
use super::credit::WORTH_TELLING;
use super::feed::RoomFeed;
use super::overstays::Overstays;
use super::pass::Pass;
use super::table::{Lost, NotOpened, To};
use super::tenants::TenantHere;
use crate::encode::finished;

/// The sockets of one worker.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) clients: Clients,
    /// Those whose home hasn't answered yet.
    opening: HashMap<ConnNo, oneshot::Sender<Result<(), NotOpened>>>,
    pass: Pass,
    /// Clients that were told to go.
    pub(crate) overstays: Overstays,
    /// Clients whose nodes are owed enough to be told, each once.
    owing: Vec<ConnNo>,
}

/// What is kept with each room that a node has declared.
#[derive(Debug)]
pub(crate) struct RoomHere {
    tenant: Arc<TenantHere>,
    feed: Arc<RoomFeed>,
    policy: Option<Policy>,
    flush_window: Duration,
}

impl RoomHere {
    /// `before`: what the same room had. Its feed goes on in the same epoch, so that a queue knows what belongs together.
    pub(crate) fn new(room: &RoomDeclared, tenant: Arc<TenantHere>, before: Option<Self>) -> Self {
        let feed = match before {
            Some(before) if before.feed.is_of(room.epoch.as_ref()) => before.feed,
            _ => RoomFeed::new(room.room.clone(), room.epoch.clone(), Arc::clone(&tenant)),
        };
        let policy = match room.policy {
            down::Policy::Disconnect => None,
            down::Policy::DropOldest => Some(Policy::DropOldest),
            down::Policy::Conflate => Some(Policy::Conflate),
        };
        Self { tenant, feed, policy, flush_window: Duration::from_millis(u64::from(room.flush_window)) }
    }
}

impl Sockets {
    /// Whose home is asked: what comes of it goes there.
    pub(crate) fn await_opened(&mut self, conn: ConnNo) -> oneshot::Receiver<Result<(), NotOpened>> {
        let (told, opened) = oneshot::channel();
        self.opening.insert(conn, told);
        opened
    }

    /// What came of it.
    pub(crate) fn opened(&mut self, conn: ConnNo, opened: Result<(), NotOpened>) {
        if let Some(told) = self.opening.remove(&conn) {
            // Whoever waited may have given up; then `gone` follows.
            let _ = told.send(opened);
        }
    }

    /// The client's socket is there.
    pub(crate) fn attach(&mut self, conn: ConnNo, client: Client) {
        self.clients.insert(conn, client);
    }

    /// The client is gone, or its opening was given up.
    pub(crate) fn forget(&mut self, conn: ConnNo) -> Option<Client> {
        self.opening.remove(&conn);
        self.clients.remove(conn)
    }

    /// A publication for members of a room.
    pub(crate) fn cast(&mut self, room: &RoomHere, cast: &Cast<'_>, to: To<'_>) {
        let fresh = room.policy == Some(Policy::Conflate);
        let clients = &self.clients;
        let to = to.iter().filter_map(|conn| clients.get(conn)).map(|client| {
            if fresh {
                client.out.keep_fresh();
            }
            (client.format, &client.out)
        });
        self.pass.frames.cast(&mut InFormats::of_cast(room, cast), room.flush_window, to);
    }

    /// Publications gave way on the link: members are told so.
    pub(crate) fn lost(&mut self, declared: &RoomDeclared, room: &RoomHere, lost: Lost, to: To<'_>) {
        let Some(epoch) = declared.epoch.clone() else { return };
        let gap = ServerFrame::Gap(Gap {
            room: declared.room.clone(),
            reason: GapReason::Slow,
            epoch,
            offset: lost.offset,
            ts: Some(lost.ts),
            lost: Some(lost.frames),
        });
        let mut frames = InFormats::of_own(&gap);
        let mut members = 0;
        for client in to.iter().filter_map(|conn| self.clients.get(conn)) {
            let Some(frame) = frames.of(client.format) else { continue };
            members += 1;
            self.pass.push(&client.out, frame);
        }
        room.tenant.counts.gaps.inc_by(members);
        room.tenant.counts.dropped.inc_by(lost.frames.saturating_mul(members));
    }

    /// A finished frame for one client; `owed`: bytes that its nodes don't know to have left.
    pub(crate) fn send(&mut self, conn: ConnNo, frame: &[u8], owed: u32) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.greeted = true;
        self.pass.push(&client.out, &Frame::finished(frame));
        if owed >= WORTH_TELLING && !client.owes {
            client.owes = true;
            self.owing.push(conn);
        }
    }

    /// A frame of the gateway's own for one client.
    pub(crate) fn say(&mut self, conn: ConnNo, frame: &ServerFrame) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        // That a node is gone is none of the client's doing.
        if matches!(frame, ServerFrame::Err(Refusal { code: Code::LimitRooms, .. })) {
            client.refusals = client.refusals.saturating_add(1);
        }
        self.pass.push(&client.out, &finished(client.format, frame));
    }

    /// The socket is to be closed, after what was sent before.
    pub(crate) fn close(&mut self, conn: ConnNo, code: u16, reason: &str) {
        if let Some(client) = self.clients.get(conn) {
            client.out.close(CloseCode(code), reason);
        }
    }

    /// The socket is to be closed at that time, if it stands then. The first such word counts.
    pub(crate) fn close_at(&mut self, conn: ConnNo, at: Instant, code: u16, reason: &str) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if !std::mem::replace(&mut client.told_to_go, true) {
            self.overstays.add(&client.out, at, CloseCode(code), reason);
        }
    }

    /// The client isn't read from until [`resume`](Self::resume).
    pub(crate) fn hold(&mut self, conn: ConnNo) {
        if let Some(client) = self.clients.get_mut(conn) {
            client.held.get_or_insert_default();
        }
    }

    /// It is read again.
    pub(crate) fn resume(&mut self, conn: ConnNo) {
        let held = self.clients.get_mut(conn).and_then(|client| client.held.take());
        self.pass.wake(held.and_then(|held| held.task));
    }

    /// What was refused the client here since this was asked last.
    pub(crate) fn take_refusals(&mut self, conn: ConnNo) -> u16 {
        self.clients.get_mut(conn).map_or(0, |client| std::mem::take(&mut client.refusals))
    }

    /// Whether the client is held; `task` is woken when it isn't any more.
    pub(crate) fn is_held(&mut self, conn: ConnNo, task: &Waker) -> bool {
        let held = self.clients.get_mut(conn).and_then(|client| client.held.as_mut());
        let is_held = held.is_some();
        if let Some(held) = held {
            held.task = Some(task.clone());
        }
        is_held
    }

    /// Those whose nodes are to be told what has left. They are taken off the list: whoever takes them sees to it that
    /// [`look_again_at`](Self::look_again_at) follows where something is still owed.
    pub(crate) fn take_owing(&mut self) -> Vec<ConnNo> {
        let owing = std::mem::take(&mut self.owing);
        for conn in &owing {
            if let Some(client) = self.clients.get_mut(*conn) {
                client.owes = false;
            }
        }
        owing
    }

    /// Whether anybody's node is owed enough to be told.
    pub(crate) fn owes(&self) -> bool {
        !self.owing.is_empty()
    }

    /// What has left so far is told, and much is still owed.
    pub(crate) fn look_again_at(&mut self, conn: ConnNo) {
        if let Some(client) = self.clients.get_mut(conn).filter(|client| !client.owes) {
            client.owes = true;
            self.owing.push(conn);
        }
    }

    /// The links' ways out belong to the same pass.
    pub(crate) fn push_to(&mut self, out: &Arc<Outbound>, frame: &Frame) {
        self.pass.push(out, frame);
    }

    /// What is to be written and who is to be woken once the worker isn't locked any more; `spare` takes its place.
    pub(crate) fn take_pass(&mut self, spare: &mut Pass) {
        std::mem::swap(&mut self.pass, spare);
    }
}

/// One frame for many, made at most once in each format.
enum Source<'a> {
    Cast(&'a Cast<'a>, Option<Arc<Label>>),
    Own(&'a ServerFrame),
}

struct InFormats<'a> {
    source: Source<'a>,
    json: Option<Frame>,
    msgpack: Option<Frame>,
}

impl<'a> InFormats<'a> {
    fn of_cast(room: &RoomHere, cast: &'a Cast<'a>) -> Self {
        let label = room.policy.map(|policy| {
            let feed = Arc::clone(&room.feed);
            Arc::new(Label { feed, policy, offset: cast.offset, ts: cast.ts, key: cast.key.clone() })
        });
        Self { source: Source::Cast(cast, label), json: None, msgpack: None }
    }

    fn of_own(frame: &'a ServerFrame) -> Self {
        Self { source: Source::Own(frame), json: None, msgpack: None }
    }
}

impl Forms for InFormats<'_> {
    /// None: the node says that nobody speaks that.
    fn of(&mut self, format: Format) -> Option<&Frame> {
        let made = match format {
            Format::Json => &mut self.json,
            Format::Msgpack => &mut self.msgpack,
        };
        if made.is_none() {
            *made = self.source.made(format);
        }
        made.as_ref()
    }
}

impl Source<'_> {
    fn made(&self, format: Format) -> Option<Frame> {
        match self {
            Self::Own(frame) => Some(finished(format, frame)),
            Self::Cast(cast, label) => {
                let bytes = match format {
                    Format::Json => cast.json,
                    Format::Msgpack => cast.msgpack,
                };
                let frame = (!bytes.is_empty()).then(|| Frame::finished(bytes))?;
                Some(match label {
                    Some(label) => frame.labelled(Arc::clone(label)),
                    None => frame,
                })
            }
        }
    }
}
