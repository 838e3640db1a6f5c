//! A new configuration: every room gets its class anew, and the tenants' pools are what they are.

use std::sync::Arc;

use ringway_config::Tenants;

use super::{RoomKey, Shard};
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
        let Some(hosted) = self.rooms.get_mut(key).filter(|hosted| hosted.class != class) else { return };
        hosted.set_class(class);
        let change = hosted.change();
        self.rooms.note(key, change);
        self.rooms.quiet(key);
    }
}
