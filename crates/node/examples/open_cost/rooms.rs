//! What a room costs that is known but empty: one connection joins many and leaves them, a few at a time.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use ringway_testkit::nats::NatsServer;

use crate::clients::open_all;
use crate::server::Server;

/// Rooms that the connection is in at a time.
const AT_A_TIME: usize = 50;

/// After this nobody remembers a room that was used once: five minutes, and the sweeps that look at all.
const FORGOTTEN: Duration = Duration::from_secs(345);

pub(crate) fn measure(binary: &str, count: usize, over_nats: bool) {
    let nats = over_nats.then(NatsServer::start);
    let node =
        Server::start_node(std::path::Path::new(binary), nats.as_ref().map(NatsServer::url).as_deref());
    let mut open = open_all(node.address(1), 1, 0);
    let client = &mut open[0];
    pass_through(client, 0..1_000);
    std::thread::sleep(Duration::from_secs(3));
    let empty = node.resident();
    let before = node.processor();
    pass_through(client, 1_000..1_000 + count);
    println!("a join and a leave of each: {:.1} µs", node.processor_since(before) / count as f64);
    std::thread::sleep(Duration::from_secs(3));
    println!("a room that is known but empty: {} B", (node.resident() - empty) / count as u64);
    let before = node.processor();
    std::thread::sleep(Duration::from_secs(10));
    let share = node.processor_since(before) / 10e6 * 100.0;
    println!("{count} of them, nobody there: {share:.2} % of a core");
    if std::env::var_os("OPEN_COST_BRIEF").is_some() {
        return;
    }
    std::thread::sleep(FORGOTTEN);
    println!("left of each, once forgotten: {} B", (node.resident() as i64 - empty as i64) / count as i64);
}

fn pass_through(client: &mut std::net::TcpStream, rooms: std::ops::Range<usize>) {
    let mut part = [0; 64 * 1024];
    for first in rooms.clone().step_by(AT_A_TIME) {
        let some = first..rooms.end.min(first + AT_A_TIME);
        for kind in [1, 2] {
            // `[1, nil, room]` and `[2, nil, room]`: a join, a leave.
            for number in some.clone() {
                let room = format!("board.room-{number:06}");
                let mut payload = vec![0x93, kind, 0xc0, 0xa0 | room.len() as u8];
                payload.extend_from_slice(room.as_bytes());
                client.write_all(&masked(&payload)).unwrap();
            }
            // What comes isn't looked at: it is enough that all was done before the next batch.
            client.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            loop {
                match client.read(&mut part) {
                    Ok(read) => assert!(read > 0, "closed"),
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                        break;
                    }
                }
            }
        }
    }
}

fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}
