//! What each part needs of the configuration, resolved once: small values of their own, never the whole tree.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ringway_protocol::PoolId;
use url::Url;

use crate::address::HostPort;
use crate::error::{ConfigError, Place, Problem};
use crate::tenants::Tenants;
use crate::tree::{Auth, ClientPath, Config, is_node_id};

/// How far the admin port is from the public one, as in 8080 and 9080, where a command has one `--listen` for both.
const ADMIN_OFFSET: u16 = 1_000;

/// What a process is, for what its configuration must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `ringway gateway`.
    Gateway,
    /// `ringway node`.
    Node,
    /// `ringway serve`: both in one process.
    Serve,
}

/// What the gateway needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/metrics` and its like are.
    pub admin: SocketAddr,
    /// Who may connect.
    pub auth: Auth,
    /// Whether `?token=` is taken.
    pub token_in_query: bool,
    /// How a client's bytes reach its node.
    pub path: ClientPath,
    /// Bytes for what waits for clients whose sockets it holds; None: a quarter of what the process may use.
    pub buffers: Option<u64>,
}

/// What a node needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// Its name; keeps the rule of a node's id.
    pub id: String,
    /// Its pool.
    pub pool: PoolId,
    /// Where gateways and direct clients connect.
    pub listen: SocketAddr,
    /// Where gateways reach it; None where that isn't known before a port is bound (`serve`, `dev`), which is then on
    /// the loop-back address.
    pub advertise: Option<HostPort>,
    /// Where clients reach it directly.
    pub public_url: Option<Url>,
    /// Where `/metrics` and its like are.
    pub admin: SocketAddr,
    /// More connections are refused.
    pub max_connections: u64,
    /// Bytes for what waits for members and for replay buffers; None: a quarter of what the process may use.
    pub buffers: Option<u64>,
    /// Its share of the slots against the others' (0 to 16).
    pub weight: u8,
    /// Whether `auth` frames are checked.
    pub auth: Auth,
}

/// What `ringway dev` runs on.
#[derive(Debug, Clone)]
pub struct Dev {
    /// Authentication off, every trace kept, no NATS, one admin port.
    pub config: Config,
    /// `node-1`, `node-2` …, each on a free port of the loop-back address.
    pub nodes: Vec<NodeSettings>,
}

impl Config {
    /// What `ringway dev` runs on: everything in one process that listens at `listen`, with that many nodes.
    #[must_use]
    pub fn dev(listen: SocketAddr, nodes: u16) -> Dev {
        let mut config = Config::default();
        config.gateway.listen = listen;
        config.gateway.admin = SocketAddr::new(listen.ip(), admin_port(listen.port()));
        config.gateway.auth = Auth::Off;
        config.telemetry.sample = 1.0;
        let free = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let nodes = (1..=nodes)
            .map(|number| NodeSettings {
                listen: free,
                admin: free,
                advertise: None,
                ..config.node_called(format!("node-{number}"))
            })
            .collect();
        Dev { config, nodes }
    }

    /// The gateway's part.
    #[must_use]
    pub fn gateway(&self) -> GatewaySettings {
        GatewaySettings {
            listen: self.gateway.listen,
            admin: self.gateway.admin,
            auth: self.gateway.auth,
            token_in_query: self.gateway.token_in_query,
            path: self.gateway.path,
            buffers: self.node.buffers.map(|bytes| bytes.0),
        }
    }

    /// The node's part; reads the host's name where `node.id` isn't given.
    ///
    /// # Errors
    /// The host's name can't be read or can't be a node's.
    pub fn node(&self) -> Result<NodeSettings, ConfigError> {
        let id = match &self.node.id {
            Some(id) => id.clone(),
            None => host_name().ok_or_else(|| {
                ConfigError::one(
                    "node.id",
                    "missing, and the host's name can't stand in: give the node a name",
                )
            })?,
        };
        Ok(self.node_called(id))
    }

    fn node_called(&self, id: String) -> NodeSettings {
        let node = &self.node;
        let by_listen =
            (!node.listen.ip().is_unspecified() && node.listen.port() != 0).then(|| node.listen.into());
        NodeSettings {
            id,
            pool: node.pool.clone(),
            listen: node.listen,
            advertise: node.advertise.clone().or(by_listen),
            public_url: node.public_url.clone(),
            admin: node.admin,
            max_connections: node.max_connections,
            buffers: node.buffers.map(|bytes| bytes.0),
            weight: node.weight,
            auth: self.gateway.auth,
        }
    }

    /// The tenants and classes, resolved.
    #[must_use]
    pub fn tenants(&self) -> Tenants {
        Tenants::new(self)
    }

    /// Whether the configuration has what a process of this kind can't do without.
    ///
    /// # Errors
    /// Everything that is missing.
    pub fn require(&self, role: Role) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut missing = |key: &str, message: &str| {
            problems.push(Problem {
                place: Place::Nowhere,
                key: key.to_owned(),
                message: message.to_owned(),
            });
        };
        if matches!(role, Role::Gateway | Role::Node) {
            if self.nats.is_none() {
                missing(
                    "nats.urls",
                    "missing: gateways and nodes meet over NATS; for one process alone use `ringway serve`",
                );
            }
            if self.cluster.secret.is_none() {
                missing(
                    "cluster.secret",
                    "missing: the same in all gateways and nodes, such as \"env:RINGWAY_SECRET\" or \"file:PATH\"",
                );
            }
        }
        if role == Role::Node {
            match self.node() {
                Ok(node) if node.advertise.is_none() => {
                    missing(
                        "node.advertise",
                        "missing: node.listen doesn't say at which address gateways reach this node",
                    );
                }
                Ok(_) => {}
                Err(error) => problems.extend(error.problems),
            }
        }
        if role == Role::Serve {
            problems.extend(self.stores_without_nats(|_| Place::Nowhere));
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

fn admin_port(port: u16) -> u16 {
    match port {
        0 => 0,
        port => port.checked_add(ADMIN_OFFSET).unwrap_or(0),
    }
}

/// The host's name as the kernel has it, where it can be a node's.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())?;
    let name = name.trim();
    is_node_id(name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dev_is_open_and_stays_on_the_loop_back_address() {
        let Dev { config, nodes } = Config::dev("127.0.0.1:8080".parse().unwrap(), 2);
        config.check().unwrap();
        assert_eq!(config.gateway().auth, Auth::Off);
        assert_eq!(config.gateway().admin, "127.0.0.1:9080".parse().unwrap());
        assert_eq!(nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["node-1", "node-2"]);
        assert!(nodes.iter().all(|node| node.listen.ip().is_loopback() && node.auth == Auth::Off));
        assert!(config.tenants().is_open());
    }

    #[test]
    fn a_node_is_reached_where_it_listens_unless_it_says_otherwise() {
        let mut config = Config::default();
        config.node.id = Some("a".into());
        let advertise = |config: &Config| config.node().unwrap().advertise.map(|at| at.to_string());
        assert_eq!(advertise(&config), None);
        config.node.listen = "10.0.0.5:7001".parse().unwrap();
        assert_eq!(advertise(&config).as_deref(), Some("10.0.0.5:7001"));
        config.node.listen = "[fd00::1]:7001".parse().unwrap();
        assert_eq!(advertise(&config).as_deref(), Some("[fd00::1]:7001"));
        config.node.advertise = Some(HostPort::parse("node-a.internal:7001").unwrap());
        assert_eq!(advertise(&config).as_deref(), Some("node-a.internal:7001"));
    }
}
