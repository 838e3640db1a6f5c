//! Whether anything is traced, and where to: the configuration and the standard variables.

use ringway_protocol::Format;
use ringway_testkit::nats::NatsServer;
use ringway_testkit::otlp::Collector;
use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;

use super::EXPORTED;
use crate::peer::Peer;
use crate::support::{self, launcher, open_over};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_traced_unless_it_is_configured_and_the_standard_variables_win() {
    let (nats, collector) = (NatsServer::start(), Collector::start().await.unwrap());
    let endpoint = collector.endpoint();
    let configured =
        format!("{}\n[telemetry]\notlp = \"{endpoint}\"\nsample = 1.0\n", open_over(&nats.url()));
    let mut launchers = [launcher(&open_over(&nats.url())), launcher(&configured)];
    const PLAIN: usize = 0;
    const TRACED: usize = 1;
    let soon = ("OTEL_BSP_SCHEDULE_DELAY", "50");
    let to = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    let nowhere = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    for (launcher, prefix, env, exports) in [
        (PLAIN, "a", vec![soon], false),
        (TRACED, "b", vec![soon], true),
        (PLAIN, "c", vec![soon, to, ("OTEL_TRACES_SAMPLER", "always_on")], true),
        (TRACED, "d", vec![soon, nowhere], false),
        (TRACED, "e", vec![soon, ("OTEL_SDK_DISABLED", "true")], false),
        (TRACED, "f", vec![soon, ("OTEL_SERVICE_NAME", "by-variable")], true),
    ] {
        let prefixed = format!("ringway-{prefix}");
        let env: Vec<_> = env.into_iter().chain([("RINGWAY_NATS__PREFIX", prefixed.as_str())]).collect();
        let serve = launchers[launcher].serve(&env);
        let mut peer = Peer::open(&support::options(serve.listen, Format::Msgpack, Some("lobby"))).await;
        peer.joined().await;
        peer.publish("lobby", "1").await;
        let traced = !env.contains(&("OTEL_SDK_DISABLED", "true")) && prefix != "a";
        assert_eq!(peer.hello.trace.is_some(), traced, "{prefix}");
        assert_eq!(exporter_runs(&serve), traced, "{prefix}");
        let before = collector.spans().len();
        if exports {
            until(&format!("spans come of {prefix}"), EXPORTED, || {
                (collector.spans().len() > before).then_some(())
            });
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            assert_eq!(collector.spans().len(), before, "{prefix}");
        }
        let named = collector.spans().iter().any(|span| span.service == "by-variable");
        assert_eq!(named, prefix == "f");
        drop(serve);
    }
}

/// Whether the process has the exporter's thread.
fn exporter_runs(process: &Process) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
    let name = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.unwrap().path().join("comm"))
    };
    threads.filter_map(|thread| name(thread).ok()).any(|name| name.trim() == "ringway-otlp")
}
