//! The carrier between processes: core NATS, at most once.
//!
//! It rests on what the client does and guards against what it doesn't: publications accepted before a link
//! broke may be lost without a word ([`Link::generation`] tells), a full subscription drops
//! ([`Link::slow`] tells), and a dead server looks alive until pings fail.

mod feed;
mod lanes;
mod link;
mod live;
mod outgoing;
mod party;
mod places;
mod questions;
mod settings;
mod stores;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectErrorKind;

use crate::Backplane;
#[cfg(doc)]
use crate::Link;
use crate::subject::{SubjectError, Subjects};

pub use settings::NatsSettings;
pub use stores::{MessageId, SplitError, SplitProgress, Stores, ToStore};

/// The oldest server that is accepted, major and minor.
pub const MINIMUM: (u32, u32) = (2, 12);

/// Between two attempts to reach a first server.
const START_RETRY: Duration = Duration::from_millis(250);

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A URL can't be read, or there is none.
    #[error("NATS URL number {0} is missing or can't be read")]
    Url(usize),
    /// The prefix can't be used.
    #[error(transparent)]
    Prefix(#[from] SubjectError),
    /// The credentials file can't be read.
    #[error("the NATS credentials file can't be used: {0}")]
    Credentials(std::io::Error),
    /// The server doesn't let us in.
    #[error("the NATS server refuses these credentials: {0}")]
    Refused(async_nats::ConnectError),
    /// No server was reached in time.
    #[error("no NATS server was reached: {0}")]
    Unreachable(async_nats::ConnectError),
    /// The server is too old.
    #[error("NATS server {found} is too old: {}.{} or newer is needed", MINIMUM.0, MINIMUM.1)]
    TooOld {
        /// The version that it tells.
        found: String,
    },
    /// The connection ended before it was of use.
    #[error("the connection to NATS ended at once")]
    Ended,
}

/// Connects, and checks the server's version.
///
/// Afterwards the link comes back by itself whenever it breaks, for ever.
///
/// # Errors
/// [`ConnectError`]. While no server is reached, it is tried again up to the settings' limit.
pub async fn connect(settings: &NatsSettings) -> Result<Arc<dyn Backplane>, ConnectError> {
    let subjects = Subjects::new(&settings.prefix)?;
    let party = party::Party::connect(settings, subjects).await?;
    Ok(Arc::new(party))
}

/// Connects to whichever server can be reached first.
async fn reach(
    settings: &NatsSettings,
    link: &Arc<link::LinkState>,
) -> Result<async_nats::Client, ConnectError> {
    let servers = settings.servers()?;
    let options = settings.options(&servers).await?;
    let deadline = tokio::time::Instant::now() + settings.start_limit;
    loop {
        let events = Arc::clone(link);
        let options = options.clone().event_callback(move |event| {
            events.event(&event);
            std::future::ready(())
        });
        let error = match options.connect(&servers[..]).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                return Err(ConnectError::Refused(error));
            }
            _ if tokio::time::Instant::now() >= deadline => return Err(ConnectError::Unreachable(error)),
            _ => tokio::time::sleep(START_RETRY).await,
        }
    }
}

/// Major and minor of a server's version.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version_of("2.15.1"), Some((2, 15)));
        assert_eq!(version_of("v2.12.0-beta.1"), Some((2, 12)));
        assert!(version_of("2.9.10") < Some(MINIMUM));
        assert_eq!(version_of(""), None);
    }
}
