//! What is to be done once a worker isn't locked any more: connections that got something under its lock are flushed, and tasks
//! that waited are woken.

use std::sync::Arc;
use std::task::Waker;

use ringway_edge::{Frame, Outbound};
use tokio_util::task::TaskTracker;

/// What one hold of a worker's lock has brought.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub(crate) frames: ringway_edge::Pass,
    woken: Vec<Waker>,
}

impl Pass {
    /// A frame for one connection, by the end of the pass.
    pub(crate) fn push(&mut self, out: &Arc<Outbound>, frame: &Frame) {
        self.frames.push(out, frame);
    }

    /// That task is to be woken.
    pub(crate) fn wake(&mut self, task: Option<Waker>) {
        self.woken.extend(task);
    }

    /// Does all of it, and leaves an empty pass.
    pub(crate) fn carry_out(&mut self, crowd: &Crowd) {
        for (window, conns) in self.frames.later() {
            let crowd = crowd.clone();
            crowd.tasks.clone().spawn(async move {
                tokio::time::sleep(window).await;
                let mut pass = Self::default();
                pass.frames.flush_these(conns);
                pass.carry_out(&crowd);
            });
        }
        self.frames.flush(&crowd.crowd);
        self.woken.drain(..).for_each(Waker::wake);
        if crowd.crowd.waits() {
            crowd.crowd.flush_some();
        }
    }
}

/// Connections that wait for their turn to be flushed, of all workers. A clone is the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    crowd: ringway_edge::Crowd,
    tasks: TaskTracker,
}

impl Crowd {
    /// `threads`: of the runtime. Each may help, the only one too: who locks a worker has other things to do. Helpers end by
    /// themselves, soon; `tasks` waits for them.
    pub(crate) fn new(threads: usize, tasks: TaskTracker) -> Self {
        Self { crowd: ringway_edge::Crowd::new(threads.max(1), tasks.clone()), tasks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ringway_edge::{Forms, Limits, MANY, Reader, open};
    use ringway_protocol::codec::Format;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    /// Members of one room: their sockets, at the gateway and at the clients. These are read without a turn of the runtime.
    struct Room(Vec<(Arc<Outbound>, Reader, TcpStream)>);

    struct One(Frame);

    impl Forms for One {
        fn of(&mut self, _: Format) -> Option<&Frame> {
            Some(&self.0)
        }
    }

    impl Room {
        async fn of(count: usize) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            let mut members = Vec::new();
            for _ in 0..count {
                let client = TcpStream::connect(address).expect("a connection");
                client.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
                let (socket, _) = listener.accept().expect("a connection");
                socket.set_nonblocking(true).expect("set");
                let socket = tokio::net::TcpStream::from_std(socket).expect("a socket");
                // Known to the runtime as such from here on.
                socket.writable().await.expect("a socket");
                let (out, reader) = open(socket, &Bytes::new(), Limits::default());
                members.push((out, reader, client));
            }
            Self(members)
        }

        fn cast(&self, pass: &mut Pass, word: u8) {
            let to = self.0.iter().map(|(out, ..)| (Format::Json, out));
            pass.frames.cast(&mut One(Frame::binary(&[word])), Duration::ZERO, to);
        }

        /// How many have had it written.
        fn written(&self) -> usize {
            self.0.iter().filter(|(out, ..)| out.queued_bytes() == 0).count()
        }

        fn hears(&mut self, word: u8) {
            for (_, _, client) in &mut self.0 {
                let mut frame = [0; 3];
                client.read_exact(&mut frame).expect("it was written");
                assert_eq!(frame, [0x82, 1, word]);
            }
        }
    }

    /// One thread, which nobody else gets in between: so it is the order of writes that is seen, whatever they take.
    #[tokio::test]
    async fn a_room_of_four_waits_for_no_room_of_two_thousand() {
        let tasks = TaskTracker::new();
        let crowd = Crowd::new(1, tasks.clone());
        let (mut big, mut small) = (Room::of(2_000).await, Room::of(4).await);
        let mut pass = Pass::default();
        // What came together is written together, the many in their turn.
        big.cast(&mut pass, 1);
        small.cast(&mut pass, 2);
        assert_eq!(small.written(), 0, "nothing is written under the lock");
        pass.carry_out(&crowd);
        small.hears(2);
        assert!((1..MANY).contains(&big.written()), "{}", big.written());
        // What comes while the many wait isn't behind them, either.
        for word in 3..6 {
            small.cast(&mut pass, word);
            pass.carry_out(&crowd);
            small.hears(word);
            assert!(big.written() < 2 * MANY, "{}", big.written());
        }
        // Nor behind a second one, nor is anybody left to others for that.
        big.cast(&mut pass, 6);
        small.cast(&mut pass, 7);
        pass.carry_out(&crowd);
        small.hears(7);
        assert!(big.written() < 3 * MANY, "{}", big.written());
        tasks.close();
        tasks.wait().await;
        big.hears(1);
        big.hears(6);
    }
}
