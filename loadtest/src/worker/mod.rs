//! A generator process: one thread, one poll, thousands of connections. It is told what to do on standard input and says
//! what came of it on standard output ([`crate::control`]).
//!
//! It shares its machine with what it measures, so a delivery costs it a share of a wait, a read, a search and a counter:
//! nothing is decoded that needn't be, and an idle connection has no buffer.

pub(crate) mod clock;
mod commands;
pub(crate) mod connection;
mod diag;
mod engine;
pub(crate) mod frame;
mod inbox;
mod job;
mod leaving;
mod locate;
pub(crate) mod membership;
mod open;
mod pace;
mod publish;
pub(crate) mod random;
mod read;
mod tally;
#[cfg(test)]
mod tests;
mod trickle;
pub(crate) mod upgrade;

use std::io::{self, Write as _};
use std::sync::mpsc::channel;

use anyhow::Context as _;
use mio::Poll;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::control::Event;
use engine::Engine;

/// Does what is asked for until the end of standard input.
pub(crate) fn run() -> anyhow::Result<()> {
    allow_files()?;
    let poll = Poll::new().context("a poll")?;
    let (sender, commands) = channel();
    inbox::read(sender, engine::waker(&poll)?);
    let ended = Engine::new(poll, commands, Box::new(say))?.run();
    // Nobody listens any more: an end like that of standard input.
    let unheard = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if ended.as_ref().is_err_and(|error| error.downcast_ref().is_some_and(unheard)) {
        return Ok(());
    }
    ended
}

fn say(event: &Event) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(event).context("an event as JSON")?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    Ok(out.write_all(&line).and_then(|()| out.flush())?)
}

/// As many files as may be: each connection is one.
pub(crate) fn allow_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("the limit of open files")
}
