//! Accepting connections and speaking HTTP/1.1 on them, up to an upgrade.
//!
//! It owns the listener and the requests under way, not what becomes of an upgraded socket. What
//! isn't HTTP is answered by hyper itself with an empty 400, a head that is too large with 431,
//! and a client that takes too long over its head is let go.

mod accept;
mod crowd;
mod takeover;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::unsent;
use accept::{Hush, Trouble, trouble_of};
use crowd::Crowd;
pub use crowd::{descriptors, places};
use takeover::Slot;
pub use takeover::Takeover;

/// Connections that the kernel may hold ready: a herd that comes back at once must not be turned
/// away before it was seen. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;

/// What the kernel may hold unsent of each connection, in bytes: more than a fast line takes before the process that
/// writes has noticed, and far less than the megabytes that would wait there for each client that stops reading.
const UNSENT: u32 = 128 * 1024;

/// The wait after an accept for which descriptors or memory were missing: short enough that
/// nobody notices once some are free, long enough to cost nothing while none are.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How long requests under way may take once accepting has ended. An answer takes milliseconds; a client in the middle
/// of its head isn't worth more.
const LAST_REQUESTS: Duration = Duration::from_millis(250);

/// Bounds on what a client may send before its request is understood.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the head of a request may take, the wait for the next request included.
    pub head_time: Duration,
    /// The most bytes of a request's head, 431 above. At least 8 KiB.
    pub head_bytes: usize,
    /// How many descriptors the process may have open. When nearly all are, who comes is answered 503 before anything is
    /// read: see [`places`], at which whoever holds connections should refuse further ones in its own words.
    pub descriptors: u64,
    /// Counts the accepts that failed for want of descriptors or memory, and the connections that were answered 503.
    pub shortages: Arc<AtomicU64>,
}

impl Default for Settings {
    /// 10 s and 32 KiB: room for a token, a session and what proxies add. And the descriptors that the system allows now.
    fn default() -> Settings {
        Settings {
            head_time: Duration::from_secs(10),
            head_bytes: 32 * 1024,
            descriptors: descriptors(),
            shortages: Arc::default(),
        }
    }
}

/// Listens on an address, with a backlog for a herd. Of what is written to a connection that it accepts, the kernel
/// holds little that it can't send yet.
///
/// # Errors
/// As the system has it: address in use, not ours, not allowed.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // So that a restart needn't wait for the connections of the process before it.
    socket.set_reuseaddr(true)?;
    unsent::limit(&SockRef::from(&socket), UNSENT);
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections and has `handler` answer their requests until `stop`. Then it accepts no
/// more, and returns; requests under way are finished by tasks of `tasks`, which the caller waits
/// for: a quarter of a second at most. A connection is kept for further requests; at most 100 headers each.
///
/// To upgrade, a handler answers 101 with a [`Takeover`]. (Or it takes [`hyper::upgrade::on`] the request and spawns a
/// task of its own that awaits it: one task and one wake more a connection.)
pub async fn serve<H, F, B>(
    listener: TcpListener,
    handler: H,
    settings: Settings,
    stop: CancellationToken,
    tasks: TaskTracker,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let handler = Arc::new(handler);
    let http = http_of(&settings);
    let crowd = Crowd::of(settings.descriptors);
    let mut hush = Hush::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if trouble_of(&error) == Trouble::OneClient => continue,
            Err(error) => {
                settings.shortages.fetch_add(1, Ordering::Relaxed);
                if let Some(unsaid) = hush.may_speak() {
                    tracing::warn!(%error, unsaid, "cannot accept connections");
                }
                stop.run_until_cancelled(tokio::time::sleep(BACK_OFF)).await;
                continue;
            }
        };
        if crowd.is_one_too_many(&stream) {
            settings.shortages.fetch_add(1, Ordering::Relaxed);
            if let Some(unsaid) = hush.may_speak() {
                tracing::warn!(
                    limit = settings.descriptors,
                    unsaid,
                    "descriptors run short: connections are refused"
                );
            }
            let Some(place) = stop.run_until_cancelled(crowd.place()).await else { break };
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(crowd::tell_to_go(stream, place)).await });
            continue;
        }
        // Frames are written whole; waiting to fill a segment would only delay them.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let handler = Arc::clone(&handler);
        let upgraded = Slot::default();
        let answered = upgraded.clone();
        let service = service_fn(move |request| {
            let answer = handler(request, peer);
            let answered = answered.clone();
            async move {
                let mut response = answer.await;
                answered.keep_from(&mut response);
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let stop = stop.clone();
        tasks.spawn(async move {
            {
                let mut connection = pin!(connection);
                // An error is the client's: it went away, was too slow, or spoke something else.
                if stop.run_until_cancelled(connection.as_mut()).await.is_none() {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(LAST_REQUESTS, connection).await;
                }
            }
            // Only now: with the connection its upgrade is over, one way or the other.
            if let Some(takeover) = upgraded.take() {
                takeover.carry_out().await;
            }
        });
    }
}

/// The socket of an upgraded connection, and what the client sent right behind its upgrade. None
/// for a connection that [`serve`] didn't accept.
pub fn into_socket(upgraded: Upgraded) -> Option<(TcpStream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

fn http_of(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.head_time)
        .max_header_size(settings.head_bytes)
        .max_buf_size(settings.head_bytes.max(8 * 1024) * 2);
    http
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[tokio::test]
    async fn what_is_accepted_has_its_listeners_limit() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        assert_eq!(SockRef::from(&accepted.unwrap().0).tcp_notsent_lowat().unwrap(), UNSENT);
        drop(client);
    }
}
