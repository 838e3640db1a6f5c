//! The machine's monotonic clock, the same for all its processes, and an alarm by it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// A second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since some moment that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    tv_sec as u64 * SECOND + tv_nsec as u64
}

/// Nanoseconds of so many seconds; what is too long or no number at all is very long.
pub(crate) fn nanoseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * SECOND as f64) as u64
}

/// Seconds of so many nanoseconds.
pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND as f64
}

/// Wakes a poll at a moment: a wait's own time-out is in milliseconds, and the kernel lets it run over by 50 µs more.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
    /// When it goes off; the past: it went off.
    at: u64,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Alarm { timer: timerfd_create(TimerfdClockId::Monotonic, flags)?, at: 0 })
    }

    /// Goes off at `at` at the latest. An earlier moment that was asked for stands: going off in vain costs less than
    /// setting it anew for each delivery.
    pub(crate) fn set(&mut self, at: u64, now: u64) -> io::Result<()> {
        if self.at > now && self.at <= at {
            return Ok(());
        }
        self.at = at;
        let time = Timespec { tv_sec: (at / SECOND) as i64, tv_nsec: (at % SECOND) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: time };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}
