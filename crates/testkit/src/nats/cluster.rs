//! Three servers with JetStream that are one cluster, each of which can be killed, stopped and cut off from the others.
//!
//! Servers reach each other only through proxies, one for each direction of each pair. Owns those and the servers' lives;
//! who connects to a server as a client does so directly.

use std::fmt::Write as _;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::api::{Api, comes_to_be};
use super::{NatsOptions, NatsServer};
use crate::ports::free_port;
use crate::proxy::Proxy;

/// How many servers: as few as can lose one.
const SERVERS: usize = 3;

/// How long until servers that have started are one cluster that takes streams of three replicas. Generous: elections on
/// a loaded machine, and replicas that NATS itself catches up slowly once a cut has healed.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// Where nothing listens (RFC 863's port: what is sent there is thrown away).
const NOWHERE: &str = "127.0.0.1:9";

/// A running cluster. Dropping it kills the servers and removes their files.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
    links: Vec<Link>,
    proxies: Option<Proxies>,
}

/// What one server connects to in order to reach another.
#[derive(Debug)]
struct Link {
    from: usize,
    to: usize,
    proxy: usize,
}

impl NatsCluster {
    /// Starts three servers, and waits until streams of three replicas can be made.
    ///
    /// # Panics
    /// As [`NatsServer::start`], or they don't come together.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`start`](Self::start), with further lines of each server's configuration, in the server's own syntax.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(config: &str) -> Self {
        let routes: Vec<_> = (0..SERVERS).map(|_| free_port()).collect();
        let pairs = (0..SERVERS).flat_map(|from| (0..SERVERS).map(move |to| (from, to)));
        let pairs: Vec<_> = pairs.filter(|(from, to)| from != to).collect();
        let proxies = Proxies::start(pairs.iter().map(|(_, to)| routes[*to]).collect());
        let links = pairs.iter().enumerate();
        let links: Vec<Link> =
            links.map(|(proxy, (from, to))| Link { from: *from, to: *to, proxy }).collect();
        let start = |server: usize| {
            let to: Vec<String> = links
                .iter()
                .filter(|link| link.from == server)
                .map(|link| format!("\"nats://{}\"", proxies.addresses[link.proxy]))
                .collect();
            let mut lines = format!("server_name: {}\n", name_of(server));
            // Servers tell each other about a third that has come (back), and who hasn't a route to it yet connects to
            // what it advertises. Its own address would go round the proxies; here nobody listens.
            writeln!(
                lines,
                "cluster {{ name: ringway, listen: \"{}\", advertise: \"{NOWHERE}\", no_advertise: true, routes: [{}] }}",
                routes[server],
                to.join(", ")
            )
            .expect("a String takes any write");
            lines.push_str(config);
            NatsServer::start_with(&NatsOptions { jetstream: true, config: lines })
        };
        let servers = (0..SERVERS).map(start).collect();
        let cluster = Self { servers, links, proxies: Some(proxies) };
        cluster.wait_ready();
        cluster
    }

    /// Waits until every server takes streams of three replicas; after faults, too.
    ///
    /// # Panics
    /// They don't in time; with the servers' logs.
    pub fn wait_ready(&self) {
        for index in 0..SERVERS {
            let ready = comes_to_be(READY_WITHIN, || self.api(index).is_ready(SERVERS));
            assert!(ready, "the NATS servers are no cluster within {READY_WITHIN:?}:\n{}", self.logs());
        }
    }

    /// Waits until each replica of a stream is current and somebody leads it.
    ///
    /// # Panics
    /// It doesn't come to be in time; with the servers' logs.
    pub fn wait_whole(&self, stream: &str) {
        let whole = comes_to_be(READY_WITHIN, || {
            let Some(info) = self.servers.iter().find_map(|server| server.api().info(stream).ok()) else {
                return false;
            };
            let replicas = info["cluster"]["replicas"].as_array();
            let current = replicas.is_some_and(|replicas| {
                replicas.iter().all(|r| r["current"] == true && r["offline"].as_bool() != Some(true))
            });
            current && info["cluster"]["leader"].as_str().is_some_and(|leader| !leader.is_empty())
        });
        assert!(whole, "{stream} isn't whole within {READY_WITHIN:?}:\n{}", self.logs());
    }

    /// How many servers.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// The addresses that clients connect to, of all servers.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::url).collect()
    }

    /// One server: its URL, its log.
    pub fn server(&self, index: usize) -> &NatsServer {
        &self.servers[index]
    }

    /// One server, to stop, kill or restart it. A restarted one has its port, its files and its links.
    pub fn server_mut(&mut self, index: usize) -> &mut NatsServer {
        &mut self.servers[index]
    }

    /// JetStream's API at one server.
    pub fn api(&self, index: usize) -> Api {
        self.servers[index].api()
    }

    /// Which server leads a stream, as one that can be asked says; none: nobody does at the moment.
    pub fn leader_of(&self, stream: &str) -> Option<usize> {
        let leader = self.servers.iter().find_map(|server| server.api().leader(stream))?;
        (0..SERVERS).find(|server| name_of(*server) == leader)
    }

    /// Waits until somebody leads a stream.
    ///
    /// # Panics
    /// Nobody does in time; with the servers' logs.
    pub fn wait_leader(&self, stream: &str) -> usize {
        let mut leader = None;
        comes_to_be(READY_WITHIN, || {
            leader = self.leader_of(stream);
            leader.is_some()
        });
        leader.unwrap_or_else(|| panic!("nobody leads {stream} within {READY_WITHIN:?}:\n{}", self.logs()))
    }

    /// From now on nothing goes between this server and the others, and nobody is told: as when every packet gets lost.
    /// Its clients stay with it.
    pub fn cut_off(&self, index: usize) {
        self.links_of(index).for_each(Proxy::silence);
    }

    /// As [`cut_off`](Self::cut_off), but connections break, so that all know at once.
    pub fn break_off(&self, index: usize) {
        self.links_of(index).for_each(Proxy::shut);
    }

    /// The server reaches the others again. What was sent in the silence is lost: connections begin anew.
    pub fn heal(&self, index: usize) {
        for proxy in self.links_of(index) {
            proxy.cut();
            proxy.open();
        }
    }

    fn links_of(&self, index: usize) -> impl Iterator<Item = &Proxy> {
        let links = self.links.iter().filter(move |link| link.from == index || link.to == index);
        let proxies = self.proxies.as_ref().map(|proxies| &proxies.all[..]).unwrap_or_default();
        links.map(move |link| &proxies[link.proxy])
    }

    fn logs(&self) -> String {
        let logs = self.servers.iter().enumerate();
        let logs = logs.map(|(index, server)| format!("---- log of {}\n{}", name_of(index), server.log()));
        logs.collect()
    }
}

