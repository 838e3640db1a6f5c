//! Connections come home: those whose home is another node by now are told to move (`goaway`), at the pool's pace, and
//! those that have stood for as long as connections may.
//!
//! One task a node. It looks at all connections in turn, a few of the registry's spokes with each tick, and hurries where
//! homes have changed; what it finds is summed up by spoke, and announced. It decides who is told, and when: `plan` how
//! many, `told` who had better be left alone, `life` whose time is over. It closes nobody but who was told so before.

mod credit;
mod home;
mod life;
mod look;
mod plan;
mod told;
mod word;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ringway_protocol::close::CloseCode;
use ringway_ring::View;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::configured::Configured;
use crate::conn::{Conn, ConnRef};
use crate::node::Inner;
use crate::placement::Placement;
use crate::registry::SPOKES;
use crate::standstill::PAUSE;
use credit::Credit;
pub(crate) use home::Home;
use life::LastWords;
use look::Found;
use plan::{Known, Plan};
use told::Told;
pub(crate) use word::Reason;
use word::Word;

/// Why who outstays its time is closed.
const OVER: &str = "lifetime";

/// Between two ticks.
const TICK: Duration = Duration::from_millis(100);

/// How many connections of this node are to be told that their home is elsewhere, for the announcement.
#[derive(Debug, Default)]
pub(crate) struct ToMove(AtomicU64);

impl ToMove {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
struct Moves {
    view: watch::Receiver<Arc<View>>,
    configured: watch::Receiver<Arc<Configured>>,
    present: Arc<Configured>,
    placement: Placement,
    plan: Plan,
    told: Told,
    /// How many lives may be ended by now.
    ends: Credit,
    last_words: LastWords<Weak<Conn>>,
    found: Box<[Found; SPOKES]>,
    /// The spoke that is looked at next.
    next: usize,
    /// And of those where somebody is misplaced.
    again: usize,
    /// How many spokes are still to be looked at in a hurry.
    hurried: usize,
    /// The spoke where somebody is told next.
    telling: usize,
    moved: Word,
    lifetime: Word,
    linked: bool,
    last: Instant,
    hasher: RandomState,
}

/// Tells connections to move, until `end`.
pub(crate) async fn run(node: Arc<Inner>, end: CancellationToken) {
    let mut moves = Moves::new(&node, Instant::now());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if node.is_leaving() {
            // Everybody is sent away.
            return;
        }
        moves.tick(&node, Instant::now()).await;
    }
}

impl Moves {
    fn new(node: &Inner, now: Instant) -> Moves {
        let (mut view, mut configured) = (node.view.clone(), node.configured.clone());
        let placement = node.placement(view.borrow_and_update().clone());
        let present = configured.borrow_and_update().clone();
        Moves {
            view,
            configured,
            present,
            placement,
            plan: Plan::new(now, rand::random()),
            told: Told::default(),
            ends: Credit::new(now, 0.0),
            last_words: LastWords::default(),
            found: Box::new([Found::default(); SPOKES]),
            next: 0,
            again: 0,
            hurried: 0,
            telling: 0,
            moved: Word::new(Reason::moved),
            lifetime: Word::new(Reason::lifetime),
            linked: false,
            last: now,
            hasher: RandomState::new(),
        }
    }

    async fn tick(&mut self, node: &Inner, now: Instant) {
        self.notice_changes(node, now);
        self.told.tidy(now);
        let spokes = self.spokes_now();
        let lives = self.ends_now(node, now);
        self.look(node, now, spokes, lives).await;
        self.tell_misplaced(node, now);
        self.close_overdue(now);
        let sum = |of: fn(&Found) -> u64| self.found.iter().map(of).sum::<u64>();
        node.metrics.misplaced.set(i64::try_from(sum(|found| found.misplaced)).unwrap_or(i64::MAX));
        // Who tells nobody takes no part of the pool's pace from those who do.
        let to_move = if self.tells() { sum(|found| found.waiting) } else { 0 };
        node.to_move.0.store(to_move, Ordering::Relaxed);
    }

