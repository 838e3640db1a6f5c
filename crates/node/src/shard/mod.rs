//! A shard owns some of the node's rooms, and is the only one who touches them.
//!
//! One task a shard: it takes what has come, lets the rooms decide, and writes what came of it, each socket at most
//! once a pass. It never waits for anything but its own queues; what takes time (a question to another node, a
//! subscription) is a task of its own whose result comes back through them.
//!
//! A frame goes to a socket in two steps. The shard *pushes* it, to the queue that the connection itself has: that makes
//! the order, and only the shard does it for its rooms. Whoever's push finds no flush promised that is soon enough
//! promises one, and lists the connection (`core`):
//!
//! | what | is flushed |
//! |---|---|
//! | answers, gaps, publications of rooms with few members | at the end of the pass |
//! | publications of rooms with many members | in turns, between passes, with the help of other threads ([`ringway_edge::Crowd`]) |
//! | publications of classes with a `flush_window` | when the window is over that began with the first that waits |
//!
//! A flush writes all that waits for that socket, so what is urgent takes along what isn't.
//!
//! | file | what the shard does there |
//! |---|---|
//! | `clients` | what connections want of rooms, in the order of their `guests` lanes |
//! | `machine` | the two kinds of room, by the same names |
//! | `durable` | what is around a durable room, and what stores send on |
//! | `history` | pages of what durable rooms keep, and rooms that forget it |
//! | `keeping` | what durable rooms are kept with |
//! | `hosting` | rooms come and go; their live subjects are listened to |
//! | `elsewhere` | what other nodes say and ask |
//! | `formers` | who owned rooms a moment ago |
//! | `configured` | rooms go by a new configuration |
//! | `feed` | what may be left out of a room's publications for a member that is behind |
//! | `relayed` | what links are told of a room, for members whose sockets gateways hold |
//! | `shed` | rooms made lighter, where memory runs short or very many are empty |
//! | `survey` | how busy rooms are, and what they are placed by |
//! | `counting` | how many are in a room (`tally`: over all nodes) |
//! | `around` | what a room's decisions become: frames, messages, questions, timers |
//! | `quotas` | what a room's class limits, at its owner |
//! | `core` | what was pushed is flushed |

mod answers;
mod around;
mod clients;
mod command;
mod configured;
mod core;
mod counting;
mod durable;
mod elsewhere;
mod feed;
mod formers;
mod guests;
mod history;
mod hosting;
mod keeping;
mod machine;
mod questions;
mod quotas;
mod relayed;
mod rooms;
#[cfg(test)]
mod scene;
mod shed;
mod signals;
mod survey;
mod tally;
mod timers;

use std::sync::Arc;

use ringway_backplane::message::LiveMessage;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::answers::No;
pub(crate) use self::command::{Command, Join, Lighten, Op, Rejoin, RoomKey, Shed, Weighed};
pub(crate) use self::core::Shared;
use self::core::{Core, SWEEP_EVERY, TALLY_EVERY, Wake};
pub(crate) use self::keeping::Keeping;
use self::keeping::KnownHere;
use self::machine::Machine;
pub(crate) use self::rooms::ROOM_WEIGHT;
use self::rooms::{EMPTY_ROOMS, Rooms};
use self::survey::Survey;
pub(crate) use self::tally::RoomTally;
use crate::memory::Kept;
use crate::placement::Placement;
use crate::standstill::Standstill;

/// What waits for a shard at most; senders wait beyond that.
const QUEUE: usize = 4_096;

/// What is taken from a queue in one pass: frames of one pass leave each socket as one write.
const PASS: usize = 256;

/// The way to a shard.
pub(crate) type ShardHandle = mpsc::Sender<Command>;

/// Owns rooms. See the module.
pub(crate) struct Shard {
    core: Core,
    rooms: Rooms,
    survey: Survey,
    commands: mpsc::Receiver<Command>,
    live: mpsc::Receiver<LiveMessage>,
}

