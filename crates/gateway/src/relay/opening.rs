//! A client on its way in: from a checked upgrade over the node that takes it to a socket that is held here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringway_auth::Ticket;
use ringway_edge::Limits;
use ringway_link::ConnNo;
use ringway_protocol::Code;
use ringway_protocol::codec::Format;
use ringway_protocol::frame::Position;
use ringway_protocol::name::{RoomName, TenantId};
use ringway_ring::NodeId;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Relay;
use super::client;
use super::clients::Client;
use super::table::NotOpened;
use super::worker::Worker;
use crate::Refusal;

/// A number of one worker for a client whose home is being looked for. Dropped, it is given back.
pub(crate) struct Opening {
    relay: Arc<Relay>,
    /// None: the client has begun.
    worker: Option<Arc<Worker>>,
    conn: ConnNo,
    tenant: TenantId,
    format: Format,
    /// What the server joins, the home room first.
    joins: Vec<RoomName>,
    /// Where it resumes in its home room.
    since: Option<Position>,
}

/// Why a node didn't take a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// There is no link to it.
    Unreachable,
    /// It didn't answer in time.
    Timeout,
    /// It doesn't want the client; another may.
    Refused,
    /// Nobody may have it.
    Limited(Refusal),
}

impl Opening {
    /// A client with this ticket gets a number.
    pub(crate) fn new(relay: &Arc<Relay>, ticket: &Ticket) -> Self {
        let worker = relay.next_worker();
        let conn = worker.with(|table, hands| {
            let conn = table.add(&ticket.tenant, ticket.room.as_ref());
            hands.remember(conn, ticket);
            conn
        });
        let mut joins: Vec<RoomName> = Vec::with_capacity(1 + ticket.join.len());
        for room in ticket.room.iter().chain(&ticket.join) {
            if !joins.contains(room) {
                joins.push(room.clone());
            }
        }
        Self {
            relay: Arc::clone(relay),
            worker: Some(worker),
            conn,
            tenant: ticket.tenant.clone(),
            format: ticket.format,
            joins,
            since: ticket.since.clone(),
        }
    }

    /// Asks a node to be its home, within `limit`.
    pub(crate) async fn at(
        &self,
        node: &NodeId,
        limit: Duration,
        traceparent: Option<String>,
    ) -> Result<(), NotTaken> {
        let Some(worker) = &self.worker else { return Ok(()) };
        let opened = worker.with(|table, hands| {
            let node = hands.number(node)?;
            hands.trace(self.conn, traceparent);
            let opened = hands.sockets.await_opened(self.conn);
            table.open(hands, self.conn, node);
            hands.traced();
            Some(opened)
        });
        let Some(opened) = opened else { return Err(NotTaken::Unreachable) };
        match timeout(limit, opened).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(NotOpened::Refused { code: Code::LimitConnections, retry, .. }))) => {
                let retry = retry.map(Duration::from_millis);
                Err(NotTaken::Limited(Refusal { code: Code::LimitConnections, retry }))
            }
            Ok(Ok(Err(NotOpened::Refused { .. }))) => Err(NotTaken::Refused),
            // Its sender was dropped: the worker forgot it, which only its own end does.
            Ok(Ok(Err(NotOpened::Lost)) | Err(_)) => Err(NotTaken::Unreachable),
            Err(_) => Err(NotTaken::Timeout),
        }
    }

    /// Its socket is there, and what the client sent right behind its upgrade: it begins. Doesn't block.
    pub(crate) fn take(mut self, socket: TcpStream, early: &Bytes) {
        let Some(worker) = self.worker.take() else { return };
        let (out, reader) = ringway_edge::open(socket, early, Limits::default());
        let (conn, format) = (self.conn, self.format);
        let tenant = self.relay.tenant(&self.tenant);
        let client = Client {
            out,
            tenant: Arc::clone(&tenant),
            format,
            held: None,
            refusals: 0,
            greeted: false,
            told_to_go: false,
            owes: false,
        };
        let (joins, since) = (std::mem::take(&mut self.joins), self.since.take());
        self.relay.metrics.opened();
        worker.with(|table, hands| {
            hands.sockets.attach(conn, client);
            table.begin(hands, conn, joins, since);
        });
        self.relay.clients.spawn(client::run(Arc::clone(&self.relay), worker, tenant, conn, format, reader));
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.gone(self.conn);
        }
    }
}
