//! Clients, and what each may get.

use std::collections::BTreeMap;

use ringway_protocol::Code;

use super::super::ask::Kind;
use super::world::{ROOMS, Spot, World};

/// What a client can be told.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// What a node sends to one client alone.
    For(usize, Box<Frame>),
    Hello,
    Ok {
        id: u64,
        at: Option<Spot>,
    },
    Err {
        id: Option<u64>,
        code: Code,
    },
    Message {
        room: usize,
        at: Spot,
    },
    Signal {
        room: usize,
    },
    Joined {
        room: usize,
        at: Option<Spot>,
    },
    Left {
        room: usize,
    },
    Gap {
        room: usize,
        at: Spot,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Away,
    Opening,
    Refused,
    Opened,
    Live,
    Gone,
}

/// What a client knows of a room.
#[derive(Clone, Debug, Default)]
pub(super) struct Had {
    pub(super) in_it: bool,
    has_left: bool,
    pub(super) at: Option<Spot>,
    /// It joins and leaves without ids, and can't say whether it is in the room, nor where.
    pub(super) loose: bool,
    got: Vec<Spot>,
}

impl Had {
    fn leaves(&mut self) {
        (self.in_it, self.has_left, self.at) = (false, true, None);
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) kind: Kind,
    pub(super) room: usize,
    pub(super) since: Option<Spot>,
}

#[derive(Debug)]
pub(super) struct Actor {
    pub(super) stage: Stage,
    pub(super) conn: u32,
    pub(super) home: usize,
    pub(super) joins: Vec<usize>,
    pub(super) since: Option<Spot>,
    pub(super) hello: bool,
    pub(super) stopped: bool,
    pub(super) closed: bool,
    /// Of the rights that its tickets say.
    pub(super) version: u32,
    pub(super) rooms: Vec<Had>,
    pub(super) pending: BTreeMap<u64, Pending>,
    pub(super) ids: u64,
    pub(super) auth: Option<usize>,
    pub(super) tries: usize,
    /// The newest of its publications in each room's log.
    pub(super) published: Vec<u64>,
}

impl Actor {
    pub(super) fn new(home: usize, joins: Vec<usize>) -> Self {
        Self {
            stage: Stage::Away,
            conn: 0,
            home,
            joins,
            since: None,
            hello: false,
            stopped: false,
            closed: false,
            version: 0,
            rooms: vec![Had::default(); ROOMS],
            pending: BTreeMap::new(),
            ids: 0,
            auth: None,
            tries: 0,
            published: vec![0; ROOMS],
        }
    }
}

impl World {
    /// A client asks for something.
    pub(super) fn asks(
        &mut self,
        who: usize,
        kind: Kind,
        room: usize,
        known: bool,
        since: Option<Spot>,
    ) -> Option<u64> {
        let actor = &mut self.actors[who];
        if !known {
            return None;
        }
        actor.ids += 1;
        actor.pending.insert(actor.ids, Pending { kind, room, since });
        Some(actor.ids)
    }

    /// A client gets a frame.
    pub(super) fn gets(&mut self, who: usize, frame: &Frame) {
        if self.trace {
            println!("    {who} gets {frame:?}");
        }
        if self.actors[who].stage != Stage::Live {
            return self.fail("something for who hasn't begun or has gone");
        }
        if !self.actors[who].hello && !matches!(frame, Frame::Hello) {
            return self.fail("O1 something before hello");
        }
        match frame {
            Frame::For(..) => self.fail("C9 what one alone was sent was cast"),
            Frame::Hello => {
                if std::mem::replace(&mut self.actors[who].hello, true) {
                    self.fail("O1 a second hello");
                }
            }
            Frame::Ok { id, at } => self.is_done(who, *id, *at),
            Frame::Err { id, code } => self.is_refused(who, *id, code),
            Frame::Message { room, at } => self.hears(who, *room, *at),
            Frame::Signal { room } => self.check_in(who, *room),
            Frame::Joined { room, at } => {
                let had = &mut self.actors[who].rooms[*room];
                (had.in_it, had.at) = (true, at.or(had.at));
            }
            Frame::Left { room } => {
                let had = &mut self.actors[who].rooms[*room];
                had.leaves();
            }
            Frame::Gap { room, at } => {
                self.check_in(who, *room);
                let had = &self.actors[who].rooms[*room];
                let (before, loose) = (had.at, had.loose);
                if self.rooms[*room].durable && before.is_some() && !loose {
                    self.fail("C6 a gap in a durable room");
                }
                if !loose && before.is_some_and(|before| before.0 == at.0 && at.1 < before.1) {
                    self.fail("C11 a gap goes back");
                }
                self.actors[who].rooms[*room].at = Some(*at);
            }
        }
    }

    fn is_done(&mut self, who: usize, id: u64, at: Option<Spot>) {
        let Some(pending) = self.actors[who].pending.remove(&id) else {
            return self.fail("C7 answered what wasn't asked, or twice");
        };
        let had = &mut self.actors[who].rooms[pending.room];
        match pending.kind {
            Kind::Join => {
                had.at = at.or(if had.in_it { had.at } else { pending.since });
                had.in_it = true;
            }
            Kind::Leave => had.leaves(),
            _ => {}
        }
    }

    fn is_refused(&mut self, who: usize, id: Option<u64>, code: &Code) {
        let Some(id) = id else { return };
        let Some(pending) = self.actors[who].pending.remove(&id) else {
            return self.fail("C7 answered what wasn't asked, or twice");
        };
        if *code == Code::OutcomeUnknown && pending.kind != Kind::Publish {
            self.fail("C7 outcome_unknown of what could be asked again");
        }
        let had = &mut self.actors[who].rooms[pending.room];
        if pending.kind == Kind::Leave {
            had.leaves();
        }
    }

    fn check_in(&mut self, who: usize, room: usize) {
        let had = &self.actors[who].rooms[room];
        if !had.in_it && !had.loose {
            let what =
                if had.has_left { "C2 after the leave's answer" } else { "C1 before the join's answer" };
            self.fail(what);
        }
    }

    fn hears(&mut self, who: usize, room: usize, at: Spot) {
        self.check_in(who, room);
        let had = &self.actors[who].rooms[room];
        if !had.loose {
            match had.at {
                None => self.fail("C5 a publication to who has no position"),
                Some(before) if before.0 != at.0 => self.fail("C5 another epoch without a gap"),
                Some(before) if at.1 <= before.1 => {
                    let what = if had.got.contains(&at) { "C3 twice" } else { "C4 out of order" };
                    self.fail(what);
                }
                Some(before) => {
                    let log = self.rooms[room].log_of(at.0);
                    let own = |offset: u64| {
                        let entry = log.and_then(|log| log.get(offset as usize - 1));
                        entry.is_some_and(|entry| entry.by == who && !entry.echo)
                    };
                    if !(before.1 + 1..at.1).all(own) {
                        self.fail("C5 skipped without a gap");
                    }
                }
            }
        }
        let had = &mut self.actors[who].rooms[room];
        had.at = Some(at);
        had.got.push(at);
    }
}
