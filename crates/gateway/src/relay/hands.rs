//! What a worker's table has done for it: tickets made, nodes found, records said. What concerns clients' sockets is handed on to
//! [`Sockets`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ringway_auth::Ticket;
use ringway_edge::{Frame, Outbound};
use ringway_link::{Cast, ConnNo, Open, OpenAs, RoomDeclared, Up, codec};
use ringway_protocol::frame::ServerFrame;
use ringway_protocol::{PoolId, RoomName};
use ringway_ring::{KeyHash, NodeId, View};
use tokio::time::Instant;

use super::answered;
use super::nodes::{Nodes, Said};
use super::pass::Pass;
use super::passport::Passport;
use super::people::{People, Trace, Who};
use super::sockets::{RoomHere, Sockets};
use super::table::{Answered, Around, For, Lost, NodeNo, NotOpened, To};
use super::worker::Common;
use crate::auth::Directory;
use crate::clock::now_s;
use crate::ticket::{key, new_connection};

/// What a hold of the worker's lock leaves to be done, beside its pass.
pub(super) struct After {
    /// Links that are to be made.
    pub(super) starts: Vec<NodeNo>,
    /// Some node is owed enough to be told what has left.
    pub(super) owes: bool,
}

/// All that a worker has beside its table.
pub(crate) struct Hands {
    pub(crate) sockets: Sockets,
    pub(super) nodes: Nodes,
    people: People,
    /// As of the last look around: while it stays, the same question has the same answer.
    view: Arc<View>,
    directory: Arc<Directory>,
    /// Nodes of the view that are passed over: mostly none.
    unusable: HashSet<NodeId>,
    /// Nodes that a link is to be made to once the lock is let go.
    starts: Vec<NodeNo>,
    /// A node said that it leaves: the table is to look again.
    changed: bool,
    /// Turns of placing that were passed over, since a link was behind.
    pub(super) waited: u8,
    /// Of the upgrade for which a home is asked next.
    traceparent: Option<String>,
    /// Clients that aren't read, since a link is crowded.
    pub(super) crowded_out: Vec<ConnNo>,
    /// Clients whose nodes are owed much, since their sockets are behind.
    pub(super) behind: Vec<ConnNo>,
    record: Vec<u8>,
    common: Arc<Common>,
}

impl Hands {
    pub(super) fn new(common: Arc<Common>) -> Self {
        let (view, directory) = (common.router.view(), common.directory.borrow().clone());
        let mut hands = Self {
            sockets: Sockets::default(),
            nodes: Nodes::default(),
            people: People::default(),
            view,
            directory,
            unusable: HashSet::new(),
            starts: Vec::new(),
            changed: false,
            waited: 0,
            crowded_out: Vec::new(),
            traceparent: None,
            behind: Vec::new(),
            record: Vec::new(),
            common,
        };
        hands.look_around();
        hands
    }

    /// A client that has a number from now on, until [`forget`](Self::forget).
    pub(super) fn remember(&mut self, conn: ConnNo, ticket: &Ticket) {
        let who = Who {
            passport: Passport::of(ticket),
            tenant: ticket.tenant.clone(),
            home: key(ticket),
            opened: false,
            trace: None,
        };
        self.people.insert(conn, who);
    }

    /// Where a client's trace goes on: at the node that is asked next to be its home, and at all that it is opened at later if the
    /// trace is kept.
    pub(super) fn trace(&mut self, conn: ConnNo, traceparent: Option<String>) {
        if let Some(who) = self.people.get_mut(conn) {
            who.trace = traceparent.as_deref().and_then(Trace::kept);
        }
        self.traceparent = traceparent;
    }

    /// That node was asked, or none was.
    pub(super) fn traced(&mut self) {
        self.traceparent = None;
    }

    /// It is gone.
    pub(super) fn forget(&mut self, conn: ConnNo) {
        self.people.remove(conn);
        self.sockets.forget(conn);
    }

