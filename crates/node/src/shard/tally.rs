//! How many are in a room, over all nodes: each node with members tells the room's owner.
//!
//! A room's owner keeps what other nodes reported; a node reports rooms whose number changed, batched, and again
//! until the report was answered. So the figures are exact within a quarter of a second, and a report that gets
//! lost, or an owner that changes, costs a repetition and nothing else.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ringway_ring::NodeId;
use tokio::time::Instant;

use super::command::RoomKey;
pub(crate) use ringway_backplane::message::RoomTally;

/// A room with more different users than this on a node is counted by connections alone there.
const USERS_TOLD: usize = 1_000;

/// Who tells a node of a room that it doesn't own may be ahead of it, in knowing that it does: by no more than this. What was
/// told longer before is of an earlier time as owner, and may have changed since without a word to this node.
pub(super) const EARLY: Duration = Duration::from_secs(10);

/// How many rooms' numbers go to their owner as one question: 8 KB of user hashes each at most.
pub(crate) const TALLIES_A_QUESTION: usize = 64;

/// What the shard knows of other nodes' members, and what it has yet to tell them of its own.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    /// Of rooms that this node owns: what others reported.
    reported: HashMap<RoomKey, Reports>,
    /// Rooms whose owner doesn't know this node's present number.
    untold: HashSet<RoomKey>,
}

/// What others reported of one room.
#[derive(Debug, Default)]
struct Reports {
    by_node: HashMap<NodeId, Report>,
    /// The survey that last looked at it.
    surveyed: u32,
}

impl Reports {
    fn count(&self) -> u64 {
        self.by_node.values().map(|report| report.count).sum()
    }
}

#[derive(Debug)]
struct Report {
    came: Instant,
    count: u64,
    /// Hashes of the users; none: too many to tell.
    users: Option<Vec<u64>>,
}

/// A number of connections, and of different users where it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) connections: u64,
    pub(crate) users: Option<u64>,
}

/// What identifies a user in reports: a collision makes a count one too small.
pub(crate) fn user_hash(user: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(user.as_bytes())
}

/// This node's own report of a room, from its members' users. Connections without a user aren't among the users.
pub(crate) fn own<'a>(key: &RoomKey, members: impl Iterator<Item = Option<&'a str>>) -> RoomTally {
    let mut count = 0;
    let mut users = HashSet::new();
    for user in members {
        count += 1;
        if let Some(user) = user
            && users.len() <= USERS_TOLD
        {
            users.insert(user_hash(user));
        }
    }
    let users = (users.len() <= USERS_TOLD).then(|| users.into_iter().collect());
    RoomTally { tenant: key.tenant.clone(), room: key.room.clone(), count, users }
}

impl Tallies {
    /// Another node's report. Nought deletes.
    pub(crate) fn report(&mut self, from: &NodeId, tally: RoomTally, now: Instant) {
        let key = RoomKey { tenant: tally.tenant, room: tally.room };
        if tally.count == 0 {
            if let Some(reports) = self.reported.get_mut(&key) {
                reports.by_node.remove(from);
                if reports.by_node.is_empty() {
                    self.reported.remove(&key);
                }
            }
            return;
        }
        self.reported
            .entry(key)
            .or_default()
            .by_node
            .insert(from.clone(), Report { came: now, count: tally.count, users: tally.users });
    }

    /// The room's number over all nodes, with this node's own.
    pub(crate) fn total(&self, own: &RoomTally, key: &RoomKey) -> Count {
        let mut connections = own.count;
        let mut users: Option<HashSet<u64>> = own.users.as_ref().map(|u| u.iter().copied().collect());
        for report in self.reported.get(key).into_iter().flat_map(|reports| reports.by_node.values()) {
            connections += report.count;
            match (&mut users, &report.users) {
                (Some(all), Some(more)) => all.extend(more),
                (all, _) => *all = None,
            }
        }
        Count { connections, users: users.map(|all| all.len() as u64) }
    }

    /// Connections in the room on other nodes, as far as they told this one.
    pub(crate) fn elsewhere(&self, key: &RoomKey) -> u64 {
        self.reported.get(key).map_or(0, Reports::count)
    }

