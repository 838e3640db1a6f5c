//! Who is in which room, at which node, and what is on its way: the decisions of one worker of a gateway. No I/O, no clock.
//!
//! One value a worker, under the worker's lock. Everything comes in by a method of [`Table`], and goes out by [`Around`]:
//!
//! | what happens | method |
//! |---|---|
//! | a client's upgrade was checked | [`add`](Table::add), [`open`](Table::open); then `Around::opened` |
//! | its socket is there | [`begin`](Table::begin) |
//! | a message of it | [`frame`](Table::frame) |
//! | it has gone, or never came | [`gone`](Table::gone) |
//! | its socket has taken what it was sent | [`credit`](Table::credit) |
//! | a record from a node | [`heard`](Table::heard); where that fails: cut the link, and `link_lost` |
//! | a link that was lost, or couldn't be made | [`link_lost`](Table::link_lost) |
//! | another view, or directory; a node that can be reached again, or leaves | [`look_again`](Table::look_again) |
//! | every few milliseconds while it says that there is more | [`work`](Table::work) |
//! | every second | [`tick`](Table::tick) |
//!
//! A client has a **place** at each node that it is open at; one of these is its home. It has a **seat** for each room that it is
//! in, or has asked for; a seat is served by one node, and moves to another by `Move` and `Rejoin`, with its position. Seats are what
//! there is most of: whatever few of them have lies beside them (`own`).
//!
//! | file | what it decides |
//! |---|---|
//! | `opens` | numbers, openings, beginnings, ends |
//! | `frame` | where a message goes, and when it has to wait |
//! | `heard`, `casts` | what a node's record means |
//! | `asked` | when what a client asked is over |
//! | `entered` | who is in which room, and where everybody is |
//! | `lost` | what becomes of what was at a node that is lost, or refuses |
//! | `placing` | at which node that goes on |
//! | `moving` | what should be elsewhere, and time |

mod around;
mod ask;
mod asked;
mod broken;
mod casts;
mod client;
mod clients;
mod entered;
mod frame;
mod heard;
mod lost;
mod moving;
mod opens;
mod own;
mod placing;
mod seat;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use client::{Client, Phase};
use clients::Clients;
use entered::Node;
use ringway_link::ConnNo;
use ringway_names::{NameNo, Names};
use ringway_protocol::name::{RoomName, TenantId};

pub(crate) use around::{Answered, Around, For, Lost, NodeNo, NotOpened, To};
pub(crate) use ask::Ask;
pub(crate) use broken::Broken;

/// Whether more may be read of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Yes.
    Go,
    /// What came is taken, but nothing more should be read until `Around::resume`. What has been read already may still be
    /// handed in: it waits its turn.
    Stop,
}

/// What [`Table::work`] has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing: call it again after the next `link_lost` or `look_again`.
    Done,
    /// More: call it again soon.
    More,
}

/// The table of one worker. `R`: what is kept with each declared room, [`Around::Room`].
#[derive(Debug)]
pub(crate) struct Table<R> {
    rooms: Names<RoomName>,
    tenants: Names<TenantId>,
    clients: Clients,
    /// By their numbers.
    nodes: Vec<Node<R>>,
    /// Clients of whom something has no node.
    queue: VecDeque<ConnNo>,
    /// Clients of whom something found no node.
    waiting: Vec<ConnNo>,
    /// Clients that are looked at each second.
    watched: Vec<ConnNo>,
    /// The next client to be looked at for what should be elsewhere, and how many are left of the round.
    look: (u32, u32),
    /// For lists of whom a cast is for.
    scratch: Vec<ConnNo>,
    /// A rule that is left out.
    #[cfg(test)]
    without: Option<Rule>,
}

