//! Says twice a second that a node lives, at once when something about it changes, and at last that it leaves.

use std::sync::Arc;
use std::time::Duration;

use ringway_ring::Announcement;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::message::ClusterEvent;
use crate::{Backplane, Closed, Refused, Subscription};

/// Between two announcements: a fifth of the silence after which a node is gone.
pub const ANNOUNCE_EVERY: Duration = Duration::from_millis(500);

/// A node answers a newcomer's hello, and a link that is back, within this time, each node at another moment.
const JITTER: Duration = Duration::from_millis(50);

/// How many words about the cluster wait for the announcer. It only looks for hellos; missing one costs a
/// newcomer half a second.
const WORDS: usize = 1_024;

/// A node's announcer. Dropped, it falls silent, and the node leaves the others' views as if it had died.
#[derive(Debug)]
pub struct Announcer {
    backplane: Arc<dyn Backplane>,
    announcement: watch::Sender<Announcement>,
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Announcer {
    /// Begins to announce, at once.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn start(backplane: Arc<dyn Backplane>, first: Announcement) -> Result<Self, Closed> {
        let (words, heard) = mpsc::channel(WORDS);
        let subscription = backplane.watch_cluster(words).await?;
        let (announcement, current) = watch::channel(first);
        let stop = CancellationToken::new();
        let talk = Talk { backplane: Arc::clone(&backplane), current, heard, _subscription: subscription };
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = talk.run() => {}
            }
        });
        Ok(Self { backplane, announcement, task, stop: stop.drop_guard() })
    }

    /// Changes what is announced. A change of more than the load (connections, rooms, tenants' use) is announced at once, the
    /// load with the next announcement.
    pub fn update(&self, change: impl FnOnce(&mut Announcement)) {
        self.announcement.send_if_modified(|announcement| {
            let before = announcement.clone();
            change(announcement);
            without_load(announcement.clone()) != without_load(before)
        });
    }

    /// What is announced now.
    #[must_use]
    pub fn current(&self) -> Announcement {
        self.announcement.borrow().clone()
    }

    /// Announces the node's departure as the last word. Returns when it has reached the carrier.
    ///
    /// # Errors
    /// [`Refused`]: the others will notice by silence.
    pub async fn depart(self) -> Result<(), Refused> {
        let Self { backplane, announcement, task, stop } = self;
        drop(stop);
        // Ended before the last word: nothing may come after it. It doesn't panic, and nobody aborts it.
        let _ = task.await;
        let last = announcement.borrow().clone();
        backplane.depart(&last.id, last.incarnation).await
    }
}

/// The announcing task.
struct Talk {
    backplane: Arc<dyn Backplane>,
    current: watch::Receiver<Announcement>,
    heard: mpsc::Receiver<ClusterEvent>,
    _subscription: Subscription,
}

impl Talk {
    async fn run(mut self) {
        let mut link = self.backplane.link();
        let mut generation = link.borrow_and_update().generation;
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {
                    let announcement = self.current.borrow_and_update().clone();
                    // Away, only this process hears it; nobody else would at any later time either.
                    let _ = self.backplane.announce(&announcement);
                    due = Instant::now() + ANNOUNCE_EVERY;
                }
                changed = self.current.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    due = Instant::now();
                }
                event = self.heard.recv() => match event {
                    None => return,
                    Some(ClusterEvent::Hello) => due = due.min(soon()),
                    Some(ClusterEvent::Announced(_) | ClusterEvent::Departed { .. }) => {}
                },
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = *link.borrow_and_update();
                    if now.up && now.generation != generation {
                        generation = now.generation;
                        due = due.min(soon());
                    }
                }
            }
        }
    }
}

fn soon() -> Instant {
    Instant::now() + JITTER.mul_f64(rand::random_range(0.0..=1.0))
}

fn without_load(announcement: Announcement) -> Announcement {
    Announcement { connections: 0, rooms: 0, tenants: Vec::new(), ..announcement }
}