    /// The next so many rooms that others are in, and how many connections: none that the survey of this number has had
    /// before. `passed`: so many places of the table were looked at before. How many are looked at now; fewer than `most`:
    /// those were the last.
    pub(crate) fn survey(
        &mut self,
        number: u32,
        (passed, most): (usize, usize),
        mut each: impl FnMut(&RoomKey, u64),
    ) -> usize {
        let mut looked_at = 0;
        for (key, reports) in self.reported.iter_mut().skip(passed).take(most) {
            looked_at += 1;
            if std::mem::replace(&mut reports.surveyed, number) != number {
                each(key, reports.count());
            }
        }
        looked_at
    }

    /// This node's number in the room has changed, or its owner has.
    pub(crate) fn changed(&mut self, key: RoomKey) {
        self.untold.insert(key);
    }

    pub(crate) fn take_untold(&mut self) -> HashSet<RoomKey> {
        std::mem::take(&mut self.untold)
    }

    /// Owners of rooms have changed: of those that this node doesn't `stay` the owner of, what was reported long ago is
    /// forgotten. Whoever has members tells them again.
    pub(crate) fn keep_rooms(&mut self, now: Instant, stays: impl Fn(&RoomKey) -> bool) {
        let is_old = |report: &Report| now.saturating_duration_since(report.came) >= EARLY;
        self.reported.retain(|key, reports| {
            if reports.by_node.values().any(is_old) && !stays(key) {
                reports.by_node.retain(|_, report| !is_old(report));
            }
            !reports.by_node.is_empty()
        });
    }

    /// Forgets what nodes that `is_there` denies have reported.
    pub(crate) fn keep_nodes(&mut self, is_there: impl Fn(&NodeId) -> bool) {
        self.reported.retain(|_, reports| {
            reports.by_node.retain(|node, _| is_there(node));
            !reports.by_node.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RoomKey {
        RoomKey { tenant: "acme".parse().unwrap(), room: "lobby".parse().unwrap() }
    }

    fn tally(users: &[Option<&str>]) -> RoomTally {
        own(&key(), users.iter().copied())
    }

    fn node(id: &str) -> NodeId {
        id.parse().unwrap()
    }

    #[test]
    fn a_user_on_two_nodes_counts_once_and_both_connections_do() {
        let mut tallies = Tallies::default();
        tallies.report(&node("b"), tally(&[Some("ann"), Some("bob"), None]), Instant::now());
        let here = tally(&[Some("ann"), Some("ann")]);
        assert_eq!(tallies.total(&here, &key()), Count { connections: 5, users: Some(2) });
    }

    #[test]
    fn the_last_report_of_a_node_holds_and_nought_deletes_it() {
        let mut tallies = Tallies::default();
        let nobody = tally(&[]);
        tallies.report(&node("b"), tally(&[None; 7]), Instant::now());
        tallies.report(&node("b"), tally(&[None; 2]), Instant::now());
        assert_eq!(tallies.total(&nobody, &key()).connections, 2);
        tallies.report(&node("b"), tally(&[]), Instant::now());
        assert_eq!(tallies.total(&nobody, &key()).connections, 0);
        assert!(tallies.reported.is_empty());
    }

    #[test]
    fn a_node_that_left_is_not_counted() {
        let mut tallies = Tallies::default();
        tallies.report(&node("b"), tally(&[None; 3]), Instant::now());
        tallies.report(&node("c"), tally(&[None; 4]), Instant::now());
        tallies.keep_nodes(|n| n.as_str() == "c");
        assert_eq!(tallies.total(&tally(&[]), &key()).connections, 4);
    }

    #[test]
    fn too_many_users_are_not_told() {
        let names: Vec<String> = (0..2_000).map(|i| format!("u{i}")).collect();
        let big = own(&key(), names.iter().map(|n| Some(n.as_str())));
        assert_eq!((big.count, big.users.is_none()), (2_000, true));
        assert_eq!(Tallies::default().total(&big, &key()), Count { connections: 2_000, users: None });
    }
}
