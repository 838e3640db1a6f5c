//! `[tenants.NAME]` as it is written, in the file or in a file of its own, and `[tenant_defaults]`.

use ringway_protocol::{GroupId, Pattern, PoolId};

use crate::exact::digest;
use crate::leaf::{choice, text};
use crate::limits_tree::LimitsConfig;
use crate::origin::Origin;
use crate::read::{Leaf, Reader, Refusal};
use crate::secret::{Secret, beside, read_key_file};
use crate::section::{item, section};
use crate::value::Node;

section! {
    /// `[tenants.NAME]`: a customer of the installation.
    pub struct TenantConfig {
        /// The pool whose nodes serve it. Default: `tenant_defaults.pool`.
        pub pool: Option<PoolId> = None,
        /// The subjects and streams that its publications live in. It must stay when the tenant moves to another
        /// pool. Default: `tenant_defaults.group`, else the pool's name.
        pub group: Option<GroupId> = None,
        /// The keys that its tokens are signed with.
        pub keys: Vec<KeyConfig> = Vec::new(),
        /// The pages that may connect, as browsers name them (`https://app.example`); `*` is every page. A client that
        /// isn't a browser names none and passes. Default: `tenant_defaults.origins`.
        pub origins: Option<Vec<Origin>> = None,
        /// What it may use.
        pub limits: LimitsConfig = LimitsConfig::default(),
        /// Keys for its servers' HTTP calls.
        pub api_keys: Vec<ApiKey> = Vec::new(),
    }
}

section! {
    /// `[tenant_defaults]`: what holds for every tenant that says nothing else.
    pub struct TenantDefaults {
        /// The pool.
        pub pool: PoolId = crate::tree::shared_pool(),
        /// The group. Default: the name of the tenant's pool.
        pub group: Option<GroupId> = None,
        /// The pages that may connect. Default: every page, since a token, not a cookie, says who somebody is.
        pub origins: Option<Vec<Origin>> = None,
        /// Limits, each for tenants that don't set it themselves.
        pub limits: LimitsConfig = LimitsConfig::default(),
    }
}

item! {
    /// `keys` of a tenant: one that signs tokens.
    pub struct KeyConfig {
        /// The algorithm, the only one that the key is used with.
        pub alg: Algorithm,
        /// Its name, as tokens give it in `kid`; 1 to 128 bytes, one in its tenant. Default: none.
        pub kid: Option<String> = None,
        /// `HS256`: a file whose bytes, less one trailing line end, are the secret. Else: a public key in PEM.
        pub file: KeyFile,
    }
}

choice! {
    /// How a token is signed.
    pub enum Algorithm {
        /// HMAC with SHA-256: one secret signs and verifies.
        Hs256 = "HS256",
        /// ECDSA on P-256.
        Es256 = "ES256",
        /// RSA, PKCS #1 v1.5, with SHA-256.
        Rs256 = "RS256",
        /// Ed25519.
        EdDsa = "EdDSA",
    } later {}
}

/// A key that was read from its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile(pub Secret);

impl Leaf for KeyFile {
    fn wants() -> String {
        "the path of a key's file".into()
    }

    fn parse(node: &Node, reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let path = text(node)?;
        let path = path.strip_prefix("file:").unwrap_or(&path);
        read_key_file(&beside(path, &node.place), reader.files).map(|bytes| KeyFile(Secret::new(&bytes)))
    }

    fn show(&self) -> String {
        "redacted".into()
    }

    fn identity(&self) -> String {
        self.0.identity()
    }
}

item! {
    /// `api_keys` of a tenant: one with which a server calls the HTTP API (`Bearer rk_ID_SECRET`).
    pub struct ApiKey {
        /// Its name, one in the installation: 1 to 40 of `a-z 0-9 -`.
        pub id: String,
        /// `sha256:` and the SHA-256 of the whole key, `rk_ID_SECRET`, in hexadecimal (`printf %s "$KEY" | sha256sum`).
        pub hash: ApiKeyHash,
        /// What it may do; at least one.
        pub rights: Vec<Right>,
        /// In which rooms; at least one pattern.
        pub rooms: Vec<Pattern>,
    }
}

choice! {
    /// What somebody may do in a room.
    pub enum Right {
        /// Join it.
        Join = "join",
        /// Publish to it.
        Publish = "publish",
        /// See who is there.
        Presence = "presence",
        /// Read what was published.
        History = "history",
        /// Ask the application.
        Call = "call",
        /// Act for others: publish to users and to all, join, kick.
        Manage = "manage",
    } later {}
}

/// The SHA-256 of a whole API key, `rk_ID_SECRET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyHash(pub [u8; 32]);

impl Leaf for ApiKeyHash {
    fn wants() -> String {
        "\"sha256:\" and 64 hexadecimal digits".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        // What stands here wrongly may be the key itself, so it isn't repeated.
        let wrong = |why: &str| Refusal::Value(why.to_owned());
        let text = text(node)?;
        let digits = text.strip_prefix("sha256:").ok_or_else(|| wrong("it doesn't begin with sha256:"))?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong("what follows isn't 64 hexadecimal digits"));
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Ok(ApiKeyHash(hash))
    }

    fn show(&self) -> String {
        "redacted".into()
    }

    fn identity(&self) -> String {
        digest(&self.0)
    }
}
