//! Node.js servers, one process each: `ws` and Socket.IO.

use std::fs;
use std::process::Command;

use ringway_testkit::ports::free_port;

use super::process::Program;
use super::{Ground, Running, Started, Target, too_many, tools, version_of};
use crate::dialect::Spec;

pub(super) fn targets() -> Vec<Target> {
    let target = |name, start| Target { name, path: "server alone", beside: &[], rooms: false, start };
    vec![
        target("ws", |ground| start(ground, "ws", Spec::Plain)),
        target("socket.io", |ground| start(ground, "socket.io", Spec::SocketIo)),
    ]
}

fn start(ground: &Ground, package: &str, spec: Spec) -> anyhow::Result<Started> {
    if let Some(why) = too_many(ground, 1) {
        return Ok(Started::Absent(why));
    }
    let node = version_of(Command::new("node").arg("--version"));
    if node.is_empty() {
        return Ok(Started::Absent("no node here: apt-get install nodejs npm".to_owned()));
    }
    let directory = match tools::node(ground, package) {
        Ok(directory) => directory,
        Err(why) => return Ok(Started::Absent(why)),
    };
    let address = free_port();
    let process = Program::new("server", "node", &ground.servers_on, &ground.scratch)
        .env("NODE_ENV", "production")
        .env("NODE_PATH", directory.join("node_modules"))
        .args([tools::baselines(ground).join("node").join(package).join("server.cjs")])
        .args([address.port().to_string()])
        .start()?;
    process.wait_for(address)?;
    let manifest = fs::read(directory.join("node_modules").join(package).join("package.json"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    let version = manifest["version"].as_str().unwrap_or_default();
    let versions = format!("{package} {version}, Node.js {node}, no compression");
    Ok(Running::of_one(spec, address, versions, process))
}
