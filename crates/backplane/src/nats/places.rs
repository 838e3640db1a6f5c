//! Which room a live subject names, of a subscription to many: read once where the same comes again and again.

use ringway_protocol::name::{RoomName, TenantId};
use ringway_ring::Slot;

use crate::subject;

/// The room that was heard last.
#[derive(Default)]
pub(super) struct Places {
    /// A copy: the client's own would keep all of what was read with it.
    subject: String,
    last: Option<(Slot, TenantId, RoomName)>,
}

impl Places {
    pub(super) fn of(&mut self, subject: &str) -> Option<(Slot, (TenantId, RoomName))> {
        if self.subject != subject {
            self.last = subject::live_room(subject);
            self.subject.clear();
            self.subject.push_str(subject);
        }
        let (slot, tenant, room) = self.last.clone()?;
        Some((slot, (tenant, room)))
    }
}
