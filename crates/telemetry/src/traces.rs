//! Spans to a collector, by OTLP over gRPC: whether, where, how many; and the exporter on a thread of its own.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Runtime;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::setup::{InitError, TelemetrySettings};

/// What spans and events begin with in their target to be exported: a crate of ours, or [`crate::span!`].
/// The exporter's own libraries have spans too, which must not feed it.
const OURS: &str = "ringway";

/// What the settings and the `OTEL_*` variables come to. What the SDK reads itself stays unset here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// None: the variables say.
    endpoint: Option<String>,
    /// None: `OTEL_TRACES_SAMPLER` says.
    sample: Option<f64>,
    /// None: the variables say.
    service_name: Option<String>,
    /// None: the variables say, or nobody does.
    instance: Option<String>,
}

/// Whether traces are exported, and a remark where somebody may have wanted otherwise.
pub(crate) fn plan(
    settings: &TelemetrySettings,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<Plan>, Option<String>) {
    if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return (None, None);
    }
    let exporter = env("OTEL_TRACES_EXPORTER").map(|value| value.trim().to_ascii_lowercase());
    match exporter.as_deref() {
        None | Some("otlp") => {}
        Some("none") => return (None, None),
        Some(other) => {
            let remark =
                format!("traces are off: OTEL_TRACES_EXPORTER is {other:?}, and only \"otlp\" is built in");
            return (None, Some(remark));
        }
    }
    let by_variable = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .iter()
        .any(|name| env(name).is_some());
    let endpoint = match (by_variable, &settings.otlp) {
        (true, _) => None,
        (false, Some(endpoint)) => Some(endpoint.clone()),
        // Asked for by name, so the SDK's own default holds.
        (false, None) if exporter.is_some() => None,
        (false, None) => return (None, None),
    };
    let protocol = env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| env("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if let Some(protocol) = protocol
        && protocol != "grpc"
    {
        let remark =
            format!("traces are off: OTLP is asked for as {protocol:?}, and only \"grpc\" is built in");
        return (None, Some(remark));
    }
    let sample = env("OTEL_TRACES_SAMPLER").is_none().then_some(settings.sample);
    let attributes = env("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let says = |attribute: &str| {
        attributes.split(',').any(|pair| pair.split('=').next().is_some_and(|key| key.trim() == attribute))
    };
    let named = env("OTEL_SERVICE_NAME").is_some() || says("service.name");
    let service_name = (!named).then(|| settings.service_name.clone());
    let instance = settings.instance.clone().filter(|_| !says("service.instance.id"));
    (Some(Plan { endpoint, sample, service_name, instance }), None)
}

/// The exporter: its provider, and the thread that its connection lives on.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    /// There until the end.
    runtime: Option<Runtime>,
}

