//! The scripts, as a plan names them.

use crate::target::{FREE, NOISY};

/// What is done with a target. Phases: see `conductor::script`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Script {
    /// Connect, idle, broadcast singly and by eight.
    Core { connections: usize, pace: f64, seconds: f64 },
    /// A flush window.
    Window,
    /// Idle memory, before and after 60 KB.
    Memory { connections: usize },
    /// Idle memory, each in a room of its own.
    OwnRooms { connections: usize },
    /// From a client of one process to a client of another.
    Hop,
    /// Opened one at a time.
    Upgrade { connections: usize },
    /// Held for a while.
    Idle { connections: usize, seconds: f64 },
    /// Each told what it says.
    Echo { connections: usize, per_second: f64 },
    /// Many rooms.
    Rooms { connections: usize, rooms: Rooms },
    /// One room, over as many nodes as its target has.
    Hot { connections: usize, per_second: f64, seconds: f64 },
    /// Rooms of so many members each, so many publications a second in all.
    Many { rooms: usize, members: usize, per_second: f64 },
    /// What further rooms of a connection hold.
    Further { connections: usize },
    /// The node of all connections is taken away.
    Fault { connections: usize, fault: Fault },
    /// Coming and going.
    Churn { connections: usize },
    /// A tenth doesn't read.
    Slow { connections: usize },
    /// Some read little at a time of a room whose publications are values of keys.
    Conflate,
    /// Another tenant publishes at many times its limit.
    Noisy,
    /// All come back at once.
    Storm { connections: usize },
    /// Long.
    Soak { connections: usize, seconds: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rooms {
    /// Rooms a connection.
    pub(crate) each: usize,
    /// Whether they share a tag.
    pub(crate) tagged: bool,
}

/// How a node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGTERM: it hands over what it has.
    Drain,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: its sockets stay, and say nothing.
    Stop,
}

impl Script {
    /// As in results: `core`, `core-10k`, `rooms-5-tagged`.
    pub(crate) fn name(&self) -> String {
        match self {
            Script::Core { connections: 2_000, .. } => "core".to_owned(),
            Script::Core { connections, .. } => format!("core-{}k", connections / 1_000),
            Script::Window => "window".to_owned(),
            Script::Memory { .. } => "memory".to_owned(),
            Script::OwnRooms { .. } => "own-rooms".to_owned(),
            Script::Hop => "hop".to_owned(),
            Script::Upgrade { .. } => "upgrade".to_owned(),
            Script::Idle { connections: 15_000, .. } => "idle".to_owned(),
            Script::Idle { connections, .. } => format!("idle-{}k", connections / 1_000),
            Script::Echo { .. } => "echo".to_owned(),
            Script::Rooms { rooms, .. } => {
                format!("rooms-{}{}", rooms.each, if rooms.tagged { "-tagged" } else { "" })
            }
            Script::Hot { .. } => "hot".to_owned(),
            Script::Many { per_second, .. } => format!("many-{per_second}"),
            Script::Further { .. } => "further".to_owned(),
            Script::Fault { fault: Fault::Drain, .. } => "drained".to_owned(),
            Script::Fault { fault: Fault::Kill, .. } => "killed".to_owned(),
            Script::Fault { fault: Fault::Stop, .. } => "stopped".to_owned(),
            Script::Churn { .. } => "churn".to_owned(),
            Script::Slow { .. } => "slow".to_owned(),
            Script::Conflate => "conflate".to_owned(),
            Script::Noisy => "noisy".to_owned(),
            Script::Storm { .. } => "storm".to_owned(),
            Script::Soak { .. } => "soak".to_owned(),
        }
    }

    /// How many connections it opens.
    pub(crate) fn connections(&self) -> usize {
        match *self {
            Script::Window | Script::Conflate => 200,
            Script::Noisy => 240,
            Script::Hop => 2,
            Script::Many { rooms, members, .. } => rooms * members,
            Script::Further { connections } => connections + 200,
            Script::Core { connections, .. }
            | Script::Memory { connections }
            | Script::OwnRooms { connections }
            | Script::Upgrade { connections }
            | Script::Idle { connections, .. }
            | Script::Echo { connections, .. }
            | Script::Rooms { connections, .. }
            | Script::Hot { connections, .. }
            | Script::Fault { connections, .. }
            | Script::Churn { connections }
            | Script::Slow { connections }
            | Script::Storm { connections }
            | Script::Soak { connections, .. } => connections,
        }
    }

    /// Generator processes that it needs at least.
    pub(crate) fn workers(&self) -> usize {
        match self {
            Script::Hop | Script::Hot { .. } | Script::Churn { .. } | Script::Slow { .. } => 2,
            Script::Soak { .. } => 2,
            Script::Noisy => 3,
            _ => 1,
        }
    }

    /// Whether its figures are compared with the floor's, so that it always runs with them.
    pub(crate) fn needs_floor(&self) -> bool {
        !matches!(
            self,
            Script::Hot { .. }
                | Script::Many { .. }
                | Script::Further { .. }
                | Script::Fault { .. }
                | Script::Slow { .. }
                | Script::Conflate
                | Script::Noisy
        )
    }

    /// For how long, in seconds, a worker doesn't sleep after an event. Where latencies are measured that is the first one's
    /// matter, whose deliveries these are.
    pub(crate) fn spin(&self, worker: usize) -> f64 {
        // Longer than any pause within the deliveries of a message.
        const SPIN: f64 = 500e-6;
        match self {
            Script::Slow { .. } | Script::Noisy if worker == 0 => SPIN,
            // To wake a receiver can cost a sender as much as all the rest of a delivery, more so on a virtual machine
            // whose other processor is idle, and whether it must would be most of the difference between two runs.
            Script::Hot { .. } => SPIN,
            _ => 0.0,
        }
    }

    /// Whose clients the connections of each worker are, where it isn't the usual tenant.
    pub(crate) fn tenants(&self) -> &'static [Option<&'static str>] {
        match self {
            Script::Noisy => &[None, Some(NOISY), Some(FREE)],
            _ => &[],
        }
    }
}
