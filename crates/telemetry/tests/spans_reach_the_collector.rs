//! Spans arrive at an OTLP collector as the tree that they were, or nothing is sent and nothing waits.
//!
//! A process has one subscriber, so each promise is kept by a process of its own: the test runs itself again.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use ringway_telemetry::{
    TelemetrySettings, current_traceparent, enabled, init, link, set_parent, span, traceparent_of,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing::Instrument;

const CHILD: &str = "TELEMETRY_TEST_CHILD";
const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Runs `test` in a process of its own. None: this is that process.
fn in_a_child(test: &str, variables: &[(&str, &str)]) -> Option<Child> {
    if std::env::var_os(CHILD).is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(CHILD, "1");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") || name == "RUST_LOG" || name == "RINGWAY_LOG" {
            command.env_remove(name);
        }
    }
    Some(Child(command.envs(variables.iter().copied()).output().unwrap()))
}

/// A child that has ended.
struct Child(Output);

impl Child {
    fn log(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    fn did_well(&self) {
        let out = String::from_utf8_lossy(&self.0.stdout);
        assert!(self.0.status.success(), "{out}\n{}", self.log());
    }
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens on a free port, on a thread of its own, until the process ends.
    fn start() -> (Self, SocketAddr) {
        let collector = Collector::default();
        let service = TraceServiceServer::new(collector.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
                tonic::transport::Server::builder()
                    .add_service(service)
                    .serve_with_incoming(incoming)
                    .await
                    .unwrap();
            });
        });
        (collector, address)
    }

    fn service_names(&self) -> Vec<String> {
        let requests = self.0.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let attributes =
            resources.flat_map(|spans| spans.resource.iter().flat_map(|resource| &resource.attributes));
        attributes
            .filter(|attribute| attribute.key == "service.name")
            .filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    fn spans(&self) -> BTreeMap<String, Span> {
        let requests = self.0.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        spans.map(|span| (span.name.clone(), span.clone())).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_tree_is_the_callers() {
    if let Some(child) = in_a_child("the_tree_is_the_callers", &[("RINGWAY_LOG", "error")]) {
        return child.did_well();
    }
    let (collector, address) = Collector::start();
    let guard = init(&TelemetrySettings {
        otlp: Some(format!("http://{address}")),
        service_name: "ringway-gateway".into(),
        ..TelemetrySettings::default()
    })
    .unwrap();
    assert!(enabled() && guard.traces());

    let upgrade = span!("upgrade", otel.kind = "server", http.route = "/v1/ws");
    assert!(set_parent(&upgrade, REMOTE));
    let route = upgrade.in_scope(|| span!("route", node = "n1"));
    // What goes to another process.
    let carried = route.in_scope(current_traceparent).unwrap();
    assert_eq!(Some(&carried), traceparent_of(&route).as_ref());
    let join = span!("join");
    assert!(set_parent(&join, &carried));
    assert!(link(&join, REMOTE));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(
        async {
            tokio::task::yield_now().await;
            let inner = span!("deliver");
            let _entered = inner.enter();
            tracing::warn!(target: "ringway_node", "slow");
        }
        .instrument(join.clone()),
    );
    // Another library's span is none of ours.
    drop(tracing::info_span!(target: "h2::client", "noise"));
    drop((upgrade, route, join));
    guard.shutdown(Duration::from_secs(10));
    assert!(!enabled());

    let spans = collector.spans();
    assert_eq!(spans.keys().map(String::as_str).collect::<Vec<_>>(), ["deliver", "join", "route", "upgrade"]);
    assert!(spans.values().all(|span| hex(&span.trace_id) == "0af7651916cd43dd8448eb211c80319c"));
    let parent = |name: &str| hex(&spans[name].parent_span_id);
    let id = |name: &str| hex(&spans[name].span_id);
    assert_eq!(parent("upgrade"), "b7ad6b7169203331");
    assert_eq!(
        (parent("route"), parent("join"), parent("deliver")),
        (id("upgrade"), id("route"), id("join"))
    );
    assert_eq!(carried, format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", id("route")));
    assert_eq!(spans["upgrade"].kind, 2, "server");
    assert_eq!(spans["deliver"].events[0].name, "slow");
    assert_eq!(spans["join"].links.len(), 1);
    assert!(collector.service_names().iter().all(|name| name == "ringway-gateway"));
}

#[test]
fn the_variables_say_where_and_what() {
    if std::env::var_os(CHILD).is_none() {
        let (collector, address) = Collector::start();
        let endpoint = format!("http://{address}");
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_SERVICE_NAME", "mine"),
            ("OTEL_TRACES_SAMPLER", "always_on"),
        ];
        in_a_child("the_variables_say_where_and_what", &variables).unwrap().did_well();
        assert!(collector.spans().contains_key("join"));
        assert!(collector.service_names().iter().all(|name| name == "mine"));
        return;
    }
    // An address where nobody is, and no traces at all: the variables are above both.
    let settings =
        TelemetrySettings { otlp: Some("http://127.0.0.1:1".into()), sample: 0.0, ..Default::default() };
    let guard = init(&settings).unwrap();
    drop(span!("join"));
    drop(guard);
}

#[test]
fn a_caller_that_doesnt_sample_is_followed() {
    if let Some(child) = in_a_child("a_caller_that_doesnt_sample_is_followed", &[]) {
        return child.did_well();
    }
    let (collector, address) = Collector::start();
    let settings =
        TelemetrySettings { otlp: Some(format!("http://{address}")), sample: 1.0, ..Default::default() };
    let guard = init(&settings).unwrap();
    let unsampled = span!("upgrade");
    assert!(set_parent(&unsampled, &REMOTE.replace("-01", "-00")));
    let carried = traceparent_of(&unsampled).unwrap();
    assert!(
        carried.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && carried.ends_with("-00"),
        "{carried}"
    );
    drop((unsampled, span!("own")));
    guard.shutdown(Duration::from_secs(10));
    assert_eq!(collector.spans().keys().collect::<Vec<_>>(), ["own"]);
}

#[test]
fn without_a_collector_configured_nothing_is_traced() {
    if let Some(child) = in_a_child("without_a_collector_configured_nothing_is_traced", &[]) {
        return child.did_well();
    }
    let guard = init(&TelemetrySettings::default()).unwrap();
    assert!(!guard.traces() && !enabled());
    let join = span!("join");
    assert!(join.is_none() && !set_parent(&join, REMOTE));
    assert_eq!(join.in_scope(current_traceparent), None);
    assert!(tracing::enabled!(tracing::Level::INFO) && !tracing::enabled!(tracing::Level::DEBUG));
    assert!(init(&TelemetrySettings::default()).is_err(), "a second time");
}

#[test]
fn logs_are_json_on_standard_error_where_that_is_no_terminal() {
    if let Some(child) = in_a_child(
        "logs_are_json_on_standard_error_where_that_is_no_terminal",
        &[("RINGWAY_LOG", "warn"), ("OTEL_TRACES_EXPORTER", "zipkin")],
    ) {
        child.did_well();
        let lines: Vec<serde_json::Value> =
            child.log().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0]["message"].as_str().unwrap().starts_with("traces are off: OTEL_TRACES_EXPORTER"));
        assert_eq!((lines[1]["level"].as_str(), lines[1]["room"].as_str()), (Some("WARN"), Some("lobby")));
        return;
    }
    let _guard = init(&TelemetrySettings::default()).unwrap();
    tracing::info!("too little");
    tracing::warn!(room = "lobby", "enough");
}

#[test]
fn a_collector_that_is_away_holds_up_nothing() {
    if let Some(child) = in_a_child("a_collector_that_is_away_holds_up_nothing", &[("RINGWAY_LOG", "off")]) {
        return child.did_well();
    }
    // A port that takes connections and never answers.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = TelemetrySettings {
        otlp: Some(format!("http://{}", deaf.local_addr().unwrap())),
        ..TelemetrySettings::default()
    };
    let guard = init(&settings).unwrap();
    // Nor does a second start, refused where a runtime runs.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(async { init(&settings).is_err() }));
    for _ in 0..10_000 {
        drop(span!("join"));
    }
    let start = Instant::now();
    guard.shutdown(Duration::from_millis(500));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
