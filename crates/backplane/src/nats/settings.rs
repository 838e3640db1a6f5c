//! How to reach the NATS servers, and how the client behaves towards them.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use super::ConnectError;

/// Between two pings. The client gives a link up at the third that has no answer, so a dead server is noticed
/// within 3.75 s; its own default would take minutes. (With 2 s it would be 6 s: longer than the 5 s promised.)
const PING_INTERVAL: Duration = Duration::from_millis(1_250);

/// How long a server may take to accept a connection and greet.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The first wait before trying again, doubled each time.
const RECONNECT_FIRST: Duration = Duration::from_millis(25);

/// The longest wait between two attempts; they never end.
const RECONNECT_LONGEST: Duration = Duration::from_secs(2);

/// How many commands wait inside the client. Small: our own queues before it are bounded in bytes as well.
const CLIENT_CAPACITY: usize = 512;

/// What connecting needs. User and password, or a token, stand in the URL (`nats://user:password@host`), TLS is
/// `tls://host`.
#[derive(Clone)]
pub struct NatsSettings {
    /// At least one server; the others of a cluster are learned from it.
    pub urls: Vec<String>,
    /// The first words of every subject.
    pub prefix: String,
    /// What the server calls this connection (in its monitoring, say).
    pub name: String,
    /// A credentials file (user JWT and nkey seed).
    pub credentials: Option<PathBuf>,
    /// Root certificates to trust instead of the system's, PEM.
    pub ca: Option<PathBuf>,
    /// How many incoming messages wait for a slow receiver of one subscription before more are dropped, and the
    /// link says so. Memory is taken only while they wait.
    pub subscription_capacity: usize,
    /// How long to try at the start while no server can be reached.
    pub start_limit: Duration,
}

impl NatsSettings {
    /// One server, and the defaults: prefix `ringway`, 16,384 messages waiting, 10 s at the start.
    pub fn new(url: impl Into<String>) -> Self {
        Self { urls: vec![url.into()], ..Self::default() }
    }

    pub(super) fn servers(&self) -> Result<Vec<ServerAddr>, ConnectError> {
        // The URL itself stays out of the message: it may hold a password.
        let parse =
            |(at, url): (usize, &String)| url.parse::<ServerAddr>().map_err(|_| ConnectError::Url(at + 1));
        let servers = self.urls.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() { Err(ConnectError::Url(1)) } else { Ok(servers) }
    }

    pub(super) async fn options(&self, servers: &[ServerAddr]) -> Result<ConnectOptions, ConnectError> {
        let mut options = ConnectOptions::new()
            .name(&self.name)
            // A party never hears itself: its own members are served before anything is sent.
            .no_echo()
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECTION_TIMEOUT)
            .reconnect_delay_callback(reconnect_delay)
            .max_reconnects(None)
            .client_capacity(CLIENT_CAPACITY)
            .subscription_capacity(self.subscription_capacity.max(1));
        if let Some(path) = &self.credentials {
            options = options.credentials_file(path).await.map_err(ConnectError::Credentials)?;
        }
        if let Some(path) = &self.ca {
            options = options.add_root_certificates(path.clone());
        }
        // The client itself doesn't look at what stands before the host.
        let named = servers.iter().find_map(|server| Some((server.username()?, server.password())));
        Ok(match named {
            Some((user, Some(password))) => options.user_and_password(user.to_owned(), password.to_owned()),
            Some((token, None)) => options.token(token.to_owned()),
            None => options,
        })
    }
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            prefix: "ringway".to_owned(),
            name: "ringway".to_owned(),
            credentials: None,
            ca: None,
            subscription_capacity: 16_384,
            start_limit: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for NatsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the URLs: they may hold a password.
        f.debug_struct("NatsSettings")
            .field("prefix", &self.prefix)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// At once after a loss, then doubling with half of it chance, so that a cluster's processes don't come back in
/// step.
fn reconnect_delay(attempt: usize) -> Duration {
    if attempt <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempt - 2).unwrap_or(u32::MAX).min(16);
    let longest = RECONNECT_FIRST.saturating_mul(1 << doublings).min(RECONNECT_LONGEST);
    longest.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_two_seconds_and_no_further() {
        assert_eq!(reconnect_delay(0), Duration::ZERO);
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        assert!(reconnect_delay(2) <= RECONNECT_FIRST);
        for attempt in [9, 50, usize::MAX] {
            let delay = reconnect_delay(attempt);
            assert!((RECONNECT_LONGEST / 2..=RECONNECT_LONGEST).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn what_may_hold_a_password_is_not_shown() {
        let settings = NatsSettings::new("nats://me:geheim@ nowhere");
        let error = settings.servers().expect_err("a space in a host");
        assert!(!format!("{settings:?} {error} {error:?}").contains("geheim"));
    }
}
