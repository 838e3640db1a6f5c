//! Ports that nobody listens on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A port of the loop-back address that was free a moment ago. Below the range from which clients' ports are drawn, so
/// that no connection of another test takes it before its listener is there.
///
/// # Panics
/// None of a thousand tries was free.
pub fn free_port() -> SocketAddr {
    use std::sync::atomic::{AtomicU16, Ordering};
    // Each process begins elsewhere, and goes on from there: two tests of one process never get the same. Processes
    // that start together have ids next to each other: multiplied (Knuth's hash) they begin far apart.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    let start = (std::process::id().wrapping_mul(2_654_435_761) % u32::from(COUNT)) as u16;
    for _ in 0..1_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port of the loop-back address");
}