impl Drop for Traces {
    fn drop(&mut self) {
        // A runtime may not be dropped where another one runs, which is where a failed start drops this.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Traces {
    /// Makes the exporter. The connection is made when there is something to send, and made again when it is lost.
    pub(crate) fn start(plan: &Plan, settings: &TelemetrySettings) -> Result<Self, InitError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ringway-otlp")
            .enable_all()
            .build()?;
        let exporter = {
            // tonic spawns the connection's task on the runtime that it finds here.
            let _entered = runtime.enter();
            let mut exporter = SpanExporter::builder().with_tonic();
            if let Some(endpoint) = &plan.endpoint {
                exporter = exporter.with_endpoint(endpoint);
            }
            exporter.build()
        };
        let exporter = match exporter {
            Ok(exporter) => exporter,
            Err(error) => {
                runtime.shutdown_background();
                return Err(InitError::Exporter(error.to_string()));
            }
        };
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", settings.version.clone()));
        if let Some(name) = &plan.service_name {
            resource = resource.with_service_name(name.clone());
        }
        if let Some(instance) = &plan.instance {
            resource = resource.with_attribute(KeyValue::new("service.instance.id", instance.clone()));
        }
        let mut provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
        if let Some(share) = plan.sample {
            provider =
                provider.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))));
        }
        Ok(Traces { provider: provider.build(), runtime: Some(runtime) })
    }

    /// The layer that turns our spans into exported ones.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("ringway"))
            // Spans carry what the conventions name, not where in our code they were made.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Parents come from `tracing` alone, so entering a span costs no switch of OpenTelemetry's context.
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| {
                metadata.target().starts_with(OURS)
                    && (metadata.is_span() || *metadata.level() <= tracing::Level::WARN)
            }))
    }

    /// Sends what is left, for at most `timeout`.
    pub(crate) fn end(self, timeout: Duration) {
        // A collector that doesn't answer is told in the log by the SDK; the process ends all the same.
        let _ = self.provider.shutdown_with_timeout(timeout);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn planned(otlp: Option<&str>, variables: &[(&str, &str)]) -> (Option<Plan>, Option<String>) {
        let settings = TelemetrySettings {
            otlp: otlp.map(str::to_owned),
            sample: 0.25,
            service_name: "ringway-node".into(),
            instance: Some("node-1".into()),
            ..TelemetrySettings::default()
        };
        let env =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        plan(&settings, &env)
    }

    #[test]
    fn off_unless_somebody_says_where_to() {
        assert_eq!(planned(None, &[]), (None, None));
        assert_eq!(
            planned(None, &[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")]),
            (None, None)
        );
        assert_eq!(planned(None, &[("OTEL_TRACES_EXPORTER", "none")]), (None, None));
        let whole = Plan {
            endpoint: Some("http://c:4317".into()),
            sample: Some(0.25),
            service_name: Some("ringway-node".into()),
            instance: Some("node-1".into()),
        };
        assert_eq!(planned(Some("http://c:4317"), &[]), (Some(whole), None));
    }

    #[test]
    fn the_variables_win() {
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
            let plan = planned(Some("http://c:4317"), &[(name, "http://d:4317")]).0.unwrap();
            assert_eq!(plan.endpoint, None);
            assert!(planned(None, &[(name, "http://d:4317")]).0.is_some());
        }
        assert!(planned(None, &[("OTEL_TRACES_EXPORTER", "otlp")]).0.is_some());
        let otlp = Some("http://c:4317");
        assert_eq!(planned(otlp, &[("OTEL_SDK_DISABLED", "TRUE")]), (None, None));
        assert_eq!(planned(otlp, &[("OTEL_TRACES_EXPORTER", "none")]), (None, None));
        assert_eq!(planned(otlp, &[("OTEL_TRACES_SAMPLER", "always_on")]).0.unwrap().sample, None);
        assert_eq!(planned(otlp, &[("OTEL_SERVICE_NAME", "x")]).0.unwrap().service_name, None);
        let attributes = [("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=x")];
        assert_eq!(planned(otlp, &attributes).0.unwrap().service_name, None);
        let attributes = [("OTEL_RESOURCE_ATTRIBUTES", "a=b,service.instance.id=x")];
        assert_eq!(planned(otlp, &attributes).0.unwrap().instance, None);
        let attributes = [("OTEL_RESOURCE_ATTRIBUTES", "my.service.name=x")];
        assert!(planned(otlp, &attributes).0.unwrap().service_name.is_some());
    }

    #[test]
    fn what_isnt_built_in_is_said() {
        for variable in [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), ("OTEL_TRACES_EXPORTER", "zipkin")]
        {
            let (plan, remark) = planned(Some("http://c:4317"), &[variable]);
            assert_eq!(plan, None);
            assert!(remark.unwrap().contains("traces are off"));
        }
        assert!(planned(Some("http://c:4317"), &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).0.is_some());
    }

    #[tokio::test]
    async fn an_endpoint_that_is_none_is_refused() {
        let plan = planned(Some("not a url"), &[]).0.unwrap();
        let error = Traces::start(&plan, &TelemetrySettings::default()).unwrap_err();
        assert!(error.to_string().starts_with("traces can't be exported"), "{error}");
    }
}
