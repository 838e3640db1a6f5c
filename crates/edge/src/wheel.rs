//! A wheel over all connections in place of timers of their own: who is pinged when, and asked after, and looked at.
//!
//! The connections lie on [`SPOKES`] spokes; which lies where is up to who keeps them, as long as each spoke has as many as
//! another. A turn takes as long as the time between two pings, and with each tick one spoke is pinged. So after a herd
//! has come back, its pings are spread over the turn like all others; a tick touches only a small share of the connections;
//! and between two pings of one there is one turn, whatever happens.

use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior};

/// How many parts all connections are in.
pub const SPOKES: usize = 240;

/// Between two pings: shorter than the 30 s after which the most impatient of common proxies and mobile networks
/// forget an idle connection.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);

/// Between two looks at a connection: 4.8 s.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(TICK.as_millis() as u64 * LOOK);

/// A connection that is younger isn't pinged yet: what it just got tells as much.
const YOUNG: Duration = Duration::from_secs(1);

/// A turn of the wheel, so that also who was too young for its first ping gets one in time.
const TURN: Duration = PING_INTERVAL.saturating_sub(YOUNG);

/// Between two ticks, one spoke each.
const TICK: Duration = Duration::from_millis(TURN.as_millis() as u64 / SPOKES as u64);

/// Ticks in a second.
const SECOND: u64 = 1_000 / TICK.as_millis() as u64;

/// Ticks between two looks at a connection.
const LOOK: u64 = SPOKES as u64 / 5;

/// Ticks after which a ping should have been answered: 10 s. So a peer that vanished is found within 35 s.
const ANSWER: u64 = 10 * SECOND;

/// A process that stood still for longer has read no answers: nobody is judged by those to the pings before.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// The wheel, which turns as long as somebody waits for its [`tick`](Wheel::tick).
#[derive(Debug)]
pub struct Wheel {
    turn: Turn,
    ticks: Interval,
    last: Instant,
}

/// What a tick is for. Spokes are numbered round and round: the rest by [`SPOKES`] is meant.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// When it is.
    pub now: Instant,
    turn: Turn,
}

impl Wheel {
    /// A wheel whose first tick is at once. Within a runtime.
    #[must_use]
    pub fn new() -> Wheel {
        let mut ticks = tokio::time::interval(TICK);
        // What is late is caught up with, so that no turn takes longer, but after a pause nothing is.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Wheel { turn: Turn::default(), ticks, last: Instant::now() }
    }

    /// Waits for the next tick. Cancel safe.
    pub async fn tick(&mut self) -> Tick {
        self.ticks.tick().await;
        let now = Instant::now();
        let stood_still = now - self.last > STOOD_STILL;
        if stood_still {
            self.ticks.reset();
        }
        self.last = now;
        self.turn.go_on(stood_still);
        Tick { now, turn: self.turn }
    }
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel::new()
    }
}

impl Tick {
    /// The spoke whose connections are pinged ([`Outbound::beat`](crate::Outbound::beat)), but for those that [are young](Tick::is_young).
    #[must_use]
    pub fn pinged(&self) -> u64 {
        self.turn.tick
    }

    /// The spoke whose connections should have answered ([`Outbound::cut_unless_alive`](crate::Outbound::cut_unless_alive)).
    #[must_use]
    pub fn asked_after(&self) -> Option<u64> {
        self.turn.asked_after()
    }

    /// The spokes whose connections are looked at, each every [`LOOK_INTERVAL`] ([`Outbound::check_stalled`](crate::Outbound::check_stalled)).
    pub fn looked_at(&self) -> impl Iterator<Item = u64> + use<> {
        self.turn.looked_at()
    }

    /// Whether it is the first of another second.
    #[must_use]
    pub fn is_second(&self) -> bool {
        self.turn.tick.is_multiple_of(SECOND)
    }

    /// Whether a connection was opened too lately for a ping.
    #[must_use]
    pub fn is_young(&self, opened: Instant) -> bool {
        self.now.saturating_duration_since(opened) < YOUNG
    }
}

/// Where the wheel is.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    tick: u64,
    /// Pings of earlier ticks aren't asked after.
    steady_since: u64,
}

impl Turn {
    fn asked_after(self) -> Option<u64> {
        self.tick.checked_sub(ANSWER).filter(|pinged| *pinged >= self.steady_since)
    }

    fn looked_at(self) -> impl Iterator<Item = u64> + use<> {
        (self.tick..self.tick + SPOKES as u64).step_by(LOOK as usize)
    }

    fn go_on(&mut self, stood_still: bool) {
        self.tick += 1;
        if stood_still {
            self.steady_since = self.tick;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_pings_each_spoke_once_asks_after_it_and_looks_at_it_often() {
        let turns = SPOKES as u64;
        assert_eq!(TICK * SPOKES as u32 + YOUNG, PING_INTERVAL);
        assert_eq!(TICK * ANSWER as u32, Duration::from_secs(10));
        let mut turn = Turn::default();
        let (mut pinged, mut asked, mut looked) = ([0; SPOKES], [0; SPOKES], [0; SPOKES]);
        for _ in 0..2 * turns {
            turn.go_on(false);
            if turn.tick <= turns {
                continue;
            }
            pinged[(turn.tick % turns) as usize] += 1;
            asked[(turn.asked_after().unwrap() % turns) as usize] += 1;
            turn.looked_at().for_each(|spoke| looked[(spoke % turns) as usize] += 1);
        }
        assert_eq!((pinged, asked, looked), ([1; SPOKES], [1; SPOKES], [5; SPOKES]));
    }

    #[test]
    fn after_a_pause_only_later_pings_are_asked_after() {
        let mut turn = Turn { tick: 1_000, steady_since: 0 };
        assert_eq!(turn.asked_after(), Some(1_000 - ANSWER));
        turn.go_on(true);
        for _ in 0..ANSWER {
            assert_eq!(turn.asked_after(), None);
            turn.go_on(false);
        }
        assert_eq!(turn.asked_after(), Some(1_001));
    }
}
