//! The connections of one link: what the gateway says of each is done in the order said, and none waits for another.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ringway_edge::{Due, Message};
use ringway_link::hello::CLIENT_WINDOW;
use ringway_link::{ConnNo, Down, Open, OpenAs, Up, codec};

use super::admit::{self, No};
use super::here::{Broken, Here, Role, Then};
use super::queue::{Queue, Seldom, Word};
use crate::node::Inner;
use crate::session::{Session, Wait};
use crate::trace;
use crate::way::{Link, Linked};

/// The gateway is told that frames are done when so many bytes of one client's are, so not for each: with what it may
/// send before, none ever waits for that.
const CREDIT: u32 = 16 * 1024;

/// No client of a gateway that keeps the rules gets there, however much it sends: a frame goes on only below the window, so that
/// one message (64 KiB) may exceed it, and one window of joins that another node's end has asked again.
const UNANSWERED: u32 = 4 * CLIENT_WINDOW;

/// Numbers of refused connections that are remembered, for what was on its way when they were.
const REFUSED: usize = 65_536;

/// What is being waited for; a number where what else is said of that connection waits too.
pub(super) type Pending = Pin<Box<dyn Future<Output = Option<ConnNo>> + Send>>;

/// See the module.
pub(super) struct Desk {
    node: Arc<Inner>,
    link: Arc<Link>,
    gateway: String,
    conns: HashMap<ConnNo, Box<Here>>,
    refused: HashSet<ConnNo>,
    /// What began to be waited for, and nobody polls yet.
    begun: Vec<Pending>,
}

impl Desk {
    pub(super) fn new(node: Arc<Inner>, link: Arc<Link>, gateway: String) -> Desk {
        let (conns, refused) = (HashMap::new(), HashSet::new());
        Desk { node, link, gateway, conns, refused, begun: Vec::new() }
    }

    /// What is to be polled from now on, each given back to [`go_on`](Self::go_on) by what it resolves to.
    pub(super) fn take_begun(&mut self) -> impl Iterator<Item = Pending> {
        self.begun.drain(..)
    }

    /// One message of the link.
    pub(super) fn take(&mut self, message: &Message<'_>) -> Result<(), Broken> {
        let Message::Binary(record) = message else { return Err(Broken::Text) };
        match codec::decode_up(record)? {
            Up::Open(open) => self.open(&open),
            Up::Begin { conn } => self.say(conn, "begin", Word::Begin),
            Up::Frame { conn, text, message } => self.say(conn, "be heard", Word::Frame { text, message }),
            Up::Rejoin(rejoin) => self.say(rejoin.conn, "rejoin", Word::Seldom(Seldom::Rejoin(rejoin))),
            Up::Move { conn, room } => self.say(conn, "move", Word::Seldom(Seldom::Move(room))),
            Up::Renew { conn, ticket } => {
                self.say(conn, "be renewed", Word::Seldom(Seldom::Renew(ticket.into())))
            }
            Up::Closed { conn } => {
                if let Some(linked) = self.conns.get(&conn).and_then(|here| here.session.conn().way.linked())
                {
                    // What waits for it gives up, and nothing is sent to it.
                    linked.end();
                }
                self.say(conn, "be closed", Word::Seldom(Seldom::Closed))
            }
            Up::Credit { conn, bytes } => {
                if let Some(linked) = self.conns.get(&conn).and_then(|here| here.session.conn().way.linked())
                {
                    linked.credit(bytes);
                } else if !self.refused.contains(&conn) {
                    return Err(Broken::Unknown { number: conn.0, what: "have credit" });
                }
                Ok(())
            }
            Up::Ping { number } => {
                self.push(&Down::Pong { number });
                Ok(())
            }
        }
    }

    /// What a connection waited for is there.
    pub(super) fn go_on(&mut self, conn: ConnNo) -> Result<(), Broken> {
        let Some(here) = self.conns.get_mut(&conn) else { return Ok(()) };
        let Some(mut queue) = here.queue.take() else { return Ok(()) };
        self.give_credit(conn);
        loop {
            let Some(here) = self.conns.get_mut(&conn) else { return Ok(()) };
            let (node, link) = (&self.node, &self.link);
            let Some(then) = queue.next(|word| here.act(node, link, word)) else {
                // Its gateway may be waiting for just that.
                self.give_credit(conn);
                return Ok(());
            };
            if let Some(wait) = self.then(conn, then?, &mut queue) {
                if let Some(here) = self.conns.get_mut(&conn) {
                    here.queue = Some(queue);
                }
                self.wait_for(wait, Some(conn));
                return Ok(());
            }
        }
    }

