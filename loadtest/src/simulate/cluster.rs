//! The nodes, as every process of a cluster sees them: announcements into the real membership, and its view.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ringway_protocol::name::PoolId;
use ringway_ring::{Announcement, KeyHash, Load, Membership, NodeId, Slot, Spread, View};

/// A view, and nodes by number: `node-7` is 7.
pub(super) struct Cluster {
    pub(super) view: Arc<View>,
    pub(super) pool: PoolId,
    numbers: HashMap<NodeId, u16>,
    /// By slot.
    owners: Vec<u16>,
}

impl Cluster {
    /// Of the nodes with these numbers; each tells of the keys whose slots it owns that they are spread.
    pub(super) fn new(nodes: &[u16], spreads: &HashMap<KeyHash, u8>) -> anyhow::Result<Self> {
        let alone = Self::told(nodes, &BTreeMap::new())?;
        if spreads.is_empty() {
            return Ok(alone);
        }
        let mut told: BTreeMap<u16, Vec<Spread>> = BTreeMap::new();
        for (&key, &over) in spreads {
            told.entry(alone.owner(key.slot())).or_default().push(Spread { key, over });
        }
        Self::told(nodes, &told)
    }

    fn told(nodes: &[u16], spreads: &BTreeMap<u16, Vec<Spread>>) -> anyhow::Result<Self> {
        let pool: PoolId = "shared".parse()?;
        let mut membership = Membership::new();
        for &number in nodes {
            let mut said = announcement(number)?;
            if let Some(spreads) = spreads.get(&number) {
                said.spreads.clone_from(spreads);
                said.spreads.sort_by_key(|spread| spread.key);
            }
            membership.heard(said, 0);
        }
        let view = membership.view();
        let numbers = nodes
            .iter()
            .map(|&number| Ok((name(number)?, number)))
            .collect::<anyhow::Result<HashMap<_, _>>>()?;
        let number = |id: Option<&NodeId>| id.and_then(|id| numbers.get(id)).copied().unwrap_or(u16::MAX);
        let owners = Slot::all().map(|slot| number(view.owner(&pool, slot))).collect();
        Ok(Self { view, pool, numbers, owners })
    }

    pub(super) fn owner(&self, slot: Slot) -> u16 {
        self.owners[usize::from(slot.number())]
    }

    /// All slots' owners.
    pub(super) fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// Where a gateway sends a client.
    pub(super) fn home(&self, key: KeyHash, session: &str) -> u16 {
        // The owner's number is at hand: of ten million clients only those of spread rooms look nodes up by name.
        if self.view.spread_of(key) <= 1 {
            return self.owner(key.slot());
        }
        self.view.home(&self.pool, key, 1, session).map_or(u16::MAX, |id| self.numbers[id])
    }

    /// The nodes that serve what has this key.
    pub(super) fn homes(&self, key: KeyHash) -> Vec<u16> {
        self.view.homes(&self.pool, key, 1).map(|id| self.numbers[id]).collect()
    }
}

pub(super) fn name(number: u16) -> anyhow::Result<NodeId> {
    Ok(format!("node-{number}").parse()?)
}

/// A node's word, with figures as a busy one has them: they count in its size.
pub(super) fn announcement(number: u16) -> anyhow::Result<Announcement> {
    let [high, low] = number.to_be_bytes();
    let advertise = format!("10.0.{high}.{low}:7001");
    let mut said = Announcement::new(name(number)?, 1_790_000_000_000, "shared".parse()?, advertise);
    (said.connections, said.rooms) = (10_000, 30_000);
    "0.1.0".clone_into(&mut said.version);
    said.load = Load {
        publications: 500,
        deliveries: 100_000,
        deliveries_elsewhere: 60_000,
        received: 5_000,
        unwanted: 100,
        misplaced: 0,
        hottest: Vec::new(),
    };
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_key_has_homes_from_its_owner_on() {
        let tenant = "acme".parse().unwrap();
        let (hot, cool) = (KeyHash::of(&tenant, "hot"), KeyHash::of(&tenant, "cool"));
        let nodes: Vec<u16> = (0..10).collect();
        let cluster = Cluster::new(&nodes, &HashMap::from([(hot, 3)])).unwrap();
        let homes = cluster.homes(hot);
        assert_eq!((homes.len(), homes[0]), (3, cluster.owner(hot.slot())));
        let mut met = [0; 10];
        for session in 0..3_000 {
            let home = cluster.home(hot, &format!("s{session}"));
            assert_eq!(
                Some(home),
                cluster
                    .view
                    .home(&cluster.pool, hot, 1, &format!("s{session}"))
                    .map(|id| { id.as_str().trim_start_matches("node-").parse().unwrap() })
            );
            met[usize::from(home)] += 1;
        }
        assert!(homes.iter().all(|&home| met[usize::from(home)] > 900), "{met:?}");
        assert_eq!(cluster.homes(cool), [cluster.home(cool, "s1")]);
    }
}
