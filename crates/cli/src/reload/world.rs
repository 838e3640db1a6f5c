//! Whether there is a node for what a configuration asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_config::{Config, Homed, Problem};
use ringway_protocol::PoolId;
use ringway_ring::View;

/// How many tenants a message names.
const NAMED: usize = 3;

/// The tenants whose pool no node serves: who moved there would be nowhere.
pub(crate) fn without_nodes(homed: &[Homed], view: &View, again: Duration) -> Vec<Problem> {
    let lost = homed.iter().filter(|homed| !is_served(view, &homed.pool));
    let told = lost.map(|homed| {
        homed.problem(format!(
            "no node of the pool \"{}\" serves: start one first; looked at again every {} s",
            homed.pool,
            again.as_secs()
        ))
    });
    told.collect()
}

/// A line for each pool that tenants have and no node serves.
pub(crate) fn unserved(config: &Config, view: &View) -> Vec<String> {
    let mut lost: BTreeMap<PoolId, Vec<String>> = BTreeMap::new();
    let tenants = config.tenants();
    for tenant in tenants.iter().filter(|tenant| !is_served(view, &tenant.pool)) {
        lost.entry(tenant.pool.clone()).or_default().push(tenant.id.to_string());
    }
    let default = &config.tenant_defaults.pool;
    if tenants.is_open() && !is_served(view, default) {
        lost.insert(default.clone(), vec!["every tenant".to_owned()]);
    }
    let told = lost.into_iter().map(|(pool, tenants)| {
        let mut whose = tenants.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if tenants.len() > NAMED {
            whose += &format!(" and {} more", tenants.len() - NAMED);
        }
        format!("no node of the pool \"{pool}\" serves, which is the pool of {whose}")
    });
    told.collect()
}

fn is_served(view: &View, pool: &PoolId) -> bool {
    !view.pool(pool).members().is_empty()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use ringway_config::Environment;
    use ringway_ring::{Announcement, Membership, NodeState};

    use super::*;

    fn view(nodes: &[(&str, &str, NodeState)]) -> Arc<View> {
        let mut members = Membership::new();
        for (id, pool, state) in nodes {
            let mut node =
                Announcement::new(id.parse().unwrap(), 1, pool.parse().unwrap(), "127.0.0.1:1".to_owned());
            node.state = *state;
            members.heard(node, 0);
        }
        members.view()
    }

    fn config(text: &str) -> Config {
        let text = format!("gateway.auth = \"off\"\n{text}");
        Config::from_text(&text, Path::new("x"), &Environment::new()).unwrap()
    }

    #[test]
    fn a_pool_is_served_by_nodes_that_take_connections() {
        let config = config("[tenants.a]\n[tenants.b]\npool = \"big\"\n[tenants.c]\npool = \"big\"\n");
        let none = view(&[]);
        assert_eq!(
            unserved(&config, &none),
            [
                "no node of the pool \"big\" serves, which is the pool of b, c",
                "no node of the pool \"shared\" serves, which is the pool of a",
            ]
        );
        let leaving = view(&[("x", "big", NodeState::Draining), ("y", "shared", NodeState::Serving)]);
        assert_eq!(unserved(&config, &leaving).len(), 1);
        let both = view(&[("x", "big", NodeState::Serving), ("y", "shared", NodeState::Serving)]);
        assert!(unserved(&config, &both).is_empty());
    }

    #[test]
    fn where_any_name_is_a_tenant_the_default_pool_counts() {
        let told = unserved(&config("[tenant_defaults]\npool = \"big\"\n"), &view(&[]));
        assert_eq!(told, ["no node of the pool \"big\" serves, which is the pool of every tenant"]);
    }
}
