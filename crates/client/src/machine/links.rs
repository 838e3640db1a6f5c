//! Connections: opening them, moving over to a new one, and what the end of one means.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_protocol::close::Advice;
use ringway_protocol::{CloseCode, RoomName};

use super::{Action, GRACE, HELLO_WITHIN, Machine, Timer};
use crate::connection::Closed;
use crate::event::{Event, State};

/// One connection, as far as the machine knows.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) open: bool,
    /// Since when its `hello` is here.
    pub(super) standing: Option<Duration>,
    pub(super) heard: Duration,
    pub(super) patience: Duration,
    /// The joins without an answer: by id the room, and which of its memberships.
    pub(super) joining: BTreeMap<u64, (RoomName, u64)>,
    /// When it wants to be replaced.
    pub(super) leaving: Option<Duration>,
}

impl<R> Machine<R> {
    /// Opens the next connection, if none is being opened.
    pub(crate) fn dial(&mut self, now: Duration) {
        if self.next.is_some() || self.closed {
            return;
        }
        self.last_link += 1;
        let link = self.last_link;
        self.next = Some(Link {
            number: link,
            open: false,
            standing: None,
            heard: now,
            patience: HELLO_WITHIN,
            joining: BTreeMap::new(),
            leaving: None,
        });
        self.timers.insert((now + HELLO_WITHIN, Timer::Heartbeat { link }));
        self.actions.push_back(Action::Dial {
            link,
            home: self.settings.home.clone().or_else(|| self.first_room()),
            session: self.settings.session.clone(),
            new_token: self.new_token,
        });
    }

    /// A connection is open: its frames needn't wait for `hello`.
    pub(crate) fn opened(&mut self, link: u64, now: Duration) {
        let Some(opened) = self.link_mut(link) else { return };
        opened.open = true;
        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
            self.send_join(link, &room);
        }
        if self.current.is_none() {
            self.adopt(link, now);
        } else {
            self.timers.insert((now + GRACE, Timer::HandOver { link }));
        }
    }

    /// A connection has ended, or couldn't be opened.
    pub(crate) fn closed(&mut self, link: u64, closed: Closed, now: Duration) {
        let was_current = self.current.as_ref().is_some_and(|current| current.number == link);
        let slot = if was_current { &mut self.current } else { &mut self.next };
        let Some(ended) = slot.take_if(|ended| ended.number == link) else { return };
        self.actions.push_back(Action::End { link });
        self.backoff.ended_after(ended.standing.map_or(Duration::ZERO, |since| now - since));
        if closed.code == CloseCode::TOO_BIG {
            self.give_up_biggest();
        }
        let advice = match closed.code.advice() {
            // That our own successor takes our place is how it should be.
            Advice::Stop if closed.code == CloseCode::REPLACED && was_current && self.next.is_some() => {
                Advice::ComeBack
            }
            Advice::NewToken if self.settings.renewable => {
                self.new_token = true;
                Advice::ComeBack
            }
            Advice::NewToken => Advice::Stop,
            advice => advice,
        };
        if matches!(advice, Advice::Stop | Advice::Done) {
            if self.current.is_none() {
                self.finish(closed);
            } // else the old one still stands, and goes on
            return;
        }
        match (&self.next, was_current) {
            (Some(next), true) if next.open => {
                let next = next.number;
                self.adopt(next, now);
            }
            (Some(_), true) => {
                self.event(Event::State(State::Reconnecting { after: Duration::ZERO, closed }));
            }
            _ => {
                let after = self.backoff.next(&closed.reason, &mut self.random);
                self.dial_later(now, after);
                if self.current.is_none() {
                    self.event(Event::State(State::Reconnecting { after, closed }));
                }
            }
        }
    }

    /// Requests go there from now on, and those without an answer once more, in their order.
    pub(super) fn adopt(&mut self, link: u64, now: Duration) {
        let Some(next) = self.next.take_if(|next| next.number == link) else { return };
        let leaving = next.leaving;
        if let Some(old) = self.current.replace(next) {
            self.actions.push_back(Action::End { link: old.number });
        }
        for waiting in self.waiting.values_mut() {
            waiting.lines.clear();
            self.actions.push_back(Action::Send { link, bytes: waiting.bytes.clone() });
        }
        if let Some(leaving) = leaving {
            self.dial_later(now, leaving.saturating_sub(now));
        }
    }

    pub(super) fn dial_later(&mut self, now: Duration, after: Duration) {
        if let Some(at) = self.dial_at.replace(now + after) {
            self.timers.remove(&(at, Timer::Dial));
        }
        self.timers.insert((now + after, Timer::Dial));
    }

    pub(super) fn heartbeat(&mut self, link: u64, now: Duration) {
        let Some(due) = self.link_mut(link).map(|link| link.heard + link.patience) else { return };
        if due <= now {
            let reason = "nothing heard for too long".to_owned();
            self.closed(link, Closed { code: CloseCode(1006), reason }, now);
        } else {
            self.timers.insert((due, Timer::Heartbeat { link }));
        }
    }

    pub(super) fn link_mut(&mut self, link: u64) -> Option<&mut Link> {
        [&mut self.current, &mut self.next].into_iter().flatten().find(|each| each.number == link)
    }
}
