//! Who gets in and what they may do: tokens of every algorithm, grants on every frame and call, the end of a token and
//! its renewal, API keys, sessions, and the command line around them.

mod admission;
mod command_line;
mod expiry;
mod grants;
mod servers;

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ringway_client::{
    Client, ClientOptions, ConnectError, ConnectOptions, Connection, Event, Events, ReceiveError, Secrets,
    State, TokenSource,
};
use ringway_protocol::frame::{Auth, Pub};
use ringway_protocol::{ClientFrame, Code, Format, ServerFrame};
use ringway_testkit::processes::{Launcher, Process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::call::{Call, encoded, get, post};
use crate::cluster::{Cluster, http_to, rooms};
use crate::peer::{Peer, SOON, join, leave, members, publication, publish, text, with_id};
use crate::support::{launcher, name, options};

/// Keys that protect nothing.
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../auth/tests/keys");
const ACME: &str = "a secret that only these tests know, of acme";
const GLOBEX: &str = "a secret that only these tests know, of globex";
const APP: &str = "rk_app_0123456789abcdef";
const BOSS: &str = "rk_boss-1_with_lines_inside";
const OTHER: &str = "rk_other_fedcba9876543210";
const JSON: &str = "application/json";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The files of two tenants' keys, and the configuration that names them.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        // With a line end, as editors leave one; it isn't part of the secret.
        std::fs::write(directory.path().join("acme.key"), format!("{ACME}\n")).unwrap();
        std::fs::write(directory.path().join("globex.key"), GLOBEX).unwrap();
        Self(directory)
    }

    fn config(&self) -> String {
        let at = self.0.path().display();
        let hash = ringway_auth::hash_api_key;
        format!(
            r#"
[gateway]
auth = "jwt"
[tenants.acme]
keys = [
    {{ alg = "HS256", kid = "h", file = "{at}/acme.key" }},
    {{ alg = "ES256", kid = "e", file = "{KEYS}/es256.pub.pem" }},
    {{ alg = "RS256", kid = "r", file = "{KEYS}/rs256.pub.pem" }},
    {{ alg = "EdDSA", kid = "d", file = "{KEYS}/ed25519.pub.pem" }},
]
api_keys = [
    {{ id = "app", hash = "{}", rights = ["publish"], rooms = ["board.**", "chat.*"] }},
    {{ id = "boss-1", hash = "{}", rights = ["publish", "presence", "manage"], rooms = ["**"] }},
]
[tenants.globex]
keys = [{{ alg = "HS256", file = "{at}/globex.key" }}]
limits = {{ rooms = 2 }}
api_keys = [{{ id = "other", hash = "{}", rights = ["publish", "presence"], rooms = ["**"] }}]
"#,
            hash(APP),
            hash(BOSS),
            hash(OTHER)
        )
    }
}

/// `serve` with these tenants.
struct Site {
    serve: Process,
    // Its directory holds the configuration.
    _launcher: Launcher,
    keys: Keys,
}

impl Site {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(env: &[(&str, &str)]) -> Self {
        let keys = Keys::new();
        let mut launcher = launcher(&keys.config());
        let serve = launcher.serve(env);
        Self { serve, _launcher: launcher, keys }
    }

    fn at(&self) -> SocketAddr {
        self.serve.listen
    }
}

/// The same over two nodes behind a gateway, which tells them by ticket who is who.
fn cluster(keys: &Keys) -> Cluster {
    let config = keys.config();
    Cluster::with(2, 1, |nats| {
        format!(
            "{config}[nats]\nurls = [\"{nats}\"]\n[cluster]\nsecret = \"a-secret-of-these-tests-0123456789\"\n"
        )
    })
}

/// Claims that are good for an hour.
fn claims(user: Option<&str>, grants: &Value) -> Value {
    let mut claims = json!({"aud": "ringway", "tenant": "acme", "exp": now() + 3_600, "grants": grants});
    if let Some(user) = user {
        claims["sub"] = user.into();
    }
    claims
}

/// Everything everywhere.
fn all() -> Value {
    json!([{"rooms": "**", "rights": ["join", "publish", "presence", "history", "call"]}])
}

/// These claims with one replaced, or taken out.
fn with(claims: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims.clone();
    claims[name] = value.into();
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn signed_by(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, key).unwrap()
}

/// Signed with acme's shared secret.
fn signed(claims: &Value) -> String {
    signed_by(Algorithm::HS256, Some("h"), &EncodingKey::from_secret(ACME.as_bytes()), claims)
}

/// A token for all rooms.
fn token(user: &str) -> String {
    signed(&claims(Some(user), &all()))
}

fn by(gateway: SocketAddr, token: &str, room: Option<&str>) -> ConnectOptions {
    let mut options = options(gateway, Format::Json, room);
    options.token = Some(token.to_owned());
    options
}

fn auth(token: &str) -> ClientFrame {
    ClientFrame::Auth(Auth { id: None, token: token.into() })
}

/// How a connection is refused: the code of the close frame, where one of our subprotocols was offered, and the status,
/// where none was. Both name the same reason.
async fn refused(mut options: ConnectOptions) -> (String, u16, u16) {
    options.format = Some(Format::Msgpack);
    let closed = match Connection::open(&options).await.expect("101 first").receive().await {
        Err(ReceiveError::Closed(closed)) => closed,
        other => panic!("let in: {other:?}"),
    };
    options.format = None;
    match Connection::open(&options).await {
        Err(ConnectError::Refused { status, code, .. }) => {
            assert_eq!(code.as_deref(), Some(closed.reason.as_str()));
            (closed.reason, status, closed.code.0)
        }
        other => panic!("{other:?}"),
    }
}
