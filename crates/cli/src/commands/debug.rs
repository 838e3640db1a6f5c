//! `/debug/ring`: the cluster as this process sees it.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use ringway_ring::{SLOTS, View};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The admin port's further routes.
pub(crate) fn routes(view: watch::Receiver<Arc<View>>) -> Router {
    Router::new().route("/debug/ring", get(move || async move { Json(ring(&view.borrow())) }))
}

fn ring(view: &View) -> Value {
    let nodes: Vec<Value> = view
        .nodes()
        .map(|node| {
            let slots = view.pool(&node.pool).slots_of(&node.id).count();
            json!({
                "id": node.id.as_str(),
                "incarnation": node.incarnation,
                "pool": node.pool.as_str(),
                "advertise": node.advertise,
                "public_url": node.public_url,
                "weight": node.weight,
                "state": node.state,
                "connections": node.connections,
                "rooms": node.rooms,
                "version": node.version,
                "slots": slots,
            })
        })
        .collect();
    json!({ "slots": SLOTS, "nodes": nodes })
}
