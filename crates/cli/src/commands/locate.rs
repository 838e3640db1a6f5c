//! `ringway locate`: where a room lives, by a gateway's word or by the configuration's own view of the cluster.

use std::path::Path;

use anyhow::{Context, anyhow};
use ringway_client::{Endpoint, Http};
use ringway_protocol::{RoomName, TenantId};
use ringway_ring::Slot;
use serde_json::json;

use crate::args::Locate;
use crate::configuration;
use crate::exit::Failure;
use crate::running;

pub(crate) fn run(args: &Locate) -> Result<(), Failure> {
    let tenant: TenantId =
        args.tenant.parse().map_err(|error| Failure::Use(format!("{}: {error}", args.tenant)))?;
    let room: RoomName =
        args.room.parse().map_err(|error| Failure::Use(format!("{:?}: {error}", args.room)))?;
    crate::block_on(async {
        match &args.config {
            Some(file) => by_config(file, &tenant, &room).await,
            None => by_gateway(args, tenant, &room).await,
        }
    })
}

async fn by_gateway(args: &Locate, tenant: TenantId, room: &RoomName) -> Result<(), Failure> {
    let endpoint: Endpoint = args.url.parse().map_err(|error| Failure::Use(format!("--url: {error}")))?;
    let http = Http::new(endpoint, args.token.clone()).context("HTTP")?.on_behalf_of(Some(tenant), None);
    let located = http.locate(Some(room)).await.with_context(|| args.url.clone())?;
    crate::print(
        &json!({
            "tenant": located.tenant.as_str(),
            "room": located.room.as_ref().map(RoomName::as_str),
            "slot": located.slot,
            "pool": located.pool,
            "node": located.node,
            "url": located.url,
        })
        .to_string(),
    )
}

async fn by_config(file: &Path, tenant: &TenantId, room: &RoomName) -> Result<(), Failure> {
    let config = configuration::read(file)?;
    let tenants = config.tenants();
    let known =
        tenants.get(tenant).ok_or_else(|| Failure::Use(format!("{tenant}: no such tenant in {file:?}")))?;
    let view = running::view_by_nats(&config, file, "ringway locate").await?;
    let slot = Slot::of_room(tenant, room);
    let node =
        view.owner(&known.pool, slot).ok_or_else(|| anyhow!("no node of the pool {} serves", known.pool))?;
    crate::print(
        &json!({
            "tenant": tenant.as_str(),
            "room": room.as_str(),
            "slot": slot.number(),
            "pool": known.pool.as_str(),
            "node": node.as_str(),
        })
        .to_string(),
    )
}
