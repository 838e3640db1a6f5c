//! `ringway serve`: a gateway and a node in one process, for production on one box.

use std::path::Path;
use std::sync::Arc;

use ringway_config::{Config, Role};
use ringway_telemetry::admin::Checks;

use crate::exit::Failure;
use crate::running::{self, Carrier, Local, Process};

pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let config = running::load(file, Role::Serve)?;
    let id = config.node()?.id;
    running::serve("ringway", Some(&id), &config, Box::pin(serve(&config)))
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let (settings, node_settings) = (config.gateway(), config.node()?);
    let mut process = Process::new(config)?;
    let carrier = Carrier::of(config);
    let node = process.node(&node_settings, carrier.attach(&node_settings.id).await?, &[]).await?;
    let backplane = carrier.attach("gateway").await?;
    let local: Arc<dyn ringway_gateway::LocalNode> = Arc::new(Local(node.door()));
    let gateway = process.gateway(&settings, backplane.clone(), node.view(), vec![local], None)?;
    let checks = Checks::new();
    gateway.add_checks(&checks);
    node.add_checks(&checks);
    let admin = process.admin("gateway.admin", settings.admin, checks, node.view()).await?;
    tracing::info!(listen = %gateway.local_addr(), %admin, node = %node.id(), "ringway serves");
    running::asked_to_stop().await?;
    gateway.refuse_upgrades();
    node.shutdown().await;
    gateway.shutdown().await;
    backplane.close().await;
    process.close_admins().await;
    Ok(())
}
