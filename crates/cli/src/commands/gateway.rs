//! `ringway gateway`: a gateway of a cluster.

use std::path::Path;

use anyhow::Context;
use ringway_backplane::cluster::Watcher;
use ringway_config::Role;
use ringway_telemetry::admin::Checks;

use crate::exit::Failure;
use crate::reload::{Loaded, Prepared};
use crate::running::{self, Process};

pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let loaded = running::load(file, Role::Gateway)?;
    let config = loaded.config.clone();
    running::serve("ringway-gateway", None, &config, Box::pin(gateway(loaded)))
}

async fn gateway(loaded: Loaded) -> Result<(), Failure> {
    let prepared = Prepared::new(loaded)?;
    let config = prepared.config();
    let settings = config.gateway();
    let mut process = Process::new(config)?;
    let nats = config.nats.clone().unwrap_or_default();
    let backplane = running::connect(&nats, "ringway gateway").await?;
    let watcher = Watcher::start(backplane.clone()).await.context("the backplane can't be watched")?;
    let gateway = process.gateway(&settings, backplane.clone(), watcher.view(), Vec::new(), None)?;
    let checks = Checks::new();
    gateway.add_checks(&checks);
    checks.add("round trip", watcher.round_trips());
    let reload = process.reload(prepared, watcher.view());
    let admin = process.admin("gateway.admin", settings.admin, checks, watcher.view()).await?;
    tracing::info!(listen = %gateway.local_addr(), %admin, "the gateway serves");
    running::asked_to_stop().await?;
    reload.stop().await;
    gateway.shutdown().await;
    watcher.stop().await;
    backplane.close().await;
    process.close_admins().await;
    Ok(())
}
