//! Where a node's `advertise` leads: names are looked up seldom, addresses never.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a name's addresses are kept. A look-up costs a thread's time, and a storm of upgrades would need one
/// each; a node that moved is soon found again all the same, and a failed connection forgets at once.
const KEPT: Duration = Duration::from_secs(5);

/// Addresses by name.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    known: Mutex<HashMap<String, (Vec<SocketAddr>, Instant)>>,
}

impl Addresses {
    /// The addresses of `host:port`. Takes as long as the system's resolver does: the caller limits it.
    pub(crate) async fn of(&self, advertise: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = advertise.parse::<SocketAddr>() {
            return Ok(vec![address]);
        }
        if let Some((addresses, until)) = self.known.lock().get(advertise)
            && *until > Instant::now()
        {
            return Ok(addresses.clone());
        }
        let addresses: Vec<_> = tokio::net::lookup_host(advertise).await?.collect();
        if addresses.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut known = self.known.lock();
        known.retain(|_, (_, until)| *until > Instant::now());
        known.insert(advertise.to_owned(), (addresses.clone(), Instant::now() + KEPT));
        Ok(addresses)
    }

    /// What was known about a name led nowhere.
    pub(crate) fn forget(&self, advertise: &str) {
        self.known.lock().remove(advertise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_need_no_look_up() {
        let addresses = Addresses::default();
        assert_eq!(
            addresses.of("[::1]:7001").await.expect("an address"),
            ["[::1]:7001".parse().expect("one")]
        );
        assert!(addresses.known.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_kept_for_a_while() {
        let addresses = Addresses::default();
        let found = addresses.of("localhost:7001").await.expect("this machine");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7001));
        addresses.known.lock().get_mut("localhost:7001").expect("kept").0.clear();
        assert!(addresses.of("localhost:7001").await.expect("kept").is_empty(), "not looked up again");
        tokio::time::advance(KEPT).await;
        assert_eq!(addresses.of("localhost:7001").await.expect("looked up again"), found);
        addresses.forget("localhost:7001");
        assert!(addresses.known.lock().is_empty());
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_an_error() {
        for name in ["no-such-host.invalid:1", "nonsense", ""] {
            assert!(Addresses::default().of(name).await.is_err(), "{name}");
        }
    }
}
