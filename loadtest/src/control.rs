//! What the conductor and a worker say to each other: one JSON object a line, commands on the worker's standard input,
//! events on its standard output. A command is answered by exactly one event of its own; [`Event::Progress`] comes
//! between them, once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::dialect::Spec;

/// What a worker is to do. Commands are done one after the other; connections are read all the time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Command {
    /// First, once. Answered by [`Event::Configured`].
    Configure {
        /// How the target is spoken to.
        dialect: Spec,
        /// Where it listens; connection `n` goes to address `n` modulo their number.
        addresses: Vec<SocketAddr>,
        /// Where connections come from, used in turn: each has some 28,000 ports to one address.
        sources: Vec<IpAddr>,
        /// The number of this worker's first connection over all workers; it makes user names unlike.
        first: usize,
        /// How many connections there will be, all workers together: what [`Published::due`] is counted over; 0: unknown.
        total: usize,
        /// Seconds for which the worker goes on looking for events, without sleeping, after the last one: a sender that
        /// has to wake its receiver is slower by that, so what one measures would depend on how busy the receiver is.
        spin: f64,
    },
    /// Opens connections, each joined to its rooms, as fast as `in_flight` allows, or `per_second` of them a second
    /// (then whatever is in flight). They are numbered on from those that were opened before and not closed.
    /// Answered by [`Event::Opened`], when each is ready or has failed (10 s each at most).
    /// `receive_buffer`: bytes of `SO_RCVBUF`; none: as the kernel has it.
    Open {
        count: usize,
        in_flight: usize,
        per_second: Option<f64>,
        rooms: Membership,
        receive_buffer: Option<usize>,
    },
    /// Publishes at fixed times, whatever becomes of what was published: `per_second` bursts of `burst` messages back to
    /// back (one write), `seconds` long. The first connections of this worker publish, `publishers` of them in turn. A
    /// `body` has [`stamp::LEN`](crate::dialect::stamp::LEN) bytes at least. With `keys` message `n` has key `n` modulo
    /// their number. Answered by [`Event::Published`] when the last was sent and the sockets have taken everything, or
    /// `patience` seconds have passed since.
    Publish {
        per_second: f64,
        burst: usize,
        seconds: f64,
        body: usize,
        publishers: usize,
        to: Aim,
        keys: Option<u32>,
        patience: f64,
    },
    /// Waits until `deliveries` have come since the last [`Command::Reset`], or `within` seconds passed, or (with
    /// `quiet`) nothing came for so many seconds. Answered by [`Event::Collected`].
    /// With `silences` it tells the longest one of each connection.
    Collect {
        deliveries: Option<u64>,
        within: f64,
        quiet: Option<f64>,
        #[serde(default)]
        silences: bool,
    },
    /// Forgets what was counted and measured; messages that were to be sent before it are never counted. It begins the
    /// numbers of messages anew, so it goes to all workers alike. Answered by [`Event::Done`].
    Reset,
    /// Closes that many connections (all: `None`), the newest first; `abruptly`: without a close frame, by a reset.
    /// Answered by [`Event::Done`] when the sockets are closed.
    Close { count: Option<usize>, abruptly: bool },
    /// The first so many connections read nothing any more (0: all read again). Answered by [`Event::Done`].
    Stall { count: usize },
    /// The last so many connections, which have read all that there is, take at most `bytes` every `every` seconds from
    /// now on (0: all read as fast as they can). What they get isn't counted as deliveries but as [`Lag`]. Answered by
    /// [`Event::Done`].
    Trickle { count: usize, bytes: usize, every: f64, keys: u32 },
    /// Closes the oldest connection and opens another under its number, `per_second` times a second, `seconds` long.
    /// Answered by [`Event::Opened`].
    Churn { per_second: f64, seconds: f64, rooms: Membership },
    /// How things stand. Answered by [`Event::Standing`].
    Stand,
    /// Ends. Nothing answers.
    End,
}

/// The rooms a connection joins: room numbers, made into names by the dialect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rooms", rename_all = "snake_case")]
pub(crate) enum Membership {
    /// Everyone is in room 0. What a dialect without rooms can do.
    One,
    /// Everyone is in room 0 of those for which the server has a flush window (Ringway: `window.0`; else as `One`).
    Windowed,
    /// Each connection is alone in a room of its own number: publishing there is an echo.
    Own,
    /// Each connection is in `each` of `count` rooms, room `r` chosen with a chance of 1/(r+1)^`skew` (Zipf), the same
    /// for the same `seed`. `tagged`: the rooms of a connection share one tag, so they are `each` rooms of one family.
    Zipf { count: usize, each: usize, skew: f64, tagged: bool, seed: u64 },
    /// Each connection is in one of these rooms, taken in turn: connection `n` in the one at `n` modulo their number.
    Listed { numbers: Vec<u32> },
}

