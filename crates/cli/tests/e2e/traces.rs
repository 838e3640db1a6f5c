//! Traces, as a collector of the test's own gets them: the tree of an upgrade across gateway and node, and of a
//! publication across NATS and two nodes, one span for each step; and nothing at all where nobody asked for it.

mod configured;
mod publication;
mod upgrade;

use std::time::Duration;

use ringway_client::ConnectOptions;
use ringway_protocol::Format;
use ringway_testkit::nats::NatsServer;
use ringway_testkit::otlp::{Collector, Span};
use ringway_testkit::path::Path;
use ringway_testkit::processes::{Launcher, Process};

use crate::cluster;
use crate::support::{self, launcher, open_over, path};

/// The collector gets spans in batches.
const EXPORTED: Duration = Duration::from_secs(10);

/// A gateway and two nodes that export every trace.
struct Traced {
    gateway: Process,
    nodes: Vec<Process>,
    _launcher: Launcher,
    collector: Collector,
    nats: NatsServer,
}

impl Traced {
    async fn start() -> Self {
        Self::by(path()).await
    }

    async fn by(path: Path) -> Self {
        let (nats, collector) = (NatsServer::start(), Collector::start().await.unwrap());
        let telemetry = format!("\n[telemetry]\notlp = \"{}\"\nsample = 1.0\n", collector.endpoint());
        let mut launcher = launcher(&(open_over(&nats.url()) + &telemetry));
        launcher.take_path(path);
        // The SDK's default is five seconds.
        let env = [("OTEL_BSP_SCHEDULE_DELAY", "50")];
        let nodes: Vec<_> = ["node-1", "node-2"].map(|id| launcher.node(id, &env)).into();
        let gateway = launcher.gateway(&env);
        nodes.iter().chain([&gateway]).for_each(|process| cluster::sees(process, 2));
        Self { gateway, nodes, _launcher: launcher, collector, nats }
    }

    async fn room_on(&self, node: &str, prefix: &str) -> String {
        let http = cluster::http_to(self.gateway.listen, None);
        cluster::rooms(&http, prefix, 1, |owner| owner == node).await.remove(0)
    }

    fn options(&self, room: Option<&str>) -> ConnectOptions {
        support::options(self.gateway.listen, Format::Json, room)
    }

    /// The spans of a trace, once there are so many; see [`Self::traces`].
    async fn trace(&self, trace: &str, spans: usize) -> Vec<Span> {
        self.traces(&[trace], spans).await.remove(0)
    }

    /// The spans of some traces, once each has so many. No more come within the time of some batches.
    async fn traces(&self, traces: &[&str], spans: usize) -> Vec<Vec<Span>> {
        let found = || {
            let all = self.collector.spans();
            let of =
                |trace: &&str| all.iter().filter(|span| span.trace == *trace).cloned().collect::<Vec<_>>();
            traces.iter().map(of).collect::<Vec<_>>()
        };
        let deadline = tokio::time::Instant::now() + EXPORTED;
        while found().iter().any(|trace| trace.len() < spans) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut found = found();
        for trace in &mut found {
            trace.sort_by_key(|span| span.start);
            assert_eq!(trace.len(), spans, "{trace:#?}");
        }
        found
    }
}

/// A trace's and a span's id as the publisher gives them, and the whole `traceparent`.
fn traceparent() -> (String, String, String) {
    let (trace, span) =
        (format!("{:032x}", rand::random::<u128>() | 1), format!("{:016x}", rand::random::<u64>() | 1));
    let whole = format!("00-{trace}-{span}-01");
    (trace, span, whole)
}

/// The spans as a tree: who is below whom, by name.
fn tree(spans: &[Span], root: &str) -> Tree {
    let below = spans.iter().filter(|span| span.parent == root);
    let mut below: Vec<(String, Tree)> =
        below.map(|span| (span.name.clone(), tree(spans, &span.id))).collect();
    below.sort();
    Tree(below)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tree(Vec<(String, Tree)>);

/// `a(b c(d))`
fn written(Tree(below): &Tree) -> String {
    let one = |(name, tree): &(String, Tree)| {
        if tree.0.is_empty() { name.clone() } else { format!("{name}({})", written(tree)) }
    };
    below.iter().map(one).collect::<Vec<_>>().join(" ")
}
