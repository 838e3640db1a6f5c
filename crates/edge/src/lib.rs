//! One WebSocket on the server's side: handshake, messages in, a bounded queue and direct writes
//! out, close, and the signs of life. It knows no rooms, tokens or frames of Ringway: it moves
//! messages and finished bytes, and decides only what concerns the socket.
//!
//! | module | holds |
//! |---|---|
//! | [`serve`] | accepting, HTTP/1.1 up to the upgrade, and the socket behind it |
//! | [`upgrade`] | is this request head a WebSocket upgrade that we take |
//! | [`Query`] | the parameters of a request, read strictly |
//! | [`Frame`] | finished bytes of one WebSocket frame, shared by all who get it |
//! | [`Label`] | what may become of a frame whose peer is behind |
//! | [`Outbound`] | the writing half: order, bound, direct writes, what is left out, close |
//! | [`Pass`], [`Crowd`] | frames for many connections: pushed in order, written once, big crowds in turns |
//! | [`Reader`] | the reading half and only task: messages, pings, what waits for a slow client |
//! | [`Beat`] | half-open connections, found by a sweep instead of timers |
//! | [`Wheel`] | when that sweep comes to whom |
//! | [`budget`] | the bound on what waits for all peers together |
//! | [`refuse()`] | a close code to a client that may not stay |
//!
//! A link between two processes of a cluster is the same with other limits and without masks ([`open_link`]).
//!
//! A connection's life: [`upgrade::check`] the head, answer [`upgrade::Upgrade::response`], take
//! the socket by [`serve::into_socket`], [`open`] it, [`Reader::read`] until that ends, then
//! [`Reader::finish`]. An idle connection holds no buffer.

mod alive;
pub mod budget;
mod ended;
mod frame;
mod heartbeat;
mod label;
mod outbound;
mod pass;
mod query;
mod read;
mod refuse;
pub mod serve;
mod unsent;
pub mod upgrade;
mod wheel;

pub use ended::{By, Ended};
pub use frame::Frame;
pub use heartbeat::{Beat, MISSED_BEATS};
pub use label::{Feed, Label, Lost, Policy};
pub use outbound::{Due, KEYS_LIMIT, Outbound, Pushed, QUEUED_FRAMES_LIMIT, STALL_LIMIT};
pub use pass::{Crowd, Forms, MANY, Pass};
pub use query::{BadQuery, Query};
pub use read::{Limits, Message, Reader, open, open_link};
pub use refuse::refuse;
pub use wheel::{LOOK_INTERVAL, PING_INTERVAL, SPOKES, Tick, Wheel};
