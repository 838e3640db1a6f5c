//! Streams are looked after: who asks for a look, and when there is one. What a look does is in `looking`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Stores;
use super::looking::Memory;
use crate::message::Epoch;
use crate::store::{RoomAt, StoreKey, StoreSettings};

/// Between two looks at a store with which all is well.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Between two looks where something is unfinished.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Between two looks where somebody asks for one: he waits for it.
const LOOK_SOON: Duration = Duration::from_millis(250);

/// How many stores are looked at together.
const TOGETHER: usize = 8;

/// At most so many streams are disbelieved at a time; whoever disbelieves does it again at the next sign.
const DISBELIEVED: usize = 1_024;

/// The stores that were asked for, and which of them want a look.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    stores: BTreeMap<StoreKey, StoreSettings>,
    /// As soon as it is allowed.
    asked: BTreeSet<StoreKey>,
    /// At once.
    changed: BTreeSet<StoreKey>,
    disbelieved: BTreeSet<(StoreKey, String, Epoch)>,
    wake: Arc<Notify>,
}

/// One store, as the watcher has it.
#[derive(Debug, Default)]
struct Watched {
    memory: Memory,
    looked: Option<Instant>,
    asked: bool,
}

impl Stores {
    /// These stores are needed from now on, and no others: their streams are made where they aren't there, and changed to
    /// match where the server can. Returns at once; [`known`](Self::known) tells what came of it.
    pub fn configure(&self, wanted: BTreeMap<StoreKey, StoreSettings>) {
        let mut now = self.wanted.lock();
        let changed: Vec<_> = wanted
            .iter()
            .filter(|(key, settings)| now.stores.get(key) != Some(settings))
            .map(|(key, _)| key.clone())
            .collect();
        now.changed.extend(changed);
        now.changed.retain(|key| wanted.contains_key(key));
        now.stores = wanted;
        now.wake.notify_one();
    }

    /// Looks after the streams until `end`: the one task that makes, checks and repairs them.
    pub async fn watch(&self, end: CancellationToken) {
        end.run_until_cancelled(self.look_after_all()).await;
    }

    /// Something isn't as it should be: no stream answers, or one that isn't known sends. Looked at soon, and not by the
    /// caller.
    pub fn look_again(&self, key: &StoreKey) {
        let mut wanted = self.wanted.lock();
        if wanted.stores.contains_key(key) && wanted.asked.insert(key.clone()) {
            wanted.wake.notify_one();
        }
    }

    /// A room's numbers can't be believed any more, by what this process itself has seen (a publication that it delivered is
    /// another now, or a live number isn't above the last): the stream gets another epoch, if `epoch` is still the one it
    /// has. [`known`](Self::known) tells it.
    pub fn disbelieve(&self, at: &RoomAt, epoch: Epoch) {
        let Some(stream) = self.now().stream_of(at).filter(|stream| stream.epoch == epoch).cloned() else {
            return;
        };
        let mut wanted = self.wanted.lock();
        let key = at.key();
        if wanted.disbelieved.len() < DISBELIEVED
            && wanted.stores.contains_key(&key)
            && wanted.disbelieved.insert((key.clone(), stream.name.to_string(), epoch))
        {
            wanted.changed.insert(key);
            wanted.wake.notify_one();
        }
    }

    async fn look_after_all(&self) {
        let mut watched: BTreeMap<StoreKey, Watched> = BTreeMap::new();
        let mut link = self.link.watch();
        let mut tick = tokio::time::interval(LOOK_SOON);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wake = Arc::clone(&self.wanted.lock().wake);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = wake.notified() => {}
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Nobody knows what became of the streams meanwhile.
                    if link.borrow_and_update().up {
                        watched.values_mut().for_each(|one| one.looked = None);
                    }
                }
            }
            self.look_after_due(&mut watched).await;
        }
    }

    async fn look_after_due(&self, watched: &mut BTreeMap<StoreKey, Watched>) {
        let (stores, changed, mut disbelieved) = {
            let mut wanted = self.wanted.lock();
            for key in std::mem::take(&mut wanted.asked) {
                watched.entry(key).or_default().asked = true;
            }
            let changed = std::mem::take(&mut wanted.changed);
            (wanted.stores.clone(), changed, std::mem::take(&mut wanted.disbelieved))
        };
        let before = watched.len();
        watched.retain(|key, _| stores.contains_key(key));
        if watched.len() < before {
            self.tell(watched);
        }
        disbelieved.retain(|(key, ..)| stores.contains_key(key));
        let mut due = Vec::new();
        for (key, settings) in stores {
            let mut one = watched.remove(&key).unwrap_or_default();
            let pause = match (one.asked, one.memory.unfinished) {
                (true, _) => LOOK_SOON,
                (false, true) => LOOK_AGAIN,
                (false, false) => LOOK_EVERY,
            };
            if changed.contains(&key) || one.looked.is_none_or(|looked| looked.elapsed() >= pause) {
                one.asked = false;
                let new = disbelieved.iter().filter(|(store, ..)| *store == key);
                let new = new.map(|(_, stream, epoch)| (stream.clone(), *epoch));
                let doubted = std::mem::take(&mut one.memory.disbelieved).into_iter().chain(new).collect();
                due.push((key, settings, one, doubted));
            } else {
                watched.insert(key, one);
            }
        }
        // While they are looked at, what is known of them stays as it was.
        let mut due = due.into_iter();
        let mut looks = FuturesUnordered::new();
        loop {
            for (key, settings, one, doubted) in due.by_ref().take(TOGETHER - looks.len()) {
                looks.push(self.look_after(key, settings, one, doubted));
            }
            let Some((key, one)) = looks.next().await else { return };
            self.tell_of(&key, &one);
            watched.insert(key, one);
        }
    }

    async fn look_after(
        &self,
        key: StoreKey,
        settings: StoreSettings,
        mut one: Watched,
        doubted: Vec<(String, Epoch)>,
    ) -> (StoreKey, Watched) {
        self.look(&key, &settings, &mut one.memory, &doubted).await;
        one.looked = Some(Instant::now());
        (key, one)
    }

    /// Tells what is known of one store.
    fn tell_of(&self, key: &StoreKey, one: &Watched) {
        let state = &one.memory.state;
        self.known.send_if_modified(|known| {
            let before = known.stores.get(key);
            if before == Some(state) {
                return false;
            }
            let was = before.and_then(|state| state.hurt.as_deref());
            match (&state.hurt, was) {
                (Some(hurt), was) if was != Some(hurt) => {
                    tracing::warn!(group = %key.group, store = %key.store, "a store isn't as it should be: {hurt}");
                }
                (None, Some(_)) => tracing::info!(group = %key.group, store = %key.store, "a store is well again"),
                _ => {}
            }
            for warning in &state.warnings {
                if before.is_none_or(|before| !before.warnings.contains(warning)) {
                    tracing::warn!(group = %key.group, store = %key.store, "{warning}");
                }
            }
            Arc::make_mut(known).stores.insert(key.clone(), state.clone());
            true
        });
    }

    /// Tells only of these.
    fn tell(&self, watched: &BTreeMap<StoreKey, Watched>) {
        self.known.send_if_modified(|known| {
            let before = known.stores.len();
            Arc::make_mut(known).stores.retain(|key, _| watched.contains_key(key));
            known.stores.len() < before
        });
    }
}
