//! A collector of traces: takes spans by OTLP over gRPC, and keeps them for a test to look at.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span as it was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The process that made it: `service.name`.
    pub service: String,
    /// Which of those it was: `service.instance.id`, where it says so.
    pub instance: String,
    /// `upgrade`, `send` …
    pub name: String,
    /// 32 hexadecimal digits.
    pub trace: String,
    /// 16 hexadecimal digits.
    pub id: String,
    /// Its parent's id; empty: none.
    pub parent: String,
    /// Server, client, producer …
    pub kind: SpanKind,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Attributes, all as text.
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    /// An attribute; empty where there is none.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// A running collector, on a free port. Ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Spans,
    serving: JoinHandle<()>,
}

impl Collector {
    /// Listens on a free port of the loop-back address.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let spans = Spans::default();
        let service = TraceServiceServer::new(Receiver(Arc::clone(&spans)));
        let serving = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            // It ends with the test, by being aborted.
            let _ = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        Ok(Self { address, spans, serving })
    }

    /// For `telemetry.otlp`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that has come so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Receiver(Spans);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in request.into_inner().resource_spans {
            let attributes = attributes(one.resource.map(|resource| resource.attributes).unwrap_or_default());
            let of_process = |key| attributes.get(key).cloned().unwrap_or_default();
            let (service, instance) = (of_process("service.name"), of_process("service.instance.id"));
            let all = one.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
            spans.extend(all.map(|span| Span {
                service: service.clone(),
                instance: instance.clone(),
                kind: span.kind(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: self::attributes(span.attributes),
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(all: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    all.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
