//! Connections come and go, all at once and at the worst moment: nothing stays behind, and nobody else notices.

mod leaving;
mod leftovers;
mod nats;
mod pressure;

use std::net::SocketAddr;

use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;

use crate::bare::{Bare, SOON};
use crate::world::World;

impl World {
    /// What is held now, by every process together: connections, tunnels included, rooms, memberships.
    fn held(&self) -> [f64; 3] {
        let scrapes = self.processes().map(Process::metrics);
        [
            &["ringway_connections", "ringway_gateway_connections"] as &[&str],
            &["ringway_rooms"],
            &["ringway_members"],
        ]
        .map(|names| scrapes.iter().flat_map(|scrape| names.iter().map(|name| scrape.sum(name, &[]))).sum())
    }

    /// Waits until nobody is there any more.
    fn empties(&self) {
        until("everybody is forgotten", SOON, || (self.held() == [0.0; 3]).then_some(()));
    }
}

/// Members of rooms, by JSON.
fn crowd(door: SocketAddr, count: usize, room: impl Fn(usize) -> String + Sync) -> Vec<Bare> {
    std::thread::scope(|scope| {
        let of =
            |part: usize| (part..count).step_by(4).map(|n| Bare::in_room(door, &room(n))).collect::<Vec<_>>();
        let parts: Vec<_> = (0..4).map(|part| scope.spawn(move || of(part))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}
