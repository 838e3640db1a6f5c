//! Where a node's `advertise` leads: names are looked up seldom, and once at a time; addresses never.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a name's addresses are kept. A look-up costs a thread's time, and a storm of upgrades would need one
/// each; a node that moved is soon found again all the same, and a failed connection forgets at once.
const KEPT: Duration = Duration::from_secs(5);

/// A look-up under way is waited for by all who need it, so that a resolver that hangs has one thread of the process for
/// each name, and not one for each upgrade: others would find none left. After this time it is begun again.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// Asks the system, or a test.
type Resolve = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

type LookUp = Shared<BoxFuture<'static, Result<Vec<SocketAddr>, Arc<io::Error>>>>;

/// Addresses by name.
pub(crate) struct Addresses {
    resolve: Box<Resolve>,
    known: Mutex<HashMap<String, Known>>,
}

/// What is known of a name.
enum Known {
    Found { addresses: Vec<SocketAddr>, until: Instant },
    Asked { look_up: LookUp, since: Instant },
}

impl Known {
    fn is_over(&self) -> bool {
        match self {
            Self::Found { until, .. } => *until <= Instant::now(),
            Self::Asked { since, .. } => since.elapsed() >= GIVEN_UP,
        }
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self::by(|name| async move { Ok(tokio::net::lookup_host(name).await?.collect()) }.boxed())
    }
}

impl Addresses {
    fn by(
        resolve: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self { resolve: Box::new(resolve), known: Mutex::default() }
    }

    /// The addresses of `host:port`. Takes as long as the system's resolver does: the caller limits it.
    pub(crate) async fn of(&self, advertise: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = advertise.parse::<SocketAddr>() {
            return Ok(vec![address]);
        }
        let look_up = match self.known(advertise) {
            Ok(addresses) => return Ok(addresses),
            Err(look_up) => look_up,
        };
        let found = look_up.clone().await;
        let mut known = self.known.lock();
        // The first who sees the answer takes it down; another may have been asked for since.
        let is_it =
            |known: &Known| matches!(known, Known::Asked { look_up: asked, .. } if asked.ptr_eq(&look_up));
        if known.get(advertise).is_some_and(is_it) {
            match &found {
                Ok(addresses) => {
                    let found = Known::Found { addresses: addresses.clone(), until: Instant::now() + KEPT };
                    known.insert(advertise.to_owned(), found);
                }
                Err(_) => drop(known.remove(advertise)),
            }
        }
        found.map_err(|error| copy(&error))
    }

    /// The addresses, or the look-up to wait for.
    fn known(&self, advertise: &str) -> Result<Vec<SocketAddr>, LookUp> {
        let mut known = self.known.lock();
        match known.get(advertise).filter(|known| !known.is_over()) {
            Some(Known::Found { addresses, .. }) => return Ok(addresses.clone()),
            Some(Known::Asked { look_up, .. }) => return Err(look_up.clone()),
            None => {}
        }
        known.retain(|_, known| !known.is_over());
        let asked = (self.resolve)(advertise.to_owned());
        let look_up = async {
            match asked.await {
                Ok(addresses) if addresses.is_empty() => Err(Arc::new(io::ErrorKind::NotFound.into())),
                Ok(addresses) => Ok(addresses),
                Err(error) => Err(Arc::new(error)),
            }
        };
        let look_up = look_up.boxed().shared();
        let asked = Known::Asked { look_up: look_up.clone(), since: Instant::now() };
        known.insert(advertise.to_owned(), asked);
        Err(look_up)
    }

    /// What was known about a name led nowhere. A look-up that is under way goes on.
    pub(crate) fn forget(&self, advertise: &str) {
        let mut known = self.known.lock();
        if matches!(known.get(advertise), Some(Known::Found { .. })) {
            known.remove(advertise);
        }
    }
}

/// Each who waited gets the error, with what tells a lack of descriptors from a name that isn't there.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    /// A resolver that counts what it is asked, and answers after a while.
    fn counting(takes: Duration) -> (Addresses, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let addresses = Addresses::by(move |_| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(takes).await;
                let port = u16::try_from(number).expect("few");
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
            }
            .boxed()
        });
        (addresses, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_kept_for_a_while() {
        let (addresses, asked) = counting(Duration::ZERO);
        for _ in 0..3 {
            assert_eq!(addresses.of("node-a:7001").await.expect("found")[0].port(), 0);
        }
        tokio::time::advance(KEPT).await;
        assert_eq!(addresses.of("node-a:7001").await.expect("looked up again")[0].port(), 1);
        addresses.forget("node-a:7001");
        assert_eq!(addresses.of("node-a:7001").await.expect("and again")[0].port(), 2);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_hangs_is_asked_once_by_all() {
        let (addresses, asked) = counting(Duration::from_secs(5));
        let addresses = &addresses;
        // As upgrades and probes do: each waits for less than that, and comes again.
        let one = || async move {
            for _ in 0..3 {
                let limited = tokio::time::timeout(Duration::from_millis(900), addresses.of("slow:1")).await;
                assert!(limited.is_err());
                addresses.forget("slow:1");
            }
        };
        futures_util::future::join_all((0..100).map(|_| one())).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // Another name isn't held up, and who waits for long enough gets the answer.
        let both = tokio::join!(addresses.of("slow:1"), addresses.of("other:1"));
        assert_eq!(both.0.expect("at last")[0].port(), 0);
        assert_eq!(both.1.expect("found")[0].port(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_never_ends_is_begun_again() {
        let (addresses, asked) = counting(Duration::from_secs(1_000_000));
        for round in 1..4 {
            let limited = tokio::time::timeout(Duration::from_millis(900), addresses.of("slow:1")).await;
            assert!(limited.is_err());
            assert_eq!(asked.load(Ordering::Relaxed), round);
            tokio::time::advance(GIVEN_UP).await;
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_found() {
        let found = Addresses::default().of("localhost:7001").await.expect("this machine");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7001));
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_an_error() {
        for name in ["no-such-host.invalid:1", "nonsense", ""] {
            let addresses = Addresses::default();
            assert!(addresses.of(name).await.is_err(), "{name}");
            assert!(addresses.known.lock().is_empty());
        }
    }
}