    /// The link has ended: so have its connections. What is waited for already is to be waited for still, and then it goes on
    /// with their ends: what is on its way to shards must be there before.
    pub(super) fn hang_up(&mut self) {
        for (conn, mut here) in std::mem::take(&mut self.conns) {
            if let Some(linked) = here.session.conn().way.linked() {
                linked.end();
            }
            if let Some(queue) = &mut here.queue {
                **queue = Queue::of_end();
                self.conns.insert(conn, here);
            } else if let Some(wait) = here.end() {
                self.wait_for(wait, None);
            }
        }
    }

    fn open(&mut self, open: &Open<'_>) -> Result<(), Broken> {
        let (conn, role) = (open.conn, open.role);
        if self.conns.contains_key(&conn) {
            let (ticket, told_to_go) = (open.ticket.into(), open.told_to_go);
            return self.say(conn, "open", Word::Seldom(Seldom::As { role, ticket, told_to_go }));
        }
        self.refused.remove(&conn);
        let admitted = match admit::admit(&self.node, &self.gateway, open) {
            Ok(admitted) => admitted,
            Err(no) => {
                self.refuse(conn, &no);
                return Ok(());
            }
        };
        let span = match role {
            OpenAs::Home => trace::join(&admitted.ticket, open.traceparent),
            OpenAs::HomeAgain => trace::open(&admitted.ticket, open.traceparent, true),
            OpenAs::Further => trace::open(&admitted.ticket, open.traceparent, false),
        };
        let linked = Linked::new(self.link.clone(), conn, Duration::from_millis(open.age));
        if open.told_to_go {
            linked.was_told_to_go();
        }
        let (session, beginning) = Session::of_link(self.node.clone(), linked, admitted, &span);
        let role = match role {
            OpenAs::Home => Role::Awaited(Box::new(beginning)),
            OpenAs::HomeAgain => Role::Coming,
            OpenAs::Further => Role::Further,
        };
        let here = Here { session, role, queue: None, done: 0, owes: false, undone: 0, over: false };
        self.conns.insert(conn, Box::new(here));
        self.push(&Down::Opened { conn });
        self.say(conn, "open", Word::Seldom(Seldom::Settle))
    }

    fn refuse(&mut self, conn: ConnNo, no: &No) {
        self.node.metrics.tickets_refused.inc();
        if self.refused.len() >= REFUSED {
            self.refused.clear();
        }
        self.refused.insert(conn);
        let retry = no.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
        let (code, detail) = (no.code.clone(), (&*no.detail).into());
        self.push(&Down::Refused { conn, code, detail, retry });
    }

    /// Something is said of a connection: it is done now, or after what is being waited for. `what`: it is to do.
    fn say(&mut self, conn: ConnNo, what: &'static str, word: Word<'_>) -> Result<(), Broken> {
        let Some(here) = self.conns.get_mut(&conn) else {
            // It was on its way when the refusal was.
            let known = self.refused.contains(&conn);
            return if known { Ok(()) } else { Err(Broken::Unknown { number: conn.0, what }) };
        };
        if let Word::Frame { message, .. } = &word {
            here.undone = here.undone.saturating_add(u32::try_from(message.len()).unwrap_or(u32::MAX));
            if here.undone.saturating_add(here.done) > UNANSWERED {
                return Err(Broken::TooMuch(conn.0));
            }
        }
        if let Some(queue) = &mut here.queue {
            return if queue.push(word) { Ok(()) } else { Err(Broken::TooMuch(conn.0)) };
        }
        here.session.rested();
        let then = here.act(&self.node, &self.link, word)?;
        let mut queue = Queue::default();
        if let Some(wait) = self.then(conn, then, &mut queue) {
            if let Some(here) = self.conns.get_mut(&conn) {
                here.queue = Some(Box::new(queue));
            }
            self.wait_for(wait, Some(conn));
        } else {
            self.give_credit(conn);
        }
        Ok(())
    }

    fn then(&mut self, conn: ConnNo, then: Then, queue: &mut Queue) -> Option<Wait> {
        match then {
            Then::Next => None,
            Then::Wait(wait) => Some(wait),
            Then::Again(wait, word) => {
                queue.push_front(word);
                Some(wait)
            }
            Then::Gone(wait) => {
                self.conns.remove(&conn);
                if self.conns.is_empty() {
                    self.conns = HashMap::new();
                }
                if let Some(wait) = wait {
                    self.wait_for(wait, None);
                }
                None
            }
        }
    }

    fn give_credit(&mut self, conn: ConnNo) {
        let Some(here) = self.conns.get_mut(&conn) else { return };
        if here.done >= CREDIT || std::mem::take(&mut here.owes) {
            let bytes = std::mem::take(&mut here.done);
            self.push(&Down::Credit { conn, bytes });
        }
    }

    fn wait_for(&mut self, wait: Wait, then: Option<ConnNo>) {
        self.begun.push(Box::pin(async move {
            wait.await;
            then
        }));
    }

    /// The link's task flushes.
    fn push(&self, record: &Down<'_>) {
        self.link.push(record, Due::Now);
    }
}
