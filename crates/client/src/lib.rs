//! Ringway's client for Rust: what the command line, the tests and the load tests speak through.
//!
//! | item | is |
//! |---|---|
//! | [`Connection`] | one WebSocket: frames out and in, and raw messages; decides nothing |
//! | [`Client`] | one client across its reconnects: joins, resumes, hands over, repeats what wasn't answered |
//! | [`Http`] | publish, history, locate and members over HTTP |
//! | [`Track`], [`Backoff`] | the resume rule and the back-off as values, for who writes a client of their own |
//!
//! What is decided (`machine`: which connection counts, what is sent again, when to come back) is
//! a value that is told what happened and what time it is; `driver` and `link` move bytes and time.

mod backoff;
mod client;
mod connect;
mod connection;
mod driver;
mod endpoint;
mod event;
mod http;
mod link;
mod machine;
mod track;

pub use backoff::Backoff;
pub use client::{Client, ClientOptions, Events, FetchToken, Publish, TokenSource};
pub use connect::{ConnectError, ConnectOptions, Secrets};
pub use connection::{Closed, Connection, Reader, ReceiveError, Writer};
pub use endpoint::{Endpoint, EndpointError};
pub use event::{Event, JoinOptions, RequestError, State};
pub use http::{Http, HttpError, Located, PageHttp, PublishHttp, To};
pub use tokio_tungstenite::tungstenite::Message;
pub use track::Track;

/// TLS needs a crypto provider, chosen once a process; who chose one already keeps it.
fn install_crypto() {
    use std::sync::Once;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
