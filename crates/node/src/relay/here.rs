//! One connection of a link: what is said of it, and what comes of that.

use std::ops::ControlFlow;
use std::sync::Arc;

use ringway_auth::Ticket;
use ringway_edge::Due;
use ringway_link::{BadRecord, ConnNo, Down, OpenAs};

use super::admit;
use super::known::Taken;
use super::queue::{Queue, Seldom, Word};
use crate::node::Inner;
use crate::session::{Beginning, Heard, Session, Wait};
use crate::shard;
use crate::tenant::Place;
use crate::way::Link;

/// Why a link is ended: what came can't be meant.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Record(#[from] BadRecord),
    #[error("a text message; records are binary")]
    Text,
    #[error("connection {number} isn't open, and it is to {what}")]
    Unknown { number: u32, what: &'static str },
    #[error("number {0} is another connection's")]
    Taken(u32),
    #[error("connection {0} has begun, or isn't at home here")]
    Begun(u32),
    #[error("of connection {0} more came than may be unanswered")]
    TooMuch(u32),
    #[error("the rights of connection {0} are another's, or no ticket")]
    Rights(u32),
}

/// One connection.
pub(super) struct Here {
    pub(super) session: Session,
    pub(super) role: Role,
    /// There while something of it is being waited for.
    pub(super) queue: Option<Box<Queue>>,
    /// Bytes of its client's frames that are done, and not said to be.
    pub(super) done: u32,
    /// That is to be said in any case.
    pub(super) owes: bool,
    /// And those that came and aren't.
    pub(super) undone: u32,
    /// None of its client's frames is read any more.
    pub(super) over: bool,
}

/// What this node is to it.
pub(super) enum Role {
    /// Its home, once its client is there.
    Awaited(Box<Beginning>),
    /// Its home, once it is the only one of its id.
    Coming,
    Home,
    Further,
}

/// What came of a word.
pub(super) enum Then {
    Next,
    /// The next waits for this.
    Wait(Wait),
    /// The same, and it is to be tried again then.
    Again(Wait, Seldom),
    /// It was the last.
    Gone(Option<Wait>),
}

impl Here {
    /// Does what is said.
    pub(super) fn act(&mut self, node: &Inner, link: &Arc<Link>, word: Word<'_>) -> Result<Then, Broken> {
        let then = |wait: Option<Wait>| wait.map_or(Then::Next, Then::Wait);
        Ok(match word {
            Word::Begin => then(self.begin()?),
            Word::Frame { text, message } => then(self.hear(text, message)?),
            Word::Seldom(Seldom::Settle) => self.settle(node, link)?,
            Word::Seldom(Seldom::As { role, ticket, told_to_go }) => {
                if told_to_go && let Some(linked) = self.session.conn().way.linked() {
                    linked.was_told_to_go();
                }
                self.become_(node, link, role, &ticket)?;
                Then::Next
            }
            Word::Seldom(Seldom::Rejoin(rejoin)) => {
                let again = shard::Rejoin { by_server: rejoin.by_server, since: rejoin.since };
                then(self.session.rejoin(rejoin.room, again))
            }
            Word::Seldom(Seldom::Move(room)) => then(self.session.move_away(room)),
            Word::Seldom(Seldom::Renew(ticket)) => {
                let ticket = admit::read(node, &ticket).ok();
                let ticket = ticket.filter(|ticket| self.is_of(ticket));
                then(self.session.renew(ticket.ok_or(Broken::Rights(self.number()))?))
            }
            Word::Seldom(Seldom::Closed) => Then::Gone(self.end()),
        })
    }

    fn begin(&mut self) -> Result<Option<Wait>, Broken> {
        if !matches!(self.role, Role::Awaited(_)) {
            return Err(Broken::Begun(self.number()));
        }
        match std::mem::replace(&mut self.role, Role::Home) {
            Role::Awaited(beginning) => Ok(self.session.begin(*beginning)),
            Role::Coming | Role::Home | Role::Further => Ok(None),
        }
    }

    fn hear(&mut self, text: bool, message: &[u8]) -> Result<Option<Wait>, Broken> {
        if matches!(self.role, Role::Awaited(_)) {
            return Err(Broken::Begun(self.number()));
        }
        let bytes = u32::try_from(message.len()).unwrap_or(u32::MAX);
        self.undone = self.undone.saturating_sub(bytes);
        self.done = self.done.saturating_add(bytes);
        if self.over {
            return Ok(None);
        }
        let Heard { flow, others_wait } = self.session.hear(text, message);
        self.owes |= others_wait;
        Ok(match flow {
            ControlFlow::Continue(Some(wait)) => Some(wait),
            // What shards have refused it meanwhile counts as well.
            ControlFlow::Continue(None) => self.session.wait_for_refusals(),
            ControlFlow::Break(()) => {
                self.over = true;
                None
            }
        })
    }

    /// Makes it the only connection of its id.
    fn settle(&mut self, node: &Inner, link: &Arc<Link>) -> Result<Then, Broken> {
        let conn = self.session.conn();
        let (other, gone) = match node.relay.take(conn) {
            Taken::Yes => {
                if matches!(self.role, Role::Coming) {
                    self.session.arrive();
                    self.role = Role::Home;
                }
                return Ok(Then::Next);
            }
            Taken::By(other, gone) => (other, gone),
        };
        if let Some(other) = other.way.linked() {
            if !Arc::ptr_eq(other.link(), link) {
                // A worker of a gateway has one link to a node, and a client one worker: that link is no more.
                other.link().outbound().cut();
            } else if !other.is_ended() {
                return Err(Broken::Taken(self.number()));
            }
        }
        // Whether by word or by the end of who would give it.
        let gone: Wait = Box::pin(async move { drop(gone.await) });
        Ok(Then::Again(gone, Seldom::Settle))
    }

    /// The node is something else to it from now on.
    fn become_(&mut self, node: &Inner, link: &Link, role: OpenAs, sealed: &str) -> Result<(), Broken> {
        if !admit::read(node, sealed).is_ok_and(|ticket| self.is_of(&ticket)) {
            return Err(Broken::Taken(self.number()));
        }
        match (&self.role, role) {
            (Role::Home, OpenAs::HomeAgain) | (Role::Further, OpenAs::Further) => {}
            (Role::Further, OpenAs::HomeAgain) => {
                let conn = self.session.conn();
                self.session.comes_home(Place::again(&conn.tenant, conn.user.as_ref()));
                self.role = Role::Home;
            }
            (Role::Home, OpenAs::Further) => {
                self.session.leaves_home();
                self.role = Role::Further;
            }
            (Role::Awaited(_) | Role::Coming, _) | (_, OpenAs::Home) => {
                return Err(Broken::Begun(self.number()));
            }
        }
        let conn = self.session.conn();
        link.push(&Down::Opened { conn: ConnNo(self.number()) }, Due::Now);
        if conn.tenant.is_gone() {
            crate::configured::send_away(conn);
        }
        Ok(())
    }

    /// Its client, or its link, has gone.
    pub(super) fn end(&mut self) -> Option<Wait> {
        self.session.end_by_link(matches!(self.role, Role::Home))
    }

    fn is_of(&self, ticket: &Ticket) -> bool {
        let conn = self.session.conn();
        ticket.conn == conn.id && ticket.tenant == conn.tenant.id && ticket.user == conn.user
    }

    fn number(&self) -> u32 {
        self.session.conn().way.linked().map_or(u32::MAX, |linked| linked.number().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_a_link_is_small() {
        // What comes on top of what any connection costs, but for its way and its place among those known.
        assert!(size_of::<Here>() <= 112, "{}", size_of::<Here>());
    }
}
