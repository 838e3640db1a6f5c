//! What these tests share: the binary, and how they connect.

use std::net::SocketAddr;

use ringway_client::ConnectOptions;
use ringway_config::{ClientPath, Gateway};
use ringway_protocol::{Format, RoomName};
use ringway_testkit::http;
use ringway_testkit::path::Path;
use ringway_testkit::processes::Launcher;

use crate::bare::encoded;

/// No authentication, no NATS: for `serve`.
pub const OPEN: &str = "[gateway]\nauth = \"off\"\n";

/// Starts processes of this build.
pub fn launcher(config: &str) -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_ringway"), config)
}

/// The path that clients take through gateways in this run, where a test doesn't choose.
pub fn path() -> Path {
    let product = match Gateway::default().path {
        ClientPath::Tunnel => Path::Tunnel,
        ClientPath::Relay => Path::Relay,
    };
    Path::chosen().unwrap_or(product)
}

/// No authentication, over that NATS server: for nodes and gateways.
pub fn open_over(nats: &str) -> String {
    format!(
        "{OPEN}\n[nats]\nurls = [\"{nats}\"]\n\n[cluster]\nsecret = \"a-secret-of-these-tests-0123456789\"\n"
    )
}

/// As [`open_over`]; rooms `durable.**` are kept, 1,000 publications of each, and of rooms `state.**` the newest of each key.
pub fn durable_over(nats: &str) -> String {
    open_over(nats)
        + r#"
[stores.kept]
messages_per_room = 1_000
age = "1h"

[stores.newest]
latest_per_key = true
age = "1h"

[[classes]]
rooms = "durable.**"
store = "kept"

[[classes]]
rooms = "state.**"
store = "newest"
"#
}

/// How a test connects to a gateway.
pub fn options(gateway: SocketAddr, format: Format, room: Option<&str>) -> ConnectOptions {
    let mut options = ConnectOptions::to(&format!("ws://{gateway}")).unwrap();
    options.format = Some(format);
    options.room = room.map(name);
    options
}

/// A room's name.
pub fn name(room: &str) -> RoomName {
    room.parse().unwrap()
}

/// The HTTP status that `docs/protocol.md` gives a code; none: it doesn't name the code.
pub fn documented(code: &str) -> Option<u16> {
    static PAGE: &str = include_str!("../../../../docs/protocol.md");
    let row = PAGE.lines().find(|line| line.starts_with(&format!("| <a id=\"{code}\"></a>")))?;
    row.split('|').nth(2)?.trim().parse().ok()
}

/// Where clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Gateway,
    /// At the node, with a ticket.
    Direct,
}

pub const DOORS: [Door; 2] = [Door::Gateway, Door::Direct];

impl Door {
    /// Where to connect for that query (`room=…`), and what to upgrade at there. Directly it is good once.
    pub fn way(self, gateway: SocketAddr, query: &str) -> (SocketAddr, String) {
        if self == Self::Gateway {
            return (gateway, format!("/v1/ws?{query}"));
        }
        let answer = http::get(gateway, &format!("/v1/locate?{query}")).unwrap();
        let place: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let url = place["url"].as_str().and_then(|url| url.strip_prefix("ws://"));
        let (address, path) =
            url.and_then(|url| url.split_once('/')).unwrap_or_else(|| panic!("no direct path: {place}"));
        (address.parse().unwrap(), format!("/{path}"))
    }
}

/// The node of a room, as a gateway sees it.
pub fn node_of(gateway: SocketAddr, room: &str) -> String {
    let answer = http::get(gateway, &format!("/v1/locate?room={}", encoded(room))).unwrap();
    let place: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    place["node"].as_str().unwrap_or_else(|| panic!("{place}")).to_owned()
}