/// Which room a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    /// Room 0.
    First,
    /// A room without members, where everyone is in room 0: what goes in and never comes out.
    Nobody,
    /// The publisher's own rooms, in turn.
    Own,
}

/// What a worker says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Event {
    Configured,
    Opened(Opened),
    Published(Published),
    Collected(Collected),
    Standing(Standing),
    Done,
    /// The command can't be carried out.
    Failed {
        why: String,
    },
    /// Once a second.
    Progress(Standing),
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) opened: usize,
    pub(crate) failed: usize,
    /// Why the first of them failed.
    pub(crate) first_failure: Option<String>,
    pub(crate) seconds: f64,
    /// From the intended start of each connection to its being ready (upgraded, joined), microseconds.
    pub(crate) latency: Histogram,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Published {
    /// Messages.
    pub(crate) sent: u64,
    /// Bytes of the last message's frame payload as the publisher sent it.
    pub(crate) payload_bytes: usize,
    pub(crate) seconds: f64,
    /// How late the generator itself was, microseconds: what it adds to latencies at worst.
    pub(crate) lateness: Histogram,
    /// Deliveries due at this worker's connections and all others' of the same membership plan, where the worker can tell.
    pub(crate) due: Option<u64>,
    /// Messages that weren't sent, since their publisher was closed.
    #[serde(default)]
    pub(crate) unsent: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Collected {
    pub(crate) deliveries: u64,
    /// Bytes of those deliveries' WebSocket payloads.
    pub(crate) delivered_bytes: u64,
    /// `read` calls that brought them: fewer than deliveries where several left as one write.
    pub(crate) reads: u64,
    /// Deliveries whose number was not above the one before on that connection (single room, single publisher).
    pub(crate) out_of_order: u64,
    /// The different orders in which open connections got what came, each as a hash, a few of them at most; one: all got the
    /// same, in the same order.
    #[serde(default)]
    pub(crate) orders: BTreeSet<u32>,
    /// Connections that the server closed meanwhile, and how many of them how: `1008 Slow consumer`.
    pub(crate) closed: u64,
    pub(crate) closes: BTreeMap<String, u64>,
    /// Times that a server said that something is missing, and how many messages.
    pub(crate) gaps: u64,
    pub(crate) missed: u64,
    /// What the server refused on connections that stay open (a publication, say), and the first of it.
    pub(crate) refused: u64,
    pub(crate) first_refusal: Option<String>,
    /// From the intended send time to the receipt, each delivery, microseconds.
    pub(crate) latency: Histogram,
    /// From the intended send time to the last receipt within this worker, each message, microseconds.
    pub(crate) last: Histogram,
    /// Of each connection that takes little at a time.
    pub(crate) lags: Vec<Lag>,
    /// Of each open connection, where that was asked for.
    #[serde(default)]
    pub(crate) silences: Vec<Silence>,
}

/// The longest time between two deliveries to a connection, since the last [`Command::Reset`]. One that hears nothing any more
/// is silent until the last message was sent, or the newest delivery to anybody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Silence {
    /// Nanoseconds of the machine's monotonic clock: the delivery that ended it.
    pub(crate) until: u64,
    /// Microseconds.
    pub(crate) length: u64,
}

/// How far behind the newest is what a slow reader gets. The newest of a key is what anyone else of the worker has got; how
/// far behind it a value is, is counted in values of that key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Lag {
    /// What it got.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Values behind the newest of the key when it was read, and microseconds since it was to be sent.
    pub(crate) at_read: Histogram,
    pub(crate) age: Histogram,
    /// Values behind the newest of the key when the server began to write it into the socket, by the kernel's count of what
    /// was written: by what was out at the look before that moment, and at the one after. Empty where the kernel doesn't tell.
    pub(crate) at_write: Histogram,
    #[serde(default)]
    pub(crate) by_later_look: Histogram,
    /// Bytes that the kernels held for it, the server's and its own, at the median and at most.
    pub(crate) held: u64,
    pub(crate) held_most: u64,
    /// Values that came after a newer one of their key.
    pub(crate) backwards: u64,
    /// Times it was told that something is missing, and how many messages.
    pub(crate) gaps: u64,
    pub(crate) missed: u64,
    /// How the server closed it, if it did.
    pub(crate) closed: Option<String>,
}

/// How things stand; what is counted since the last [`Command::Reset`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) connections: usize,
    pub(crate) opening: usize,
    pub(crate) sent: u64,
    pub(crate) deliveries: u64,
    pub(crate) closed: u64,
}

/// An HdrHistogram (V2, deflate off) in base64; empty: nothing was recorded. See [`crate::histogram`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Histogram(pub(crate) String);
