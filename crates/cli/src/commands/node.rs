//! `ringway node`: a node of a cluster.

use std::path::Path;

use ringway_config::Role;
use ringway_telemetry::admin::Checks;

use crate::exit::Failure;
use crate::reload::{Loaded, Prepared};
use crate::running::{self, Process};

pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let loaded = running::load(file, Role::Node)?;
    let config = loaded.config.clone();
    let id = config.node()?.id;
    running::serve("ringway-node", Some(&id), &config, Box::pin(node(loaded)))
}

async fn node(loaded: Loaded) -> Result<(), Failure> {
    let prepared = Prepared::new(loaded)?;
    let config = prepared.config();
    let settings = config.node()?;
    let mut process = Process::new(config)?;
    let nats = config.nats.clone().unwrap_or_default();
    let backplane = running::connect(&nats, &format!("ringway node {}", settings.id)).await?;
    let node = process.node(&settings, backplane, &[]).await?;
    let checks = Checks::new();
    node.add_checks(&checks);
    let reload = process.reload(prepared, node.view());
    let admin = process.admin("node.admin", settings.admin, checks, node.view()).await?;
    tracing::info!(node = %node.id(), listen = ?node.local_addr(), %admin, pool = %settings.pool, "the node serves");
    let end = running::end_of(node.replaced()).await?;
    reload.stop().await;
    node.shutdown().await;
    process.close_admins().await;
    end.result()
}
