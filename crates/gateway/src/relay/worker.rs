//! A worker: some of the gateway's clients, a link to each node that they need, and the table between them, under one lock.
//!
//! Whoever has something locks it, lets the table decide, and lets it go before anything is written: the task that reads a
//! link, a client's own task, timers. So nothing changes hands between tasks on a publication's way.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringway_auth::LinkKey;
use ringway_backplane::Backplane;
use ringway_edge::Outbound;
use ringway_link::{ConnNo, Down};
use ringway_ring::{Announcement, NodeId, View};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::credit::WORTH_TELLING;
use super::hands::{After, Hands};
use super::link::{self, Cut, LinkMetrics};
use super::pass::{Crowd, Pass};
use super::sockets::RoomHere;
use super::table::{Broken, NodeNo, Table, Work};
use super::tenants::TenantsHere;
use crate::auth::Directory;
use crate::route::Router;
use crate::ticket::Tickets;

/// How long the lock is held to place and move memberships: who is placed already waits for it.
const TURN: Duration = Duration::from_millis(2);

/// Memberships between two looks at the clock.
const BUDGET: usize = 32;

/// While so many bytes wait for some link, nobody else is placed or moved: they would only fill its queue.
const ENOUGH: usize = 1 << 20;

/// Turns that are passed over for that at most, one after the other: a link that stands still is one node's.
const PATIENCE: u8 = 100;

/// A link that lived shorter than this counts towards [`HASTY`].
const SHORT: Duration = Duration::from_secs(1);

/// So many short-lived links to a node, one after the other, and it is passed over for a moment.
const HASTY: u8 = 3;

/// How long that is.
const PASSED_OVER: Duration = Duration::from_secs(1);

/// What all workers share.
pub(crate) struct Common {
    pub(crate) name: NodeId,
    pub(crate) router: Arc<Router>,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) links: LinkKey,
    pub(crate) directory: watch::Receiver<Arc<Directory>>,
    pub(crate) tenants: Arc<TenantsHere>,
    pub(crate) metrics: LinkMetrics,
    /// Ends links and timers.
    pub(crate) stop: CancellationToken,
    /// Every task of workers and links.
    pub(crate) tasks: TaskTracker,
    pub(crate) crowd: Crowd,
}

/// One of the gateway's workers.
pub(crate) struct Worker {
    state: Mutex<State>,
    common: Arc<Common>,
    /// The table has work to do.
    pub(super) stirred: Notify,
    /// Some node is owed credit, or some link is crowded.
    pub(super) owing: Notify,
}

struct State {
    table: Table<RoomHere>,
    hands: Hands,
}

thread_local! {
    /// What the pass at hand leaves to be done, in the place of the worker's own, so that its lists keep their room.
    static SPARE: RefCell<Pass> = RefCell::default();
}

impl Worker {
    pub(crate) fn new(common: Arc<Common>) -> Self {
        let hands = Hands::new(Arc::clone(&common));
        let state = Mutex::new(State { table: Table::default(), hands });
        Self { state, common, stirred: Notify::new(), owing: Notify::new() }
    }

