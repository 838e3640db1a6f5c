//! Commands from standard input, read beside the loop, which must not wait for them.

use std::io::BufRead as _;
use std::sync::mpsc::Sender;
use std::thread;

use mio::Waker;

use crate::control::Command;

/// A command, or why a line is none.
pub(crate) type Line = Result<Command, String>;

/// Reads in a thread of its own, until standard input ends: then, whoever asked is gone, and so is the need for a worker.
pub(crate) fn read(sender: Sender<Line>, waker: Waker) {
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if line.trim().is_empty() {
                continue;
            }
            let command = serde_json::from_str(&line).map_err(|error| format!("not a command: {error}"));
            if sender.send(command).is_err() || waker.wake().is_err() {
                return;
            }
        }
        // Neither matters if the loop has ended first.
        _ = sender.send(Ok(Command::End));
        _ = waker.wake();
    });
}
