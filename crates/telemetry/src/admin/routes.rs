//! What the admin port answers.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::checks::Failure;
use super::server::AdminParts;
use crate::metrics;

/// RFC 9457.
const PROBLEM: &str = "application/problem+json";

/// All of it: our own routes, and the process's.
pub(super) fn router(parts: AdminParts) -> Router {
    let AdminParts { metrics, checks, extra } = parts;
    let own = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready).with_state(checks))
        .route("/metrics", get(show).with_state(metrics));
    own.merge(extra).fallback(async || problem(StatusCode::NOT_FOUND, "not_found", json!({})))
}

async fn ready(State(checks): State<super::Checks>) -> Response {
    let (failures, notices) = (checks.failures(), checks.notices());
    if failures.is_empty() {
        // A line each: whoever only looks at the status needn't read them.
        let notices = notices.iter().map(|notice| format!("{}: {}\n", notice.check, notice.reason));
        return format!("ready\n{}", notices.collect::<String>()).into_response();
    }
    let told = |all: &[Failure]| -> Vec<_> {
        all.iter().map(|one| json!({ "check": one.check, "reason": one.reason })).collect()
    };
    let detail = failures.iter().map(|failure| format!("{}: {}", failure.check, failure.reason));
    let detail = detail.collect::<Vec<_>>().join("; ");
    let mut more = json!({ "detail": detail, "problems": told(&failures) });
    if !notices.is_empty() {
        more["notices"] = told(&notices).into();
    }
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", more)
}

async fn show(State(metrics): State<crate::Metrics>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", json!({ "detail": error.to_string() }))
        }
    }
}

fn problem(status: StatusCode, code: &str, mut more: serde_json::Value) -> Response {
    more["type"] = "about:blank".into();
    more["title"] = status.canonical_reason().unwrap_or("Error").into();
    more["status"] = status.as_u16().into();
    more["code"] = code.into();
    (status, [(CONTENT_TYPE, PROBLEM)], more.to_string()).into_response()
}
