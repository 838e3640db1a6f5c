//! Nodes that couldn't be reached, or didn't answer: not tried first until they do again.
//!
//! One upgrade finds out, no other waits for it: whether the node is back is asked in the background, by a request that only
//! a process that runs can answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringway_ring::{Announcement, NodeId, View};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::Addresses;
use super::hop;

/// How long until a node is asked for the first time whether it is back; each time twice as long, up to [`PROBE`]: clients that
/// have no other node wait for this.
const FIRST_PROBE: Duration = Duration::from_millis(125);

/// How long until it is asked again, at most.
const PROBE: Duration = Duration::from_secs(1);

/// A node in one of its lives, at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Life {
    incarnation: u64,
    advertise: String,
}

impl Life {
    fn of(node: &Announcement) -> Self {
        Self { incarnation: node.incarnation, advertise: node.advertise.clone() }
    }
}

/// The nodes not to try.
#[derive(Debug)]
pub(crate) struct Shunned {
    nodes: Mutex<HashMap<NodeId, Life>>,
    addresses: Arc<Addresses>,
    view: watch::Receiver<Arc<View>>,
    changed: watch::Sender<()>,
    probes: TaskTracker,
    stop: CancellationToken,
}

impl Shunned {
    pub(crate) fn new(addresses: Arc<Addresses>, view: watch::Receiver<Arc<View>>) -> Arc<Self> {
        let (probes, stop) = (TaskTracker::new(), CancellationToken::new());
        Arc::new(Self {
            nodes: Mutex::default(),
            addresses,
            view,
            changed: watch::Sender::new(()),
            probes,
            stop,
        })
    }

    pub(crate) fn contains(&self, node: &Announcement) -> bool {
        self.nodes.lock().get(&node.id).is_some_and(|life| *life == Life::of(node))
    }

    /// Changes whenever a node is shunned, or not any more.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The node couldn't be reached, or didn't answer: it is shunned until it answers, or comes with a new life.
    /// True where that is news.
    pub(crate) fn add(self: &Arc<Self>, node: &Announcement) -> bool {
        self.addresses.forget(&node.advertise);
        let life = Life::of(node);
        let before = self.nodes.lock().insert(node.id.clone(), life.clone());
        if before.as_ref() != Some(&life) {
            self.changed.send_replace(());
        }
        // Its prober is at work already.
        if before.as_ref() == Some(&life) || self.stop.is_cancelled() {
            return false;
        }
        let (this, id) = (Arc::clone(self), node.id.clone());
        self.probes.spawn(async move {
            tokio::select! {
                () = this.stop.cancelled() => {}
                () = this.probe(&id, &life) => this.forget(&id, &life),
            }
        });
        true
    }

    /// Ends the probes, and waits for their end.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.probes.close();
        self.probes.wait().await;
    }

    /// Returns when the node answers, or is gone from the view in this life.
    async fn probe(&self, id: &NodeId, life: &Life) {
        let mut pause = FIRST_PROBE;
        loop {
            tokio::time::sleep(pause).await;
            pause = PROBE.min(2 * pause);
            if self.view.borrow().node(id).map(Life::of).as_ref() != Some(life) {
                return;
            }
            if hop::probe(self.addresses.of(&life.advertise), &life.advertise).await.is_ok() {
                return;
            }
            self.addresses.forget(&life.advertise);
        }
    }

    /// Only this life of the node: a later one may be shunned by now for its own failure.
    fn forget(&self, id: &NodeId, life: &Life) {
        let mut nodes = self.nodes.lock();
        if nodes.get(id) == Some(life) {
            nodes.remove(id);
            self.changed.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_ring::Membership;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn node(incarnation: u64, advertise: &str) -> Announcement {
        let (id, pool) = ("a".parse().expect("an id"), "shared".parse().expect("a pool"));
        Announcement::new(id, incarnation, pool, advertise.to_owned())
    }

    fn view_of(node: &Announcement) -> Arc<View> {
        let mut membership = Membership::new();
        membership.heard(node.clone(), 0);
        membership.view()
    }

    async fn until(what: impl Fn() -> bool) {
        tokio::time::timeout(Duration::from_secs(10), async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("it happens within ten seconds");
    }

    #[tokio::test]
    async fn a_node_is_tried_again_once_it_answers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let node = node(1, &address);
        let (_keep, view) = watch::channel(view_of(&node));
        let shunned = Shunned::new(Arc::default(), view);
        assert!(!shunned.contains(&node));
        drop(listener);
        assert!(shunned.add(&node) && !shunned.add(&node));
        assert!(shunned.contains(&node));
        assert_eq!(shunned.probes.len(), 1, "one prober is enough");
        let listener = tokio::net::TcpListener::bind(&address).await.expect("the port again");
        // It accepts, as the kernel does for a process that stands still, and says nothing; it answers nonsense; it answers.
        for (answer, well) in
            [("", false), ("SSH-2.0-x\r\n", false), ("HTTP/1.1 404 Not Found\r\n\r\n", true)]
        {
            let (mut socket, _) = listener.accept().await.expect("a probe");
            assert!(shunned.contains(&node));
            if answer.is_empty() {
                // Until the prober gives up.
                let mut request = Vec::new();
                let ended = socket.read_to_end(&mut request).await;
                assert!(ended.is_err() || request.starts_with(b"GET / HTTP/1.1\r\n"), "{request:?}");
                continue;
            }
            socket.write_all(answer.as_bytes()).await.expect("written");
            if well {
                until(|| !shunned.contains(&node)).await;
            }
        }
        shunned.close().await;
    }

    #[tokio::test]
    async fn a_new_life_is_a_new_chance() {
        let (old, new) = (node(1, "127.0.0.1:1"), node(2, "127.0.0.1:1"));
        let (change, view) = watch::channel(view_of(&old));
        let shunned = Shunned::new(Arc::default(), view);
        shunned.add(&old);
        assert!(shunned.contains(&old) && !shunned.contains(&new));
        change.send_replace(view_of(&new));
        until(|| shunned.probes.is_empty()).await;
        assert!(!shunned.contains(&old));
        shunned.close().await;
    }

    #[tokio::test]
    async fn the_end_does_not_wait_for_a_probe() {
        let node = node(1, "127.0.0.1:1");
        let (_keep, view) = watch::channel(view_of(&node));
        let shunned = Shunned::new(Arc::default(), view);
        shunned.add(&node);
        tokio::time::timeout(Duration::from_millis(500), shunned.close()).await.expect("at once");
    }
}