    pub(crate) fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// Does something under the worker's lock, and then what came of it: what was pushed is written.
    pub(crate) fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Table<RoomHere>, &mut Hands) -> T) -> T {
        let mut pass = SPARE.take();
        let mut state = self.state.lock();
        let State { table, hands } = &mut *state;
        let result = act(table, hands);
        let after = hands.take_after(&mut pass);
        drop(state);
        self.finish(after, &mut pass);
        SPARE.set(pass);
        result
    }

    /// Writes what was pushed under the lock, makes links that are missed, and wakes who waits.
    pub(super) fn carry_out(self: &Arc<Self>) {
        self.with(|_, _| ());
    }

    fn finish(self: &Arc<Self>, mut after: After, pass: &mut Pass) {
        loop {
            for node in after.starts {
                self.common.tasks.spawn(link::live(Arc::clone(self), node));
            }
            pass.carry_out(&self.common.crowd);
            if !after.owes {
                return;
            }
            // Only now it has left. What that says to nodes is written in another round.
            after = self.give_credit(pass);
        }
    }

    /// Tells nodes what has left of what they sent. Where a client is behind, it is looked at again later.
    fn give_credit(&self, pass: &mut Pass) -> After {
        let mut state = self.state.lock();
        let State { table, hands } = &mut *state;
        for conn in hands.sockets.take_owing() {
            let waiting = hands.sockets.clients.get(conn).map_or(0, |client| client.out.queued_bytes());
            table.credit(hands, conn, waiting);
            if table.owed(conn) >= WORTH_TELLING {
                hands.behind.push(conn);
            }
        }
        let is_any_behind = !hands.behind.is_empty();
        let after = hands.take_after(pass);
        drop(state);
        if is_any_behind {
            self.owing.notify_one();
        }
        after
    }

    /// Looks again at clients, and links, that were behind.
    pub(super) fn look_at_behind(self: &Arc<Self>) {
        let is_relieved = self.with(|_, hands| {
            for conn in std::mem::take(&mut hands.behind) {
                hands.sockets.look_again_at(conn);
            }
            hands.relieve()
        });
        if !is_relieved {
            self.owing.notify_one();
        }
    }

    /// Looks at something under the worker's lock.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Hands) -> T) -> T {
        look(&mut self.state.lock().hands)
    }

    /// A record from a node. What it brings is written by [`carry_out`](Self::carry_out), once the pass is over.
    pub(super) fn heard(&self, node: NodeNo, record: &Down<'_>) -> Result<(), Broken> {
        let mut state = self.state.lock();
        let State { table, hands } = &mut *state;
        table.heard(hands, node, record)?;
        if hands.take_changed() {
            table.look_again();
            self.stirred.notify_one();
        }
        Ok(())
    }

    /// The link is there: what waited for it is pushed. False: too much did.
    pub(super) fn link_up(self: &Arc<Self>, node: NodeNo, out: &Arc<Outbound>) -> bool {
        self.with(|_, hands| hands.link_up(node, out))
    }

    /// The link is gone, or couldn't be made; `lived`: how long it stood.
    pub(super) fn link_lost(self: &Arc<Self>, node: NodeNo, why: Cut, lived: Option<Duration>) {
        if self.common.stop.is_cancelled() {
            return;
        }
        self.common.metrics.cut(why);
        let announced = self.announcement(node);
        if let Some(announced) = &announced {
            tracing::info!(node = %announced.id, ?why, ?lived, "a link to a node is gone");
            if why == Cut::Silent {
                self.common.router.pass_over(announced);
            }
        }
        self.with(|table, hands| {
            hands.nodes.lost(node, Instant::now());
            if hands.nodes.is_hasty(node, lived.is_some_and(|lived| lived < SHORT), HASTY) {
                hands.nodes.refused(node, Instant::now() + PASSED_OVER);
            }
            if hands.look_around() {
                table.look_again();
            }
            table.link_lost(hands, node);
        });
        self.stirred.notify_one();
    }

    /// The gateway ends, and so does the link.
    pub(super) fn link_over(&self, node: NodeNo) {
        self.state.lock().hands.nodes.ended(node);
    }

    /// Whether anything of any client is there.
    pub(super) fn needs(&self, node: NodeNo) -> bool {
        self.state.lock().table.uses(node)
    }

    /// Gives the link up, unless somebody needs it by now. True: nothing is said over it any more.
    pub(super) fn link_unneeded(&self, node: NodeNo) -> bool {
        let mut state = self.state.lock();
        let State { table, hands } = &mut *state;
        let is_unneeded = !table.uses(node);
        if is_unneeded {
            hands.nodes.ended(node);
            // With what it declared.
            table.link_lost(hands, node);
        }
        is_unneeded
    }

    /// When the node's last link was lost.
    pub(super) fn last_lost(&self, node: NodeNo) -> Option<Instant> {
        self.state.lock().hands.nodes.last_lost(node)
    }

    /// The node is there, but takes no link: it is passed over for a while.
    pub(super) fn link_refused(&self, node: NodeNo, until: Instant) {
        self.state.lock().hands.nodes.refused(node, until);
    }

    pub(super) fn node_id(&self, node: NodeNo) -> Option<NodeId> {
        self.state.lock().hands.nodes.id(node).cloned()
    }

    /// What the node last said of itself.
    pub(super) fn announcement(&self, node: NodeNo) -> Option<Announcement> {
        let id = self.node_id(node)?;
        self.common.router.view().node(&id).cloned()
    }

    /// Another view, or directory, or a node that can be reached again.
    pub(super) fn look_around(self: &Arc<Self>, view: Arc<View>, directory: Arc<Directory>) {
        let changed = self.with(|table, hands| {
            let changed = hands.see(view, directory);
            if changed {
                table.look_again();
            }
            changed
        });
        if changed {
            self.stirred.notify_one();
        }
    }

    /// Places and moves some. True while there is more.
    pub(super) fn work(self: &Arc<Self>) -> bool {
        let begun = Instant::now();
        self.with(|table, hands| {
            if hands.nodes.is_any_behind(ENOUGH) && hands.waited < PATIENCE {
                hands.waited += 1;
                return true;
            }
            hands.waited = 0;
            while table.work(hands, BUDGET) == Work::More {
                if begun.elapsed() >= TURN {
                    return true;
                }
            }
            false
        })
    }

    /// A second has passed.
    pub(super) fn tick(self: &Arc<Self>) {
        let pardoned = self.with(|table, hands| {
            let pardoned = hands.nodes.pardon(Instant::now());
            if pardoned && hands.look_around() {
                table.look_again();
            }
            table.tick(hands);
            hands.sockets.overstays.close(Instant::now());
            hands.tidy(|node| table.uses(node));
            pardoned
        });
        if pardoned {
            self.stirred.notify_one();
        }
    }

    /// The client is gone, or never came.
    pub(crate) fn gone(self: &Arc<Self>, conn: ConnNo) {
        self.with(|table, hands| {
            hands.forget(conn);
            table.gone(hands, conn);
        });
    }
}