    /// This view and this directory hold from now on. True if a node may be another's home by that.
    pub(super) fn see(&mut self, view: Arc<View>, directory: Arc<Directory>) -> bool {
        let same = view.has_the_places_of(&self.view)
            && view
                .nodes()
                .zip(self.view.nodes())
                .all(|(a, b)| a.spreads == b.spreads && a.advertise == b.advertise)
            && Arc::ptr_eq(&directory, &self.directory);
        (self.view, self.directory) = (view, directory);
        self.look_around() || !same
    }

    /// Finds out who is to be passed over. True if that isn't who was before.
    pub(super) fn look_around(&mut self) -> bool {
        let now = Instant::now();
        let unusable = self.view.nodes().filter(|node| {
            self.common.router.is_passed_over(node)
                || self.nodes.is_passed_over(&node.id, node.incarnation, now)
        });
        let unusable: HashSet<NodeId> = unusable.map(|node| node.id.clone()).collect();
        let changed = unusable != self.unusable;
        self.unusable = unusable;
        changed
    }

    /// Whether a node said something since the last time that asks for another look.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What is to be done once the lock is let go: `pass` gets what was pushed.
    pub(super) fn take_after(&mut self, pass: &mut Pass) -> After {
        self.sockets.take_pass(pass);
        After { starts: std::mem::take(&mut self.starts), owes: self.sockets.owes() }
    }

    /// The link is there: what waited for it is pushed. False: too much did.
    pub(super) fn link_up(&mut self, node: NodeNo, out: &Arc<Outbound>) -> bool {
        let Some(frames) = self.nodes.up(node, out) else { return false };
        for frame in frames {
            self.sockets.push_to(out, &frame);
        }
        true
    }

    /// Lets clients be read again that weren't for the sake of a crowded link. False while one is crowded.
    pub(super) fn relieve(&mut self) -> bool {
        if self.crowded_out.is_empty() {
            return true;
        }
        let is_relieved = self.nodes.is_relieved();
        if is_relieved {
            for conn in std::mem::take(&mut self.crowded_out) {
                self.sockets.resume(conn);
            }
        }
        is_relieved
    }

    /// Forgets nodes that nobody has to do with; `uses`: whether the table has.
    pub(super) fn tidy(&mut self, uses: impl Fn(NodeNo) -> bool) {
        let view = Arc::clone(&self.view);
        self.nodes.tidy(|node, id| uses(node) || view.node(id).is_some());
    }

    /// The room of its upgrade.
    pub(super) fn home_room(&self, conn: ConnNo) -> Option<RoomName> {
        self.people.get(conn)?.passport.room()
    }

    /// The number of a node that was found otherwise.
    pub(super) fn number(&mut self, node: &NodeId) -> Option<NodeNo> {
        self.nodes.number(node)
    }

    /// Says a record that was encoded.
    fn say_record(&mut self, node: NodeNo) {
        let frame = Frame::record(&self.record);
        self.common.metrics.said(self.record.len());
        match self.nodes.say(node, frame) {
            Said::Waits => {}
            Said::Start => self.starts.push(node),
            Said::Push(out, frame) => self.sockets.push_to(out, &frame),
        }
    }
}

impl Around for Hands {
    type Room = RoomHere;

    fn up(&mut self, node: NodeNo, record: &Up<'_>) {
        self.record.clear();
        codec::encode_up(record, &mut self.record);
        self.say_record(node);
    }

    fn open(&mut self, node: NodeNo, conn: ConnNo, role: OpenAs) {
        let Some(who) = self.people.get_mut(conn) else { return };
        let mut ticket = who.passport.ticket(self.common.name.as_str(), now_s());
        match role {
            OpenAs::Home if who.opened => {
                // A ticket is used once.
                ticket.conn = new_connection();
                who.passport = Passport::of(&ticket);
            }
            OpenAs::Home => who.opened = true,
            OpenAs::HomeAgain | OpenAs::Further => {
                ticket.join.clear();
                ticket.since = None;
            }
        }
        let sealed = self.common.tickets.seal(&ticket);
        let traceparent = self.traceparent.take();
        let traceparent = traceparent.as_deref().or(who.trace.as_ref().map(|trace| trace.traceparent()));
        let (age, told_to_go) = self.sockets.clients.get(conn).map_or((0, false), |client| {
            let age = client.out.opened().elapsed().as_millis();
            (u64::try_from(age).unwrap_or(u64::MAX), client.told_to_go)
        });
        self.record.clear();
        let open = Open { conn, role, ticket: &sealed, traceparent, age, told_to_go };
        codec::encode_up(&Up::Open(open), &mut self.record);
        self.say_record(node);
    }

