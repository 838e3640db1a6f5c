//! What the parts of a process go by, and how it is replaced.

use std::sync::Arc;

use ringway_config::Config;
use ringway_gateway::Directory;
use ringway_node::Configured;
use tokio::sync::watch;

use crate::exit::Failure;

/// One configuration as the parts take it, ready to verify.
#[derive(Debug)]
pub(crate) struct Made {
    directory: Arc<Directory>,
    configured: Arc<Configured>,
}

impl Made {
    /// Reads all keys, which takes a processor for a while.
    pub(crate) fn of(config: &Config) -> Result<Self, Failure> {
        let tenants = config.tenants();
        let directory = Directory::new(config.gateway().auth, tenants.clone())
            .map_err(|error| Failure::Use(error.to_string()))?;
        let configured = Configured { tenants, keys: directory.token_keys(), placement: config.placement };
        Ok(Self { directory: Arc::new(directory), configured: Arc::new(configured) })
    }
}

/// What is in force, as the parts of this process see it. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    /// What the gateway knows of tenants.
    directory: watch::Sender<Arc<Directory>>,
    /// What the nodes know.
    configured: watch::Sender<Arc<Configured>>,
}

impl InForce {
    pub(crate) fn new(made: Made) -> Self {
        Self {
            directory: watch::Sender::new(made.directory),
            configured: watch::Sender::new(made.configured),
        }
    }

    pub(crate) fn directory(&self) -> watch::Receiver<Arc<Directory>> {
        self.directory.subscribe()
    }

    pub(crate) fn configured(&self) -> watch::Receiver<Arc<Configured>> {
        self.configured.subscribe()
    }

    /// From now on. A node is told first, since whom the gateway lets in comes to it.
    pub(crate) fn replace(&self, made: Made) {
        self.configured.send_replace(made.configured);
        self.directory.send_replace(made.directory);
    }
}
