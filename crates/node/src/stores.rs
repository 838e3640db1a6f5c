//! Which stores this node needs, by what is in force, and what `/readyz` says of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ringway_backplane::nats::Stores;
use ringway_backplane::store::{Known, StoreKey, StoreSettings};
use ringway_config::{Storage, Store, Tenants, WhenFull};
use ringway_protocol::GroupId;
use ringway_telemetry::admin::Checks;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::configured::Configured;
use crate::node::Inner;

/// Between two looks at which groups this node has rooms of: their stores are needed here, too.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Has the streams of the stores looked after that this node needs, until `end`.
pub(crate) async fn look_after(
    node: Arc<Inner>,
    stores: Arc<Stores>,
    configured: watch::Receiver<Arc<Configured>>,
    end: CancellationToken,
) {
    let tell = end.run_until_cancelled(tell_needed(&node, &stores, configured));
    tokio::join!(stores.watch(end.clone()), tell);
}

/// Tells which are needed, whenever that changes.
async fn tell_needed(node: &Inner, stores: &Stores, mut configured: watch::Receiver<Arc<Configured>>) {
    let mut told = None;
    loop {
        let now = needed(&configured.borrow_and_update().tenants, &node.here.groups());
        if told.as_ref() != Some(&now) {
            stores.configure(now.clone());
            told = Some(now);
        }
        tokio::select! {
            changed = configured.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Every store that a class names, in each of these groups.
fn needed(tenants: &Tenants, groups: &HashSet<GroupId>) -> BTreeMap<StoreKey, StoreSettings> {
    let stores = tenants.stores();
    let in_groups = stores.flat_map(|(store, settings)| {
        groups.iter().map(move |group| {
            let key = StoreKey { group: group.clone(), store: store.clone() };
            (key, settings_of(settings))
        })
    });
    in_groups.collect()
}

/// How a store keeps, in the backplane's words.
pub(crate) fn settings_of(store: &Store) -> StoreSettings {
    StoreSettings {
        messages_per_room: store.messages_per_room,
        age: store.age,
        bytes: store.bytes.map(|bytes| bytes.0),
        refuse_when_full: store.when_full == WhenFull::Refuse,
        repeat_window: store.repeat_window,
        replicas: store.replicas,
        latest_per_key: store.latest_per_key,
        in_memory: store.storage == Storage::Memory,
    }
}

/// Adds what must hold of the stores, and what should be looked at though they work.
pub(crate) fn add_checks(node: &Arc<Inner>, checks: &Checks) {
    let Some(stores) = node.backplane.stores() else { return };
    let (here, known) = (node.clone(), stores.known());
    checks.add("stores", move || {
        let tenants = here.configured.borrow().tenants.clone();
        let needed = needed(&tenants, &here.here.groups());
        match failing(&needed, &known.borrow()) {
            failing if failing.is_empty() => Ok(()),
            failing => Err(failing.join("; ")),
        }
    });
    let known = stores.known();
    checks.notice("stores", move || notices(&known.borrow()));
}

/// What is wrong with the stores that are needed.
fn failing(needed: &BTreeMap<StoreKey, StoreSettings>, known: &Known) -> Vec<String> {
    let told = needed.keys().filter_map(|key| {
        let why = match known.stores.get(key) {
            None => "its streams aren't known yet",
            Some(state) => state.hurt.as_deref()?,
        };
        Some(format!("store {} of group {}: {why}", key.store, key.group))
    });
    told.collect()
}

fn notices(known: &Known) -> Vec<String> {
    let told = known.stores.iter().flat_map(|(key, state)| {
        let of = format!("store {} of group {}", key.store, key.group);
        state.warnings.iter().map(move |warning| format!("{of}: {warning}"))
    });
    told.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ringway_backplane::store::StoreState;

    fn tenants(text: &str) -> Tenants {
        let text = format!("[gateway]\nauth = \"off\"\n{text}");
        let config = ringway_config::Config::from_text(&text, "r.toml".as_ref(), &Default::default());
        config.unwrap().tenants()
    }

    #[test]
    fn a_store_that_no_class_names_is_not_needed() {
        let tenants = tenants("[stores.chat]\nage = \"1h\"\n");
        assert!(needed(&tenants, &["shared".parse().unwrap()].into()).is_empty());
    }

    #[test]
    fn a_store_that_a_class_names_is_needed_in_every_group() {
        let tenants = tenants(
            "[nats]\nurls = [\"nats://localhost\"]\n[stores.chat]\nage = \"1h\"\n[[classes]]\nrooms = \"**\"\nstore = \"chat\"\n",
        );
        let groups = ["shared", "own"].map(|name| name.parse().unwrap()).into();
        let needed = needed(&tenants, &groups);
        let keys: Vec<_> = needed.keys().map(|key| format!("{} {}", key.group, key.store)).collect();
        assert_eq!(keys, ["own chat", "shared chat"]);
        assert!(needed.values().all(|settings| settings.age == Some(Duration::from_secs(3_600))));
    }

    #[test]
    fn what_isnt_known_or_hurt_is_said_and_warnings_apart() {
        let key = StoreKey { group: "shared".parse().unwrap(), store: "chat".parse().unwrap() };
        let needed = BTreeMap::from([(key.clone(), settings_of(&Store::default()))]);
        let mut known = Known::default();
        assert_eq!(failing(&needed, &known), ["store chat of group shared: its streams aren't known yet"]);
        let state = StoreState { warnings: vec!["two".into()], ..StoreState::default() };
        known.stores.insert(key.clone(), state);
        assert!(failing(&needed, &known).is_empty());
        assert_eq!(notices(&known), ["store chat of group shared: two"]);
        known.stores.get_mut(&key).unwrap().hurt = Some("is full".into());
        assert_eq!(failing(&needed, &known), ["store chat of group shared: is full"]);
    }
}
