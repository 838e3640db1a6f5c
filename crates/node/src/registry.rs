//! All connections of the node, by id and by user.

use std::collections::HashMap;

use parking_lot::RwLock;
use ringway_protocol::name::{ConnId, TenantId, UserId};

use crate::conn::ConnRef;

/// Who is connected to this node.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<ConnId, ConnRef>,
    by_user: HashMap<(TenantId, UserId), Vec<ConnRef>>,
}

impl Registry {
    pub(crate) fn insert(&self, conn: &ConnRef) {
        let mut inner = self.0.write();
        if let Some(user) = &conn.user {
            inner.by_user.entry((conn.tenant.clone(), user.clone())).or_default().push(conn.clone());
        }
        inner.by_id.insert(conn.id.clone(), conn.clone());
    }

    pub(crate) fn remove(&self, conn: &ConnRef) {
        let mut inner = self.0.write();
        inner.by_id.remove(&conn.id);
        let Some(user) = &conn.user else { return };
        let key = (conn.tenant.clone(), user.clone());
        if let Some(conns) = inner.by_user.get_mut(&key) {
            conns.retain(|other| other.id != conn.id);
            if conns.is_empty() {
                inner.by_user.remove(&key);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().by_id.len()
    }

    /// Everyone, as of now.
    pub(crate) fn all(&self) -> Vec<ConnRef> {
        self.0.read().by_id.values().cloned().collect()
    }

    /// A user's connections or, without a user, all of the tenant's.
    pub(crate) fn of(&self, tenant: &TenantId, user: Option<&UserId>) -> Vec<ConnRef> {
        let inner = self.0.read();
        match user {
            Some(user) => inner.by_user.get(&(tenant.clone(), user.clone())).cloned().unwrap_or_default(),
            None => inner.by_id.values().filter(|conn| conn.tenant == *tenant).cloned().collect(),
        }
    }
}
