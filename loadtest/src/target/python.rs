//! Python servers, one process each: `websockets`, FastAPI, python-socketio, picows.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use ringway_testkit::ports::free_port;

use super::process::{Process, Program};
use super::{Ground, Role, Running, Started, Target, too_many, tools, version_of};
use crate::dialect::Spec;

pub(super) fn targets() -> Vec<Target> {
    vec![
        target("websockets", |ground| websockets(ground, "broadcast")),
        target("websockets sequential", |ground| websockets(ground, "sequential")),
        target("websockets gathered", |ground| websockets(ground, "gathered")),
        target("fastapi", |ground| {
            start(ground, &Server { list: "fastapi", script: "fastapi_server.py", spec: Spec::Plain })
        }),
        target("python-socketio", |ground| start(ground, &SOCKETIO)),
        Target { beside: &["redis"], ..target("python-socketio redis", socketio_redis) },
        target("picows", |ground| {
            start(ground, &Server { list: "picows", script: "picows_server.py", spec: Spec::Plain })
        }),
    ]
}

fn target(name: &'static str, start: fn(&Ground) -> anyhow::Result<Started>) -> Target {
    Target { name, path: "server alone", beside: &[], rooms: false, start }
}

/// A script, and the list of what it stands on.
struct Server {
    list: &'static str,
    script: &'static str,
    spec: Spec,
}

const SOCKETIO: Server = Server { list: "socketio", script: "socketio_server.py", spec: Spec::SocketIo };

/// Packages that a reader of versions wants to see; what these stand on is in the lists.
const NAMED: [&str; 7] =
    ["websockets", "fastapi", "uvicorn", "python-socketio", "picows", "uvloop", "httptools"];

fn start(ground: &Ground, server: &Server) -> anyhow::Result<Started> {
    launch(ground, server, &[]).map(|launched| match launched {
        Ok((process, address, versions)) => Running::of_one(server.spec.clone(), address, versions, process),
        Err(why) => Started::Absent(why),
    })
}

fn websockets(ground: &Ground, way: &str) -> anyhow::Result<Started> {
    let server = Server { list: "websockets", script: "websockets_server.py", spec: Spec::Plain };
    launch(ground, &server, &[way.into()]).map(|launched| match launched {
        Ok((process, address, versions)) => {
            Running::of_one(server.spec, address, format!("{versions}, {way}"), process)
        }
        Err(why) => Started::Absent(why),
    })
}

/// With Redis beside, which carries every event.
fn socketio_redis(ground: &Ground) -> anyhow::Result<Started> {
    let redis = match tools::debian(ground, "redis-server", "redis-server") {
        Ok(redis) => redis,
        Err(why) => return Ok(Started::Absent(why)),
    };
    let store = free_port();
    // Nothing is kept: it only passes messages on.
    let options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"];
    let program = Program::new("redis", &redis, &ground.generator_on, &ground.scratch);
    let beside = program.args(options).args([store.port().to_string()]).start()?;
    beside.wait_for(store)?;
    // `Redis server v=7.0.15 sha=… …`
    let version = version_of(Command::new(&redis).arg("--version"));
    let version = version.split("v=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let url = format!("redis://{store}/0");
    launch(ground, &SOCKETIO, &[url.into()]).map(|launched| match launched {
        Ok((process, address, versions)) => Started::Running(Box::new(Running {
            dialect: Spec::SocketIo,
            addresses: vec![address],
            versions: format!("{versions}, Redis {version}"),
            roles: vec![
                Role { name: "server", pids: vec![process.pid()] },
                Role { name: "redis", pids: vec![beside.pid()] },
            ],
            admin: Vec::new(),
            _keep: vec![Box::new(process), Box::new(beside)],
        })),
        Err(why) => Started::Absent(why),
    })
}

/// Starts `SCRIPT PORT [option]`; the inner error: it can't be had here.
fn launch(
    ground: &Ground,
    server: &Server,
    option: &[OsString],
) -> anyhow::Result<Result<(Process, SocketAddr, String), String>> {
    if let Some(why) = too_many(ground, 1) {
        return Ok(Err(why));
    }
    let python = match tools::python(ground, server.list) {
        Ok(python) => python,
        Err(why) => return Ok(Err(why)),
    };
    let address = free_port();
    let directory = tools::baselines(ground).join("python");
    let port = OsString::from(address.port().to_string());
    let program = Program::new("server", &python, &ground.servers_on, &ground.scratch)
        // Nothing is written beside the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([directory.join(server.script)])
        .args(std::iter::once(&port).chain(option));
    let process = program.start()?;
    process.wait_for(address)?;
    Ok(Ok((process, address, versions(&directory, server.list, &python))))
}

/// `websockets 17.4, uvloop 0.23.0, Python 3.11.7, no compression`.
fn versions(directory: &Path, list: &str, python: &Path) -> String {
    let pinned = fs::read_to_string(directory.join(format!("{list}.txt"))).unwrap_or_default();
    let pinned: Vec<_> = pinned.lines().filter_map(|line| line.split_once("==")).collect();
    let named = NAMED.iter().filter_map(|name| pinned.iter().find(|(pinned, _)| pinned == name));
    let mut parts: Vec<String> = named.map(|(name, version)| format!("{name} {version}")).collect();
    parts.push(version_of(Command::new(python).arg("--version")));
    parts.push("no compression".to_owned());
    parts.join(", ")
}
