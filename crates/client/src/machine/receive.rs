//! What each of the server's frames changes.

use std::time::Duration;

use ringway_protocol::frame::{Answer, Hello, Joined, Left, Refusal};
use ringway_protocol::{RoomName, ServerFrame};

use super::rooms::{Ending, Room};
use super::{GRACE, Machine, Timer};
use crate::event::{Event, JoinOptions, RequestError, State};

impl<R> Machine<R> {
    /// A frame came.
    pub(crate) fn frame(&mut self, link: u64, frame: ServerFrame, now: Duration) {
        let Some(from) = self.link_mut(link) else { return };
        from.heard = now;
        match frame {
            ServerFrame::Hello(hello) => self.hello(link, hello, now),
            ServerFrame::Ok(answer) => self.answered(link, answer),
            ServerFrame::Err(refusal) => self.refused(link, refusal, now),
            ServerFrame::Msg(msg) => match (msg.id, &msg.room) {
                (Some(id), _) => {
                    if let Some(waiting) = self.waiting.get_mut(&id) {
                        waiting.lines.push(msg);
                    }
                }
                (None, Some(room)) => {
                    if self
                        .rooms
                        .get_mut(room)
                        .is_some_and(|room| room.link == Some(link) && room.track.message(&msg))
                    {
                        self.event(Event::Msg(Box::new(msg)));
                    }
                }
                (None, None) => {
                    if self.personal == Some(link) {
                        self.event(Event::Msg(Box::new(msg)));
                    }
                }
            },
            ServerFrame::Gap(gap) => {
                if self
                    .rooms
                    .get_mut(&gap.room)
                    .is_some_and(|room| room.link == Some(link) && room.track.gap(&gap))
                {
                    self.event(Event::Gap(gap));
                }
            }
            ServerFrame::Presence(presence) => {
                if self.rooms.get(&presence.room).is_some_and(|room| room.link == Some(link)) {
                    self.event(Event::Presence(Box::new(presence)));
                }
            }
            ServerFrame::Joined(joined) => self.joined(link, joined),
            ServerFrame::Left(left) => self.left(link, left, now),
            ServerFrame::Goaway(goaway) => {
                let after = Duration::from_millis(goaway.after);
                from.leaving = Some(now + after);
                if self.current.as_ref().is_some_and(|current| current.number == link) {
                    self.dial_later(now, after);
                }
            }
            ServerFrame::Ping => {}
        }
        let moved = self.next.as_ref().filter(|next| next.standing.is_some() && next.joining.is_empty());
        if let Some(next) = moved.map(|next| next.number) {
            self.adopt(next, now);
        }
    }

    fn hello(&mut self, link: u64, hello: Hello, now: Duration) {
        if let Some(from) = self.link_mut(link) {
            from.standing = Some(now);
            from.patience = Duration::from_secs(hello.ping) + GRACE;
        }
        self.settings.session = Some(hello.session.clone());
        self.frame_limit = hello.limits.frame.unwrap_or(u64::MAX);
        self.personal = Some(link);
        self.new_token = false;
        let state = State::Open { conn: hello.conn.clone(), node: hello.node.clone() };
        self.event(Event::Hello(Box::new(hello)));
        self.event(Event::State(state));
    }

    /// The server joined us. A position that we hold is ours to keep, and our own join's answer
    /// counts, unless the server resumed from where we were.
    fn joined(&mut self, link: u64, joined: Joined) {
        let Joined { room: name, result } = joined;
        let asked = self.is_joining(link, &name);
        if !self.rooms.contains_key(&name) {
            let membership = self.fresh_id();
            self.rooms.insert(name.clone(), Room::new(membership, JoinOptions::default(), true));
        }
        let Some(room) = self.rooms.get(&name) else { return };
        if result.resumed == Some(true) || !(asked || room.track.position().is_some()) {
            self.room_answered(link, &name, result);
        } else if !asked && room.link != Some(link) {
            self.send_join(link, &name);
        }
    }

    fn left(&mut self, link: u64, left: Left, now: Duration) {
        let Left { room: name, code, message, retry } = left;
        match self.rooms.get(&name).map(|room| room.link == Some(link)) {
            // Our own join is on its way: its answer decides.
            Some(_) if self.is_joining(link, &name) => {}
            Some(true) => {
                self.room_ended(
                    link,
                    &name,
                    Ending { code, message, retry: retry.map(Duration::from_millis) },
                    now,
                );
            }
            Some(false) => {}
            // A home room that we may not join.
            None => self.event(Event::Left { room: name, code, message }),
        }
    }

    fn answered(&mut self, link: u64, answer: Answer) {
        let Some(id) = answer.id else { return };
        match self.join_of(link, id) {
            Some(Ok(room)) => {
                let result =
                    answer.result.map(ringway_protocol::frame::OkResult::into_join).unwrap_or_default();
                self.room_answered(link, &room, result);
            }
            Some(Err(LeftMeanwhile)) => {}
            None => self.settle(id, Ok(answer)),
        }
    }

    fn refused(&mut self, link: u64, refusal: Refusal, now: Duration) {
        let Some(id) = refusal.id else { return self.event(Event::Refused(refusal)) };
        let retry = refusal.retry.map(Duration::from_millis);
        let Refusal { code, message, .. } = refusal;
        match (self.join_of(link, id), retry) {
            (Some(Ok(room)), _) => self.room_ended(link, &room, Ending { code, message, retry }, now),
            (Some(Err(LeftMeanwhile)), _) => {}
            (None, None) => self.settle(id, Err(RequestError::Refused { code, message })),
            (None, Some(retry)) => {
                if self.waiting.contains_key(&id) {
                    self.timers.insert((now + retry, Timer::Again { id }));
                }
            }
        }
    }

    /// Whether a join of this room is on its way on this connection.
    fn is_joining(&mut self, link: u64, room: &RoomName) -> bool {
        self.link_mut(link).is_some_and(|link| link.joining.values().any(|(name, _)| name == room))
    }

    /// The room whose join has this id, taken from the list of those on their way.
    fn join_of(&mut self, link: u64, id: u64) -> Option<Result<RoomName, LeftMeanwhile>> {
        let (name, membership) = self.link_mut(link)?.joining.remove(&id)?;
        let ours = self.rooms.get(&name).is_some_and(|room| room.membership == membership);
        Some(if ours { Ok(name) } else { Err(LeftMeanwhile) })
    }
}

/// The membership that was asked for is no more.
struct LeftMeanwhile;
