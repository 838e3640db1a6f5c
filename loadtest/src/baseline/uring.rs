//! The floor with io_uring: the sends of a broadcast are handed to the kernel in batches, a system call a batch.

// The only unsafe code of the workspace: io_uring reads the memory that an entry points to after `push` has returned, so
// whoever pushes must keep it, and no safe interface can promise that. Here the promise is easily kept: see `submit`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd as _;

use io_uring::{IoUring, opcode, types};

use super::connection::{Connection, Over, State};
use super::floor::{Outcome, Spread};

/// Sends that are handed over at once.
const BATCH: u32 = 512;

/// Sends by one ring.
pub(super) struct Batches {
    ring: IoUring,
    size: usize,
    /// The places of the batch at hand.
    batch: Vec<usize>,
}

impl Batches {
    /// Fails where the kernel doesn't have, or doesn't permit, io_uring.
    pub(super) fn new() -> io::Result<Batches> {
        Batches::of(BATCH)
    }

    /// Batches of at most so many, a power of two.
    pub(super) fn of(size: u32) -> io::Result<Batches> {
        // One thread submits, and completions need no interrupt: both cost less, and Linux 6.1 has both.
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun();
        let ring = builder.build(size).or_else(|_| IoUring::new(size))?;
        Ok(Batches { ring, size: size as usize, batch: Vec::with_capacity(size as usize) })
    }

    /// Sends `frame` to all of the batch, and waits until the kernel is done with each.
    fn submit(&mut self, frame: &[u8], all: &mut [Option<Connection>], outcome: &mut Outcome) {
        let length = u32::try_from(frame.len()).expect("a message has a limit");
        for &place in &self.batch {
            let Some(connection) = &all[place] else { continue };
            let send = opcode::Send::new(types::Fd(connection.stream.as_raw_fd()), frame.as_ptr(), length)
                .flags(flags())
                .build()
                .user_data(place as u64);
            // SAFETY: `frame` and the socket are borrowed until this function returns, and it returns, or ends the
            // process, only when every entry has been completed.
            let pushed = unsafe { self.ring.submission().push(&send) };
            pushed.expect("a batch is no larger than the ring");
        }
        let mut due = self.batch.len();
        while due > 0 {
            match self.ring.submit_and_wait(due) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel might still read the frame: nothing may unwind.
                Err(_) => std::process::abort(),
            }
            for completion in self.ring.completion() {
                due -= 1;
                let place = completion.user_data() as usize;
                let Some(connection) = &mut all[place] else { continue };
                outcome.note(place, settle(connection, frame, completion.result()));
            }
        }
        self.batch.clear();
    }
}

/// Without waiting (the rest is kept by us), and without SIGPIPE.
fn flags() -> i32 {
    (rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL).bits() as i32
}

/// What a send's result means: all sent, some of it, nothing yet, or the end.
fn settle(connection: &mut Connection, frame: &[u8], result: i32) -> Result<bool, Over> {
    match usize::try_from(result) {
        Ok(sent) if sent == frame.len() => Ok(false),
        Ok(sent) => connection.wait(&frame[sent..]).map(|()| true),
        Err(_) => match io::Error::from_raw_os_error(-result).kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => connection.wait(frame).map(|()| true),
            _ => Err(Over),
        },
    }
}

impl Spread for Batches {
    fn spread(&mut self, frame: &[u8], all: &mut [Option<Connection>], outcome: &mut Outcome) {
        for place in 0..all.len() {
            let Some(connection) = &mut all[place] else { continue };
            if connection.state != State::Broadcast {
                continue;
            }
            if !connection.behind.is_empty() {
                outcome.note(place, connection.send(frame));
                continue;
            }
            self.batch.push(place);
            if self.batch.len() == self.size {
                self.submit(frame, all, outcome);
            }
        }
        self.submit(frame, all, outcome);
    }
}
