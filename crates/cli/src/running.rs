//! What every server command does: parts started in order, a signal awaited, parts ended in the reverse order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use ringway_auth::Ticket;
use ringway_backplane::cluster::Watcher;
use ringway_backplane::nats::{self, NatsSettings};
use ringway_backplane::{Backplane, memory};
use ringway_config::{Auth, Config};
use ringway_gateway::{GatewayHandle, GatewayParts, GatewaySettings, LocalNode, Place, Refusal};
use ringway_node::{Door, Entry, NoPlace, Node, NodeMetrics, NodeParts, NodeSettings, StartError, Twin};
use ringway_ring::{NodeId, View};
use ringway_telemetry::admin::{Admin, AdminParts, Checks};
use ringway_telemetry::{Guard, LogSettings, Metrics, TelemetrySettings};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::buffers;
use crate::carried;
use crate::configuration;
use crate::descriptors::{self, Descriptors};
use crate::exit::Failure;
use crate::reload::{self, InForce, Loaded, Made, Prepared, Record, Recorded, Reload};
use crate::secret;

/// How long the last spans may take at the end of a process.
const FLUSH: Duration = Duration::from_secs(2);

/// How long nodes have to say that they are there: each says so twice a second.
const HEAR: Duration = Duration::from_millis(1_200);

/// Reads a configuration that has all a process of this kind needs.
pub(crate) fn load(file: &Path, role: ringway_config::Role) -> Result<Loaded, Failure> {
    let loaded = configuration::load(file)?;
    loaded.config.require(role)?;
    Ok(loaded)
}

/// Runs a server command: logs and traces around it, a runtime under it. `instance` tells it from others like it.
pub(crate) fn serve(
    name: &'static str,
    instance: Option<&str>,
    config: &Config,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    crate::block_on(async {
        let guard = telemetry(name, instance, config)?;
        Descriptors::raise();
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let result = work.await;
        // Blocks until the last spans are out.
        tokio::task::block_in_place(|| guard.shutdown(FLUSH));
        result
    })
}

fn telemetry(name: &'static str, instance: Option<&str>, config: &Config) -> Result<Guard, Failure> {
    let settings = TelemetrySettings {
        otlp: config.telemetry.otlp.as_ref().map(ToString::to_string),
        sample: config.telemetry.sample,
        service_name: name.to_owned(),
        instance: instance.map(str::to_owned),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        log: LogSettings::default(),
    };
    ringway_telemetry::init(&settings).map_err(|error| Failure::Use(error.to_string()))
}

/// What all parts of a process share.
pub(crate) struct Process {
    auth: Auth,
    /// What gateway and nodes know of tenants, classes and placement.
    in_force: InForce,
    secret: Arc<[u8]>,
    metrics: Metrics,
    /// Where what is in force can be seen.
    record: Option<watch::Receiver<Record>>,
    admins: Vec<(CancellationToken, JoinHandle<()>)>,
}

impl Process {
    pub(crate) fn new(config: &Config) -> Result<Self, Failure> {
        Ok(Self {
            in_force: InForce::new(Made::of(config)?),
            secret: secret::of(config),
            auth: config.gateway().auth,
            metrics: Metrics::new(env!("CARGO_PKG_VERSION")),
            record: None,
            admins: Vec::new(),
        })
    }

    /// Takes over changes of the configuration from now on. Before the admin port is opened, which shows them.
    pub(crate) fn reload(&mut self, prepared: Prepared, view: watch::Receiver<Arc<View>>) -> Reload {
        let reload = prepared.start(self.in_force.clone(), view);
        let record = reload.record();
        self.metrics.register(&[], |registry| {
            registry.register_collector(Box::new(Recorded(record.clone())));
        });
        self.record = Some(record);
        reload
    }

