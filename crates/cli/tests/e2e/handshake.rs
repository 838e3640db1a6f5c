//! What is an upgrade, who may have one, and how the others hear it: at every door that clients come to.

mod admission;
mod direct;
mod upgrade;
mod way;

use std::net::SocketAddr;
use std::time::Duration;

use ringway_auth::{Claims, Grant, Right};
use ringway_testkit::http::{self, Answer};
use ringway_testkit::nats::NatsServer;
use ringway_testkit::path::Path;
use ringway_testkit::ports::free_port;
use ringway_testkit::processes::{Launcher, Process};
use serde_json::Value;

use crate::bare::{Bare, SOON, upgrade};
use crate::cluster::sees;
use crate::support::{OPEN, documented, launcher, path};

const SECRET: &str = "a-secret-of-these-tests-0123456789";

const TOKEN_SECRET: &str = "what signs tokens in these tests-0123456789";

/// Tokens are asked for, and pages of one origin admitted; one tenant has no nodes.
const JWT: &str = "
[gateway]
auth = \"jwt\"
[tenants.acme]
keys = [{ alg = \"HS256\", file = \"tokens.key\" }]
origins = [\"https://a.example\", \"https://[::1]:8443\"]
[tenants.open]
keys = [{ alg = \"HS256\", file = \"tokens.key\" }]
[tenants.adrift]
pool = \"elsewhere\"
keys = [{ alg = \"HS256\", file = \"tokens.key\" }]
";

/// A gateway before a node that clients can also reach directly, and a `serve` beside them.
struct World {
    gateway: Process,
    node: Process,
    direct: SocketAddr,
    serve: Process,
    _launchers: [Launcher; 2],
    _nats: NatsServer,
}

/// Somewhere that clients connect.
#[derive(Debug, Clone, Copy)]
struct Door {
    name: &'static str,
    address: SocketAddr,
    /// Where tickets come from, for the direct path.
    tickets: Option<SocketAddr>,
}

impl World {
    fn open() -> Self {
        Self::start(OPEN, &[])
    }

    fn jwt() -> Self {
        Self::start(JWT, &[])
    }

    fn start(config: &str, node_env: &[(&str, &str)]) -> Self {
        Self::by(path(), config, node_env)
    }

    fn by(path: Path, config: &str, node_env: &[(&str, &str)]) -> Self {
        let nats = NatsServer::start();
        let shared =
            format!("{config}\n[nats]\nurls = [\"{}\"]\n[cluster]\nsecret = \"{SECRET}\"\n", nats.url());
        let (mut of_cluster, mut of_serve) = (launcher(&shared), launcher(config));
        of_cluster.take_path(path);
        for launcher in [&of_cluster, &of_serve] {
            std::fs::write(launcher.directory().join("tokens.key"), TOKEN_SECRET).unwrap();
        }
        let direct = free_port();
        let (listen, url) = (direct.to_string(), format!("ws://{direct}/"));
        let env = [("RINGWAY_NODE__LISTEN", listen.as_str()), ("RINGWAY_NODE__PUBLIC_URL", url.as_str())];
        let node = of_cluster.node("node-1", &[&env, node_env].concat());
        let gateway = of_cluster.gateway(&[]);
        let serve = of_serve.serve(&[]);
        sees(&gateway, 1);
        Self { gateway, node, direct, serve, _launchers: [of_cluster, of_serve], _nats: nats }
    }

    fn doors(&self) -> [Door; 3] {
        [
            Door { name: "gateway", address: self.gateway.listen, tickets: None },
            Door { name: "serve", address: self.serve.listen, tickets: None },
            Door { name: "node", address: self.direct, tickets: Some(self.gateway.listen) },
        ]
    }

    fn processes(&self) -> [&Process; 3] {
        [&self.gateway, &self.node, &self.serve]
    }

    /// How many connections the nodes ever had.
    fn opened(&self) -> f64 {
        let of = |process: &Process| process.metrics().sum("ringway_connections_opened_total", &[]);
        of(&self.node) + of(&self.serve)
    }
}

impl Door {
    /// What to upgrade at for that query; `lines` say who asks, where that matters.
    fn target(&self, query: &str, lines: &[&str]) -> String {
        let Some(gateway) = self.tickets else { return format!("/v1/ws?{query}") };
        let place = locate(gateway, query, lines);
        let url = place["url"].as_str().unwrap_or_else(|| panic!("no direct path: {place}"));
        url.split_once(&self.address.to_string()).unwrap().1.to_owned()
    }

    /// Upgrades, and reads the hello.
    fn enter(&self, query: &str, lines: &[&str]) -> Value {
        let mut bare = Bare::upgraded(self.address, &self.target(query, lines), lines);
        let hello = bare.hear();
        assert_eq!(hello["t"], "hello", "{}: {hello}", self.name);
        hello
    }

    /// Sends what isn't an upgrade: the answer. The connection has to be closed within a second of it.
    fn refused(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut bare = Bare::open(self.address);
        // What is refused at its head may be closed before its last byte.
        let _ = bare.try_send(request);
        let answer = bare.answer();
        assert!(bare.ends_within(Duration::from_secs(1)), "{}: open after {answer:?}", self.name);
        answer
    }

    /// How an upgrade is refused: the code; the status, where no subprotocol was offered; the close code, where one of
    /// ours was.
    fn says(&self, target: &str, lines: &[&str]) -> (String, u16, u16) {
        let mut plain = Bare::open(self.address);
        plain.send(upgrade(target, lines));
        let answer = plain.answer();
        let offer: Vec<&str> =
            ["Sec-WebSocket-Protocol: ringway.v1.json"].into_iter().chain(lines.iter().copied()).collect();
        let mut browser = Bare::upgraded(self.address, target, &offer);
        let (close, reason) = browser.close_frame();
        assert!(browser.ends_within(SOON), "{}: open after {close}", self.name);
        let code = code(&answer);
        assert_eq!(reason.split(' ').next(), Some(&*code), "{}: {reason:?}", self.name);
        assert_eq!(documented(&code), Some(answer.status), "{}: {answer:?}", self.name);
        if answer.status == 503 {
            assert!(answer.header("retry-after").is_some(), "{}: {answer:?}", self.name);
            assert!(reason.contains(" retry="), "{}: {reason:?}", self.name);
        }
        (code, answer.status, close)
    }
}

fn locate(gateway: SocketAddr, query: &str, lines: &[&str]) -> Value {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request =
        format!("GET /v1/locate?{query} HTTP/1.1\r\nHost: {gateway}\r\n{lines}Connection: close\r\n\r\n");
    let answer = http::raw(gateway, request.as_bytes(), SOON).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// The code of a problem document, which has to be one that is documented.
fn code(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["status"], answer.status, "{answer:?}");
    let code = document["code"].as_str().unwrap().to_owned();
    assert!(documented(&code).is_some(), "{code} isn't documented");
    code
}

fn token_of(tenant: &str, user: &str, seconds: i64) -> String {
    let claims = Claims {
        tenant: Some(tenant.parse().unwrap()),
        user: Some(user.parse().unwrap()),
        expires: now().saturating_add_signed(seconds),
        issued: None,
        grants: vec![Grant {
            rooms: "**".parse().unwrap(),
            rights: [Right::Join, Right::Publish].into_iter().collect(),
        }]
        .into(),
        join: Vec::new(),
        info: None,
    };
    ringway_auth::mint_hs256(TOKEN_SECRET.as_bytes(), &claims)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}
