//! The tree of the configuration: a struct for each table of the file, each default beside its field.
//! The words beside the fields are those of `docs/configuration.md`. What must fit together is in `check`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ringway_protocol::{PoolId, TenantId};
use url::Url;

use crate::address::{HostPort, redacted};
use crate::exact::digest;
use crate::leaf::{choice, text};
use crate::quantity::ByteSize;
use crate::read::{Leaf, Reader, Refusal};
use crate::rooms::{Class, Store, StoreName};
use crate::secret::{Secret, look_up};
use crate::section::section;
use crate::tenant_tree::{TenantConfig, TenantDefaults};
use crate::value::{Kind, Node as Value};

section! {
    /// The whole file.
    pub struct Config {
        /// The process that clients connect to.
        pub gateway: Gateway = Gateway::default(),
        /// The process that holds connections and rooms.
        pub node: Node = Node::default(),
        /// What joins gateways and nodes. Without it a process is alone: enough for `serve`.
        pub nats: Option<Nats> = None,
        /// What all processes of an installation share.
        pub cluster: Cluster = Cluster::default(),
        /// How connections come to where their rooms are, and rooms too big for one node to several.
        pub placement: Placement = Placement::default(),
        /// Where traces go.
        pub telemetry: Telemetry = Telemetry::default(),
        /// Retention profiles by name.
        pub stores: BTreeMap<StoreName, Store> = BTreeMap::new(),
        /// Kinds of rooms; the first whose pattern matches wins. A room of none has the defaults.
        pub classes: Vec<Class> = Vec::new(),
        /// What holds for every tenant that says nothing else.
        pub tenant_defaults: TenantDefaults = TenantDefaults::default(),
        /// The tenants by name.
        pub tenants: BTreeMap<TenantId, TenantConfig> = BTreeMap::new(),
        /// A directory with a file for each further tenant: `acme.toml` holds what stands under `[tenants.acme]`.
        /// Files with other endings and those that begin with a dot are left alone.
        pub tenants_dir: Option<PathBuf> = None,
    }
}

const fn every_address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

section! {
    /// `[gateway]`.
    pub struct Gateway {
        /// Address and port where clients connect. Port 0: one that is free.
        pub listen: SocketAddr = every_address(8080),
        /// Address and port for `/livez`, `/readyz` and `/metrics`. Not for the public.
        pub admin: SocketAddr = every_address(9080),
        /// Who may connect: holders of a token that a tenant's key signed (`jwt`), or anybody (`off`).
        pub auth: Auth = Auth::Jwt,
        /// How a client's bytes reach its node.
        pub path: ClientPath = ClientPath::Relay,
        /// Whether a token may stand in the URL (`?token=`), where proxies and logs see it.
        pub token_in_query: bool = false,
    }
}

choice! {
    /// Who may connect.
    pub enum Auth {
        /// Holders of a token signed by a key of their tenant.
        Jwt = "jwt",
        /// Anybody, as whoever they say they are.
        Off = "off",
    } later {}
}

choice! {
    /// How bytes go through the gateway.
    pub enum ClientPath {
        /// The upgrade is routed to the room's node, and bytes are moved.
        Tunnel = "tunnel",
        /// The gateway holds the socket, and speaks for it to the nodes that have its rooms.
        Relay = "relay",
    } later {}
}

/// The pool that nodes and tenants are in when nothing else is said.
pub const SHARED_POOL: &str = "shared";

pub(crate) fn shared_pool() -> PoolId {
    SHARED_POOL.parse().expect("the shared pool's name keeps the rule")
}

section! {
    /// `[node]`.
    pub struct Node {
        /// The node's name, one in its cluster: 1 to 63 of `A-Z a-z 0-9 . _ -`, a letter or digit first.
        /// Default: the host's name.
        pub id: Option<String> = None,
        /// The pool that it belongs to.
        pub pool: PoolId = shared_pool(),
        /// Address and port where gateways, and clients on the direct path, connect. Port 0: one that is free.
        pub listen: SocketAddr = every_address(7001),
        /// Host and port where gateways reach it. Default: `listen`, where that is one address of this host.
        pub advertise: Option<HostPort> = None,
        /// `ws:` or `wss:` URL where clients reach it; offers the direct path.
        pub public_url: Option<Url> = None,
        /// Address and port for `/livez`, `/readyz` and `/metrics`. Not for the public.
        pub admin: SocketAddr = every_address(9081),
        /// Connections that it was tested for: the denominator of the 80 % alert, and further ones are refused.
        /// At least 1.
        pub max_connections: u64 = 50_000,
        /// Memory for what waits for members and for replay buffers, all rooms together; at least 1 MiB. Default: a
        /// quarter of what the process may use.
        pub buffers: Option<ByteSize> = None,
        /// Its share of the pool's slots against the others', 0 to 16. 0: it holds none.
        pub weight: u8 = 1,
    }
}

