//! What becomes of a socket after its 101, said by the handler that answered so.
//!
//! The task that spoke HTTP hands the socket on itself: no second task waits for it, and nothing of the handshake's
//! state lives as long as the connection.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use super::into_socket;

type Take = Box<dyn FnOnce(TcpStream, Bytes) + Send>;

/// Takes a socket over once its 101 is written. A handler puts it into the [`extensions`](Response::extensions_mut) of
/// that answer. Dropped unused where the client goes away before.
#[derive(Clone)]
pub struct Takeover(Arc<Mutex<Option<Pending>>>);

struct Pending {
    upgrading: OnUpgrade,
    take: Take,
}

impl Takeover {
    /// `take` gets the socket and what the client sent right behind its upgrade. It is called within the task that
    /// spoke HTTP, and shouldn't wait: what lives as long as the connection is a task of its own.
    pub fn new(
        request: &mut Request<Incoming>,
        take: impl FnOnce(TcpStream, Bytes) + Send + 'static,
    ) -> Takeover {
        let upgrading = hyper::upgrade::on(request);
        Takeover(Arc::new(Mutex::new(Some(Pending { upgrading, take: Box::new(take) }))))
    }

    /// Hands the socket on, if the connection has been upgraded.
    pub(super) async fn carry_out(self) {
        let pending = self.0.lock().take();
        let Some(Pending { upgrading, take }) = pending else { return };
        // Ready, since the connection has ended: by its upgrade, or without one.
        if let Some((socket, early)) = upgrading.await.ok().and_then(into_socket) {
            take(socket, early);
        }
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

/// Where a connection's answers leave their takeover until the connection has been upgraded.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Takeover>>>);

impl Slot {
    pub(super) fn keep_from<B>(&self, response: &mut Response<B>) {
        if let Some(takeover) = response.extensions_mut().remove() {
            *self.0.lock() = Some(takeover);
        }
    }

    pub(super) fn take(&self) -> Option<Takeover> {
        self.0.lock().take()
    }
}
