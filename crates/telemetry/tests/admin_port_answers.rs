//! The admin port, spoken to over a real connection.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use ringway_telemetry::Metrics;
use ringway_telemetry::admin::{Admin, AdminParts, Checks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Port {
    address: SocketAddr,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(metrics: Metrics, checks: Checks, extra: Router) -> Port {
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = admin.local_addr();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(admin.serve(AdminParts { metrics, checks, extra }, cancel.clone()));
    Port { address, cancel, task }
}

async fn plain() -> Port {
    start(Metrics::new("1.2.3"), Checks::new(), Router::new()).await
}

impl Port {
    /// Status, head and body.
    async fn ask(&self, request_line: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{request_line} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }
}

#[tokio::test]
async fn alive_while_the_runtime_is() {
    let port = plain().await;
    assert_eq!(port.ask("GET /livez").await.0, 200);
    assert_eq!(port.ask("HEAD /livez").await.0, 200);
    assert_eq!(port.ask("POST /livez").await.0, 405);
}

#[tokio::test]
async fn ready_until_a_check_says_why_not() {
    let connected = Arc::new(AtomicBool::new(true));
    let checks = Checks::new();
    let link = connected.clone();
    checks
        .add("nats", move || if link.load(Ordering::Relaxed) { Ok(()) } else { Err("away for 3 s".into()) });
    let port = start(Metrics::new("1"), checks.clone(), Router::new()).await;
    assert_eq!(port.ask("GET /readyz").await.0, 200);

    connected.store(false, Ordering::Relaxed);
    checks.add("drain", || Err("leaving".into()));
    let (status, head, body) = port.ask("GET /readyz").await;
    assert_eq!(status, 503);
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], 503);
    assert_eq!(body["code"], "unavailable");
    assert_eq!(body["problems"][0], serde_json::json!({"check": "nats", "reason": "away for 3 s"}));
    assert_eq!(body["problems"][1]["check"], "drain");
    // Not ready isn't dead.
    assert_eq!(port.ask("GET /livez").await.0, 200);
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let metrics = Metrics::new("1.2.3");
    for node in ["a", "b"] {
        metrics.register(&[("node", node)], |registry| {
            let deliveries = Family::<[(&'static str, &'static str); 1], Counter>::default();
            deliveries.get_or_create(&[("place", "owner")]).inc_by(7);
            registry.register("deliveries", "Live publications written", deliveries);
            let latency = Histogram::new([0.001, 0.01]);
            latency.observe(0.002);
            registry.register_with_unit("latency", "Time it took", Unit::Seconds, latency);
        });
    }
    let port = start(metrics, Checks::new(), Router::new()).await;
    let (status, head, text) = port.ask("GET /metrics").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    let samples = exposition::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let value = |name: &str| samples.iter().find(|(sample, _)| sample == name).map(|(_, value)| *value);
    assert_eq!(value("ringway_deliveries_total{node=\"b\",place=\"owner\"}"), Some(7.0), "{text}");
    assert_eq!(value("ringway_latency_seconds_count{node=\"a\"}"), Some(1.0));
    assert_eq!(value("ringway_build_info{version=\"1.2.3\"}"), Some(1.0));
    assert!(value("process_start_time_seconds").is_some_and(|seconds| seconds > 1.7e9));
    if cfg!(target_os = "linux") {
        assert!(value("process_resident_memory_bytes").is_some_and(|bytes| bytes > 100_000.0));
        assert!(value("process_open_fds").is_some_and(|count| count >= 3.0));
        assert!(value("process_max_fds").is_some_and(|count| count >= 3.0));
        assert!(value("process_threads").is_some_and(|count| count >= 1.0));
        assert!(value("process_cpu_seconds_total").is_some());
    }
}

