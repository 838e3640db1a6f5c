//! `/debug/ring`: the cluster as this process sees it.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use ringway_ring::View;
use tokio::sync::watch;

use crate::cluster_page::ClusterPage;

/// The admin port's further routes.
pub(crate) fn routes(view: watch::Receiver<Arc<View>>) -> Router {
    Router::new().route("/debug/ring", get(move || async move { Json(ClusterPage::of(&view.borrow())) }))
}
