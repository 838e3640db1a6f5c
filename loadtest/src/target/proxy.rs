//! Proxies before `ringway serve`: what the gateway is held against.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringway_testkit::ports::free_port;

use super::process::Program;
use super::{Ground, Role, Running, Started, Target, ringway, too_many, tools, version_of};
use crate::dialect::Policy;

/// Connections beyond those that are to come: a probe, one that is closing yet.
const SPARE: usize = 20;

pub(super) fn targets() -> Vec<Target> {
    let target =
        |name, start| Target { name, path: "proxy and one process", beside: &[], rooms: true, start };
    vec![target("nginx + serve", nginx), target("haproxy + serve", haproxy)]
}

fn nginx(ground: &Ground) -> anyhow::Result<Started> {
    let binary = match tools::debian(ground, "nginx", "nginx-light") {
        Ok(binary) => binary,
        Err(why) => return Ok(Started::Absent(why)),
    };
    // `nginx version: nginx/1.22.1`
    let version = version_of(Command::new(&binary).arg("-v")).replace("nginx version: nginx/", "nginx ");
    start(ground, &version, "nginx.conf", |config| {
        let scratch = ground.scratch.join("");
        Program::new("proxy", &binary, &ground.servers_on, &ground.scratch)
            .args(["-p".as_ref(), scratch.as_os_str()])
            .args(["-c".as_ref(), config.as_os_str()])
    })
}

fn haproxy(ground: &Ground) -> anyhow::Result<Started> {
    let binary = match tools::debian(ground, "haproxy", "haproxy") {
        Ok(binary) => binary,
        Err(why) => return Ok(Started::Absent(why)),
    };
    // `HAProxy version 2.6.12-1+deb12u1 2023/12/16 - https://haproxy.org/`
    let version = version_of(Command::new(&binary).arg("-v"));
    let version = version.split(' ').nth(2).map_or_else(String::new, |version| format!("HAProxy {version}"));
    start(ground, &version, "haproxy.cfg", |config| {
        Program::new("proxy", &binary, &ground.servers_on, &ground.scratch)
            .args(["-f".as_ref(), config.as_os_str()])
    })
}

/// `ringway serve`, and the proxy before it.
fn start(
    ground: &Ground,
    version: &str,
    template: &str,
    program: impl FnOnce(&Path) -> Program,
) -> anyhow::Result<Started> {
    // Each connection is two sockets of the proxy.
    if let Some(why) = too_many(ground, 2) {
        return Ok(Started::Absent(why));
    }
    let (server, ringway) = ringway::serve_behind(ground, Policy::Disconnect)?;
    let address = free_port();
    let process = program(&fill(ground, template, address, server.listen)?).start()?;
    process.wait_for(address)?;
    Ok(Started::Running(Box::new(Running {
        dialect: ringway::by_token(Policy::Disconnect),
        addresses: vec![address],
        versions: format!("{version}, {ringway}"),
        roles: vec![
            Role { name: "proxy", pids: vec![process.pid()] },
            Role { name: "server", pids: vec![server.process.pid()] },
        ],
        admin: vec![("server", server.admin)],
        _keep: vec![Box::new(process), Box::new(server)],
    })))
}

/// A configuration with its addresses and numbers, in the scratch directory.
fn fill(ground: &Ground, template: &str, listen: SocketAddr, server: SocketAddr) -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string(tools::baselines(ground).join("config").join(template))?;
    let connections = ground.connections + SPARE;
    let text = text
        .replace("@LISTEN@", &listen.to_string())
        .replace("@SERVER@", &server.to_string())
        .replace("@CONNECTIONS@", &connections.to_string())
        .replace("@SOCKETS@", &(connections * 2 * 9 / 8).to_string());
    let file = ground.scratch.join(template);
    fs::write(&file, text)?;
    Ok(file)
}
