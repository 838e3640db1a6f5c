//! API keys: what an application's server shows instead of a token.
//!
//! A key is `rk_<id>_<secret>`. The configuration holds the SHA-256 of the whole key, so a secret must be random and
//! long (`openssl rand -hex 24`): it isn't stretched. `printf %s "$KEY" | sha256sum` makes the hash.

use std::collections::HashMap;

use ringway_protocol::code::Code;
use ringway_protocol::name::TenantId;
use ringway_protocol::pattern::Pattern;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::grants::{Grant, Grants, Right, Rights};

const PREFIX: &str = "rk_";
const HASH_PREFIX: &str = "sha256:";

/// The longest key, in bytes.
const KEY_MAX: usize = 512;

/// An API key as the configuration gives it.
#[derive(Clone, Debug)]
pub struct ApiKeySpec {
    /// Whose key it is.
    pub tenant: TenantId,
    /// Its name: `[a-z0-9-]`, 1 to 40. Tenants may use the same names.
    pub id: String,
    /// `sha256:` and the hash of the whole key in hexadecimal.
    pub hash: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// In which rooms.
    pub rooms: Vec<Pattern>,
}

/// Why the configuration's API keys can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// The name can't stand in a key.
    #[error("API key {0:?}: an id has 1 to 40 of a-z, 0-9 and -")]
    Id(String),
    /// The hash can't be read.
    #[error("API key {0:?}: a hash is `sha256:` and 64 hexadecimal digits")]
    Hash(String),
    /// A tenant has two of that name.
    #[error("two API keys {0:?} of one tenant")]
    Twice(String),
}

/// A key was shown that isn't one of the configuration's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known API key")]
pub struct ApiKeyRefused;

impl ApiKeyRefused {
    /// What the caller is told.
    pub fn code(&self) -> Code {
        Code::TokenInvalid
    }
}

/// A key that was shown and found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose key it is.
    pub tenant: TenantId,
    /// Its name, for logs.
    pub id: String,
    /// What it may do somewhere; what isn't about a room (a user, the whole tenant) goes by `manage` here.
    pub rights: Rights,
    /// What it may do in which rooms. Patterns with `$user` match nothing: a server is no user.
    pub grants: Grants,
}

/// All tenants' API keys.
#[derive(Default)]
pub struct ApiKeys {
    /// By name; tenants may have chosen the same.
    keys: HashMap<String, Vec<Known>>,
}

struct Known {
    hash: [u8; 32],
    key: ApiKey,
}

impl ApiKeys {
    /// The keys of all tenants.
    ///
    /// # Errors
    /// A name or hash can't be read, or a tenant has a name twice.
    pub fn new(specs: Vec<ApiKeySpec>) -> Result<Self, ApiKeyError> {
        let mut keys: HashMap<String, Vec<Known>> = HashMap::new();
        for spec in specs {
            if !is_id(&spec.id) {
                return Err(ApiKeyError::Id(spec.id));
            }
            let Some(hash) = read_hash(&spec.hash) else { return Err(ApiKeyError::Hash(spec.id)) };
            let known = keys.entry(spec.id.clone()).or_default();
            if known.iter().any(|known| known.key.tenant == spec.tenant) {
                return Err(ApiKeyError::Twice(spec.id));
            }
            let rights: Rights = spec.rights.into_iter().collect();
            let grants = spec.rooms.into_iter().map(|rooms| Grant { rooms, rights }).collect();
            known.push(Known { hash, key: ApiKey { tenant: spec.tenant, id: spec.id, rights, grants } });
        }
        Ok(Self { keys })
    }

