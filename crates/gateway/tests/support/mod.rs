//! A gateway with everything around it played by the test: nodes, clients, the view.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod client;
pub(crate) mod http;
pub(crate) mod inbound;
pub(crate) mod linked;
pub(crate) mod node;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use ringway_auth::{Claims, Grant, TicketKey, mint_hs256};
use ringway_backplane::Backplane;
use ringway_backplane::memory::Hub;
use ringway_config::{ClientPath, Config};
use ringway_gateway::{Directory, GatewayHandle, GatewayParts, GatewaySettings, LocalNode, Place, Refusal};
use ringway_protocol::{Pattern, RoomName, TenantId};
use ringway_ring::{Announcement, Membership, NodeId, Slot, View};
use tokio::sync::watch;

/// For what should happen soon.
pub(crate) const FAR: Duration = Duration::from_secs(10);
pub(crate) const CLUSTER_SECRET: &[u8] = b"the cluster's secret, long enough";
pub(crate) const TOKEN_SECRET: &[u8] = b"acme's token secret, long enough";

/// One tenant, `acme`, whose tokens are signed with [`TOKEN_SECRET`].
pub(crate) const JWT: &str = r#"
[tenants.acme]
keys = [{ alg = "HS256", file = "acme.key" }]
"#;
/// Authentication off: anybody is anybody.
pub(crate) const OPEN: &str = "[gateway]\nauth = \"off\"\n";

/// A gateway and what it sees.
pub(crate) struct World {
    pub(crate) gateway: GatewayHandle,
    pub(crate) hub: Hub,
    pub(crate) view: watch::Sender<Arc<View>>,
    pub(crate) directory: watch::Sender<Arc<Directory>>,
    pub(crate) metrics: Registry,
    membership: Membership,
}

/// A tenant's settings from a configuration's text.
pub(crate) fn directory(text: &str) -> Arc<Directory> {
    let files = tempfile::tempdir().expect("a directory");
    std::fs::write(files.path().join("acme.key"), TOKEN_SECRET).expect("written");
    let config = Config::from_text(text, &files.path().join("ringway.toml"), &Default::default());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Directory::new(config.gateway.auth, config.tenants()).expect("usable keys"))
}

impl World {
    /// A gateway that knows no node yet.
    pub(crate) async fn start(config: &str) -> Self {
        Self::with(config, |_, _| {}).await
    }

    /// A gateway with a say in its settings.
    pub(crate) async fn with(
        config: &str,
        change: impl FnOnce(&mut GatewaySettings, &mut GatewayParts),
    ) -> Self {
        let hub = Hub::new();
        let (view, watched) = watch::channel(Arc::default());
        let (directory, tenants) = watch::channel(directory(config));
        let mut settings = GatewaySettings {
            name: "gateway-1".parse().expect("a name"),
            listen: "127.0.0.1:0".parse().expect("an address"),
            token_in_query: false,
            path: ClientPath::Tunnel,
            max_connections: usize::MAX,
            buffers: u64::MAX,
            extra: None,
        };
        let mut parts = GatewayParts {
            backplane: hub.attach("gateway-1"),
            view: watched,
            directory: tenants,
            secret: CLUSTER_SECRET.into(),
            local: Vec::new(),
        };
        change(&mut settings, &mut parts);
        let mut metrics = Registry::with_prefix("ringway");
        let gateway = GatewayHandle::start(settings, parts, &mut metrics).expect("a free port");
        Self { gateway, hub, view, directory, metrics, membership: Membership::new() }
    }

    /// From now on the gateway sees this node, in the shared pool.
    pub(crate) fn node(&mut self, id: &str, advertise: impl Display) -> NodeId {
        self.announce(announcement(id, advertise))
    }

    pub(crate) fn announce(&mut self, announcement: Announcement) -> NodeId {
        let id = announcement.id.clone();
        self.membership.heard(announcement, 0);
        self.view.send_replace(self.membership.view());
        id
    }

