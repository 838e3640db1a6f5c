//! Who the clients of one worker are: what tickets for further nodes are made from, and what a node is found by.

use ringway_link::ConnNo;
use ringway_protocol::TenantId;
use ringway_ring::KeyHash;

use super::passport::Passport;

/// A client.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) passport: Passport,
    pub(crate) tenant: TenantId,
    /// What its home is found by. Stays, whatever its connection's id becomes.
    pub(crate) home: KeyHash,
    /// A node was asked to be its home before it began: a ticket is used once, so the next gets one of a new id.
    pub(crate) opened: bool,
    /// Where its trace goes on at further nodes, if that is kept.
    pub(crate) trace: Option<Box<Trace>>,
}

/// A `traceparent`. In a box of its own: most clients have none.
#[derive(Clone, Debug)]
pub(crate) struct Trace(Box<str>);

impl Trace {
    /// None of one that isn't kept: whoever goes on with it would only pass it on.
    pub(crate) fn kept(traceparent: &str) -> Option<Box<Self>> {
        traceparent.ends_with("-01").then(|| Box::new(Self(traceparent.into())))
    }

    pub(crate) fn traceparent(&self) -> &str {
        &self.0
    }
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(crate) struct People {
    slots: Vec<Option<Box<Who>>>,
    count: usize,
}

impl People {
    pub(crate) fn insert(&mut self, conn: ConnNo, who: Who) {
        let index = conn.0 as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        self.count += usize::from(self.slots[index].replace(Box::new(who)).is_none());
    }

    pub(crate) fn get(&self, conn: ConnNo) -> Option<&Who> {
        self.slots.get(conn.0 as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, conn: ConnNo) -> Option<&mut Who> {
        self.slots.get_mut(conn.0 as usize)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, conn: ConnNo) {
        let removed = self.slots.get_mut(conn.0 as usize).and_then(Option::take);
        self.count -= usize::from(removed.is_some());
        if self.count == 0 {
            self.slots = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_small_and_keeps_only_a_trace_that_is_kept() {
        assert!(size_of::<Who>() <= 48, "{}", size_of::<Who>());
        let traced = |flags: &str| {
            Trace::kept(&format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"))
        };
        assert!(traced("01").is_some_and(|trace| trace.traceparent().ends_with("31-01")));
        assert!(traced("00").is_none());
    }
}
