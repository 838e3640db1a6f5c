//! Limits, classes and the like change under connections that stand.

use std::time::Instant;

use ringway_client::ConnectOptions;
use ringway_protocol::Format;

use super::*;
use crate::call::get;
use crate::cluster::Cluster;
use crate::peer::{join, leave};
use crate::support::{open_over, options};

/// What a cluster of these tests begins with.
fn tenant(nats: &str, limits: &str) -> String {
    format!("{}\n[tenants.acme]\nlimits = {{ {limits} }}\n", open_over(nats))
}

impl Reloads for Cluster {
    fn directory(&self) -> &Path {
        self.launcher.directory()
    }

    fn processes(&self) -> Vec<&Process> {
        self.gateways.iter().chain(&self.nodes).collect()
    }
}

impl Cluster {
    fn url(&self) -> String {
        self.nats.as_ref().unwrap().url()
    }
}

/// A member of acme, in that room.
fn member(gateway: SocketAddr, user: usize, room: usize) -> ConnectOptions {
    let mut options = options(gateway, Format::Json, Some(&format!("r{room}")));
    options.tenant = Some("acme".parse().unwrap());
    options.user = Some(format!("u{user}").parse().unwrap());
    options
}

impl Standing {
    /// A join's code where it is refused.
    async fn joins(&mut self, room: &str) -> Result<(), String> {
        self.ask(join(room)).await.map_err(|refusal| refusal.code.to_string())
    }
}

/// How the upgrade of one more is answered.
fn status(gateway: SocketAddr) -> u16 {
    get("/v1/ws?tenant=acme&user=new&room=r0").upgrade().status(gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_limit_holds_for_who_comes_and_closes_nobody() {
    const MEMBERS: usize = 200;
    const ROOMS: usize = 20;
    let cluster = Cluster::with(2, 1, |nats| tenant(nats, "connections = 100_000"));
    let gateway = cluster.gateway();
    let mut members = Vec::new();
    for n in 0..MEMBERS {
        members.push(Standing::enter(&member(gateway, n, n % ROOMS)).await);
    }

    let checksum = cluster.takes_over(&tenant(&cluster.url(), "connects_per_second = 0"));
    for process in cluster.processes() {
        let record = record(process);
        assert_eq!(
            (&record["checksum"], &record["reloads"]["failed"]),
            (&json!(checksum), &json!(0)),
            "{record}"
        );
    }
    assert_eq!(status(gateway), 429);
    for member in &mut members {
        member.stands().await;
    }

    cluster.takes_over(&tenant(&cluster.url(), "connects_per_second = 1000"));
    assert_eq!(status(gateway), 101);
    for (n, member) in members.iter_mut().enumerate() {
        member.publish(&format!("r{}", n % ROOMS), "1").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_limit_holds_for_connections_that_stand() {
    let cluster = Cluster::with(2, 1, |nats| tenant(nats, "rooms = 5"));
    let mut there = Standing::enter(&member(cluster.gateway(), 0, 0)).await;
    there.publish("r0", "1").await.unwrap();
    for (limits, answer) in [
        ("publish_per_second = 0", Err("limit_rate".to_owned())),
        ("publish_per_second = 1000", Ok(())),
        ("connection = { publish_per_second = 0 }", Err("limit_rate".to_owned())),
        ("rooms = 5", Ok(())),
    ] {
        cluster.takes_over(&tenant(&cluster.url(), limits));
        let deadline = Instant::now() + TAKEN;
        // The node takes it over a moment after it was read.
        while there.publish("r0", "1").await != answer {
            assert!(Instant::now() < deadline, "{limits}");
        }
    }
}

/// Wherever the rooms are: by tunnel all of them are counted at one node, by relay each is at its owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_many_rooms_a_connection_may_join_changes_while_it_stands() {
    let limit = |rooms: usize| format!("rooms = {rooms}");
    let cluster = Cluster::with(2, 1, |nats| tenant(nats, &limit(2)));
    // Of each node's in turn, so that none has more than half of them.
    let owner = |room: &usize| get(&format!("/v1/locate?tenant=acme&room=r{room}")).ok(cluster.gateway());
    let of = |node: &'static str| (0..).filter(move |room| owner(room)["node"] == node);
    let numbers: Vec<usize> = of("node-1").zip(of("node-2")).take(4).flat_map(|(a, b)| [a, b]).collect();
    let rooms: Vec<String> = numbers.iter().map(|room| format!("r{room}")).collect();
    let mut there = Standing::enter(&member(cluster.gateway(), 0, numbers[0])).await;
    there.joins(&rooms[1]).await.unwrap();
    assert_eq!(there.joins(&rooms[2]).await, Err("limit_rooms".into()));
    // More.
    cluster.takes_over(&tenant(&cluster.url(), &limit(6)));
    for room in &rooms[2..6] {
        let deadline = Instant::now() + TAKEN;
        while there.joins(room).await.is_err() {
            assert!(Instant::now() < deadline, "{room} is one of six");
        }
    }
    assert_eq!(there.joins(&rooms[6]).await, Err("limit_rooms".into()));
    // Fewer: it stays where it is, and comes in nowhere until it is in fewer.
    cluster.takes_over(&tenant(&cluster.url(), &limit(4)));
    there.ask(leave(&rooms[5])).await.unwrap();
    let deadline = Instant::now() + TAKEN;
    while there.joins(&rooms[6]).await.is_ok() {
        assert!(Instant::now() < deadline, "it is in five rooms of four");
        there.ask(leave(&rooms[6])).await.unwrap();
    }
    for room in &rooms[3..5] {
        there.ask(leave(room)).await.unwrap();
    }
    there.joins(&rooms[6]).await.unwrap();
    assert_eq!(there.joins(&rooms[7]).await, Err("limit_rooms".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_class_holds_in_rooms_that_are_there() {
    let config = |nats: &str, limits: &str| {
        tenant(nats, "") + &format!("\n[[classes]]\nrooms = \"r*\"\nlimits = {{ {limits} }}\n")
    };
    let cluster = Cluster::with(2, 1, |nats| config(nats, ""));
    let mut first = Standing::enter(&member(cluster.gateway(), 1, 0)).await;
    let mut other = Standing::enter(&member(cluster.gateway(), 2, 1)).await;
    other.ask(join("r0")).await.unwrap();
    cluster.takes_over(&config(&cluster.url(), "members = 1"));
    let deadline = Instant::now() + TAKEN;
    loop {
        other.ask(leave("r0")).await.unwrap();
        match other.ask(join("r0")).await {
            Err(refusal) => break assert_eq!(refusal.code.to_string(), "limit_connections"),
            Ok(()) => assert!(Instant::now() < deadline, "the room isn't full"),
        }
    }
    first.publish("r0", "1").await.unwrap();
    cluster.takes_over(&config(&cluster.url(), "members = 2"));
    let deadline = Instant::now() + TAKEN;
    while other.ask(join("r0")).await.is_err() {
        assert!(Instant::now() < deadline, "there is place");
    }
}
