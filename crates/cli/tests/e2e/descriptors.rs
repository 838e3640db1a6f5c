//! More connections than a process has descriptors for: it knows how many it can hold, refuses the others in words, and
//! what must work however many come goes on working.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringway_testkit::http;
use ringway_testkit::nats::NatsServer;
use ringway_testkit::path::Path;
use ringway_testkit::ports::free_port;
use ringway_testkit::processes::{Launcher, Process};
use ringway_testkit::wait::until;
use serde_json::Value;

use crate::bare::{Bare, SOON, home, upgrade};
use crate::cluster::sees;
use crate::support::{OPEN, launcher, open_over, path};

/// What each process begins with, and what it may have: 128 connections, or 64 tunnels, and a reserve.
const SOFT: u32 = 100;
const HARD: u32 = 256;
const CONNECTIONS: usize = 128;
const TUNNELS: usize = 64;

/// Further connections for which there is no descriptor, by far.
const HERD: usize = 600;

/// A gateway and a node that clients can also reach directly, with few descriptors each.
struct World {
    gateway: Process,
    node: Process,
    direct: SocketAddr,
    nats: NatsServer,
    _launcher: Launcher,
}

impl World {
    fn start() -> Self {
        Self::by(path())
    }

    fn by(path: Path) -> Self {
        let nats = NatsServer::start();
        let mut launcher = launcher(&open_over(&nats.url()));
        launcher.take_path(path);
        launcher.limit_descriptors(SOFT, HARD);
        let direct = free_port();
        let (listen, url) = (direct.to_string(), format!("ws://{direct}"));
        let node =
            launcher.node("node-1", &[("RINGWAY_NODE__LISTEN", &listen), ("RINGWAY_NODE__PUBLIC_URL", &url)]);
        let gateway = launcher.gateway(&[]);
        sees(&gateway, 1);
        Self { gateway, node, direct, nats, _launcher: launcher }
    }

    /// Somebody who came by a ticket.
    fn directly(&self) -> Bare {
        let mut bare = Bare::upgraded(self.direct, &self.ticketed(), &[]);
        assert_eq!(bare.hear()["t"], "hello");
        bare
    }

    /// What to upgrade at, at the node.
    fn ticketed(&self) -> String {
        let answer = http::get(self.gateway.listen, "/v1/locate?room=r").unwrap();
        let place: Value = serde_json::from_str(&answer.body).unwrap();
        let url = place["url"].as_str().unwrap_or_else(|| panic!("no direct path: {place}"));
        url.strip_prefix(&format!("ws://{}", self.direct)).unwrap().to_owned()
    }
}

/// How somebody is refused: the code, the status where no subprotocol is offered, the close code where one is.
fn refused(door: SocketAddr, target: &str) -> (String, u16, u16) {
    let mut plain = Bare::open(door);
    plain.send(upgrade(target, &[]));
    let answer = plain.answer();
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    let code = problem["code"].as_str().unwrap().to_owned();
    let mut browser = Bare::upgraded(door, target, &["Sec-WebSocket-Protocol: ringway.v1.json"]);
    let (close, reason) = browser.close_frame();
    assert!(reason.starts_with(&format!("{code} retry=")), "{reason}");
    (code, answer.status, close)
}

/// Connections that say nothing.
fn herd(door: SocketAddr, size: usize) -> Vec<TcpStream> {
    (0..size).map(|_| TcpStream::connect_timeout(&door, SOON).unwrap()).collect()
}

fn figure(process: &Process, family: &str) -> f64 {
    process.metrics().sum(family, &[])
}