    /// Starts a node. `labels` tell its metrics from another's in this process.
    pub(crate) async fn node(
        &self,
        settings: &ringway_config::NodeSettings,
        backplane: Arc<dyn Backplane>,
        labels: &[(&'static str, &str)],
    ) -> Result<Node, Failure> {
        let listener = ringway_edge::serve::listen(settings.listen)
            .with_context(|| format!("node.listen: can't listen on {}", settings.listen))?;
        let max_connections = Descriptors::now().bounded(settings.max_connections);
        descriptors::show_limit(&self.metrics, labels, None, max_connections);
        let node_settings = NodeSettings {
            id: settings.id.parse().map_err(|error| Failure::Use(format!("node.id: {error}")))?,
            pool: settings.pool.clone(),
            advertise: settings.advertise.as_ref().map(ToString::to_string),
            public_url: settings.public_url.as_ref().map(ToString::to_string),
            weight: settings.weight,
            max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
            buffers: settings.buffers.unwrap_or_else(buffers::by_default),
            open: self.auth == Auth::Off,
        };
        self.metrics.register(labels, |registry| carried::register(registry, backplane.clone()));
        let parts = NodeParts {
            backplane,
            configured: self.in_force.configured(),
            secret: self.secret.clone(),
            metrics: self.metrics.register(labels, NodeMetrics::register),
            listener: Some(listener),
        };
        match Node::start(node_settings, parts).await {
            Ok(node) => Ok(node),
            Err(StartError::Name(twin)) => Err(Failure::Use(format!("node.id: {twin}"))),
            Err(error) => Err(anyhow::Error::new(error).context("the node can't start").into()),
        }
    }

    /// Starts a gateway.
    pub(crate) fn gateway(
        &self,
        settings: &ringway_config::GatewaySettings,
        backplane: Arc<dyn Backplane>,
        view: watch::Receiver<Arc<View>>,
        local: Vec<Arc<dyn LocalNode>>,
        extra: Option<ringway_gateway::ExtraRoutes>,
    ) -> Result<GatewayHandle, Failure> {
        let max_connections = Descriptors::now().clients(settings.path);
        descriptors::show_limit(&self.metrics, &[], Some("gateway"), max_connections);
        let gateway_settings = GatewaySettings {
            name: gateway_name(),
            listen: settings.listen,
            token_in_query: settings.token_in_query,
            path: settings.path,
            max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
            buffers: settings.buffers.unwrap_or_else(buffers::by_default),
            extra,
        };
        self.metrics.register(&[], |registry| {
            carried::register(registry.sub_registry_with_prefix("gateway"), backplane.clone());
        });
        let parts = GatewayParts {
            backplane,
            view,
            directory: self.in_force.directory(),
            secret: self.secret.clone(),
            local,
        };
        let started =
            self.metrics.register(&[], |registry| GatewayHandle::start(gateway_settings, parts, registry));
        let started =
            started.with_context(|| format!("gateway.listen: can't listen on {}", settings.listen))?;
        Ok(started)
    }

    /// Opens the admin port.
    pub(crate) async fn admin(
        &mut self,
        key: &str,
        address: SocketAddr,
        checks: Checks,
        view: watch::Receiver<Arc<View>>,
    ) -> Result<SocketAddr, Failure> {
        let admin =
            Admin::bind(address).await.with_context(|| format!("{key}: can't listen on {address}"))?;
        let local = admin.local_addr();
        let mut extra = crate::commands::debug::routes(view);
        if let Some(record) = &self.record {
            extra = extra.merge(reload::routes(record.clone()));
        }
        let parts = AdminParts { metrics: self.metrics.clone(), checks, extra };
        let end = CancellationToken::new();
        let task = tokio::spawn(admin.serve(parts, end.clone()));
        self.admins.push((end, task));
        Ok(local)
    }

    /// Closes the admin ports, last: `/readyz` has to say no until the end.
    pub(crate) async fn close_admins(self) {
        for (end, task) in self.admins {
            end.cancel();
            // It ends by itself, and a panic in it was told already.
            let _ = task.await;
        }
    }
}

/// A handle to NATS.
pub(crate) async fn connect(
    config: &ringway_config::Nats,
    name: &str,
) -> Result<Arc<dyn Backplane>, Failure> {
    let first = config.urls.first().map_or("nats://127.0.0.1:4222", |url| url.as_str());
    let settings = NatsSettings {
        urls: config.urls.iter().map(|url| url.as_str().to_owned()).collect(),
        prefix: config.prefix.clone(),
        name: name.to_owned(),
        ..NatsSettings::new(first)
    };
    let shown: Vec<String> = config.urls.iter().map(ToString::to_string).collect();
    let connected = Box::pin(nats::connect(&settings))
        .await
        .with_context(|| format!("nats.urls: {}", shown.join(", ")))?;
    Ok(connected)
}

/// The cluster as the NATS of a configuration, which was read from `file`, tells of it to somebody who has just come.
pub(crate) async fn view_by_nats(config: &Config, file: &Path, name: &str) -> Result<Arc<View>, Failure> {
    let nats = config
        .nats
        .as_ref()
        .ok_or_else(|| Failure::Use(format!("{file:?} has no [nats]: ask the process with --url instead")))?;
    let backplane = connect(nats, name).await?;
    let watcher = Watcher::start(backplane.clone()).await.context("the cluster can't be watched")?;
    tokio::time::sleep(HEAR).await;
    let view = watcher.view().borrow().clone();
    watcher.stop().await;
    backplane.close().await;
    Ok(view)
}

/// What carries messages in a process alone: NATS where it is configured, else memory.
pub(crate) enum Carrier {
    Memory(memory::Hub),
    Nats(ringway_config::Nats),
}

impl Carrier {
    pub(crate) fn of(config: &Config) -> Self {
        match &config.nats {
            Some(nats) => Carrier::Nats(nats.clone()),
            None => Carrier::Memory(memory::Hub::new()),
        }
    }

    pub(crate) async fn attach(&self, name: &str) -> Result<Arc<dyn Backplane>, Failure> {
        match self {
            Carrier::Memory(hub) => Ok(hub.attach(name)),
            Carrier::Nats(nats) => connect(nats, name).await,
        }
    }
}

/// A node of this process as the gateway takes it.
pub(crate) struct Local(pub(crate) Door);

impl LocalNode for Local {
    fn id(&self) -> &NodeId {
        self.0.id()
    }

    fn accepts(&self) -> bool {
        self.0.accepts()
    }

    fn admit(&self, ticket: Ticket) -> Result<Box<dyn Place>, Refusal> {
        match self.0.admit(ticket) {
            Ok(entry) => Ok(Box::new(Held(entry))),
            Err(NoPlace { code, retry, .. }) => Err(Refusal { code, retry }),
        }
    }
}

/// A place at a node of this process.
struct Held(Entry);

impl Place for Held {
    fn take(self: Box<Self>, socket: TcpStream, early: Bytes) {
        self.0.take(socket, early, ringway_telemetry::current_traceparent().as_deref());
    }
}

/// Why a process with a node ends.
pub(crate) enum End {
    Asked,
    /// Another node has its name.
    Replaced(Twin),
}

impl End {
    /// Once everything has ended.
    pub(crate) fn result(self) -> Result<(), Failure> {
        match self {
            Self::Asked => Ok(()),
            Self::Replaced(twin) => Err(anyhow::anyhow!("node.id: {twin}: this one has left").into()),
        }
    }
}

/// Returns when the process is asked to stop, or one of its nodes has to leave.
pub(crate) async fn end_of(replaced: impl Future<Output = Twin>) -> Result<End, Failure> {
    tokio::select! {
        asked = asked_to_stop() => asked.map(|()| End::Asked),
        twin = replaced => {
            tracing::error!(node = %twin.id, other = %twin.advertise, "a younger node has taken this one's name: leaving");
            Ok(End::Replaced(twin))
        }
    }
}

/// SIGTERM or Ctrl-C. A second one while the process ends kills it.
pub(crate) async fn asked_to_stop() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: leaving"),
        _ = int.recv() => tracing::info!("SIGINT: leaving"),
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        std::process::exit(1);
    });
    Ok(())
}

/// The gateway's name in tickets and questions: drawn, since two may share a host.
fn gateway_name() -> NodeId {
    let name = format!("gateway-{:08x}", rand::random::<u32>());
    name.parse().expect("a name of letters, digits and a hyphen is a node's")
}
