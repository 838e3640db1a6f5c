//! A wheel over all connections in place of timers of their own: pings, the silent, the stuck, the expired.
//!
//! The connections lie on the registry's spokes. A turn takes as long as the time between two pings, and with each tick
//! one spoke is pinged. So after a herd has come back, its pings are spread over the turn like all others; a tick
//! touches only a small share of the connections; and between two pings of one there is one turn, whatever happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_edge::Frame;
use ringway_protocol::close::CloseCode;
use ringway_protocol::codec::Format;
use ringway_protocol::frame::ServerFrame;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::conn::ConnRef;
use crate::encode::finished;
use crate::node::Inner;
use crate::registry::SPOKES;

/// Between two pings: shorter than the 30 s after which the most impatient of common proxies and mobile networks
/// forget an idle connection.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(25);

/// A connection that is younger isn't pinged yet: what it just got tells as much.
const YOUNG: Duration = Duration::from_secs(1);

/// A turn of the wheel, so that also who was too young for its first ping gets one in time.
const TURN: Duration = PING_INTERVAL.saturating_sub(YOUNG);

/// Between two ticks, one spoke each.
const TICK: Duration = Duration::from_millis(TURN.as_millis() as u64 / SPOKES as u64);

/// Ticks in a second.
const SECOND: u64 = 1_000 / TICK.as_millis() as u64;

/// Ticks between two looks at a connection: whether its socket is stuck, and whether its token ends soon. 4.8 s.
const LOOK: u64 = SPOKES as u64 / 5;

/// Ticks after which a ping should have been answered: 10 s. So a peer that vanished is found within 35 s.
const ANSWER: u64 = 10 * SECOND;

/// A process that stood still for longer has read no answers: nobody is judged by those to the pings before.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// What a tick is for.
#[derive(Debug)]
struct Wheel {
    tick: u64,
    /// Pings of earlier ticks aren't asked after.
    steady_since: u64,
}

impl Wheel {
    /// The spoke whose connections are pinged.
    fn pinged(&self) -> u64 {
        self.tick
    }

    /// The spoke whose connections should have answered.
    fn asked_after(&self) -> Option<u64> {
        self.tick.checked_sub(ANSWER).filter(|pinged| *pinged >= self.steady_since)
    }

    /// The spokes whose connections are looked at.
    fn looked_at(&self) -> impl Iterator<Item = u64> {
        (self.tick..self.tick + SPOKES as u64).step_by(LOOK as usize)
    }

    fn turn(&mut self, stood_still: bool) {
        self.tick += 1;
        if stood_still {
            self.steady_since = self.tick;
        }
    }
}

/// Turns the wheel until `end`.
pub(crate) async fn run(node: Arc<Inner>, end: CancellationToken) {
    // A browser's code can't see the WebSocket ping, a bare WebSocket library answers nothing else: both, in one write.
    let beat_of = |format| [Frame::ping(&[]), finished(format, &ServerFrame::Ping)];
    let (json, msgpack) = (beat_of(Format::Json), beat_of(Format::Msgpack));
    let mut ticks = tokio::time::interval(TICK);
    // What is late is caught up with, so that no turn takes longer, but after a pause nothing is.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut wheel = Wheel { tick: 0, steady_since: 0 };
    let mut last = Instant::now();
    let mut some: Vec<ConnRef> = Vec::new();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = Instant::now();
        let stood_still = now - last > STOOD_STILL;
        if stood_still {
            ticks.reset();
        }
        last = now;
        wheel.turn(stood_still);
        let wall = clock::wall_seconds();
        if wheel.tick.is_multiple_of(SECOND) {
            for conn in node.registry.take_ended(wall) {
                conn.outbound.close(CloseCode::TOKEN, ringway_protocol::Code::Expired.as_str());
            }
        }
        if let Some(spoke) = wheel.asked_after() {
            node.registry.on_spoke(spoke, &mut some);
            for conn in some.drain(..) {
                conn.outbound.cut_unless_alive();
            }
        }
        for spoke in wheel.looked_at() {
            node.registry.on_spoke(spoke, &mut some);
            for conn in some.drain(..) {
                conn.outbound.check_stalled(now);
                node.registry.watch_end(&conn, wall);
            }
        }
        node.registry.on_spoke(wheel.pinged(), &mut some);
        for conn in some.drain(..) {
            if now.saturating_duration_since(conn.outbound.opened()) < YOUNG {
                continue;
            }
            conn.outbound.beat(match conn.format {
                Format::Json => &json,
                Format::Msgpack => &msgpack,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_pings_each_spoke_once_asks_after_it_and_looks_at_it_often() {
        let turn = SPOKES as u64;
        assert_eq!(TICK * SPOKES as u32 + YOUNG, PING_INTERVAL);
        assert_eq!(TICK * ANSWER as u32, Duration::from_secs(10));
        assert!(crate::registry::SOON > (TICK * LOOK as u32).as_secs() + 1);
        let mut wheel = Wheel { tick: 0, steady_since: 0 };
        let (mut pinged, mut asked, mut looked) = ([0; SPOKES], [0; SPOKES], [0; SPOKES]);
        for _ in 0..2 * turn {
            wheel.turn(false);
            if wheel.tick <= turn {
                continue;
            }
            pinged[(wheel.pinged() % turn) as usize] += 1;
            asked[(wheel.asked_after().unwrap() % turn) as usize] += 1;
            wheel.looked_at().for_each(|spoke| looked[(spoke % turn) as usize] += 1);
        }
        assert_eq!((pinged, asked, looked), ([1; SPOKES], [1; SPOKES], [5; SPOKES]));
    }

    #[test]
    fn after_a_pause_only_later_pings_are_asked_after() {
        let mut wheel = Wheel { tick: 1_000, steady_since: 0 };
        assert_eq!(wheel.asked_after(), Some(1_000 - ANSWER));
        wheel.turn(true);
        for _ in 0..ANSWER {
            assert_eq!(wheel.asked_after(), None);
            wheel.turn(false);
        }
        assert_eq!(wheel.asked_after(), Some(1_001));
    }
}