#[test]
fn a_process_raises_its_limit_and_says_what_that_is_enough_for() {
    let world = World::start();
    for process in [&world.gateway, &world.node] {
        assert_eq!(figure(process, "process_max_fds"), f64::from(HARD), "{}", process.name);
        assert!(figure(process, "process_open_fds") > 3.0, "{}", process.name);
        let log = process.log();
        let told: Vec<&str> = log.lines().filter(|line| line.contains("\"message\":\"open files")).collect();
        let [line] = told[..] else { panic!("{}: once: {told:?}", process.name) };
        for part in ["\"before\":100,", "\"now\":256,", "\"connections\":128,", "\"tunnels\":64,"] {
            assert!(line.contains(part), "{}: {part} in {line}", process.name);
        }
    }
    assert_eq!(figure(&world.node, "ringway_connections_limit"), CONNECTIONS as f64);
    let held = if path() == Path::Relay { CONNECTIONS } else { TUNNELS };
    assert_eq!(figure(&world.gateway, "ringway_gateway_connections_limit"), held as f64);
    // 50,000 is the default.
    let wrong = "node.max_connections is 50000, but 256 open files are enough for 128 connections";
    assert!(world.node.log().contains(wrong), "{}", world.node.log());
    assert!(!world.gateway.log().contains("node.max_connections"), "{}", world.gateway.log());

    // Who asks for no more than there is isn't warned.
    let mut alone = launcher(OPEN);
    alone.limit_descriptors(SOFT, HARD);
    let serve = alone.serve(&[("RINGWAY_NODE__MAX_CONNECTIONS", "128")]);
    assert_eq!(figure(&serve, "ringway_connections_limit"), CONNECTIONS as f64);
    assert!(!serve.log().contains("node.max_connections"), "{}", serve.log());
}

#[test]
fn who_is_one_too_many_is_refused_in_words_until_somebody_goes() {
    let world = World::by(Path::Tunnel);
    let mut tunnels: Vec<Bare> =
        (0..TUNNELS).map(|n| Bare::in_room(world.gateway.listen, &format!("room {n}"))).collect();
    let limit = ("limit_connections".to_owned(), 503, 1013);
    assert_eq!(refused(world.gateway.listen, &home("r")), limit, "the gateway has no two descriptors");
    // The node has one for each of as many again.
    let mut direct: Vec<Bare> = (TUNNELS..CONNECTIONS).map(|_| world.directly()).collect();
    assert_eq!(refused(world.direct, &world.ticketed()), limit, "the node has no further descriptor");
    for inside in tunnels.iter_mut().chain(&mut direct) {
        inside.is_alive();
    }
    for process in [&world.gateway, &world.node] {
        assert_eq!(process.readyz(), Some(200), "{}:\n{}", process.name, process.log());
        assert!(figure(process, "process_open_fds") < f64::from(HARD) - 64.0, "{}", process.name);
    }
    drop(direct.pop());
    until("a place at the node", SOON, || {
        let mut bare = Bare::open(world.direct);
        bare.send(upgrade(&world.ticketed(), &[]));
        (bare.answer().status == 101).then_some(())
    });
    drop((tunnels.pop(), direct.pop()));
    until("a place at the gateway", SOON, || {
        let mut bare = Bare::open(world.gateway.listen);
        bare.send(upgrade(&home("r"), &[]));
        (bare.answer().status == 101).then_some(())
    });
}

/// With the sockets at the gateway each takes one descriptor, there and nowhere else.
#[test]
fn who_is_one_too_many_for_a_gateway_that_has_the_sockets_is_refused_too() {
    let world = World::by(Path::Relay);
    let mut inside: Vec<Bare> =
        (0..CONNECTIONS).map(|n| Bare::in_room(world.gateway.listen, &format!("room {n}"))).collect();
    let limit = ("limit_connections".to_owned(), 503, 1013);
    assert_eq!(refused(world.gateway.listen, &home("r")), limit);
    inside.iter_mut().for_each(Bare::is_alive);
    assert!(figure(&world.gateway, "process_open_fds") < f64::from(HARD) - 64.0);
    assert!(figure(&world.node, "process_open_fds") < f64::from(SOFT), "links only");
    drop(inside.pop());
    until("a place at the gateway", SOON, || {
        let mut bare = Bare::open(world.gateway.listen);
        bare.send(upgrade(&home("r"), &[]));
        (bare.answer().status == 101).then_some(())
    });
}

