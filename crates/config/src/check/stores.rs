//! What must fit together of `[stores.NAME]` and the classes that name them, and what of it is worth a warning.

use std::time::Duration;

use super::Checker;
use crate::error::{Place, Problem};
use crate::nearest;
use crate::rooms::{Class, ReplayConfig, SlowConsumer, Storage, Store, StoreName, WhenFull};
use crate::tree::Config;

/// Shortest time that publications are kept, and that repeats are recognised.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longest time that repeats are recognised: each id takes some 230 bytes of each server's memory for as long.
const REPEATS_LONGEST: Duration = Duration::from_secs(3_600);
/// Shorter than this, a repeat by a client whose connection broke may come too late to be recognised.
const REPEATS_ADVISED: Duration = Duration::from_secs(10);

impl Checker<'_> {
    pub(super) fn store(&mut self, key: &str, store: &Store) {
        if let Some(messages) = store.messages_per_room {
            if store.latest_per_key {
                self.wrong(&format!("{key}.messages_per_room"), "not together with latest_per_key");
            }
            self.within(&format!("{key}.messages_per_room"), messages);
        }
        self.at_least_one(&format!("{key}.bytes"), store.bytes.map(|bytes| bytes.0));
        if store.when_full == WhenFull::Refuse && store.bytes.is_none() {
            self.wrong(
                &format!("{key}.when_full"),
                "\"refuse\" needs `bytes`: without it the store is never full",
            );
        }
        if store.age.is_some_and(|age| age < SHORTEST) {
            self.wrong(&format!("{key}.age"), "expected \"1s\" or more; leave it out for no limit");
        }
        if !(SHORTEST..=REPEATS_LONGEST).contains(&store.repeat_window) {
            self.wrong(&format!("{key}.repeat_window"), "expected \"1s\" to \"1h\"");
        }
        self.within(&format!("{key}.replicas"), store.replicas);
    }

    /// The store that a class names, and what can't stand beside it.
    pub(super) fn class_store(&mut self, config: &Config, key: &str, class: &Class) {
        let Some(name) = &class.store else { return };
        if !config.stores.contains_key(name) {
            let known = config.stores.keys().map(StoreName::as_str);
            let meant = match nearest::best(known, name.as_str()) {
                Some((nearest, _)) => format!("the nearest is \"{nearest}\""),
                None => format!("add [stores.{name}], or leave it out for ephemeral rooms"),
            };
            self.wrong(&format!("{key}.store"), format!("there is no store \"{name}\": {meant}"));
        }
        if class.replay != ReplayConfig::default() {
            self.wrong(
                &format!("{key}.replay"),
                "not together with `store`: what a durable room gives to those that come back is what its store keeps",
            );
        }
    }
}

impl Config {
    /// Classes with a store, where there is no NATS that could keep anything.
    pub(crate) fn stores_without_nats(&self, place: impl Fn(&str) -> Place) -> Vec<Problem> {
        if self.nats.is_some() {
            return Vec::new();
        }
        let durable = self.classes.iter().enumerate().filter(|(_, class)| class.store.is_some());
        let problem = |(index, _)| {
            let key = format!("classes[{index}].store");
            let message = "needs [nats]: durable rooms are kept by the JetStream of a NATS server".to_owned();
            Problem { place: place(&key), key, message }
        };
        durable.map(problem).collect()
    }

    /// What is allowed of stores and of the classes that name them, but perhaps not what was meant.
    pub(super) fn store_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, store) in &self.stores {
            let mut warn = |key: &str, what: &str| warnings.push(format!("stores.{name}{key}: {what}"));
            if !self.classes.iter().any(|class| class.store.as_ref() == Some(name)) {
                warn("", "no class names it, so nothing is kept in it");
                continue;
            }
            if store.age.is_none() && store.bytes.is_none() {
                warn("", "has neither `age` nor `bytes`: it grows with every room that there ever was");
            }
            if store.replicas.is_multiple_of(2) {
                warn(
                    ".replicas",
                    "an even number survives no more than one less, and with 2 either server's end stops it: 1, 3 or 5 is right",
                );
            }
            if store.storage == Storage::Memory && store.replicas == 1 {
                warn(".storage", "in the memory of one server: all is gone when that restarts");
            }
            if store.repeat_window < REPEATS_ADVISED {
                warn(".repeat_window", "under \"10s\" a repeat may come too late to be recognised as one");
            }
        }
        for (index, class) in self.classes.iter().enumerate() {
            let Some(store) = class.store.as_ref().and_then(|name| self.stores.get(name)) else { continue };
            if class.slow_consumer == SlowConsumer::Conflate && !store.latest_per_key {
                warnings.push(format!(
                    "classes[{index}].slow_consumer: \"conflate\" leaves out for slow members what the store keeps; it goes with latest_per_key"
                ));
            }
        }
        warnings.extend(self.stores_without_nats(|_| Place::Nowhere).iter().map(ToString::to_string));
        warnings
    }
}
