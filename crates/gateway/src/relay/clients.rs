//! The clients of one worker: their ways out, by the numbers that their links know them by.

use std::sync::Arc;
use std::task::Waker;

use ringway_edge::{Outbound, SPOKES};
use ringway_link::ConnNo;
use ringway_protocol::codec::Format;

use super::tenants::TenantHere;

/// A client whose socket is held here.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) out: Arc<Outbound>,
    pub(crate) tenant: Arc<TenantHere>,
    pub(crate) format: Format,
    /// While its task may read no further: rare.
    pub(crate) held: Option<Box<Held>>,
    /// How often it was refused something here that its task hasn't counted yet.
    pub(crate) refusals: u16,
    /// It was sent something: `hello` is the first frame of all.
    pub(crate) greeted: bool,
    /// It was told to go, and when it is closed is settled.
    pub(crate) told_to_go: bool,
    /// It is on the list of those whose nodes are to be given credit.
    pub(crate) owes: bool,
}

/// A client that isn't read from until the table says so.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Its task, once that waits.
    pub(crate) task: Option<Waker>,
}

/// What is seen of a client from outside of its worker.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) out: Arc<Outbound>,
    pub(crate) tenant: Arc<TenantHere>,
    pub(crate) format: Format,
    /// It isn't read from.
    pub(crate) is_held: bool,
    /// It had its `hello`.
    pub(crate) greeted: bool,
}

/// All clients of a worker.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// By number. Numbers are given anew, so it is no longer than there were clients at a time.
    slots: Vec<Option<Client>>,
    count: usize,
}

impl Clients {
    /// The client of that number is there from now on.
    pub(crate) fn insert(&mut self, conn: ConnNo, client: Client) {
        let index = conn.0 as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        debug_assert!(self.slots[index].is_none(), "a number is one client's");
        self.count += usize::from(self.slots[index].replace(client).is_none());
    }

    /// It isn't any more.
    pub(crate) fn remove(&mut self, conn: ConnNo) -> Option<Client> {
        let client = self.slots.get_mut(conn.0 as usize)?.take();
        self.count -= usize::from(client.is_some());
        if self.count == 0 {
            self.slots = Vec::new();
        }
        client
    }

    pub(crate) fn get(&self, conn: ConnNo) -> Option<&Client> {
        self.slots.get(conn.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, conn: ConnNo) -> Option<&mut Client> {
        self.slots.get_mut(conn.0 as usize)?.as_mut()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnNo, &Client)> {
        let numbered = (0..).map(ConnNo).zip(&self.slots);
        numbered.filter_map(|(conn, client)| Some((conn, client.as_ref()?)))
    }

    /// Adds those on one spoke, counted round and round. A client's number says on which it is: numbers are given one after
    /// the other, so a herd is spread evenly, and nothing is kept for it.
    pub(crate) fn on_spoke(&self, spoke: u64, into: &mut Vec<Seen>) {
        let on_it = self.slots.iter().skip((spoke % SPOKES as u64) as usize).step_by(SPOKES);
        into.extend(on_it.flatten().map(|client| Seen {
            out: Arc::clone(&client.out),
            tenant: Arc::clone(&client.tenant),
            format: client.format,
            is_held: client.held.is_some(),
            greeted: client.greeted,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_small() {
        assert!(size_of::<Option<Client>>() <= 32, "{}", size_of::<Option<Client>>());
    }
}
