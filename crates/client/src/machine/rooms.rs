//! Memberships: joining, what a join's answer changes, and how a membership ends.

use std::borrow::Cow;
use std::time::Duration;

use ringway_protocol::frame::{Answer, Join, JoinResult, OkResult};
use ringway_protocol::{ClientFrame, Code, RoomName};

use super::{Action, Answered, Link, Machine, Timer};
use crate::event::{Event, JoinOptions, RequestError};
use crate::track::Track;

/// One room that we are in, or want to be in.
#[derive(Debug)]
pub(super) struct Room<R> {
    /// Which of the memberships in a room of this name: leave and join again is another one.
    pub(super) membership: u64,
    pub(super) track: Track,
    /// The connection that its frames are taken from.
    pub(super) link: Option<u64>,
    /// Who waits for the first answer.
    pub(super) asking: Vec<R>,
    options: JoinOptions,
    /// The server joined us, and the application hasn't asked for it.
    uninvited: bool,
}

impl<R> Room<R> {
    pub(super) fn new(membership: u64, options: JoinOptions, uninvited: bool) -> Self {
        let track = Track::at(options.since.clone());
        Self { membership, track, link: None, asking: Vec::new(), options, uninvited }
    }
}

impl<R> Machine<R> {
    /// The application joins a room, here and after each reconnect. `to` gets the first answer.
    pub(crate) fn join(&mut self, name: &RoomName, options: JoinOptions, to: R) {
        if self.closed {
            return self.actions.push_back(Action::Reply { to, answer: Err(RequestError::Closed) });
        }
        match self.rooms.get_mut(name) {
            Some(room) if !room.uninvited => {
                let error = RequestError::Refused { code: Code::AlreadyJoined, message: None };
                return self.actions.push_back(Action::Reply { to, answer: Err(error) });
            }
            // The first join of a room that the server joined is carried out like any.
            Some(room) => {
                room.uninvited = false;
                room.options = options;
                room.asking.push(to);
            }
            None => {
                self.last_id += 1;
                let mut room = Room::new(self.last_id, options, false);
                room.asking.push(to);
                self.rooms.insert(name.clone(), room);
            }
        }
        for link in self.open_links() {
            self.send_join(link, name);
        }
    }

    /// The one that we have been in, or wanted to be in, for longest: later ones don't move the client to another node.
    pub(super) fn first_room(&self) -> Option<RoomName> {
        self.rooms.iter().min_by_key(|(_, room)| room.membership).map(|(name, _)| name.clone())
    }

    /// The application leaves a room: nothing of it is told any more. Whether it was in it.
    pub(crate) fn leave(&mut self, name: &RoomName) -> bool {
        let known = self.rooms.contains_key(name);
        if known {
            self.forget(name, None, Code::NotJoined, None);
        }
        known
    }

    pub(super) fn send_join(&mut self, link: u64, name: &RoomName) {
        let id = self.fresh_id();
        let Some(room) = self.rooms.get(name) else { return };
        let frame = ClientFrame::Join(Join {
            id: Some(id),
            room: name.clone(),
            since: room.track.position().cloned(),
            last: room.options.last,
            state: room.options.state.clone(),
        });
        let membership = room.membership;
        let Some(open) = self.link_mut(link).filter(|link| link.open) else { return };
        open.joining.insert(id, (name.clone(), membership));
        let bytes = self.encode(&frame);
        self.actions.push_back(Action::Send { link, bytes });
    }

    /// The room is had from this connection now, unless a newer one answered already.
    pub(super) fn room_answered(&mut self, link: u64, name: &RoomName, result: JoinResult) {
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.link.is_none_or(|other| other <= link))
        else {
            return;
        };
        room.link = Some(link);
        room.track.answered(&result);
        for to in std::mem::take(&mut room.asking) {
            let result = Some(OkResult::Join(result.clone()));
            let answer = Answer { id: None, room: Some(name.clone()), data: None, result };
            self.actions.push_back(Action::Reply { to, answer: Ok(Answered { answer, lines: Vec::new() }) });
        }
        self.event(Event::Joined { room: name.clone(), result: Box::new(result) });
    }

    /// A membership was refused or ended: for now, where the server says when to ask again, else
    /// for good.
    pub(super) fn room_ended(&mut self, link: u64, name: &RoomName, ending: Ending, now: Duration) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(retry) = ending.retry else {
            return self.forget(name, Some(link), ending.code, ending.message);
        };
        if room.link == Some(link) {
            room.link = None;
        }
        let timer = Timer::Rejoin { link, room: name.clone(), membership: room.membership };
        self.timers.insert((now + retry, timer));
    }

    fn forget(
        &mut self,
        name: &RoomName,
        except: Option<u64>,
        code: Code,
        message: Option<Cow<'static, str>>,
    ) {
        let Some(room) = self.rooms.remove(name) else { return };
        for link in self.open_links().filter(|link| Some(*link) != except).collect::<Vec<_>>() {
            self.send_leave(link, name);
        }
        for to in room.asking {
            let error = RequestError::Refused { code: code.clone(), message: message.clone() };
            self.actions.push_back(Action::Reply { to, answer: Err(error) });
        }
        self.event(Event::Left { room: name.clone(), code, message });
    }

    fn open_links(&self) -> impl Iterator<Item = u64> + use<R> {
        let number = |link: &Option<Link>| link.as_ref().filter(|link| link.open).map(|link| link.number);
        [number(&self.current), number(&self.next)].into_iter().flatten()
    }
}

/// How a membership was refused or ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) code: Code,
    pub(super) message: Option<Cow<'static, str>>,
    /// When asking again may help.
    pub(super) retry: Option<Duration>,
}