impl Shard {
    /// A shard without rooms, and the way to it. `kept` is told what its rooms weigh.
    pub(crate) fn new(
        shared: Shared,
        placement: Arc<Placement>,
        away: bool,
        kept: Arc<Kept>,
    ) -> (Self, ShardHandle) {
        let (handle, commands) = mpsc::channel(QUEUE);
        let (live_in, live) = mpsc::channel(QUEUE);
        let most_empty = EMPTY_ROOMS / shared.shards.max(1);
        shared.interest.add_shard(handle.clone(), live_in);
        let core = Core::new(shared, placement, away, handle.clone());
        let rooms = Rooms::new(kept, most_empty);
        (Self { core, rooms, survey: Survey::new(), commands, live }, handle)
    }

    /// Works until `end`, and no longer; nor once another node has this one's name.
    pub(crate) async fn run(mut self, end: CancellationToken, standstill: Arc<Standstill>) {
        let mut commands = Vec::with_capacity(PASS);
        let mut live = Vec::with_capacity(PASS);
        let sleep = tokio::time::sleep_until(Instant::now());
        tokio::pin!(sleep);
        loop {
            if let Some(next) = self.core.timers.next()
                && next != sleep.deadline()
            {
                sleep.as_mut().reset(next);
            }
            let crowded = self.core.crowd.waits();
            if crowded {
                // Whoever has something for a shard that is busy with a crowd needn't wait for all of it; and what comes
                // right behind a publication leaves with it.
                tokio::task::yield_now().await;
                if end.is_cancelled() {
                    return;
                }
                take_waiting(&mut self.commands, &mut commands);
                take_waiting(&mut self.live, &mut live);
            } else {
                tokio::select! {
                    () = end.cancelled() => return,
                    _ = self.commands.recv_many(&mut commands, PASS) => {}
                    _ = self.live.recv_many(&mut live, PASS) => {}
                    () = &mut sleep => {}
                }
            }
            if !standstill.is_sure() && end.run_until_cancelled(standstill.sure()).await != Some(true) {
                return;
            }
            for command in commands.drain(..) {
                self.carry_out(command);
                self.settle();
            }
            for message in live.drain(..) {
                self.live(message);
                self.settle();
            }
            self.wake_due();
            self.core.flush();
            if crowded {
                self.core.crowd.flush_some();
            }
        }
    }