    /// The key that was shown. How long it takes says nothing about any secret.
    ///
    /// # Errors
    /// It isn't one.
    pub fn verify(&self, shown: &str) -> Result<&ApiKey, ApiKeyRefused> {
        let id = id_of(shown).ok_or(ApiKeyRefused)?;
        let candidates = self.keys.get(id).ok_or(ApiKeyRefused)?;
        let hash: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        let mut found = None;
        for candidate in candidates {
            if bool::from(candidate.hash.ct_eq(&hash)) {
                found = Some(&candidate.key);
            }
        }
        found.ok_or(ApiKeyRefused)
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

/// Whether a bearer's text is meant as an API key; a JWT never is.
pub fn looks_like_api_key(bearer: &str) -> bool {
    bearer.starts_with(PREFIX)
}

/// The hash of a whole key as the configuration wants it.
pub fn hash_api_key(key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    hash.iter().fold(HASH_PREFIX.to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The name in `rk_<id>_<secret>`; the secret may have `_` itself.
fn id_of(shown: &str) -> Option<&str> {
    if shown.len() > KEY_MAX {
        return None;
    }
    let (id, secret) = shown.strip_prefix(PREFIX)?.split_once('_')?;
    (is_id(id) && !secret.is_empty()).then_some(id)
}

fn is_id(id: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&id.len()) && id.bytes().all(inside)
}

fn read_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(HASH_PREFIX)?.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(tenant: &str, id: &str, key: &str, rights: &[Right]) -> ApiKeySpec {
        ApiKeySpec {
            tenant: tenant.parse().unwrap(),
            id: id.to_owned(),
            hash: hash_api_key(key),
            rights: rights.to_vec(),
            rooms: vec![Pattern::parse("board.**").unwrap(), Pattern::parse("inbox.$user").unwrap()],
        }
    }

    #[test]
    fn the_hash_is_that_of_sha256sum() {
        assert_eq!(
            hash_api_key("rk_app_s3cret"),
            "sha256:ab6046ceadb041ecb6bb5e3d3a12ecfea8a4fb607b85e8250343591d8c21e9c1"
        );
    }

    #[test]
    fn a_key_acts_for_its_tenant_within_its_rights_and_rooms() {
        let keys = ApiKeys::new(vec![
            spec("acme", "app", "rk_app_one", &[Right::Publish]),
            spec("other", "app", "rk_app_two_with_under_scores", &[Right::Join, Right::Manage]),
        ])
        .unwrap();
        let key = keys.verify("rk_app_one").unwrap();
        assert_eq!((key.tenant.as_str(), &*key.id), ("acme", "app"));
        let may = |room: &str| key.grants.allows(Right::Publish, &room.parse().unwrap(), None);
        assert!(may("board.7") && !may("other") && !may("inbox.$user"));
        assert!(!key.rights.contains(Right::Manage));
        let key = keys.verify("rk_app_two_with_under_scores").unwrap();
        assert_eq!(key.tenant.as_str(), "other");
        assert!(key.rights.contains(Right::Manage));
    }

    #[test]
    fn anything_else_is_refused() {
        let keys = ApiKeys::new(vec![spec("acme", "app", "rk_app_one", &[])]).unwrap();
        let long = format!("rk_app_{}", "x".repeat(600));
        for bad in [
            "",
            "rk_",
            "rk_app",
            "rk_app_",
            "rk_app_two",
            "rk_app_one ",
            "rk_web_one",
            "RK_app_one",
            "app_one",
            &long,
        ] {
            assert_eq!(keys.verify(bad), Err(ApiKeyRefused), "{bad}");
        }
        assert!(looks_like_api_key("rk_app") && !looks_like_api_key("eyJhbGciOi"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_name() {
        let good = || spec("acme", "app", "rk_app_one", &[]);
        for id in ["", "a_b", "App", "a b", &"x".repeat(41)] {
            let bad = ApiKeySpec { id: id.to_owned(), ..good() };
            assert_eq!(ApiKeys::new(vec![bad]).unwrap_err(), ApiKeyError::Id(id.to_owned()));
        }
        for hash in [
            "",
            "sha256:",
            "md5:00",
            &good().hash[1..],
            &format!("{}0", good().hash),
            &good().hash.replace('a', "g"),
        ] {
            let bad = ApiKeySpec { hash: hash.to_owned(), ..good() };
            assert_eq!(ApiKeys::new(vec![bad]).unwrap_err(), ApiKeyError::Hash("app".to_owned()), "{hash}");
        }
        assert_eq!(ApiKeys::new(vec![good(), good()]).unwrap_err(), ApiKeyError::Twice("app".to_owned()));
        let upper = ApiKeySpec { hash: good().hash.to_uppercase().replace("SHA256", "sha256"), ..good() };
        assert!(ApiKeys::new(vec![upper]).unwrap().verify("rk_app_one").is_ok());
    }
}
