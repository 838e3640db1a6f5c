//! `ringway gateway`: a gateway of a cluster.

use std::path::Path;

use anyhow::Context;
use ringway_backplane::cluster::Watcher;
use ringway_config::{Config, Role};
use ringway_telemetry::admin::Checks;

use crate::exit::Failure;
use crate::running::{self, Process};

pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let config = running::load(file, Role::Gateway)?;
    running::serve("ringway-gateway", None, &config, Box::pin(gateway(&config)))
}

async fn gateway(config: &Config) -> Result<(), Failure> {
    let settings = config.gateway();
    let mut process = Process::new(config)?;
    let nats = config.nats.clone().unwrap_or_default();
    let backplane = running::connect(&nats, "ringway gateway").await?;
    let watcher = Watcher::start(backplane.clone()).await.context("the backplane can't be watched")?;
    let gateway = process.gateway(&settings, backplane.clone(), watcher.view(), Vec::new(), None)?;
    let checks = Checks::new();
    gateway.add_checks(&checks);
    checks.add("round trip", watcher.round_trips());
    let admin = process.admin("gateway.admin", settings.admin, checks, watcher.view()).await?;
    tracing::info!(listen = %gateway.local_addr(), %admin, "the gateway serves");
    running::asked_to_stop().await?;
    gateway.shutdown().await;
    watcher.stop().await;
    backplane.close().await;
    process.close_admins().await;
    Ok(())
}
