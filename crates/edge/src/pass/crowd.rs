//! Connections that got something together with very many others, and wait to be flushed: in chunks, by who pushed to
//! them, between what else that does, and by helpers on the runtime's other threads.
//!
//! Frames are pushed in order, to all; a flush only writes what was pushed, and whoever does it finds the order in the
//! connection's own queue. So it doesn't matter who flushes, nor when: a connection that gets more
//! while it waits here gets all of it in one write, and one that is flushed for another reason has nothing left to
//! write when its turn comes.
//!
//! A helper is a task that lives while chunks wait. None is there for the small rooms that most rooms are.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::outbound::Outbound;

/// From this many connections on, a flush takes turns with what else there is to do.
pub const MANY: usize = 256;

/// Connections that are flushed in one go at most: others wait for about half a millisecond.
const CHUNK: usize = 128;

/// Connections that are fetched from memory together.
pub(super) const WARMED: usize = 16;

/// Connections that wait for their turn to be flushed. A clone is the same ones.
#[derive(Clone, Debug)]
pub struct Crowd {
    line: Arc<Mutex<Line>>,
    /// The most helpers at a time.
    helpers: usize,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Line {
    chunks: VecDeque<Vec<Arc<Outbound>>>,
    helpers: usize,
}

impl Crowd {
    /// `helpers`: the most at a time, such as one for each thread of the runtime that is free for them. They end by
    /// themselves, soon; `tasks` waits for them.
    pub fn new(helpers: usize, tasks: TaskTracker) -> Self {
        Self { line: Arc::default(), helpers, tasks }
    }

    /// Whether some wait for somebody to flush them.
    pub fn waits(&self) -> bool {
        !self.line.lock().chunks.is_empty()
    }

    /// These are to be flushed in their turn: [`flush_some`](Self::flush_some) follows, again and again while somebody
    /// [waits](Self::waits), unless there are helpers enough: then once.
    pub fn add(&self, conns: Vec<Arc<Outbound>>) {
        let mut conns = conns.into_iter();
        let mut line = self.line.lock();
        // Small ones first: what follows a publication at once finds most of the others still waiting, for one write.
        let mut size = WARMED;
        loop {
            let chunk: Vec<Arc<Outbound>> = conns.by_ref().take(size).collect();
            if chunk.is_empty() {
                return;
            }
            line.chunks.push_back(chunk);
            size = CHUNK.min(2 * size);
        }
    }

    /// Flushes the first of those that wait, and sees to it that others help with the rest.
    pub fn flush_some(&self) {
        let mut line = self.line.lock();
        let chunk = line.chunks.pop_front();
        let wanted = self.helpers.min(line.chunks.len());
        let helpers = line.helpers;
        line.helpers = helpers.max(wanted);
        drop(line);
        for _ in helpers..wanted {
            self.tasks.spawn(help(self.line.clone()));
        }
        flush(&chunk.unwrap_or_default());
    }
}

async fn help(line: Arc<Mutex<Line>>) {
    loop {
        let chunk = {
            let mut line = line.lock();
            let Some(chunk) = line.chunks.pop_front() else {
                line.helpers -= 1;
                return;
            };
            chunk
        };
        flush(&chunk);
        // Whoever waits for this thread has waited long enough.
        tokio::task::yield_now().await;
    }
}

fn flush(chunk: &[Arc<Outbound>]) {
    for some in chunk.chunks(WARMED) {
        some.iter().for_each(|conn| conn.warm());
        some.iter().for_each(|conn| conn.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Due, Frame, Limits, Pushed, Reader, open};
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    const ROUNDS: u8 = 8;

    async fn connections(count: usize) -> Vec<(Arc<Outbound>, Reader, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut all = Vec::new();
        for _ in 0..count {
            let client = TcpStream::connect(address).await.expect("a connection");
            let (socket, _) = listener.accept().await.expect("a connection");
            let (outbound, reader) = open(socket, &Bytes::new(), Limits::default());
            all.push((outbound, reader, client));
        }
        all
    }

    /// Casts to all again and again while earlier ones are still being flushed.
    async fn all_get_all_in_order(threads: usize) -> TaskTracker {
        let tasks = TaskTracker::new();
        let crowd = Crowd::new(threads - 1, tasks.clone());
        let mut all = connections(600).await;
        for round in 0..ROUNDS {
            let frame = Frame::binary(&[round]);
            let promised = all.iter().filter(|(o, ..)| o.push_for(&frame, Due::Soon) == Pushed::Promised);
            crowd.add(promised.map(|(outbound, ..)| outbound.clone()).collect());
            crowd.flush_some();
            if round % 3 == 0 {
                tokio::task::yield_now().await;
            }
        }
        while crowd.waits() {
            crowd.flush_some();
        }
        tasks.close();
        let expected: Vec<u8> = (0..ROUNDS).flat_map(|round| [0x82, 1, round]).collect();
        for (_, _, client) in &mut all {
            let mut heard = vec![0; expected.len()];
            let reading =
                tokio::time::timeout(std::time::Duration::from_secs(30), client.read_exact(&mut heard));
            reading.await.expect("in time").expect("a connection");
            assert_eq!(heard, expected);
        }
        tasks
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn several_threads_flush_and_the_order_stays() {
        // Helpers end by themselves.
        all_get_all_in_order(2).await.wait().await;
    }

    #[tokio::test]
    async fn one_thread_does_it_alone() {
        assert!(all_get_all_in_order(1).await.is_empty());
    }

    #[tokio::test]
    async fn the_first_turn_is_short_and_none_is_long() {
        let crowd = Crowd::new(1, TaskTracker::new());
        let all = connections(600).await;
        crowd.add(all.iter().map(|(outbound, ..)| outbound.clone()).collect());
        let sizes: Vec<usize> = crowd.line.lock().chunks.iter().map(Vec::len).collect();
        assert_eq!(sizes, [16, 32, 64, 128, 128, 128, 104]);
    }
}
