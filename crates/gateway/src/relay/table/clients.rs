//! All clients of a worker, by their numbers.

use ringway_link::ConnNo;

use super::client::Client;

#[derive(Debug, Default)]
pub(super) struct Clients {
    // Boxed: the list grows by doubling, and keeps its places.
    by_number: Vec<Option<Box<Client>>>,
    free: Vec<ConnNo>,
    count: usize,
}

impl Clients {
    pub(super) fn add(&mut self, client: Client) -> ConnNo {
        self.count += 1;
        let conn = self.free.pop().unwrap_or_else(|| {
            self.by_number.push(None);
            ConnNo(u32::try_from(self.by_number.len() - 1).expect("fewer clients than numbers"))
        });
        self.put(conn, Box::new(client));
        conn
    }

    pub(super) fn get(&self, conn: ConnNo) -> Option<&Client> {
        self.by_number.get(conn.0 as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, conn: ConnNo) -> Option<&mut Client> {
        self.by_number.get_mut(conn.0 as usize)?.as_deref_mut()
    }

    /// Takes a client out, so that it and the table can be changed together; [`put`](Self::put) or [`free`](Self::free) follows.
    pub(super) fn take(&mut self, conn: ConnNo) -> Option<Box<Client>> {
        self.by_number.get_mut(conn.0 as usize)?.take()
    }

    pub(super) fn put(&mut self, conn: ConnNo, client: Box<Client>) {
        self.by_number[conn.0 as usize] = Some(client);
    }

    /// The number of a client that was taken out may be given again.
    pub(super) fn free(&mut self, conn: ConnNo) {
        self.count -= 1;
        if self.count == 0 {
            *self = Self::default();
        } else {
            self.free.push(conn);
        }
    }

    /// What its list takes of memory, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.by_number.capacity() * size_of::<Option<Box<Client>>>()
            + self.free.capacity() * size_of::<ConnNo>()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Above all numbers that are in use.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.by_number.len()).expect("fewer clients than numbers")
    }
}