    /// A room of the tenant whose owner is this node.
    pub(crate) fn room_of(&self, tenant: &str, owner: &NodeId) -> RoomName {
        let (tenant, view) = (tenant_id(tenant), self.view.borrow().clone());
        let pool = "shared".parse().expect("a pool");
        (0..10_000)
            .map(|n| format!("room-{n}").parse::<RoomName>().expect("a room"))
            .find(|room| view.owner(&pool, Slot::of_room(&tenant, room)) == Some(owner))
            .expect("a room of that node")
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.gateway.local_addr()
    }

    pub(crate) fn party(&self, name: &str) -> Arc<dyn Backplane> {
        self.hub.attach(name)
    }

    /// The metrics as text.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).expect("text");
        text
    }
}

#[allow(clippy::needless_pass_by_value, reason = "an address or a text, as it comes")]
pub(crate) fn announcement(id: &str, advertise: impl Display) -> Announcement {
    let (id, pool) = (id.parse().expect("an id"), "shared".parse().expect("a pool"));
    Announcement::new(id, 1, pool, advertise.to_string())
}

pub(crate) fn tenant_id(name: &str) -> TenantId {
    name.parse().expect("a tenant")
}

pub(crate) fn ticket_key() -> TicketKey {
    TicketKey::new(CLUSTER_SECRET)
}

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A token of acme's for a user with these rights everywhere.
pub(crate) fn token(user: &str, rights: &[ringway_auth::Right]) -> String {
    token_until(user, rights, now() + 600)
}

pub(crate) fn token_until(user: &str, rights: &[ringway_auth::Right], expires: u64) -> String {
    let grant =
        Grant { rooms: Pattern::parse("**").expect("a pattern"), rights: rights.iter().copied().collect() };
    let claims = Claims {
        tenant: Some(tenant_id("acme")),
        user: Some(user.parse().expect("a user")),
        expires,
        issued: None,
        grants: vec![grant].into(),
        join: Vec::new(),
        info: None,
    };
    mint_hs256(TOKEN_SECRET, &claims)
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(FAR, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not within ten seconds: {what}"));
}

/// Fails rather than hangs.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(FAR, future).await.unwrap_or_else(|_| panic!("not within ten seconds: {what}"))
}

/// A port of this machine at which nobody listens.
pub(crate) fn closed_port() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// An address that swallows connections: a listener whose queue is full. It lives as long as what is returned.
pub(crate) struct BlackHole {
    pub(crate) address: std::net::SocketAddr,
    _listener: tokio::net::TcpListener,
    _waiting: Vec<std::net::TcpStream>,
}

pub(crate) async fn black_hole() -> BlackHole {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    // Until the kernel takes no more: how many that is, is its own business.
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    BlackHole { address, _listener: listener, _waiting: waiting }
}

/// A node in the gateway's process, as far as the gateway sees it.
pub(crate) struct Inside {
    pub(crate) id: NodeId,
    pub(crate) accepting: std::sync::atomic::AtomicBool,
    pub(crate) refusing: std::sync::Mutex<Option<Refusal>>,
    pub(crate) taken: Taken,
}

/// What a node inside was handed.
type Taken = tokio::sync::mpsc::UnboundedSender<(tokio::net::TcpStream, bytes::Bytes, ringway_auth::Ticket)>;

impl LocalNode for Inside {
    fn id(&self) -> &NodeId {
        &self.id
    }

    fn accepts(&self) -> bool {
        self.accepting.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn admit(&self, ticket: ringway_auth::Ticket) -> Result<Box<dyn Place>, Refusal> {
        match self.refusing.lock().expect("not poisoned").clone() {
            Some(refusal) => Err(refusal),
            None => Ok(Box::new(Held { taken: self.taken.clone(), ticket })),
        }
    }
}

/// A place at a node inside.
struct Held {
    taken: Taken,
    ticket: ringway_auth::Ticket,
}

impl Place for Held {
    fn take(self: Box<Self>, socket: tokio::net::TcpStream, early: bytes::Bytes) {
        self.taken.send((socket, early, self.ticket)).expect("the test waits for it");
    }
}
