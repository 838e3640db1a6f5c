//! Ringway's configuration: one TOML file, every key also by environment, read whole before a port is bound.
//!
//! This crate owns the tree of keys with their defaults ([`Config`]), reading it with messages that name the place and
//! what would be right ([`ConfigError`]), and resolving it once into what the parts need ([`GatewaySettings`],
//! [`NodeSettings`], [`Tenants`]). It reads files and the environment that it is given, and opens no connection: whether
//! a server answers is not its business. It is also read anew while a process runs ([`Config::load_after`]): what such a
//! reading may change is decided here too. What isn't built yet is refused in so many words, or named by
//! [`Config::warnings`]; nothing is ignored in silence. The keys are described in `docs/configuration.md`.

mod address;
mod check;
mod environment;
mod error;
mod exact;
mod files;
mod hidden;
mod leaf;
mod limits;
mod limits_tree;
mod load;
mod nearest;
mod origin;
mod quantity;
mod range;
mod read;
mod reload;
mod rooms;
mod secret;
mod section;
mod settings;
mod tenant_tree;
mod tenants;
mod tree;
mod value;

/// Environment variables by name.
pub type Environment = std::collections::BTreeMap<String, String>;

pub use address::HostPort;
pub use check::UsableKey;
pub use environment::{NOT_KEYS, PREFIX, environment};
pub use error::{ConfigError, Place, Problem};
pub use files::Files;
pub use limits::{ConnectionLimits, Limits, Quota, RoomLimits, UserLimits};
pub use limits_tree::{ConnectionLimitsConfig, LimitsConfig, RoomLimitsConfig, UserLimitsConfig};
pub use load::keys;
pub use origin::{Origin, Origins};
pub use quantity::ByteSize;
pub use read::Key;
pub use reload::{Changes, Homed, Reading};
pub use rooms::{Class, Presence, Replay, ReplayConfig, SlowConsumer, Storage, Store, StoreName, WhenFull};
pub use secret::Secret;
pub use settings::{Dev, GatewaySettings, NodeSettings, Role};
pub use tenant_tree::{
    Algorithm, ApiKey, ApiKeyHash, KeyConfig, KeyFile, Right, TenantConfig, TenantDefaults,
};
pub use tenants::{Tenant, TenantKey, Tenants};
pub use tree::{
    Auth, ClientPath, Cluster, Config, Gateway, Nats, NatsUrl, Node, Placement, SHARED_POOL, Telemetry,
};