/// What the simulation may leave out, to show that it would be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Who has left gets no casts.
    Exit,
    /// Who a cast leaves out stays where it is.
    Apart,
    /// What is sent to one alone moves it.
    Own,
    /// What is asked about a room that moves waits.
    Hold,
    /// What is asked behind an `auth` waits.
    Auth,
    /// New rights are passed on.
    Renew,
    /// Joins that weren't answered are asked again.
    Again,
    /// What can't be asked again is answered.
    Answers,
    /// Who is rejoined says where it is.
    Since,
    /// A number is free once all nodes have forgotten it.
    Number,
    /// A home that takes over says no `hello`.
    Hello,
    /// A join that a leave follows isn't asked again.
    Leaves,
    /// A home that another has taken over from is told.
    Former,
    /// Who publishes without being a member moves when all of that is done.
    Barrier,
    /// Rooms that the server joined are moved to where they live.
    Strays,
    /// What crosses the word that a client has gone means nothing.
    Closing,
    /// A client is in so many rooms at most.
    Limit,
    /// So much of a client's is on its way to a node at most.
    Window,
    /// Who isn't a member any more is told so, though the word is lost.
    Untold,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            rooms: Names::default(),
            tenants: Names::default(),
            clients: Clients::default(),
            nodes: Vec::new(),
            queue: VecDeque::new(),
            waiting: Vec::new(),
            watched: Vec::new(),
            look: (0, 0),
            scratch: Vec::new(),
            #[cfg(test)]
            without: None,
        }
    }
}

impl<R> Table<R> {
    /// Always, but in the simulation.
    #[allow(clippy::unused_self)]
    fn keeps(&self, rule: Rule) -> bool {
        #[cfg(test)]
        return self.without != Some(rule);
        #[cfg(not(test))]
        {
            let _ = rule;
            true
        }
    }

    /// Bytes that are owed to the client's nodes: what `Around::send` said last, less what [`credit`](Self::credit) gave back.
    pub(crate) fn owed(&self, conn: ConnNo) -> u32 {
        self.clients.get(conn).map_or(0, Client::owed)
    }

    /// Whether anything of any client is at this node, so that its link is needed.
    pub(crate) fn uses(&self, node: NodeNo) -> bool {
        self.nodes.get(usize::from(node.0)).is_some_and(|node| node.places > 0)
    }

    fn node(&mut self, node: NodeNo) -> &mut Node<R> {
        let index = usize::from(node.0);
        if index >= self.nodes.len() {
            self.nodes.resize_with(index + 1, Node::default);
        }
        &mut self.nodes[index]
    }

    /// Ends what was done with a client that was taken out: what could wait no longer goes on, and it is put back.
    fn settle<A: Around<Room = R>>(&mut self, around: &mut A, conn: ConnNo, mut client: Box<Client>) {
        if client.phase != Phase::Gone {
            self.pass_held(around, conn, &mut client);
            if client.stopped && client.may_resume() {
                client.stopped = false;
                around.resume(conn);
            }
        }
        self.put_back(conn, client);
    }

    fn put_back(&mut self, conn: ConnNo, mut client: Box<Client>) {
        client.tidy();
        let forgotten = client.places.is_empty() || !self.keeps(Rule::Number);
        if client.phase == Phase::Gone && forgotten {
            self.rooms_released(&client);
            self.clients.free(conn);
        } else {
            self.clients.put(conn, client);
        }
    }

    fn rooms_released(&mut self, client: &Client) {
        debug_assert!(client.seats.is_empty(), "who has gone has no seats");
        self.tenants.release(client.tenant);
        if client.home_room != NameNo::NONE {
            self.rooms.release(client.home_room);
        }
    }
}

#[cfg(test)]
impl<R> Table<R> {
    /// How many clients have a number, those whose nodes haven't forgotten them among them.
    fn clients(&self) -> usize {
        self.clients.count()
    }

    /// Nothing is kept of anybody.
    fn is_empty(&self) -> bool {
        self.clients.count() == 0
            && self.clients.end() == 0
            && self.rooms.is_empty()
            && self.tenants.is_empty()
    }

    /// About what it takes of memory, in bytes, without names.
    fn bytes(&self) -> usize {
        let clients = (0..self.clients.end()).filter_map(|number| self.clients.get(ConnNo(number)));
        let clients: usize = clients.map(Client::bytes).sum();
        let rooms = self.nodes.iter().flat_map(|node| node.rooms.iter().flatten());
        let entered: usize = rooms.map(|room| room.entered.capacity() * size_of::<ConnNo>()).sum();
        clients + entered + self.clients.bytes() + self.watched.capacity() * size_of::<ConnNo>()
    }
}
