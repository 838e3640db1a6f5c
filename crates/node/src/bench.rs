//! What benchmarks see of the crate's insides. No part of its interface, and only there with the feature `bench`.

use std::sync::Arc;

use ringway_protocol::name::ConnId;

use crate::room::{At, Member, Members};

/// A member with nothing to be written to.
type Seated = Arc<ConnId>;

impl Member for Seated {
    fn id(&self) -> &ConnId {
        self
    }
}

/// The members of one room.
pub struct Walk(Members<Seated>);

impl Walk {
    /// So many, of whom `beyond` are ahead of the room.
    pub fn of(count: usize, beyond: usize) -> Walk {
        let mut members = Members::new();
        for number in 0..count {
            let id = id(number);
            members.seat_waiting(Arc::new(id.clone()), None);
            members.put(&id, if number < beyond { At::Beyond(u64::MAX) } else { At::Level }, false);
        }
        Walk(members)
    }

    /// Goes through those who get the next publication, but `but`, and looks at each; how many they are.
    pub fn due(&self, but: Option<&ConnId>) -> usize {
        self.0.due(1, but).map(Arc::strong_count).sum()
    }

    /// One leaves and joins again.
    pub fn come_and_go(&mut self, who: usize) {
        if let Some(conn) = self.0.remove(&id(who)) {
            self.0.seat_waiting(conn.clone(), None);
            self.0.put(&conn, At::Level, false);
        }
    }
}

/// The id of one of them.
pub fn id(number: usize) -> ConnId {
    format!("c{number}").parse().expect("a connection's id")
}
