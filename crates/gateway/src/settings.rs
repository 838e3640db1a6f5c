//! What a gateway is made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Response};
use ringway_auth::Ticket;
use ringway_backplane::Backplane;
use ringway_config::ClientPath;
use ringway_protocol::Code;
use ringway_ring::{NodeId, View};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::auth::Directory;

/// What a gateway is.
#[derive(Clone)]
pub struct GatewaySettings {
    /// What nodes know it by, in tickets and questions. Two gateways should have two names; nothing breaks where they
    /// don't.
    pub name: NodeId,
    /// Where clients connect. Port 0: one that is free.
    pub listen: SocketAddr,
    /// Whether a token may stand in the URL (`?token=`), where proxies and logs see it.
    pub token_in_query: bool,
    /// How clients' bytes reach nodes of other processes.
    pub path: ClientPath,
    /// More connections than this, upgrades under way included, are refused. A tunnel takes two descriptors, a connection
    /// on the relay's path one.
    pub max_connections: usize,
    /// Bytes that frames under way may take before the slowest of the clients whose sockets are held here give way.
    pub buffers: u64,
    /// What else it answers, at paths that aren't the API's, such as the page that `ringway dev` shows at `/`.
    pub extra: Option<ExtraRoutes>,
}

/// Answers a request by method and path, or leaves it to the gateway's 404. For what a development server shows beside
/// the API; it gets no body.
pub type ExtraRoutes =
    Arc<dyn Fn(Method, String) -> BoxFuture<'static, Option<Response<Bytes>>> + Send + Sync>;

/// What a gateway works with.
pub struct GatewayParts {
    /// Carries questions and publications to nodes. Whoever made it closes it.
    pub backplane: Arc<dyn Backplane>,
    /// Who is in the cluster. A gateway that hears nothing more keeps routing by the last view.
    pub view: watch::Receiver<Arc<View>>,
    /// Tenants and keys; a new value holds for the next request.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// The cluster's secret: seals tickets, opens sessions.
    pub secret: Arc<[u8]>,
    /// Nodes of this process: their connections are handed over in memory.
    pub local: Vec<Arc<dyn LocalNode>>,
}

/// A node in the gateway's own process.
pub trait LocalNode: Send + Sync + 'static {
    /// Its name, as it announces itself.
    fn id(&self) -> &NodeId;

    /// Whether it takes connections now; if not, another node is asked.
    fn accepts(&self) -> bool;

    /// Takes a place for a connection, before its upgrade is answered. The ticket is as yet unused.
    ///
    /// # Errors
    /// What the client is told: its tenant or its user has as many connections as it may. No other node is asked.
    fn admit(&self, ticket: Ticket) -> Result<Box<dyn Place>, Refusal>;
}

/// A place for a connection whose upgrade is being answered. Dropped, it is given back.
pub trait Place: Send + 'static {
    /// Takes the connection: the socket, and what the client sent right behind its request. Doesn't block.
    fn take(self: Box<Self>, socket: TcpStream, early: Bytes);
}

/// What a node says to a connection that it doesn't take, and that no other is to take either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// After which asking again may help. None: it won't.
    pub retry: Option<Duration>,
}
