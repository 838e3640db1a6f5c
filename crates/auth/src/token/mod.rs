//! Tokens: what a client shows to say who it is and what it may do.
//!
//! A token is a JWT signed by the tenant's application. Its tenant picks the keys, `kid` the key, and the key its
//! algorithm; everything else is read only after the signature was found good.

mod error;
mod identity;
mod mint;

use jsonwebtoken::Algorithm;
use ringway_protocol::name::TenantId;
use serde::Deserialize;
use serde_json::Value;

use crate::claims::object;
use crate::jwt::{Broken, Unverified};
use crate::key::{Key, KeyError, KeySpec};

pub use error::{GrantError, TokenError};
pub use identity::Identity;
pub use mint::{Claims, mint_hs256};

/// The audience that a token must name.
pub const AUDIENCE: &str = "ringway";

/// The longest token, in bytes. It travels in a header to the gateway and, as a ticket, in one to the node.
pub const TOKEN_MAX: usize = 16 * 1024;

/// The longest `info`, in bytes of JSON without spaces.
pub const INFO_MAX: usize = 1024;

/// How far the clock of who signs may be ahead of ours: a token is taken so many seconds before its `nbf`.
///
/// `exp` has no such leeway: a connection ends at the second that its token says.
pub const NOT_BEFORE_LEEWAY: u64 = 5;

/// One tenant's keys.
pub struct TokenKeys {
    tenant: TenantId,
    keys: Vec<Key>,
    /// Whether a token may leave its tenant out.
    alone: bool,
}

impl TokenKeys {
    /// The keys of `tenant`. With none, no token verifies.
    ///
    /// # Errors
    /// A key isn't one for its algorithm, two have the same `kid`, or two have none.
    pub fn new(tenant: TenantId, specs: Vec<KeySpec>) -> Result<Self, KeyError> {
        let mut keys: Vec<Key> = Vec::with_capacity(specs.len());
        for spec in specs {
            if keys.iter().any(|key| key.kid == spec.kid) {
                return Err(spec.kid.map_or(KeyError::TwoWithoutKid, KeyError::SameKid));
            }
            keys.push(Key::new(spec)?);
        }
        Ok(Self { tenant, keys, alone: false })
    }

    /// The tenant is the only one there is, so its tokens may leave `tenant` out.
    #[must_use]
    pub fn for_only_tenant(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Who shows this token, and what they may do. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Which check the token failed; [`TokenError::code`] is what the client is told.
    pub fn verify(&self, token: &str, now: u64) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_MAX {
            return Err(TokenError::TooLong);
        }
        let unverified = Unverified::read(token)?;
        let key = self.key(unverified.kid.as_deref())?;
        let claims = unverified.verify(&key.decoding, key.alg.algorithm())?;
        identity::read(&claims, &self.tenant, self.alone, now)
    }

    /// The key that a token names; the nameless or only one for a token that names none.
    fn key(&self, kid: Option<&str>) -> Result<&Key, TokenError> {
        let named = |kid: Option<&str>| self.keys.iter().find(|key| key.kid.as_deref() == kid);
        let only = match &*self.keys {
            [key] => Some(key),
            _ => None,
        };
        match kid {
            // One key that the configuration gives no name answers to any.
            Some(kid) => named(Some(kid))
                .or_else(|| only.filter(|key| key.kid.is_none()))
                .ok_or(TokenError::UnknownKey),
            None => named(None).or(only).ok_or(TokenError::NoKid),
        }
    }
}

/// The tenant that a token claims to be of, believed by nobody yet: it picks the [`TokenKeys`] to verify with.
///
/// None where the token names none (then the only tenant is meant, if there is only one), or can't be read; verifying
/// tells the two apart.
pub fn peek_tenant(token: &str) -> Option<TenantId> {
    #[derive(Deserialize)]
    struct Peek {
        tenant: Option<Value>,
    }
    if token.len() > TOKEN_MAX {
        return None;
    }
    let claims = Unverified::read(token).ok()?.unverified_claims().ok()?;
    object::<Peek>(&claims)?.tenant?.as_str()?.parse().ok()
}

impl From<Broken> for TokenError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Shape => Self::Malformed,
            Broken::Critical => Self::Critical,
            Broken::Algorithm => Self::Algorithm,
            Broken::Signature => Self::Signature,
        }
    }
}

/// Keys don't belong into logs.
impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<(Algorithm, _)> = self.keys.iter().map(|key| (key.alg.algorithm(), &key.kid)).collect();
        f.debug_struct("TokenKeys").field("tenant", &self.tenant).field("keys", &keys).finish_non_exhaustive()
    }
}
