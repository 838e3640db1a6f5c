//! Sessions that come and go, publications that enter, and what members hear.

use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Publication};
use ringway_protocol::frame::Position;
use ringway_protocol::name::ConnId;

use super::super::{AskError, Member, Outcome};
use super::Broken;
use super::trace::{Said, pid, show_since};
use super::world::{Conn, GATEWAY, Id, SimConn, World, key, secs};

impl World {
    /// A session connects to some node and joins, with what it has.
    pub(super) fn connect(&mut self, session: usize) {
        if self.sessions[session].conn.is_some() {
            self.leave(session);
        }
        let ups: Vec<Id> =
            self.nodes().filter(|id| self.parties[*id].up && !self.parties[*id].leaving).collect();
        let owner = self.owner_at(GATEWAY).filter(|owner| ups.contains(owner));
        let node = match owner {
            Some(owner) if self.dice.chance(0.6) => owner,
            _ => self.dice.of(&ups),
        };
        let comes_back = self.dice.chance(0.9);
        let last = self.dice.chance(0.2).then(|| self.dice.whole(1, 5) as u32);
        self.connect_to(session, node, comes_back, last);
    }

    pub(super) fn connect_to(&mut self, session: usize, node: Id, comes_back: bool, last: Option<u32>) {
        let conn = self.conns.len();
        let id: ConnId = format!("c{conn}").parse().expect("a name");
        let since = self.sessions[session].connect(conn, self.now, comes_back);
        self.conns.push(Conn {
            handle: SimConn(Arc::new((id, conn))),
            session,
            node,
            alive: true,
            joined: false,
            live: false,
            gone: false,
            since,
            last: if since.is_none() || self.variant.by_key { last } else { None },
        });
        self.trace(|| format!("s{session} joins at n{node} as c{conn} since {}", show_since(since)));
        self.at_party(self.now, node, Box::new(move |w| w.join(conn)));
        self.at(
            self.now + secs(10.0),
            Box::new(move |w| {
                if w.sessions[session].conn == Some(conn) && !w.conns[conn].joined {
                    w.connect(session);
                }
            }),
        );
    }

    fn join(&mut self, conn: usize) {
        let Conn { node, alive, since, last, .. } = self.conns[conn];
        if !alive {
            return;
        }
        let handle = self.conns[conn].handle.clone();
        let since = since.map(|(epoch, offset)| Position {
            epoch: epoch.to_string().parse().expect("a name"),
            offset,
            ts: None,
        });
        self.parties[node].conns.push(conn);
        self.ensure_room(node);
        let forgetful = self.variant.without == Some(Broken::KeepSince);
        self.room(node, |room, s| {
            room.join(s, handle, since, last);
            if forgetful {
                room.members.forget_all_since();
            }
        });
    }

    pub(super) fn leave(&mut self, session: usize) {
        let Some(conn) = self.sessions[session].conn.take() else { return };
        let node = self.conns[conn].node;
        self.conns[conn].alive = false;
        self.at_party(
            self.now,
            node,
            Box::new(move |w| {
                w.parties[node].conns.retain(|other| *other != conn);
                let handle = w.conns[conn].handle.clone();
                if w.variant.without != Some(Broken::Leave) {
                    w.room(node, |room, s| {
                        room.leave(s, handle.id());
                    });
                }
                w.conns[conn].gone = true;
            }),
        );
    }

    pub(super) fn publish(&mut self, at: Id, publications: Vec<Publication>) {
        let ids = self.ledger.enter(&publications);
        let (ids, publications) = self.tampered(ids, publications);
        self.trace(|| format!("pub {ids:?} enters at n{at}"));
        self.at_party(
            self.now,
            at,
            Box::new(move |w| {
                if at == GATEWAY {
                    let to = w.owner_at(GATEWAY);
                    w.gateway_publish(ids, publications, to, 0, None);
                } else {
                    w.ensure_room(at);
                    w.room(at, |room, s| room.enter(s, ids, publications));
                }
            }),
        );
    }

    /// What enters, with a fault planted.
    fn tampered(
        &self,
        mut ids: Vec<usize>,
        mut publications: Vec<Publication>,
    ) -> (Vec<usize>, Vec<Publication>) {
        match self.variant.without {
            Some(Broken::Order) => {
                ids.reverse();
                publications.reverse();
            }
            Some(Broken::Echo) => publications.iter_mut().for_each(|publication| publication.echo = true),
            Some(Broken::Key) => {
                publications.iter_mut().for_each(|publication| publication.key = key(100 + pid(publication)));
            }
            Some(Broken::Repeat) => {
                for publication in &mut publications {
                    publication.user = None;
                    publication.session = Some(format!("s{}", pid(publication)).parse().expect("a name"));
                }
            }
            _ => {}
        }
        (ids, publications)
    }

    /// What a gateway does: the owner, one redirect, and the slot's next node where nobody listens.
    fn gateway_publish(
        &mut self,
        ids: Vec<usize>,
        publications: Vec<Publication>,
        to: Option<Id>,
        hops: u32,
        tried: Option<Id>,
    ) {
        let unavailable = Outcome::Unavailable { retry: Duration::ZERO };
        let Some(to) = to else { return self.outcome(&ids, &unavailable) };
        let ask = Ask::Publish { publications: publications.clone() };
        let then = move |w: &mut World, answer| match answer {
            Ok(Answer::Published(published)) => w.outcome(&ids, &Outcome::Published(published)),
            Ok(Answer::Redirect { to: Some(next) }) if hops < 1 => {
                let next = w.nodes().find(|id| w.parties[*id].name == next);
                w.gateway_publish(ids, publications, next, hops + 1, tried);
            }
            Err(AskError::Timeout) => w.outcome(&ids, &Outcome::Unknown),
            _ => {
                let next = w.owner_without(GATEWAY, to);
                match next.filter(|_| tried.is_none()) {
                    Some(_) => w.gateway_publish(ids, publications, next, 1, Some(to)),
                    None => w.outcome(&ids, &unavailable),
                }
            }
        };
        self.ask(GATEWAY, to, ask, secs(2.0), Some(Box::new(then)));
    }

    pub(super) fn outcome(&mut self, ids: &[usize], outcome: &Outcome) {
        self.trace(|| format!("pub {ids:?}: {outcome:?}"));
        if let Err(what) = self.ledger.outcome(ids, outcome) {
            self.bad(what);
        }
    }

    pub(super) fn say(&mut self, conn: &SimConn, said: &Said<'_>) {
        let conn = conn.0.1;
        let session = self.conns[conn].session;
        self.trace(|| format!("   s{session} c{conn} <- {}", said.show()));
        if self.conns[conn].gone {
            return self.bad("I7 after leave");
        }
        if !self.conns[conn].alive || self.sessions[session].conn != Some(conn) {
            return;
        }
        if matches!(said, Said::Joined(_)) {
            self.fresh.push(conn);
        }
        let verdict = self.sessions[session].hear(self.now, &mut self.conns[conn], &self.ledger, said);
        if let Err(what) = verdict {
            self.bad(what);
        }
    }
}
