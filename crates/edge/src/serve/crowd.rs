//! What becomes of connections for which descriptors run short: they are told so, while some are left.
//!
//! Nobody counts: the kernel gives a new descriptor the lowest number that is free, so a socket whose number is N tells
//! that N others are open. Whoever serves clients refuses them by a count of its own, at [`places`]; what is told here
//! is told to a herd that comes in between, before its first byte is read.

use std::convert::Infallible;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ringway_protocol::Code;
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors that connections of clients leave free. Half of them are a process's own, those who are in the middle of
/// their upgrade, and those who are refused by a close code; the other half are what must work however many clients
/// come: the link to NATS and its return, a few requests at the admin port, OTLP, and those who are told to go.
const RESERVE: u64 = 128;

/// The share of the reserve whose descriptors may go to those who are told to go, at a time.
const TOLD_AT_A_TIME: u64 = 8;

/// How long one who is told to go may take over its request: it holds one of few places.
const HEAD_TIME: Duration = Duration::from_secs(1);

/// When one who was told to go may come again: connections come and go by the second, and a shorter wait would only
/// bring the same herd back.
const RETRY_SECONDS: u16 = 3;

/// How many descriptors this process may have open at a time; `u64::MAX`: any number.
#[must_use]
pub fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many of a process's `descriptors` may go to clients' connections; the others are kept for what must work however
/// many clients come.
#[must_use]
pub fn places(descriptors: u64) -> u64 {
    descriptors - reserve(descriptors)
}

/// A process with few descriptors has clients too: half, then.
fn reserve(descriptors: u64) -> u64 {
    RESERVE.min(descriptors / 2)
}

/// Who is told to go, and how many at a time.
#[derive(Debug)]
pub(super) struct Crowd {
    /// A socket with this number or a greater one is one too many.
    first_number: u64,
    places: Arc<Semaphore>,
}

impl Crowd {
    pub(super) fn of(descriptors: u64) -> Self {
        let reserve = reserve(descriptors);
        let told = usize::try_from(reserve / TOLD_AT_A_TIME).unwrap_or(1).max(1);
        Self { first_number: descriptors - reserve / 2, places: Arc::new(Semaphore::new(told)) }
    }

    /// Whether descriptors are so few that this connection can't stay.
    pub(super) fn is_one_too_many(&self, socket: &TcpStream) -> bool {
        u64::try_from(socket.as_raw_fd()).is_ok_and(|number| number >= self.first_number)
    }

    /// Waits until one more may be told to go. Until then nobody is accepted, and who knocks waits in the kernel.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it")
    }
}

/// Answers one request with 503 and closes. As plainly as can be, whatever was asked: it must cost nothing.
pub(super) async fn tell_to_go(socket: TcpStream, place: OwnedSemaphorePermit) {
    let answer = service_fn(|_| async { Ok::<_, Infallible>(no_descriptors()) });
    // An error is the client's: it went away, was too slow, or spoke something else.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), answer)
        .await;
    drop(place);
}

/// A problem document, as other refusals are.
fn no_descriptors() -> Response<Full<Bytes>> {
    let code = Code::LimitConnections;
    let body = format!(
        r#"{{"type":"urn:ringway:code:{code}","title":"{}","status":503,"detail":"too few descriptors are left for a further connection","code":"{code}","retry":{RETRY_SECONDS}000}}"#,
        code.meaning()
    );
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_a_reserve_and_are_told_within_it() {
        for (descriptors, for_clients, first_number, told) in [
            (20_000, 19_872, 19_936, 16),
            (1_024, 896, 960, 16),
            (256, 128, 192, 16),
            (64, 32, 48, 4),
            (4, 2, 3, 1),
        ] {
            let crowd = Crowd::of(descriptors);
            assert_eq!(places(descriptors), for_clients);
            assert_eq!((crowd.first_number, crowd.places.available_permits()), (first_number, told));
        }
        assert!(places(u64::MAX) > u64::MAX / 2, "no limit, no refusal");
    }
}