#[test]
fn a_herd_that_says_nothing_leaves_what_must_work_alone_and_costs_nothing() {
    let mut world = World::start();
    let mut inside = [Bare::in_room(world.gateway.listen, "before"), world.directly()];
    for (process, door) in [(&world.gateway, world.gateway.listen), (&world.node, world.direct)] {
        let herd = herd(door, HERD);
        until("descriptors run short", SOON, || {
            process.log().contains("descriptors run short").then_some(())
        });
        let used = figure(process, "process_cpu_seconds_total");
        // What is measured is what it does meanwhile: nothing, however long that takes on this machine.
        std::thread::sleep(Duration::from_secs(2));
        let used = figure(process, "process_cpu_seconds_total") - used;
        assert!(used < 0.5, "{}: {used} s of CPU in 2 s", process.name);
        let open = figure(process, "process_open_fds");
        assert!((180.0..220.0).contains(&open), "{}: {open} descriptors", process.name);
        assert_eq!(process.readyz(), Some(200), "{}:\n{}", process.name, process.log());
        assert!(
            process.log().matches("descriptors run short").count() < 20,
            "a line a second:\n{}",
            process.log()
        );
        inside.iter_mut().for_each(Bare::is_alive);
        drop(herd);
    }
    // The reserve is for this too: NATS is found again while the herd stands.
    let herd = herd(world.direct, HERD);
    until("descriptors run short", SOON, || (figure(&world.node, "process_open_fds") > 180.0).then_some(()));
    world.nats.restart();
    until("the link to NATS is back", SOON, || {
        (figure(&world.node, "ringway_backplane_reconnects_total") > 0.0 && world.node.readyz() == Some(200))
            .then_some(())
    });
    drop(herd);
    until("everybody finds a place again", SOON, || {
        let mut bare = Bare::open(world.direct);
        bare.send(upgrade(&world.ticketed(), &[]));
        (bare.answer().status == 101).then_some(())
    });
    inside.iter_mut().for_each(Bare::is_alive);
}

#[test]
fn who_comes_in_a_herd_is_told_before_the_last_descriptor_is_gone() {
    let world = World::start();
    // More than there is room for, so that whatever the look at the figures gives back is taken by one of them.
    let herd = herd(world.direct, HARD as usize - 48);
    until("the herd is in", SOON, || (figure(&world.node, "process_open_fds") > 190.0).then_some(()));
    let mut late = Bare::open(world.direct);
    late.send(upgrade("/v1/ws?ticket=whatever", &[]));
    let answer = late.answer();
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &problem["code"]), (503, &"limit_connections".into()), "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert!(late.ends_within(SOON));
    drop(herd);
    let mut inside = until("a place", SOON, || {
        let mut bare = Bare::open(world.direct);
        bare.send(upgrade(&world.ticketed(), &[]));
        (bare.answer().status == 101).then_some(bare)
    });
    inside.is_alive();
}

#[test]
fn several_nodes_of_one_machine_hold_what_one_process_cannot() {
    // The page's own example, which has to be right.
    const PAGE: &str = include_str!("../../../../docs/operations.md");
    const SECRET: (&str, &str) = ("RINGWAY_SECRET", "a-secret-of-these-tests-0123456789");
    let (_, section) = PAGE.split_once("## More connections than one process may open files").unwrap();
    let (example, commands) = section.split_once("```toml\n").unwrap().1.split_once("```").unwrap();
    assert!(commands.contains("for n in 1 2 3") && commands.contains("RINGWAY_NODE__PUBLIC_URL="));
    let nats = NatsServer::start();
    let of_example = "nats://127.0.0.1:4222";
    assert!(example.contains(of_example));
    let mut launcher = launcher(&example.replace(of_example, &nats.url()));
    std::fs::write(launcher.directory().join("acme.key"), "what signs tokens in these tests-0123456789")
        .unwrap();
    let checked = launcher
        .command()
        .args(["check-config", &launcher.config().display().to_string()])
        .envs([SECRET, ("RINGWAY_NODE__ID", "node-1"), ("RINGWAY_NODE__LISTEN", "127.0.0.1:7001")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    for command in ["node", "gateway"] {
        assert!(said.contains(&format!("complete for `ringway {command}`")), "{said}");
    }
    launcher.limit_descriptors(SOFT, HARD);
    let nodes = ["node-1", "node-2", "node-3"].map(|id| {
        let url = format!("wss://{id}.example.net");
        launcher.node(id, &[SECRET, ("RINGWAY_NODE__PUBLIC_URL", &url)])
    });
    let gateway = launcher.gateway(&[SECRET]);
    sees(&gateway, nodes.len());
    let together: f64 = nodes.iter().map(|node| figure(node, "ringway_connections_limit")).sum();
    assert_eq!(together, 3.0 * CONNECTIONS as f64);
}
