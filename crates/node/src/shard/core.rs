//! What a shard has besides its rooms: connections, timers, the backplane, and what is to be done after a call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::Backplane;
use ringway_backplane::message::Answer;
use ringway_config::Tenants;
use ringway_edge::{Crowd, Due, Frame, Outbound, Pass, Pushed};
use ringway_link::At;
use ringway_protocol::frame::Position;
use ringway_protocol::name::{ConnId, GroupId, TenantId};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::around::Unanswered;
use super::command::{Command, RoomKey};
use super::formers::Formers;
use super::guests::Guests;
use super::history::{Pages, Wish};
use super::keeping::{Keeping, KnownHere};
use super::questions::UNDER_WAY;
use super::tally::Tallies;
use super::timers::Timers;
use crate::conn::ConnRef;
use crate::interest::{Came, Interests};
use crate::live_count::LiveCount;
use crate::metrics::NodeMetrics;
use crate::placement::Placement;
use crate::room::{AskError, AskId, Timer};
use crate::tenant::TenantsHere;
use crate::way::Way;
use crate::{durable, encode};

/// Something a shard is to do at a given moment.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A room asked for it.
    Room { room: RoomKey, timer: Timer },
    /// A durable room did.
    Durable { room: RoomKey, timer: durable::Timer },
    /// A join that waited for its connection to take what it was sent.
    Join { conn: ConnRef, room: RoomKey, since: Option<Position>, last: Option<u32>, until: Instant },
    /// A page of history whose connection was behind.
    Page(Box<Wish>),
    /// Publications that waited for others to leave with have waited long enough.
    Flush(Vec<Arc<Outbound>>),
    /// Tell rooms' owners how many are here.
    Tally,
    /// Forget rooms that nobody needs.
    Sweep,
}

/// How often changed numbers are told to rooms' owners.
pub(crate) const TALLY_EVERY: Duration = Duration::from_millis(250);

/// How often rooms without members are looked at.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Within so many sweeps each watched room was looked at: its replay buffer loses what is too old.
pub(crate) const SWEEPS_OF_ALL: u64 = 30;

/// What all shards of a node share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) backplane: Arc<dyn Backplane>,
    /// As of the last configuration that the shard was told of.
    pub(crate) tenants: Tenants,
    pub(crate) here: Arc<TenantsHere>,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) tasks: TaskTracker,
    /// How many shards there are.
    pub(crate) shards: usize,
    /// Numbers this node's live messages.
    pub(crate) live_count: LiveCount,
    pub(crate) started: std::time::Instant,
    pub(crate) interest: Arc<Interests>,
    /// None: nothing can be kept, so no room can be durable.
    pub(crate) keeping: Option<Keeping>,
}

#[derive(Debug)]
pub(crate) struct Core {
    shared: Shared,
    pub(crate) placement: Arc<Placement>,
    /// The same, for tasks that wait for a change of it.
    pub(crate) placements: watch::Sender<Arc<Placement>>,
    pub(crate) formers: Formers,
    pub(crate) away: bool,
    /// The node has only just begun to take part: see [`Command::Settled`].
    pub(crate) new: bool,
    /// The way back into this shard's own queue, for tasks that it started.
    pub(crate) inbox: mpsc::Sender<Command>,
    /// What came while that was to be counted.
    pub(crate) came: Came,
    pub(crate) under_way: Arc<Semaphore>,
    pub(crate) guests: Guests,
    pub(crate) pages: Pages,
    pub(crate) tallies: Tallies,
    /// What was last told of the stores.
    pub(crate) known: KnownHere,
    pub(crate) unanswered: Unanswered,
    pub(crate) timers: Timers<Wake>,
    /// Lanes whose request has been answered within the present call.
    pub(crate) done: VecDeque<(ConnId, RoomKey)>,
    /// What the present call has caused, to be handled when it is over.
    pub(crate) later: VecDeque<Command>,
    /// What was pushed in this pass, to be flushed at its end.
    pass: Pass,
    /// Connections to be flushed in their turn.
    pub(crate) crowd: Crowd,
    /// Numbers what comes back later: questions, what is stored, what is read.
    numbers: u64,
}

