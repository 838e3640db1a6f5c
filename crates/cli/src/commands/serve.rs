//! `ringway serve`: a gateway and a node in one process, for production on one box.

use std::path::Path;
use std::sync::Arc;

use ringway_config::Role;
use ringway_telemetry::admin::Checks;

use crate::exit::Failure;
use crate::reload::{Loaded, Prepared};
use crate::running::{self, Carrier, Local, Process};

pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let loaded = running::load(file, Role::Serve)?;
    let config = loaded.config.clone();
    let id = config.node()?.id;
    running::serve("ringway", Some(&id), &config, Box::pin(serve(loaded)))
}

async fn serve(loaded: Loaded) -> Result<(), Failure> {
    let prepared = Prepared::new(loaded)?;
    let config = prepared.config();
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
    let reload = process.reload(prepared, node.view());
    let admin = process.admin("gateway.admin", settings.admin, checks, node.view()).await?;
    tracing::info!(listen = %gateway.local_addr(), %admin, node = %node.id(), "ringway serves");
    let end = running::end_of(node.replaced()).await?;
    reload.stop().await;
    gateway.refuse_upgrades();
    node.shutdown().await;
    gateway.shutdown().await;
    backplane.close().await;
    process.close_admins().await;
    end.result()
}
