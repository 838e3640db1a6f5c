//! What a shard has besides its rooms: connections, timers, the backplane, and what is to be done after a call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::Backplane;
use ringway_backplane::message::Answer;
use ringway_config::Tenants;
use ringway_edge::{Due, Frame, Outbound, Pushed};
use ringway_protocol::frame::Position;
use ringway_protocol::name::{ConnId, GroupId, TenantId};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::around::Unanswered;
use super::command::{Command, RoomKey};
use super::crowd::{Crowd, MANY, WARMED};
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
    /// Connections to be flushed at the end of this pass.
    touched: Vec<Arc<Outbound>>,
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
        let crowd = Crowd::new(threads, shared.tasks.clone());
        let mut timers = Timers::new();
        timers.add(Instant::now() + TALLY_EVERY, Wake::Tally);
        timers.add(Instant::now() + SWEEP_EVERY, Wake::Sweep);
        // In one process whoever is there is heard at once.
        let new = shared.backplane.reaches_others();
        let known = shared.keeping.as_ref().map(|keeping| KnownHere::new(keeping.stores.now()));
        Self {
            shared,
            placement,
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
            touched: Vec::new(),
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
        if conn.outbound.push_for(frame, Due::Now) == Pushed::Promised {
            self.touched.push(conn.outbound.clone());
        }
    }

    /// A connection begins, and its hello waits to be written: by this pass, together with the answer to its first join
    /// where that is known at once.
    pub(crate) fn take_over_flush(&mut self, conn: &ConnRef) {
        self.touched.push(conn.outbound.clone());
    }

    /// Adds a publication to what these connections get: at the end of this pass, where they are many in their turn,
    /// or after `window` if that isn't zero. Returns how many they are.
    pub(crate) fn cast<'a>(
        &mut self,
        mut frame: encode::Shared<'_>,
        window: Duration,
        to: impl Iterator<Item = &'a ConnRef>,
    ) -> u64 {
        let due = match to.size_hint().1 {
            _ if !window.is_zero() => Due::Later,
            Some(most) if most < MANY => Due::Now,
            _ => Due::Soon,
        };
        let mut promised = if due == Due::Now { std::mem::take(&mut self.touched) } else { Vec::new() };
        let mut count = 0;
        let mut to = to.map(|conn| (conn.format, &conn.outbound));
        let mut some = Vec::with_capacity(WARMED);
        loop {
            some.clear();
            some.extend(to.by_ref().take(WARMED));
            if some.is_empty() {
                break;
            }
            some.iter().for_each(|(_, outbound)| outbound.warm());
            for (format, outbound) in &some {
                if outbound.push_for(frame.of(*format), due) == Pushed::Promised {
                    promised.push(Arc::clone(outbound));
                }
            }
            count += some.len() as u64;
        }
        match due {
            Due::Later if promised.is_empty() => {}
            Due::Later => self.timers.add(Instant::now() + window, Wake::Flush(promised)),
            Due::Soon => self.crowd.add(promised),
            Due::Now => self.touched = promised,
        }
        count
    }

    /// Frames for these have waited long enough.
    pub(crate) fn flush_these(&mut self, mut conns: Vec<Arc<Outbound>>) {
        if conns.len() < MANY {
            self.touched.append(&mut conns);
        } else {
            self.crowd.add(conns);
        }
    }

    /// Writes what this pass has brought: one write a connection.
    pub(crate) fn flush(&mut self) {
        for conn in self.touched.drain(..) {
            conn.flush();
        }
    }
}