impl std::ops::Deref for Core {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Core {
    pub(crate) fn new(
        shared: Shared,
        placement: Arc<Placement>,
        away: bool,
        inbox: mpsc::Sender<Command>,
    ) -> Self {
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        let crowd = Crowd::new(threads.saturating_sub(1), shared.tasks.clone());
        let mut timers = Timers::new();
        timers.add(Instant::now() + TALLY_EVERY, Wake::Tally);
        timers.add(Instant::now() + SWEEP_EVERY, Wake::Sweep);
        // In one process whoever is there is heard at once.
        let new = shared.backplane.reaches_others();
        let known = shared.keeping.as_ref().map(|keeping| KnownHere::new(keeping.stores.now()));
        Self {
            shared,
            placements: watch::Sender::new(placement.clone()),
            placement,
            formers: Formers::default(),
            away,
            new,
            inbox,
            came: Came::default(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY)),
            guests: Guests::default(),
            pages: Pages::default(),
            tallies: Tallies::default(),
            known: known.unwrap_or_default(),
            unanswered: Unanswered::default(),
            timers,
            done: VecDeque::new(),
            later: VecDeque::new(),
            pass: Pass::default(),
            crowd,
            numbers: 0,
        }
    }

    /// The group that a tenant's publications live in; none: no such tenant.
    pub(crate) fn group(&self, tenant: &TenantId) -> Option<GroupId> {
        self.tenants.get(tenant).map(|t| t.group.clone())
    }

    /// Other tenants and classes hold from now on.
    pub(crate) fn configure(&mut self, tenants: Tenants) {
        self.shared.tenants = tenants;
    }

    pub(crate) fn count_live(&self) -> u64 {
        self.live_count.next()
    }

    /// Never twice in a shard.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Hands a room the answer to its question when the present call is over.
    pub(crate) fn later_answer(&mut self, room: RoomKey, ask: AskId, result: Result<Answer, AskError>) {
        self.later.push_back(Command::Answered { room, ask, result });
    }

    /// Adds a frame to what a connection gets at the end of this pass. What waits for it already leaves with it.
    pub(crate) fn push(&mut self, conn: &ConnRef, frame: &Frame) {
        self.push_at(conn, frame, None);
    }

    /// Like [`push`](Self::push). `at`: where the client is in a room once it has it, for the gateway that holds its socket.
    pub(super) fn push_at(&mut self, conn: &ConnRef, frame: &Frame, at: Option<At>) {
        self.pass.note(conn.way.push_at(frame, at, Due::Now), conn.way.outbound());
    }

    /// What was pushed there, if a flush was promised, is flushed at the end of this pass.
    pub(super) fn note(&mut self, pushed: Pushed, to: &Arc<Outbound>) {
        self.pass.note(pushed, to);
    }

    /// A connection begins, and its hello waits to be written: by this pass, together with the answer to its first join
    /// where that is known at once.
    pub(crate) fn take_over_flush(&mut self, conn: &ConnRef) {
        self.pass.take_over(conn.way.outbound());
    }

    /// Adds a publication to what those of these connections get that have sockets here: at the end of this pass, where
    /// they are many in their turn, or after `window` if that isn't zero. Returns how many they are.
    pub(crate) fn cast<'a>(
        &mut self,
        frame: &mut encode::Shared<'_>,
        window: Duration,
        to: impl Iterator<Item = &'a ConnRef>,
    ) -> u64 {
        let sockets = to.filter_map(|conn| match &conn.way {
            Way::Socket(outbound) => Some((conn.format, outbound)),
            Way::Link(_) => None,
        });
        let count = self.pass.cast(frame, window, sockets);
        for (window, conns) in self.pass.later() {
            self.timers.add(Instant::now() + window, Wake::Flush(conns));
        }
        count
    }

    /// Frames for these have waited long enough.
    pub(crate) fn flush_these(&mut self, conns: Vec<Arc<Outbound>>) {
        self.pass.flush_these(conns);
    }

    /// Writes what this pass has brought: one write a connection.
    pub(crate) fn flush(&mut self) {
        self.pass.flush(&self.crowd);
    }
}
