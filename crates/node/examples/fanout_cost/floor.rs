//! The floor: one thread, one `send(2)` per socket; and how processor time is read.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::clients::Orders;

/// Keeps this process, and threads that it makes from now on, on the first so many cores.
pub(crate) fn use_cores(count: usize) {
    let mut cores = CpuSet::new();
    (0..count).for_each(|core| cores.set(core));
    sched_setaffinity(None, &cores).unwrap();
}

/// Sockets of the clients that only the floor writes to.
pub(crate) fn sockets(orders: &mut Orders, count: usize) -> Vec<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    orders.say(&format!("bare {}", listener.local_addr().unwrap()));
    let sockets: Vec<TcpStream> = (0..count).map(|_| listener.accept().unwrap().0).collect();
    orders.expect("open");
    for socket in &sockets {
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
    }
    sockets
}

/// The bytes of a text frame with a payload of so many bytes.
pub(crate) fn frame(payload: &str) -> Vec<u8> {
    let length: u16 = payload.parse().unwrap();
    let mut frame = vec![0x81, 126];
    frame.extend(length.to_be_bytes());
    frame.resize(4 + usize::from(length), b'x');
    frame
}

pub(crate) fn cast(sockets: &[TcpStream], frame: &[u8], times: usize) {
    for mut socket in sockets {
        (0..times).for_each(|_| socket.write_all(frame).unwrap());
    }
}

/// Processor time of all threads of this process while `work` is done, and for a moment after it.
pub(crate) fn processor(work: impl FnOnce()) -> Duration {
    let before = all_threads();
    work();
    // What the last write has caused, and the scheduler's books.
    std::thread::sleep(Duration::from_millis(8));
    all_threads() - before
}

fn all_threads() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let each = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(each.sum())
}
