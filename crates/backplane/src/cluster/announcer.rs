//! Says twice a second that a node lives, at once when something about it changes, and at last that it leaves.

use std::sync::Arc;
use std::time::Duration;

use ringway_ring::{Announcement, NodeId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Twin;
use crate::message::ClusterEvent;
use crate::{Backplane, Closed, Refused, Subscription};

/// Between two announcements: a fifth of the silence after which a node is gone.
pub const ANNOUNCE_EVERY: Duration = Duration::from_millis(500);

/// A node answers a newcomer's hello, and a link that is back, within this time, each node at another moment.
const JITTER: Duration = Duration::from_millis(50);

/// How many words about the cluster wait for the announcer. It only looks for hellos and for its own name; missing a word
/// costs half a second.
const WORDS: usize = 1_024;

/// A node's announcer. Dropped, it falls silent, and the node leaves the others' views as if it had died.
#[derive(Debug)]
pub struct Announcer {
    backplane: Arc<dyn Backplane>,
    announcement: watch::Sender<Announcement>,
    replaced: watch::Receiver<Option<Twin>>,
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
        let (replaced, twin) = watch::channel(None);
        let stop = CancellationToken::new();
        let talk = Talk {
            backplane: Arc::clone(&backplane),
            announcement: announcement.clone(),
            current,
            heard,
            replaced,
            _subscription: subscription,
        };
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = talk.run() => {}
            }
        });
        Ok(Self { backplane, announcement, replaced: twin, task, stop: stop.drop_guard() })
    }

    /// Changes what is announced. A change of more than the load (connections, rooms, tenants' use) is announced at once, the
    /// load with the next announcement.
    pub fn update(&self, change: impl FnOnce(&mut Announcement)) {
        self.announcement.send_if_modified(|announcement| {
            let before = announcement.clone();
            change(announcement);
            announcement.clone().without_load() != before.without_load()
        });
    }

    /// What is announced now.
    #[must_use]
    pub fn current(&self) -> Announcement {
        self.announcement.borrow().clone()
    }

    /// The younger node that has taken the name meanwhile: this one has fallen silent for good, and has to leave. That
    /// happens to a node that stood still, or was cut off, for so long that another was started in its place.
    #[must_use]
    pub fn replaced(&self) -> watch::Receiver<Option<Twin>> {
        self.replaced.clone()
    }

    /// Announces the node's departure as the last word. Returns when it has reached the carrier. One that was replaced says
    /// nothing more: the name is another's.
    ///
    /// # Errors
    /// [`Refused`]: the others will notice by silence.
    pub async fn depart(self) -> Result<(), Refused> {
        let Self { backplane, announcement, replaced, task, stop } = self;
        drop(stop);
        // Ended before the last word: nothing may come after it. It doesn't panic, and nobody aborts it.
        let _ = task.await;
        if replaced.borrow().is_some() {
            return Ok(());
        }
        let last = announcement.borrow().clone();
        backplane.depart(&last.id, last.incarnation).await
    }
}

/// The announcing task.
struct Talk {
    backplane: Arc<dyn Backplane>,
    announcement: watch::Sender<Announcement>,
    current: watch::Receiver<Announcement>,
    heard: mpsc::Receiver<ClusterEvent>,
    replaced: watch::Sender<Option<Twin>>,
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
                    Some(ClusterEvent::Announced(said)) => if self.is_younger(&said) {
                        self.replaced.send_replace(Some(Twin::of(&said)));
                        return;
                    },
                    // Heard at once: it wakes this task again.
                    Some(ClusterEvent::Departed { id, incarnation }) => self.outlive(&id, incarnation),
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

impl Talk {
    /// Whether that is another node with this one's name, and the younger. Of two that started in the same millisecond one
    /// has to be: it is told by the address.
    fn is_younger(&self, said: &Announcement) -> bool {
        let own = self.current.borrow();
        let age = |of: &Announcement| (of.incarnation, of.advertise.clone());
        said.id == own.id && age(said) > age(&own)
    }

    /// A run as young as this one, or younger, is said to have departed: nobody listens to this one, as happens when the
    /// clock went back between two runs. It goes on as a younger one still.
    fn outlive(&self, id: &NodeId, ended: u64) {
        self.announcement.send_if_modified(|own| {
            let outlived = own.id == *id && own.incarnation <= ended;
            if outlived {
                own.incarnation = ended + 1;
            }
            outlived
        });
    }
}

fn soon() -> Instant {
    Instant::now() + JITTER.mul_f64(rand::random_range(0.0..=1.0))
}