    fn notice_changes(&mut self, node: &Inner, now: Instant) {
        // Whoever makes views, or reads the configuration, may have gone: then nothing changes any more.
        let changed = |one: Result<bool, _>| one.unwrap_or(false);
        let configured = changed(self.configured.has_changed());
        if changed(self.view.has_changed()) || configured {
            let view = self.view.borrow_and_update().clone();
            self.present = self.configured.borrow_and_update().clone();
            let placement = node.placement(view);
            let moved = !placement.same_homes(&self.placement);
            if moved {
                self.plan.changed(now);
            }
            if moved || configured {
                self.hurried = SPOKES;
            }
            self.placement = placement;
        }
        let linked = node.backplane.link().borrow().up;
        let stood_still = now.saturating_duration_since(self.last) > PAUSE;
        if stood_still || (linked && !self.linked) {
            // Others may have come and gone meanwhile.
            self.plan.changed(now);
        }
        (self.linked, self.last) = (linked, now);
    }

    /// Whether anybody may be told now: the link is up, and others know this node.
    fn tells(&self) -> bool {
        self.linked && home::knows_its_place(&self.placement)
    }

    /// Tells as many as it is time for.
    fn tell_misplaced(&mut self, node: &Inner, now: Instant) {
        if !self.tells() {
            return;
        }
        let waiting = self.found.iter().map(|found| found.waiting).sum();
        let view = self.view.borrow().clone();
        let others =
            view.nodes().filter(|other| other.pool == self.placement.pool && other.id != self.placement.me);
        let elsewhere = others.map(|other| other.load.misplaced).sum();
        let known = Known { waiting, elsewhere, rate: self.present.placement.moves_per_second };
        let mut left = self.plan.now(now, known);
        let mut some = Vec::new();
        for _ in 0..SPOKES {
            if left == 0 {
                return;
            }
            if self.found[self.telling].waiting > 0 {
                node.registry.on_spoke(self.telling as u64, &mut some);
                for conn in some.drain(..) {
                    if left > 0
                        && !conn.way.is_closed()
                        && self.may_be_told(&conn, now)
                        && Home::is_elsewhere(&conn, &self.placement)
                    {
                        left -= 1;
                        self.tell(node, &conn, now, Reason::moved);
                        let waiting = &mut self.found[self.telling].waiting;
                        *waiting = waiting.saturating_sub(1);
                    }
                }
                if left == 0 {
                    // There may be more on this one.
                    return;
                }
                self.found[self.telling].waiting = 0;
            }
            self.telling = (self.telling + 1) % SPOKES;
        }
    }

    fn may_be_told(&self, conn: &Conn, now: Instant) -> bool {
        self.plan.is_ripe(conn.way.opened(), now) && self.told.lately(self.client(conn), now).is_none()
    }

    /// Tells a connection whose time is over. True: it did so.
    fn end_life(&mut self, node: &Inner, conn: &ConnRef, now: Instant) -> bool {
        let Some(lifetime) = self.present.placement.connection_lifetime else { return false };
        let opened = conn.way.opened();
        if life::end(opened, lifetime, life::chance(&conn.id)) > now {
            return false;
        }
        let linked = conn.way.linked();
        let was_told = match linked {
            // Perhaps by another node.
            Some(linked) => linked.is_told_to_go(),
            // That its client was told on an earlier connection is how it comes to this one.
            None => self.told.lately(self.client(conn), now).is_some_and(|told| told >= opened),
        };
        if was_told {
            return false;
        }
        self.tell(node, conn, now, Reason::lifetime);
        let grace = life::grace(lifetime);
        match linked {
            // This node may have nothing of it any more by then.
            Some(linked) => linked.close_later(grace, CloseCode::RESTART, OVER),
            None => self.last_words.told(Arc::downgrade(conn), now + grace),
        }
        true
    }

    fn tell(&mut self, node: &Inner, conn: &ConnRef, now: Instant, reason: Reason) {
        self.told.note(self.client(conn), now);
        let word = if reason == Reason::lifetime { &self.lifetime } else { &self.moved };
        word.tell(conn);
        node.metrics.told_to_move(reason);
    }

    /// Closes those whose time is over, and who didn't go.
    fn close_overdue(&mut self, now: Instant) {
        while let Some(conn) = self.last_words.next_over(now) {
            if let Some(conn) = conn.upgrade() {
                conn.way.close(CloseCode::RESTART, OVER);
            }
        }
    }

    /// The client behind a connection, the same on its next one.
    fn client(&self, conn: &Conn) -> u64 {
        self.hasher.hash_one((&conn.tenant.id, &conn.session))
    }
}