    /// Does what the last call caused: questions that were answered at once, and requests that waited in their lane.
    fn settle(&mut self) {
        loop {
            if let Some(command) = self.core.later.pop_front() {
                self.carry_out(command);
            } else if let Some((conn, room)) = self.core.done.pop_front() {
                if let Some((conn, next)) = self.core.guests.done(&conn, &room) {
                    self.start(&conn, &room, next);
                }
            } else {
                return self.bound_empty_rooms();
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Client { conn, room, op } => self.client(&conn, &room, op),
            Command::Gone(conn, last_word) => self.gone(&conn, last_word),
            Command::Regranted(conn, grants) => self.regranted(&conn, &grants),
            Command::Asked(room, asked) => self.asked(&room, asked),
            Command::Answered { room, ask, result } => self.answered(&room, ask, result),
            Command::Stored { room, store, fates } => {
                self.in_durable(&room, |durable, around| durable.stored(around, store, fates));
            }
            Command::Read { room, read, result } => {
                self.in_durable(&room, |durable, around| durable.read(around, read, result));
            }
            Command::Stores(known) => self.stores_known(KnownHere::new(known)),
            Command::Paged(paged) => self.paged(*paged),
            Command::Forgot(forgot) => self.forgot(*forgot),
            Command::Listening { room } => self.listening(&room),
            Command::Counted { room, conn, id, result } => self.counted(&room, &conn, id, &result),
            Command::Tallied { from, tallies } => {
                let now = Instant::now();
                for tally in tallies {
                    self.core.tallies.report(&from, tally, now);
                }
            }
            Command::TallyLost(rooms) => {
                for room in rooms {
                    self.core.tallies.changed(room);
                }
            }
            Command::Placed(placement) => self.placed(placement),
            Command::Settled => self.core.new = false,
            Command::Configured { tenants, placement } => self.configured(tenants, placement),
            Command::Link { up } => self.link(up),
            Command::Doubt => self.every_room(Machine::doubt),
            // Whoever asked may be gone with the node.
            Command::Weigh { told } => drop(told.send(self.weigh())),
            Command::Survey { bars, told } => drop(told.send(self.survey(bars))),
            Command::Lighten { order, told } => drop(told.send(self.lighten(order))),
        }
    }

    fn wake_due(&mut self) {
        let now = Instant::now();
        while let Some(wake) = self.core.timers.pop(now) {
            match wake {
                Wake::Room { room, timer } => {
                    self.in_room(&room, |machine, around| {
                        if let Machine::Ephemeral(room) = machine {
                            room.timer(around, timer);
                        }
                    });
                }
                Wake::Durable { room, timer } => {
                    self.in_durable(&room, |durable, around| durable.timer(around, timer));
                }
                Wake::Join { conn, room, since, last, until } => {
                    if self.core.guests.is_in(&conn, &room) {
                        self.enter_listened_room(&conn, &room, since, last, until);
                    }
                }
                Wake::Page(wish) => self.read_page(wish),
                Wake::Flush(conns) => self.core.flush_these(conns),
                Wake::Tally => {
                    self.tell_tallies();
                    self.core.timers.add(now + TALLY_EVERY, Wake::Tally);
                }
                Wake::Sweep => {
                    self.sweep();
                    self.core.timers.add(now + SWEEP_EVERY, Wake::Sweep);
                }
            }
            self.settle();
        }
    }
}

/// Takes what is in a queue already, a pass's worth at most.
fn take_waiting<T>(queue: &mut mpsc::Receiver<T>, taken: &mut Vec<T>) {
    while taken.len() < PASS
        && let Ok(one) = queue.try_recv()
    {
        taken.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::guests::{Entry, Membership};

    #[tokio::test]
    async fn a_join_that_waited_for_a_room_forgotten_meanwhile_waits_until_that_is_listened_to() {
        let (mut shard, _) = scene::shard();
        let (conn, _held) = scene::connection().await;
        let room = scene::room("a");
        assert!(matches!(shard.core.guests.enter(&conn, &room, Op::Leave { id: None }), Entry::Now(_)));
        let membership = Membership { by_server: false, moved: false, answer: None };
        shard.core.guests.seat(&conn.id, &room, membership);
        let until = Instant::now();
        shard.core.timers.add(until, Wake::Join { conn, room: room.clone(), since: None, last: None, until });
        shard.wake_due();
        let hosted = shard.rooms.get(&room).unwrap();
        assert_eq!((hosted.waiting.len(), hosted.machine.members()), (1, 0));
    }

    #[tokio::test]
    async fn a_room_that_a_join_waits_for_is_not_forgotten_though_very_many_are_empty() {
        let (mut shard, _) = scene::shard();
        let (conn, _held) = scene::connection().await;
        let room = scene::room("a");
        shard.client(&conn, &scene::room("b"), join());
        // It is behind, so that its join waits.
        let filler = ringway_edge::Frame::text(&[b'x'; 300_000]);
        conn.way.push_for(&filler, ringway_edge::Due::Later);
        shard.client(&conn, &room, join());
        scene::until(&mut shard, |shard| {
            let hosted = shard.rooms.get(&room).unwrap();
            hosted.listening.is_yes() && hosted.waiting.is_empty()
        })
        .await;
        assert_eq!(shard.rooms.get(&room).unwrap().machine.members(), 0, "it waits");
        shard.forget_empty(10);
        shard.sweep();
        assert_eq!(shard.rooms.get(&room).map(|hosted| hosted.sockets), Some(1));
    }

    fn join() -> Op {
        Op::Join(Join { id: None, since: None, last: None, by_server: false, span: None })
    }
}
