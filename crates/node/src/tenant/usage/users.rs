//! What each user of a tenant uses on this node: known only where users have limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use ringway_limits::Bucket;
use ringway_protocol::name::UserId;

/// Users without a connection that are remembered for what they owe, a tenant. Beyond it all of them are forgotten, and
/// begin anew: that takes as many connections as users.
const GONE: usize = 65_536;

/// One user as this node has it.
#[derive(Debug)]
pub(crate) struct UserHere {
    pub(super) connections: AtomicU64,
    pub(super) publish: Bucket,
    pub(super) bytes: Bucket,
}

/// Those that have a connection here, or owe something.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<HashMap<UserId, Arc<UserHere>>>);

impl UserHere {
    fn new() -> Arc<Self> {
        Arc::new(Self { connections: AtomicU64::new(0), publish: Bucket::unused(), bytes: Bucket::unused() })
    }
}

impl Users {
    pub(super) fn get(&self, id: &UserId) -> Arc<UserHere> {
        let mut users = self.0.lock();
        if let Some(user) = users.get(id) {
            return user.clone();
        }
        users.entry(id.clone()).or_insert_with(UserHere::new).clone()
    }

    /// Forgets whom it may. True if nobody is left.
    pub(super) fn tidy(&self) -> bool {
        self.tidy_beyond(GONE)
    }

    fn tidy_beyond(&self, most: usize) -> bool {
        let mut users = self.0.lock();
        let is_gone = |user: &Arc<UserHere>| Arc::strong_count(user) == 1;
        users.retain(|_, user| !is_gone(user) || !user.publish.is_full() || !user.bytes.is_full());
        if users.len() > most && users.values().filter(|user| is_gone(user)).count() > most {
            users.retain(|_, user| !is_gone(user));
        }
        if users.is_empty() {
            *users = HashMap::new();
        }
        users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_config::Quota;

    fn id(name: &str) -> UserId {
        name.parse().unwrap()
    }

    #[test]
    fn a_user_is_known_while_it_has_a_connection_or_owes_something() {
        let users = Users::default();
        let ann = users.get(&id("ann"));
        assert!(Arc::ptr_eq(&ann, &users.get(&id("ann"))));
        assert!(!users.tidy());
        ann.publish.renew(Quota { per_second: 1, burst: 1 });
        ann.publish.take(1).unwrap();
        drop(ann);
        users.get(&id("bob"));
        assert!(!users.tidy());
        assert_eq!(users.0.lock().len(), 1, "bob owes nothing");
        assert!(users.get(&id("ann")).publish.take(1).is_err());
    }

    #[test]
    fn who_comes_and_goes_under_ever_new_names_is_forgotten() {
        let users = Users::default();
        let stays = users.get(&id("stays"));
        for number in 0..20 {
            let user = users.get(&id(&format!("u{number}")));
            user.bytes.renew(Quota { per_second: 1, burst: 1 });
            user.bytes.take(1).unwrap();
        }
        users.tidy_beyond(20);
        assert_eq!(users.0.lock().len(), 21);
        users.tidy_beyond(19);
        assert_eq!(users.0.lock().len(), 1);
        drop(stays);
        assert!(users.tidy());
        assert_eq!(users.0.lock().capacity(), 0);
    }
}
