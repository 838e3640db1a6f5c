//! A new configuration: every room gets its class anew, and the tenants' pools are what they are.

use std::sync::Arc;
use std::time::Duration;

use ringway_config::Tenants;
use ringway_protocol::Code;

use super::answers::No;
use super::around::Waits;
use super::machine::{KeptIn, Machine};
use super::{RoomKey, Shard};
use crate::conn::ConnRef;
use crate::placement::Placement;

impl Shard {
    pub(super) fn configured(&mut self, tenants: Tenants, placement: Arc<Placement>) {
        let classes_stay = self.core.tenants.has_same_classes(&tenants);
        self.core.configure(tenants);
        if !classes_stay {
            for key in self.rooms.keys() {
                self.classify(&key);
            }
        }
        self.placed(placement);
    }

    /// Gives a room the class that it has by the present configuration. Its members stay, whatever limit is lowered.
    fn classify(&mut self, key: &RoomKey) {
        let class = self.core.tenants.class_of(&key.room).clone();
        let kept_in = KeptIn::of(&class, &self.core.tenants);
        let Some(hosted) = self.rooms.get_mut(key) else { return };
        if hosted.class == class && hosted.kept_in == kept_in {
            return;
        }
        hosted.set_class(class);
        let former = (hosted.kept_in != kept_in).then(|| hosted.begin_anew(kept_in));
        let change = hosted.change();
        self.rooms.note(key, change);
        self.rooms.quiet(key);
        if let Some(former) = former {
            self.move_members(key, former);
        }
    }

    /// Another room took the place of one, of the same name: its members are in that one now, and hear where they are.
    fn move_members(&mut self, key: &RoomKey, former: Machine) {
        let members: Vec<ConnRef> = former.connections().cloned().collect();
        // The former one's are counted no more: each is counted anew.
        self.members_changed(key, members.len(), 0);
        for conn in members {
            let Some(standing) = self.core.guests.standing(&conn.id, key) else { continue };
            standing.moved = standing.answer.is_none();
            self.with_room(key, |machine, around| machine.join(around, conn, None, None));
        }
        drop(former);
        let no = No::for_now(
            Code::OutcomeUnknown,
            "the room's kind was changed meanwhile: it may have been published; repeat it with the same `mid`",
            Duration::from_secs(1),
        );
        for (conn, waits) in self.core.unanswered.take() {
            for Waits { id, .. } in waits {
                self.refuse(&conn, key, id, &no);
            }
            self.finish(&conn, key);
        }
    }
}