section! {
    /// `[nats]`.
    pub struct Nats {
        /// The servers of one NATS cluster. A user and password may stand in the URL; each URL may be `env:` or `file:`.
        pub urls: Vec<NatsUrl> = vec![NatsUrl(Url::parse("nats://127.0.0.1:4222").expect("a valid URL"))],
        /// What every subject begins with: `A-Z a-z 0-9 _ -`, and dots inside. Installations that share a NATS
        /// differ in it.
        pub prefix: String = "ringway".to_owned(),
    }
}

/// A NATS server's URL, which may hold a password: shown without it.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl(Url);

impl NatsUrl {
    /// The URL with what is secret in it, for connecting.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// # Errors
    /// Where it isn't a URL of NATS.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        match url.scheme() {
            "nats" | "tls" | "ws" | "wss" if url.has_host() => Ok(NatsUrl(url)),
            _ => Err("it begins with nats://, tls://, ws:// or wss:// and a host".into()),
        }
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(&self.0).fmt(f)
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsUrl({self})")
    }
}

impl Leaf for NatsUrl {
    fn wants() -> String {
        "a NATS URL such as \"nats://127.0.0.1:4222\"".into()
    }

    fn parse(node: &Value, reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let text = look_up(&text(node)?, &node.place, reader)?;
        let text = String::from_utf8(text).map_err(|_| Refusal::Value("it isn't UTF-8".into()))?;
        NatsUrl::parse(&text).map_err(Refusal::Value)
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }

    fn identity(&self) -> String {
        digest(self.as_str().as_bytes())
    }
}

section! {
    /// `[cluster]`.
    pub struct Cluster {
        /// Signs tickets and sessions; the same in all gateways and nodes, at least 16 bytes. Required by `gateway`
        /// and `node`; `serve` and `dev` make one at their start.
        pub secret: Option<Secret> = None,
    }
}

section! {
    /// `[placement]`.
    #[derive(Copy)]
    pub struct Placement {
        /// How many connections of a pool are told to move a second (`goaway`), all its nodes together, once their home
        /// is another node than the one they are on. 0: none is; they move when they come back.
        pub moves_per_second: u32 = 200,
        /// How long a connection may stand before it is told to move, at least 1 minute; up to a tenth less, drawn for
        /// each. Default: for ever.
        pub connection_lifetime: Option<Duration> = None,
        /// A room, or all rooms of a tag together, with more members than this on each of its nodes is spread over more
        /// nodes of its pool. 0: never for their number.
        pub spread_members: u64 = 10_000,
        /// And one with more deliveries a second than this on each of its nodes. 0: never for their number.
        pub spread_deliveries: u64 = 200_000,
    }
}

section! {
    /// `[telemetry]`. The `OTEL_*` variables win over it.
    pub struct Telemetry {
        /// Where spans are sent by OTLP over gRPC. Default: nowhere, and then tracing costs nothing.
        pub otlp: Option<Url> = None,
        /// The share of traces that are kept where the caller didn't decide, 0 to 1.
        pub sample: f64 = 0.01,
    }
}

/// Tables of the file that are known and will come.
pub(crate) const LATER: [(&str, &str); 3] = [
    ("hooks", "[[hooks]]: say who may do what by grants in a token"),
    ("notices", "[notices]"),
    ("webhooks", "[[webhooks]]"),
];

/// Whether `id` may be a node's.
pub(crate) fn is_node_id(id: &str) -> bool {
    (1..=63).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && id.as_bytes()[0].is_ascii_alphanumeric()
}

/// A list that holds something, or a text: what a key that was given may be, as against an empty one.
pub(crate) fn is_given(node: Option<&Value>) -> bool {
    node.is_some_and(|node| !matches!(&node.kind, Kind::Array(items) if items.is_empty()))
}