fn name_of(server: usize) -> String {
    format!("nats-{}", server + 1)
}

impl Drop for NatsCluster {
    fn drop(&mut self) {
        // The servers first: without their links they'd log what nobody needs.
        self.servers.clear();
        drop(self.proxies.take());
    }
}

/// The proxies, on a thread of their own: a test that blocks its runtime doesn't cut servers off.
#[derive(Debug)]
struct Proxies {
    all: Vec<Proxy>,
    addresses: Vec<std::net::SocketAddr>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxies {
    fn start(targets: Vec<std::net::SocketAddr>) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let (started, all) = mpsc::channel();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for the proxies").block_on(async {
                for target in targets {
                    let proxy = Proxy::start(target).await.expect("a port for a proxy");
                    started.send(proxy).expect("the cluster waits for its proxies");
                }
                drop(started);
                let _ = ended.await;
            });
        };
        let thread = std::thread::Builder::new().name("nats-links".into()).spawn(work);
        let thread = thread.expect("a thread for the proxies");
        let all: Vec<Proxy> = all.iter().collect();
        let addresses = all.iter().map(Proxy::address).collect();
        Self { all, addresses, end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.all.clear();
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It panicked if a proxy couldn't start: that was told when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_outlives_its_leader_and_a_server_that_is_cut_off_is_alone() {
        let mut cluster = NatsCluster::start();
        let api = cluster.api(0);
        api.create(&json!({"name": "s", "subjects": ["s.*"], "num_replicas": 3})).unwrap();
        cluster.wait_whole("s");
        assert!(comes_to_be(READY_WITHIN, || api.publish("s.a", b"one").is_ok()));

        let leader = cluster.wait_leader("s");
        cluster.server_mut(leader).kill();
        let next = comes_to_be(READY_WITHIN, || cluster.leader_of("s").is_some_and(|next| next != leader));
        assert!(next, "another leads");
        let alive = (leader + 1) % 3;
        let publish = |cluster: &NatsCluster, from: usize| {
            comes_to_be(READY_WITHIN, || cluster.api(from).publish("s.a", b"two").is_ok())
        };
        assert!(publish(&cluster, alive));
        cluster.server_mut(leader).restart();
        cluster.wait_ready();
        cluster.wait_whole("s");

        let alone = cluster.wait_leader("s");
        let other = (alone + 1) % 3;
        cluster.cut_off(alone);
        let elected = comes_to_be(READY_WITHIN, || {
            let leader = cluster.api(other).leader("s");
            leader.is_some_and(|leader| leader != name_of(alone))
        });
        assert!(elected, "the others elect a leader: {}", cluster.logs());
        assert!(publish(&cluster, other));
        assert!(cluster.api(alone).create(&json!({"name": "t", "subjects": ["t"]})).is_err());
        cluster.heal(alone);
        cluster.wait_ready();
        cluster.wait_whole("s");
        let whole = comes_to_be(READY_WITHIN, || {
            let info = cluster.api(alone).info("s");
            info.is_ok_and(|info| info["state"]["last_seq"].as_u64() >= Some(3))
        });
        assert!(whole, "it has what was stored meanwhile: {}", cluster.logs());
    }

    #[test]
    fn no_route_goes_round_the_proxies() {
        let mut cluster = NatsCluster::start();
        for round in 0..6 {
            cluster.server_mut(round % SERVERS).kill();
            cluster.server_mut(round % SERVERS).restart();
            cluster.wait_ready();
        }
        let logs = cluster.logs();
        let listening =
            logs.lines().filter_map(|line| line.split_once("Listening for route connections on "));
        let own: Vec<String> = listening.map(|(_, address)| format!(" {address} - rid")).collect();
        let round = logs.lines().find(|line| own.iter().any(|own| line.contains(own)));
        let known = own.len() >= SERVERS && logs.contains(" - rid");
        assert!(known, "what the servers log of their routes has changed: {logs}");
        assert_eq!(round, None, "a route that a cut doesn't reach: {logs}");
    }

    #[test]
    fn a_stream_is_restored_from_its_snapshot_and_a_store_is_put_back() {
        let mut server = NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() });
        let api = server.api();
        api.create(&json!({"name": "s", "subjects": ["s.*"], "allow_direct": true})).unwrap();
        api.publish("s.a", b"one").unwrap();
        let (snapshot, kept) = (api.snapshot("s").unwrap(), server.keep_store());
        api.publish("s.b", b"two").unwrap();
        assert_eq!(api.subjects("s", "s.*").unwrap().len(), 2);
        let last = |api: Api| api.info("s").unwrap()["state"]["last_seq"].as_u64();
        assert_eq!(last(api), Some(2));
        api.delete("s").unwrap();
        assert!(api.streams().unwrap().is_empty());
        api.restore(&snapshot).unwrap();
        assert_eq!(last(api), Some(1));
        api.publish("s.b", b"two").unwrap();
        api.publish("s.b", b"three").unwrap();
        server.put_store_back(&kept);
        assert_eq!(last(server.api()), Some(1));
        let messages = server.api().messages("s").unwrap();
        assert_eq!(
            (messages[0].sequence, &*messages[0].subject, &*messages[0].body),
            (1, "s.a", &b"one"[..])
        );
        assert_eq!(api.edit("s", &json!({"max_msgs": 5})).unwrap()["config"]["max_msgs"], 5);
        api.purge("s").unwrap();
        assert_eq!(api.info("s").unwrap()["state"]["messages"], 0);
        assert_eq!(api.messages("s").unwrap(), []);
        for _ in 0..1_200 {
            api.publish("s.c", b"more").unwrap();
        }
        assert_eq!(api.messages("s").unwrap().len(), 5);
        api.edit("s", &json!({"max_msgs": -1})).unwrap();
        for _ in 0..1_200 {
            api.publish("s.c", b"more").unwrap();
        }
        assert_eq!(api.messages("s").unwrap().len(), 1_205);
    }
}
