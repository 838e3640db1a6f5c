//! The admin port: accept, serve, end. HTTP/1.1 with a time-out on the head of each request and a bound on connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Checks, routes};
use crate::Metrics;

/// How long the head of a request may take, and a connection may idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections are served at a time; further ones wait to be accepted. A scraper, a probe and a few people
/// need a handful; what holds more is a mistake, and must not use up the process's file descriptors.
const MAX_CONNECTIONS: usize = 64;
/// How long requests that are under way at the end have.
const GRACE: Duration = Duration::from_secs(2);
/// Pause after `accept` failed: it fails again at once while there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the admin port shows.
#[derive(Debug, Clone)]
pub struct AdminParts {
    /// For `/metrics`.
    pub metrics: Metrics,
    /// For `/readyz`.
    pub checks: Checks,
    /// Further routes, such as `/debug/ring` and `/drain`. They may not repeat ours (axum panics), nor have a fallback.
    pub extra: Router,
}

/// A bound admin port.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds the port; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken, or may not be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Admin { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `cancel`; then takes no more, and returns when requests under way are answered, or after 2 s.
    ///
    /// A stopping process cancels this last: `/readyz` has to say so until the end.
    pub async fn serve(self, parts: AdminParts, cancel: CancellationToken) {
        let router = routes::router(parts);
        let connections = TaskTracker::new();
        // Cancelled after the grace: what is then still there is dropped.
        let abandon = CancellationToken::new();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accepting = async {
            loop {
                // Closed never: we hold it.
                let Ok(place) = places.clone().acquire_owned().await else { return };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let serving = serve_connection(stream, router.clone(), cancel.clone());
                        let abandon = abandon.clone();
                        connections.spawn(async move {
                            abandon.run_until_cancelled(serving).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the admin port can't accept a connection");
                        drop(place);
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        cancel.run_until_cancelled(accepting).await;
        drop(self.listener);
        connections.close();
        if timeout(GRACE, connections.wait()).await.is_err() {
            abandon.cancel();
            connections.wait().await;
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router, cancel: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A peer that went away or sent nonsense: its business.
        tracing::debug!(%error, "an admin connection ended");
    }
}
