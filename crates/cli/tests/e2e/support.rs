//! What these tests share: the binary, and how they connect.

use std::net::SocketAddr;

use ringway_client::ConnectOptions;
use ringway_protocol::{Format, RoomName};
use ringway_testkit::http;
use ringway_testkit::processes::{Launcher, Process};

use crate::bare::encoded;

/// No authentication, no NATS: for `serve`.
pub const OPEN: &str = "[gateway]\nauth = \"off\"\n";

/// Starts processes of this build.
pub fn launcher(config: &str) -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_ringway"), config)
}

/// No authentication, over that NATS server: for nodes and gateways.
pub fn open_over(nats: &str) -> String {
    format!(
        "{OPEN}\n[nats]\nurls = [\"{nats}\"]\n\n[cluster]\nsecret = \"a-secret-of-these-tests-0123456789\"\n"
    )
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

/// The node of a room, as a gateway sees it.
pub fn node_of(gateway: SocketAddr, room: &str) -> String {
    let answer = http::get(gateway, &format!("/v1/locate?room={}", encoded(room))).unwrap();
    let place: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    place["node"].as_str().unwrap_or_else(|| panic!("{place}")).to_owned()
}

/// A process's resident memory in KiB.
pub fn memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