    fn node_for(&mut self, conn: ConnNo, what: For<'_>, not: &[NodeNo]) -> Option<NodeNo> {
        let who = self.people.get(conn)?;
        let tenant = self.directory.tenant(&who.tenant)?;
        let (key, spread) = match what {
            For::Room(room) => (KeyHash::of_room(&who.tenant, room), self.directory.spread(Some(room))),
            For::Home => (who.home, self.directory.spread(who.passport.room().as_ref())),
        };
        let found = self.find(&tenant.pool, key, spread, who, not)?.clone();
        self.nodes.number(&found)
    }

    fn leaving(&mut self, node: NodeNo) {
        let Some(id) = self.nodes.id(node).cloned() else { return };
        let incarnation = self.view.node(&id).map_or(0, |node| node.incarnation);
        self.nodes.left(node, incarnation);
        self.changed |= self.look_around();
    }

    fn pong(&mut self, _: NodeNo, _: u64) {
        // That bytes came is what counts.
    }

    fn declared(&mut self, _: NodeNo, room: &RoomDeclared, before: Option<RoomHere>) -> RoomHere {
        let tenant = self.common.tenants.get(&room.tenant, &self.directory);
        RoomHere::new(room, tenant, before)
    }

    fn cast(&mut self, _: &RoomDeclared, kept: &mut RoomHere, cast: &Cast<'_>, to: To<'_>) {
        self.sockets.cast(kept, cast, to);
    }

    fn lost(&mut self, room: &RoomDeclared, kept: &mut RoomHere, lost: Lost, to: To<'_>) {
        self.sockets.lost(room, kept, lost, to);
    }

    fn send(&mut self, conn: ConnNo, frame: &[u8], owed: u32) {
        self.sockets.send(conn, frame, owed);
    }

    fn say(&mut self, conn: ConnNo, frame: ServerFrame) {
        self.sockets.say(conn, &frame);
    }

    fn close(&mut self, conn: ConnNo, code: u16, reason: &str) {
        self.sockets.close(conn, code, reason);
    }

    fn rooms(&self, conn: ConnNo) -> u32 {
        let tenant = self.people.get(conn).and_then(|who| self.directory.tenant(&who.tenant));
        // Of a tenant that is gone all are being closed.
        tenant.map_or(u32::MAX, |tenant| tenant.limits.rooms)
    }

    fn close_later(&mut self, conn: ConnNo, after: u32, code: u16, reason: &str) {
        let at = Instant::now() + Duration::from_millis(u64::from(after));
        self.sockets.close_at(conn, at, code, reason);
    }

    fn opened(&mut self, conn: ConnNo, opened: Result<(), NotOpened>) {
        self.sockets.opened(conn, opened);
    }

    fn renewed(&mut self, conn: ConnNo, ticket: &str) -> bool {
        let Some(who) = self.people.get_mut(conn) else { return false };
        match self.common.tickets.open(ticket) {
            Ok(ticket) if ticket.tenant == who.tenant => who.passport = who.passport.renewed(&ticket),
            _ => {
                tracing::warn!("a node renewed a client's rights with a ticket that can't be read");
                return false;
            }
        }
        true
    }

    fn resume(&mut self, conn: ConnNo) {
        self.sockets.resume(conn);
    }

    fn answered(&self, frame: &[u8]) -> Option<Answered> {
        answered::read(frame)
    }
}

impl Hands {
    /// The first that can be used: of the homes, in this client's order, then of the rest of the walk.
    fn find(&self, pool: &PoolId, key: KeyHash, spread: u8, who: &Who, not: &[NodeNo]) -> Option<&NodeId> {
        let is_usable = |id: &&NodeId| {
            !self.unusable.contains(*id)
                && self.view.node(id).is_some()
                && !not.iter().any(|not| self.nodes.id(*not) == Some(*id))
        };
        self.view.order_of(pool, key, spread, who.passport.session().as_str()).find(is_usable)
    }
}
