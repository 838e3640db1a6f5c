//! Who asks, and what they may do: tokens and API keys against the tenants' keys.
//!
//! Owns the [`Directory`], which is replaced whole when the configuration is read again, and the two kinds of callers:
//! a client (somebody's browser or app, with a token) and a server (an application's own, with an API key). Where
//! authentication is off everybody is a client who may do everything.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use ringway_auth::{
    Alg, ApiKey, ApiKeyError, ApiKeySpec, ApiKeys, Identity, KeyError, KeySpec, Right, TokenKeys,
    looks_like_api_key, peek_tenant,
};
use ringway_config::{Algorithm, Auth, ConnectionLimits, Tenant, Tenants};
use ringway_protocol::{Code, GroupId, PoolId, RoomName, TenantId, UserId};

use crate::accept::{Page, Problem, Query, tenant, user};

/// The tenant of who names none, where authentication is off.
const DEFAULT_TENANT: &str = "default";

/// All tenants with their keys, ready to verify.
#[derive(Debug)]
pub struct Directory {
    auth: Auth,
    tenants: Tenants,
    token_keys: Arc<HashMap<TenantId, TokenKeys>>,
    api_keys: ApiKeys,
}

/// Why the tenants' keys can't be used: the configuration has to be mended.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A key that verifies tokens.
    #[error("tenant {tenant}: {error}")]
    Key {
        /// Whose key it is.
        tenant: TenantId,
        /// What is wrong with it.
        error: KeyError,
    },
    /// A key of the HTTP API.
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
}

impl Directory {
    /// Reads all keys.
    ///
    /// # Errors
    /// [`DirectoryError`]: a key can't be used. Whoever has a directory already keeps it.
    pub fn new(auth: Auth, tenants: Tenants) -> Result<Self, DirectoryError> {
        let mut token_keys = HashMap::new();
        let mut specs = Vec::new();
        for tenant in tenants.iter() {
            let keys = tenant.keys.iter().map(|key| KeySpec {
                alg: alg(key.alg),
                kid: key.kid.clone(),
                bytes: key.bytes.bytes().to_vec(),
            });
            let keys = TokenKeys::new(tenant.id.clone(), keys.collect())
                .map_err(|error| DirectoryError::Key { tenant: tenant.id.clone(), error })?;
            let keys = if tenants.only().is_some() { keys.for_only_tenant() } else { keys };
            token_keys.insert(tenant.id.clone(), keys);
            specs.extend(tenant.api_keys.iter().map(|key| ApiKeySpec {
                tenant: tenant.id.clone(),
                id: key.id.clone(),
                hash: format!("sha256:{}", hex(&key.hash.0)),
                rights: key.rights.iter().map(|key_right| right(*key_right)).collect(),
                rooms: key.rooms.clone(),
            }));
        }
        let api_keys = ApiKeys::new(specs)?;
        Ok(Self { auth, tenants, token_keys: Arc::new(token_keys), api_keys })
    }

    /// The keys that verify tokens, by tenant: a node of the same process checks `auth` frames with them.
    #[must_use]
    pub fn token_keys(&self) -> Arc<HashMap<TenantId, TokenKeys>> {
        Arc::clone(&self.token_keys)
    }

    /// Over how many nodes the class of a client's home room spreads it in any case; 1: over none but its owner.
    pub(crate) fn spread(&self, home: Option<&RoomName>) -> u8 {
        home.map_or(1, |room| self.tenants.class_of(room).spread_at_least())
    }

    /// The groups of the tenants of a pool: in each of them its nodes are listened to.
    pub(crate) fn groups_of(&self, pool: &PoolId) -> Vec<GroupId> {
        self.tenants.groups_of(pool)
    }

    /// The tenant of that name.
    pub(crate) fn tenant(&self, name: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.get(name)
    }

    /// Whether a room's publications are kept in a store.
    pub(crate) fn is_durable(&self, room: &RoomName) -> bool {
        self.tenants.class_of(room).store.is_some()
    }

    /// What each connection of a tenant may send; where there is no such tenant, there is no limit.
    pub(crate) fn connection_limits(&self, tenant: &TenantId) -> ConnectionLimits {
        self.tenants.get(tenant).map(|tenant| tenant.limits.connection).unwrap_or_default()
    }

    /// The client who shows this token; where authentication is off, whoever the query says. `now` is in seconds since
    /// 1970.
    pub(crate) fn client(&self, token: Option<&str>, query: &Query, now: u64) -> Result<Client, Problem> {
        if self.auth == Auth::Off {
            let name = match tenant(query)? {
                Some(name) => name,
                None => DEFAULT_TENANT.parse().map_err(|_| unknown_tenant())?,
            };
            let tenant = self.tenants.get(&name).ok_or_else(unknown_tenant)?;
            let identity = Identity::unauthenticated(tenant.id.clone(), user(query)?);
            return Ok(Client { tenant, identity });
        }
        let token =
            token.ok_or_else(|| Problem::new(Code::TokenInvalid, "a token is needed, and none was given"))?;
        let tenant = match peek_tenant(token) {
            Some(name) => self.tenants.get(&name).ok_or_else(unknown_tenant)?,
            None => self.tenants.only().cloned().ok_or_else(|| {
                Problem::new(
                    Code::TokenInvalid,
                    "the token is not readable, or names no tenant where there are several",
                )
            })?,
        };
        let keys = self.token_keys.get(&tenant.id).ok_or_else(unknown_tenant)?;
        let identity =
            keys.verify(token, now).map_err(|error| Problem::new(error.code(), error.to_string()))?;
        Ok(Client { tenant, identity })
    }

