//! The secret that signs tickets and sessions.

use std::sync::Arc;

use ringway_config::Config;

/// The cluster's secret; where none is configured (a process alone), one for as long as it runs.
pub(crate) fn of(config: &Config) -> Arc<[u8]> {
    match &config.cluster.secret {
        Some(secret) => secret.bytes().into(),
        None => rand::random::<[u8; 32]>().as_slice().into(),
    }
}
