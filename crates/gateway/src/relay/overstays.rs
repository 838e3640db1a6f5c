//! Clients that were told to go, and are closed if they don't: here, since their homes may move meanwhile.

use std::sync::{Arc, Weak};

use ringway_edge::Outbound;
use ringway_protocol::close::CloseCode;
use tokio::time::Instant;

/// Those of one worker. As many as clients that were told so and still stand.
#[derive(Debug, Default)]
pub(crate) struct Overstays(Vec<Overstay>);

#[derive(Debug)]
struct Overstay {
    out: Weak<Outbound>,
    until: Instant,
    code: CloseCode,
    reason: Box<str>,
}

impl Overstays {
    /// A client may stay until then.
    pub(crate) fn add(&mut self, out: &Arc<Outbound>, until: Instant, code: CloseCode, reason: &str) {
        self.0.push(Overstay { out: Arc::downgrade(out), until, code, reason: reason.into() });
    }

    /// Closes those whose time is over. Who has gone is forgotten.
    pub(crate) fn close(&mut self, now: Instant) {
        self.0.retain(|overstay| {
            let Some(out) = overstay.out.upgrade() else { return false };
            let is_over = overstay.until <= now;
            if is_over {
                out.close(overstay.code, &overstay.reason);
            }
            !is_over
        });
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}
