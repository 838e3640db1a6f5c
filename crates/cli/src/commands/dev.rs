//! `ringway dev`: everything in one process, for trying out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringway_config::{Config, Dev, NatsUrl, NodeSettings};
use ringway_gateway::LocalNode;
use ringway_node::{Node, Twin};
use ringway_ring::View;
use ringway_telemetry::admin::Checks;
use serde_json::json;
use tokio::sync::{Mutex, watch};

use crate::args;
use crate::descriptors::Descriptors;
use crate::exit::Failure;
use crate::running::{self, Carrier, Local, Process};

/// How long nodes of one process have to see each other: each speaks twice a second.
const TOGETHER: Duration = Duration::from_secs(3);

pub(crate) fn run(args: &args::Dev) -> Result<(), Failure> {
    let mut dev = Config::dev(args.listen, args.nodes);
    if let Some(url) = &args.nats {
        let url = NatsUrl::parse(url).map_err(|error| Failure::Use(format!("--nats: {error}")))?;
        dev.config.nats = Some(ringway_config::Nats { urls: vec![url], ..ringway_config::Nats::default() });
    }
    running::serve("ringway-dev", None, &dev.config, Box::pin(all(&dev)))
}

async fn all(dev: &Dev) -> Result<(), Failure> {
    let settings = dev.config.gateway();
    let mut process = Process::new(&dev.config)?;
    let carrier = Carrier::of(&dev.config);
    let nodes = Nodes::default();
    let mut local: Vec<Arc<dyn LocalNode>> = Vec::new();
    // Nobody has chosen a number: together they hold what the process can.
    let each = Descriptors::now().connections() / dev.nodes.len().max(1) as u64;
    for node in &dev.nodes {
        let node = &NodeSettings { max_connections: each.min(node.max_connections), ..node.clone() };
        let backplane = carrier.attach(&node.id).await?;
        let node = process.node(node, backplane, &[("node", &node.id)]).await?;
        local.push(Arc::new(Local(node.door())));
        nodes.add(node).await;
    }
    let backplane = carrier.attach("gateway").await?;
    let watcher = ringway_backplane::cluster::Watcher::start(backplane.clone())
        .await
        .map_err(|error| Failure::Other(error.into()))?;
    nodes.see_each_other(watcher.view()).await;
    let extra = crate::page::routes(nodes.clone());
    let gateway = process.gateway(&settings, backplane.clone(), watcher.view(), local, Some(extra))?;
    let checks = Checks::new();
    gateway.add_checks(&checks);
    let admin = process.admin("--listen", settings.admin, checks, watcher.view()).await?;
    welcome(&gateway.local_addr().to_string(), &admin.to_string(), dev);
    let end = running::end_of(nodes.replaced()).await?;
    gateway.refuse_upgrades();
    nodes.stop_all().await;
    gateway.shutdown().await;
    watcher.stop().await;
    backplane.close().await;
    process.close_admins().await;
    end.result()
}

fn welcome(listen: &str, admin: &str, dev: &Dev) {
    let names: Vec<&str> = dev.nodes.iter().map(|node| node.id.as_str()).collect();
    let carrier = match &dev.config.nats {
        Some(nats) => nats.urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        None => "memory".to_owned(),
    };
    crate::say(&format!(
        "Ringway {} for trying out: no authentication, nothing is kept.\n\
         \n  page       http://{listen}/\
         \n  sub        ringway sub http://{listen} lobby\
         \n  pub        ringway pub http://{listen} lobby '\"hello\"'\
         \n  admin      http://{admin}/metrics\
         \n  nodes      {} over {carrier}\
         \n\nCtrl-C ends it.",
        env!("CARGO_PKG_VERSION"),
        names.join(", "),
    ));
}

/// The nodes of this process, which the page can stop one by one to show what then happens.
#[derive(Clone, Default)]
pub(crate) struct Nodes(Arc<Mutex<Vec<DevNode>>>);

/// A node by name; `None` once it was stopped.
type DevNode = (String, Option<Node>);

impl Nodes {
    async fn add(&self, node: Node) {
        self.0.lock().await.push((node.id().to_string(), Some(node)));
    }

    /// Waits until all of them, and the gateway, see all of them: whoever comes then finds everything in place.
    async fn see_each_other(&self, gateway: watch::Receiver<Arc<View>>) {
        let nodes = self.0.lock().await;
        let running: Vec<&Node> = nodes.iter().filter_map(|(_, node)| node.as_ref()).collect();
        let all = async {
            for mut view in running.iter().map(|node| node.view()).chain([gateway]) {
                // A view that ends is that of a node that does.
                let whole = |view: &Arc<View>| running.iter().all(|node| view.node(node.id()).is_some());
                let _ = view.wait_for(whole).await;
            }
        };
        if tokio::time::timeout(TOGETHER, all).await.is_err() {
            tracing::warn!("the nodes don't see each other yet");
        }
    }

    /// The node that took the name of one of them: where they are over NATS, that may be another `dev`'s.
    async fn replaced(&self) -> Twin {
        let mut all = tokio::task::JoinSet::new();
        for node in self.0.lock().await.iter().filter_map(|(_, node)| node.as_ref()) {
            all.spawn(node.replaced());
        }
        match all.join_next().await {
            Some(Ok(twin)) => twin,
            _ => std::future::pending().await,
        }
    }

    /// Who is there and who was stopped, as JSON.
    pub(crate) async fn list(&self) -> Bytes {
        let nodes = self.0.lock().await;
        let all: Vec<_> = nodes
            .iter()
            .map(
                |(id, node)| json!({ "id": id, "state": if node.is_some() { "serving" } else { "stopped" } }),
            )
            .collect();
        Bytes::from(json!(all).to_string())
    }

    /// Stops a node; `false`: there is none of that name, or it was stopped.
    pub(crate) async fn stop(&self, id: &str) -> bool {
        let node =
            self.0.lock().await.iter_mut().find(|(name, _)| name == id).and_then(|(_, node)| node.take());
        match node {
            Some(node) => {
                node.shutdown().await;
                true
            }
            None => false,
        }
    }

    async fn stop_all(&self) {
        let nodes: Vec<Node> = self.0.lock().await.iter_mut().filter_map(|(_, node)| node.take()).collect();
        let mut stopping = tokio::task::JoinSet::new();
        for node in nodes {
            stopping.spawn(node.shutdown());
        }
        while stopping.join_next().await.is_some() {}
    }
}