    /// Who calls the HTTP API.
    pub(crate) fn caller(&self, headers: &HeaderMap, query: &Query, now: u64) -> Result<Caller, Problem> {
        if self.auth == Auth::Off {
            return self.client(None, query, now).map(Caller::Client);
        }
        match bearer(headers)? {
            Some(key) if looks_like_api_key(key) => {
                let key = self
                    .api_keys
                    .verify(key)
                    .map_err(|error| Problem::new(error.code(), error.to_string()))?;
                let tenant = self.tenants.get(&key.tenant).ok_or_else(unknown_tenant)?;
                Ok(Caller::Server { tenant, key: key.clone() })
            }
            token => self.client(token, query, now).map(Caller::Client),
        }
    }

    /// Whether a page may speak to any tenant at all: what a browser's preflight asks, before there is a token.
    pub(crate) fn admits(&self, page: Page<'_>) -> bool {
        let anybody = || DEFAULT_TENANT.parse().ok().and_then(|name| self.tenants.get(&name));
        if self.tenants.is_open() {
            return anybody().is_some_and(|tenant| page.is_admitted(&tenant.origins));
        }
        self.tenants.iter().any(|tenant| page.is_admitted(&tenant.origins))
    }
}

/// A client, known.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) identity: Identity,
}

/// Who calls the HTTP API.
#[derive(Debug)]
pub(crate) enum Caller {
    Client(Client),
    /// An application's server.
    Server {
        tenant: Arc<Tenant>,
        key: ApiKey,
    },
}

impl Caller {
    pub(crate) fn tenant(&self) -> &Arc<Tenant> {
        match self {
            Self::Client(client) => &client.tenant,
            Self::Server { tenant, .. } => tenant,
        }
    }

    /// A server is no user.
    pub(crate) fn user(&self) -> Option<&UserId> {
        self.client().and_then(|client| client.identity.user.as_ref())
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        match self {
            Self::Client(client) => Some(client),
            Self::Server { .. } => None,
        }
    }

    /// Refuses who hasn't this right in that room.
    pub(crate) fn require(&self, right: Right, room: &RoomName) -> Result<(), Problem> {
        let allowed = match self {
            Self::Client(Client { identity, .. }) => {
                identity.grants.allows(right, room, identity.user.as_ref())
            }
            Self::Server { key, .. } => key.grants.allows(right, room, None),
        };
        if allowed {
            Ok(())
        } else {
            Err(Problem::new(Code::Forbidden, format!("this needs the right `{right}` in the room")))
        }
    }

    /// Refuses who may not act on others. No token can give that right; where authentication is off everybody has it.
    pub(crate) fn require_manage(&self) -> Result<(), Problem> {
        let allowed = match self {
            Self::Client(client) => {
                client.identity.grants.iter().any(|grant| grant.rights.contains(Right::Manage))
            }
            Self::Server { key, .. } => key.rights.contains(Right::Manage),
        };
        if allowed {
            Ok(())
        } else {
            Err(Problem::new(Code::Forbidden, "this needs an API key with the right `manage`"))
        }
    }
}

/// The token or key of `Authorization: Bearer`; another scheme is nothing to us.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let value = match (lines.next(), lines.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        _ => return Err(Problem::bad_request("Authorization is given twice")),
    };
    let value = value.to_str().map_err(|_| Problem::bad_request("Authorization has bytes outside ASCII"))?;
    Ok(match value.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        _ => None,
    })
}

fn unknown_tenant() -> Problem {
    Problem::new(Code::UnknownTenant, "there is no such tenant")
}

/// The algorithm that the configuration names, as tokens know it.
pub fn alg(algorithm: Algorithm) -> Alg {
    match algorithm {
        Algorithm::Hs256 => Alg::Hs256,
        Algorithm::Es256 => Alg::Es256,
        Algorithm::Rs256 => Alg::Rs256,
        Algorithm::EdDsa => Alg::EdDsa,
    }
}

fn right(right: ringway_config::Right) -> Right {
    match right {
        ringway_config::Right::Join => Right::Join,
        ringway_config::Right::Publish => Right::Publish,
        ringway_config::Right::Presence => Right::Presence,
        ringway_config::Right::History => Right::History,
        ringway_config::Right::Call => Right::Call,
        ringway_config::Right::Manage => Right::Manage,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
