//! How a connection comes in: what lets it in, and, in one process, the way in without a network.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringway_auth::Ticket;
use ringway_protocol::Code;
use ringway_ring::NodeId;
use tokio::net::TcpStream;

use crate::node::Inner;
use crate::session::{self, Admitted};
use crate::tenant::Full;
use crate::trace;

/// Why a connection with a good ticket isn't let in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NotNow {
    /// This node doesn't know the tenant: whoever made the ticket has another reading of the configuration, older or
    /// newer than this node's. Soon they have the same.
    Unknown,
    /// No place is left.
    Full(Full),
}

impl NotNow {
    /// What is said of a tenant that isn't known here, and when to come again.
    pub(crate) const UNKNOWN: &str = "this node doesn't know the ticket's tenant (yet, or any more)";
    pub(crate) const UNKNOWN_RETRY: Duration = Duration::from_secs(1);
}

/// Hands connections to a node in the same process.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

impl Door {
    pub(crate) fn of(node: Arc<Inner>) -> Self {
        Self(node)
    }

    /// The node's name.
    pub fn id(&self) -> &NodeId {
        &self.0.id
    }

    /// Whether it takes connections now.
    pub fn accepts(&self) -> bool {
        !self.0.is_leaving() && !self.0.is_full()
    }

    /// Takes a place for a connection, before its upgrade is answered. The ticket isn't checked: it never left the
    /// process.
    ///
    /// # Errors
    /// [`NoPlace`]: its tenant or its user has as many connections as it may; no other node would take it either. Or the
    /// node doesn't know the tenant: one of the two has a newer configuration.
    pub fn admit(&self, ticket: Ticket) -> Result<Entry, NoPlace> {
        let admitted = self.0.admit(ticket).map_err(|not| match not {
            NotNow::Unknown => NoPlace {
                code: Code::Unavailable,
                detail: NotNow::UNKNOWN,
                retry: Some(NotNow::UNKNOWN_RETRY),
            },
            NotNow::Full(full) => {
                NoPlace { code: Code::LimitConnections, detail: full.whose, retry: full.retry }
            }
        })?;
        Ok(Entry { node: self.0.clone(), admitted })
    }
}

/// A place for a connection that is being upgraded. Dropped, the place is given back.
pub struct Entry {
    node: Arc<Inner>,
    admitted: Admitted,
}

impl Entry {
    /// Takes over the connection after its 101: the socket, and what came with the upgrade.
    pub fn take(self, socket: TcpStream, early: Bytes, traceparent: Option<&str>) {
        let Self { node, admitted } = self;
        let span = trace::join(&admitted.ticket, traceparent);
        let connections = node.connections.clone();
        connections.spawn(session::run(node, socket, early, admitted, span));
    }
}

/// Why a connection isn't let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPlace {
    /// For programs.
    pub code: Code,
    /// For people.
    pub detail: &'static str,
    /// When asking again may help. None: never.
    pub retry: Option<Duration>,
}
