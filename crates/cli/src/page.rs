//! The page of `ringway dev`, and what it may do to the nodes of the process.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use ringway_gateway::ExtraRoutes;

use crate::commands::dev::Nodes;

const INDEX: &str = include_str!("../../../docs/examples/page/index.html");
const CLIENT: &str = include_str!("../../../docs/examples/ringway.js");

/// `/`, `/ringway.js`, `/dev/nodes` and `/dev/nodes/ID/stop`.
pub(crate) fn routes(nodes: Nodes) -> ExtraRoutes {
    std::sync::Arc::new(move |method: Method, path: String| {
        let nodes = nodes.clone();
        Box::pin(async move {
            let is_get = matches!(method, Method::GET | Method::HEAD);
            match path.as_str() {
                "/" if is_get => Some(answer("text/html; charset=utf-8", INDEX)),
                "/ringway.js" if is_get => Some(answer("text/javascript; charset=utf-8", CLIENT)),
                "/dev/nodes" if is_get => Some(answer("application/json", nodes.list().await)),
                _ => {
                    let id = path.strip_prefix("/dev/nodes/")?.strip_suffix("/stop")?;
                    (method == Method::POST).then_some(())?;
                    let stopped = nodes.stop(id).await;
                    let mut response = answer("application/json", nodes.list().await);
                    if !stopped {
                        *response.status_mut() = StatusCode::NOT_FOUND;
                    }
                    Some(response)
                }
            }
        })
    })
}

fn answer(content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
