//! One pass of whoever has frames for many connections: they are pushed in order, and written at its end, for each
//! connection in one write.
//!
//! A push makes the order; who flushes, and when, changes nothing of it. So those who hold rooms push to all members while
//! they decide, and have the writes done afterwards: at once, in turns where there are very many ([`Crowd`]), or when others
//! have come together with them.

mod crowd;

use std::sync::Arc;
use std::time::Duration;

use ringway_protocol::Format;

use crate::frame::Frame;
use crate::outbound::{Due, Outbound, Pushed};
use crowd::WARMED;
pub use crowd::{Crowd, MANY};

/// One publication in the formats that connections speak.
pub trait Forms {
    /// The frame in that format; none: nobody is to get it in that one.
    fn of(&mut self, format: Format) -> Option<&Frame>;
}

/// What was pushed since the last flush, and is to be flushed.
#[derive(Debug, Default)]
pub struct Pass {
    /// At the end of the pass.
    now: Vec<Arc<Outbound>>,
    /// In their turn.
    soon: Vec<Vec<Arc<Outbound>>>,
    /// When others have come together with it.
    later: Vec<(Duration, Vec<Arc<Outbound>>)>,
}

impl Pass {
    /// Adds a frame to what a connection gets at the end of the pass. What waits for it already leaves with it.
    pub fn push(&mut self, to: &Arc<Outbound>, frame: &Frame) {
        self.note(to.push_for(frame, Due::Now), to);
    }

    /// Something was pushed to a connection with [`Due::Now`], and that came of it.
    pub fn note(&mut self, pushed: Pushed, to: &Arc<Outbound>) {
        if pushed == Pushed::Promised {
            self.take_over(to);
        }
    }

    /// This pass flushes a connection whose flush somebody else has promised.
    pub fn take_over(&mut self, to: &Arc<Outbound>) {
        self.now.push(Arc::clone(to));
    }

    /// Adds a publication to what these connections get: at the end of this pass, from [`MANY`] on in their turn, or, if
    /// `window` isn't zero, that much later: see [`later`](Self::later). How many they may be is read off the iterator's
    /// upper bound. Returns how many they are.
    pub fn cast<'a>(
        &mut self,
        forms: &mut impl Forms,
        window: Duration,
        to: impl Iterator<Item = (Format, &'a Arc<Outbound>)>,
    ) -> u64 {
        let due = match to.size_hint().1 {
            _ if !window.is_zero() => Due::Later,
            Some(most) if most < MANY => Due::Now,
            _ => Due::Soon,
        };
        let mut promised = if due == Due::Now { std::mem::take(&mut self.now) } else { Vec::new() };
        let mut count = 0;
        let mut to = to;
        let mut some = Vec::with_capacity(WARMED);
        loop {
            some.clear();
            some.extend(to.by_ref().take(WARMED));
            if some.is_empty() {
                break;
            }
            some.iter().for_each(|(_, outbound)| outbound.warm());
            for (format, outbound) in &some {
                let Some(frame) = forms.of(*format) else { continue };
                if outbound.push_for(frame, due) == Pushed::Promised {
                    promised.push(Arc::clone(outbound));
                }
                count += 1;
            }
        }
        match due {
            Due::Now => self.now = promised,
            _ if promised.is_empty() => {}
            Due::Soon => self.soon.push(promised),
            Due::Later => self.later.push((window, promised)),
        }
        count
    }

    /// What is to be flushed later, and how much: by [`flush_these`](Self::flush_these) then.
    pub fn later(&mut self) -> impl Iterator<Item = (Duration, Vec<Arc<Outbound>>)> {
        self.later.drain(..)
    }

    /// These have waited long enough: they are flushed at the end of the pass, or in their turn.
    pub fn flush_these(&mut self, mut conns: Vec<Arc<Outbound>>) {
        if conns.len() < MANY {
            self.now.append(&mut conns);
        } else {
            self.soon.push(conns);
        }
    }

    /// Writes what the pass has brought, one write a connection; those that are many are left to the crowd, of which
    /// [`flush_some`](Crowd::flush_some) follows.
    pub fn flush(&mut self, crowd: &Crowd) {
        self.now.drain(..).for_each(|conn| conn.flush());
        self.soon.drain(..).for_each(|conns| crowd.add(conns));
    }
}