#[tokio::test]
async fn a_process_adds_routes_of_its_own() {
    let extra = Router::new()
        .route("/debug/ring", get(async || axum::Json(serde_json::json!({ "slots": 16_384 }))))
        .route("/drain", post(async || "leaving\n"));
    let port = start(Metrics::new("1"), Checks::new(), extra).await;
    assert_eq!(port.ask("GET /debug/ring").await.2, "{\"slots\":16384}");
    assert_eq!(port.ask("POST /drain").await.0, 200);
    let (status, head, body) = port.ask("GET /nowhere").await;
    assert_eq!(status, 404);
    assert!(head.contains("application/problem+json") && body.contains("\"code\":\"not_found\""), "{body}");
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let port = plain().await;
    assert_eq!(Admin::bind(port.address).await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn at_the_end_requests_under_way_are_answered_and_idle_connections_closed() {
    let (begun, begins) = tokio::sync::oneshot::channel::<()>();
    let begun = Arc::new(std::sync::Mutex::new(Some(begun)));
    let go_on = Arc::new(tokio::sync::Notify::new());
    let waits = go_on.clone();
    let slow = get(async move || {
        begun.lock().unwrap().take().unwrap().send(()).unwrap();
        waits.notified().await;
        "done"
    });
    let port = start(Metrics::new("1"), Checks::new(), Router::new().route("/slow", slow)).await;
    let mut idle = TcpStream::connect(port.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: admin\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1_024]).await.unwrap() > 0);

    let (address, cancel) = (port.address, port.cancel.clone());
    let asking = tokio::spawn(async move { port.ask("GET /slow").await });
    begins.await.unwrap();
    cancel.cancel();
    assert_eq!(timeout(PATIENCE, idle.read(&mut [0; 1_024])).await.unwrap().unwrap(), 0);
    go_on.notify_one();
    assert_eq!(asking.await.unwrap().2, "done");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_never_ends_doesnt_hold_the_end() {
    let port = plain().await;
    let mut half = TcpStream::connect(port.address).await.unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nHost:").await.unwrap();
    // Served after the half one was accepted.
    assert_eq!(port.ask("GET /livez").await.0, 200);
    port.cancel.cancel();
    timeout(PATIENCE, port.task).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off() {
    let port = plain().await;
    let mut half = TcpStream::connect(port.address).await.unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = Vec::new();
    // Time stands still but for timers: what ends this is the head's.
    timeout(Duration::from_secs(60), half.read_to_end(&mut answer)).await.unwrap().unwrap();
}

/// A small, strict reader of OpenMetrics text.
mod exposition {
    use std::collections::BTreeSet;

    /// Samples by name and labels.
    pub(super) fn parse(text: &str) -> Result<Vec<(String, f64)>, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
        let (mut families, mut samples) = (BTreeSet::new(), Vec::new());
        let mut family = String::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (what, name) = (words.next().unwrap_or(""), words.next().unwrap_or("").to_owned());
                if !["HELP", "TYPE", "UNIT"].contains(&what) || words.next().is_none() {
                    return Err(format!("not a descriptor: {line}"));
                }
                if name != family && !families.insert(name.clone()) {
                    return Err(format!("the family {name} is there twice"));
                }
                if what == "UNIT" && !name.ends_with(&format!("_{}", rest.rsplit(' ').next().unwrap_or(""))) {
                    return Err(format!("the unit isn't the name's end: {line}"));
                }
                family = name;
                continue;
            }
            let (name, value) = line.rsplit_once(' ').ok_or_else(|| format!("not a sample: {line}"))?;
            let bare = name.split('{').next().unwrap_or("");
            let suffix =
                bare.strip_prefix(family.as_str()).ok_or_else(|| format!("outside its family: {line}"))?;
            if !["", "_total", "_sum", "_count", "_bucket", "_info"].contains(&suffix) {
                return Err(format!("an odd suffix: {line}"));
            }
            if samples.iter().any(|(other, _)| other == name) {
                return Err(format!("the series is there twice: {line}"));
            }
            samples.push((name.to_owned(), value.parse().map_err(|_| format!("not a number: {line}"))?));
        }
        Ok(samples)
    }
}
