//! How busy the shard's rooms are, and how big what they are placed by: looked at in parts, so that it never takes long.

use std::collections::HashMap;
use std::time::Duration;

use ringway_config::Tenants;
use ringway_ring::{HOTTEST_TOLD, Hottest, KeyHash};
use tokio::time::Instant;

use super::Shard;
use super::rooms::Rooms;
use super::tally::Tallies;
use crate::heat::{Bars, Found, KEYS, Sum, Surveyed, busiest};
use crate::placement::Placement;

/// Rooms looked at in one go: publications wait meanwhile.
const PART: usize = 4_096;

/// In this time a rate comes 63 % of the way to what is published now: it tells of the last five seconds or so.
const SMOOTH: Duration = Duration::from_millis(2_500);

/// A room that gets less a second doesn't get anything.
const NEXT_TO_NOTHING: f32 = 0.01;

/// How busy a room is.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The survey that last looked at it.
    surveyed: u32,
    /// What had come by then.
    passed: u32,
    /// Publications a second.
    rate: f32,
}

/// One look at all rooms.
#[derive(Debug)]
pub(super) struct Survey {
    /// Which.
    number: u32,
    began: Instant,
    /// Since the one before began.
    since_last: Duration,
    at: At,
    sums: HashMap<KeyHash, Sum>,
    hottest: Vec<Hottest>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy)]
enum At {
    /// It isn't under way.
    Rest,
    /// So many rooms of this node.
    Rooms(usize),
    /// All of these, and so many of those that others have members in.
    Reported(usize),
}

impl Survey {
    pub(super) fn new() -> Self {
        Self {
            number: 0,
            began: Instant::now(),
            since_last: Duration::ZERO,
            at: At::Rest,
            sums: HashMap::new(),
            hottest: Vec::new(),
        }
    }

    fn begin(&mut self) {
        // Nothing has the number 0.
        self.number = self.number.wrapping_add(1).max(1);
        let now = Instant::now();
        self.since_last = now - self.began;
        self.began = now;
        self.at = At::Rooms(0);
    }

    /// The next so many of this node's rooms; how many there were.
    fn look_at_rooms(&mut self, rooms: &mut Rooms, placement: &Placement, passed: usize) -> usize {
        let seconds = self.since_last.as_secs_f32().max(0.001);
        let weight = 1.0 - (-seconds / SMOOTH.as_secs_f32()).exp();
        let mut looked_at = 0;
        for (key, hosted) in rooms.iter_mut().skip(passed).take(PART) {
            looked_at += 1;
            if hosted.pace.surveyed == self.number {
                // The table has grown meanwhile, and stands in another order.
                continue;
            }
            let passed = hosted.machine.passed();
            hosted.pace.go_on(self.number, passed, seconds, weight);
            let members = hosted.machine.members() as u64;
            let sum = Sum { members, deliveries: f64::from(hosted.pace.rate) * members as f64 };
            let deliveries = sum.deliveries.round() as u64;
            if members == 0 {
                continue;
            }
            if hosted.class.spread.is_none() && placement.is_mine(&key.tenant, hosted.slot) {
                self.sums.entry(hosted.home).or_default().add(sum);
            }
            let least = self.hottest.iter().map(|hottest| hottest.deliveries).min().unwrap_or(0);
            if deliveries > 0 && (self.hottest.len() < HOTTEST_TOLD || deliveries > least) {
                let (tenant, room) = (key.tenant.clone(), key.room.clone());
                self.hottest.push(Hottest { tenant, room, members, deliveries });
                if self.hottest.len() > 2 * HOTTEST_TOLD {
                    self.hottest = busiest(self.hottest.drain(..));
                }
            }
        }
        looked_at
    }

    /// What others have told of the next so many rooms; how many there were.
    fn look_at_reported(
        &mut self,
        tallies: &mut Tallies,
        passed: usize,
        rooms: &Rooms,
        tenants: &Tenants,
        placement: &Placement,
    ) -> usize {
        let (number, sums) = (self.number, &mut self.sums);
        tallies.survey(number, (passed, PART), |key, members| {
            let hosted = rooms.get(key);
            let class = hosted.map_or_else(|| tenants.class_of(&key.room), |hosted| &hosted.class);
            let home = hosted.map_or_else(|| KeyHash::of_room(&key.tenant, &key.room), |hosted| hosted.home);
            if class.spread.is_none() && placement.is_mine(&key.tenant, home.slot()) {
                let rate = hosted.map_or(0.0, |hosted| f64::from(hosted.pace.rate));
                sums.entry(home).or_default().add(Sum { members, deliveries: rate * members as f64 });
            }
        })
    }

    /// All have been looked at.
    fn end(&mut self, bars: Bars) -> Found {
        self.at = At::Rest;
        // Not kept for the next: where there are many rooms it is large.
        let sums = std::mem::take(&mut self.sums);
        let mut keys: Vec<(KeyHash, Sum)> = sums.into_iter().filter(|(_, sum)| bars.is_worth(*sum)).collect();
        if keys.len() > KEYS {
            keys.sort_by(|(_, a), (_, b)| bars.nodes(*b).total_cmp(&bars.nodes(*a)));
            keys.truncate(KEYS);
        }
        Found { keys, hottest: busiest(std::mem::take(&mut self.hottest).into_iter()) }
    }
}

impl Pace {
    /// A look, so many seconds after the one before, which counts for `weight`.
    fn go_on(&mut self, survey: u32, passed: u32, seconds: f32, weight: f32) {
        let new = passed.wrapping_sub(std::mem::replace(&mut self.passed, passed));
        self.rate += (new as f32 / seconds - self.rate) * weight;
        if self.rate < NEXT_TO_NOTHING {
            self.rate = 0.0;
        }
        self.surveyed = survey;
    }
}

impl Shard {
    /// Looks at the next of the rooms; where there are no more, says what all have come to.
    pub(super) fn survey(&mut self, bars: Bars) -> Surveyed {
        let Self { core, rooms, survey, .. } = self;
        let placement = core.placement.clone();
        if matches!(survey.at, At::Rest) {
            survey.begin();
        }
        if let At::Rooms(passed) = survey.at {
            let looked_at = survey.look_at_rooms(rooms, &placement, passed);
            if looked_at == PART {
                survey.at = At::Rooms(passed + looked_at);
                return Surveyed::Partly;
            }
            survey.at = At::Reported(0);
        }
        if let At::Reported(passed) = survey.at {
            let tenants = core.tenants.clone();
            let looked_at = survey.look_at_reported(&mut core.tallies, passed, rooms, &tenants, &placement);
            if looked_at == PART {
                survey.at = At::Reported(passed + looked_at);
                return Surveyed::Partly;
            }
        }
        Surveyed::Whole(survey.end(bars))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ringway_protocol::name::TenantId;
    use ringway_ring::{Announcement, Membership, NodeId};

    use super::*;
    use crate::shard::scene;
    use crate::shard::tally::RoomTally;

    /// A shard whose node owns everything.
    fn owner() -> Shard {
        let (mut shard, _) = scene::shard();
        let mut membership = Membership::new();
        let placement = &shard.core.placement;
        let (me, pool) = (placement.me.clone(), placement.pool.clone());
        membership.heard(Announcement::new(me.clone(), 1, pool.clone(), String::new()), 0);
        let tenants = shard.core.tenants.clone();
        shard.core.placement = Arc::new(Placement::new(me, pool, membership.view(), &tenants));
        shard
    }

    fn bars(members: u64) -> Bars {
        let placement = ringway_config::Placement { spread_members: members, ..Default::default() };
        Bars::of(placement)
    }

    fn report(shard: &mut Shard, from: &str, room: &str, count: u64) {
        let from: NodeId = from.parse().unwrap();
        let key = scene::room(room);
        let tally = RoomTally { tenant: key.tenant, room: key.room, count, users: None };
        shard.core.tallies.report(&from, tally, Instant::now());
    }

    fn key(name: &str) -> KeyHash {
        let tenant: TenantId = "acme".parse().unwrap();
        KeyHash::of(&tenant, name)
    }

    /// Surveys until it is through, and lets `between` happen after each part. What is found, sorted by key, and in how many
    /// parts.
    fn survey(shard: &mut Shard, bars: Bars, mut between: impl FnMut(&mut Shard)) -> (Found, usize) {
        let mut parts = 1;
        loop {
            match shard.survey(bars) {
                Surveyed::Partly => {
                    parts += 1;
                    between(shard);
                }
                Surveyed::Whole(mut found) => {
                    found.keys.sort_by_key(|(key, _)| *key);
                    return (found, parts);
                }
            }
        }
    }

    #[tokio::test]
    async fn members_are_summed_by_what_rooms_are_placed_by() {
        let mut shard = owner();
        for (from, room, count) in
            [("b", "{t}.1", 3), ("c", "{t}.1", 4), ("b", "{t}.2", 5), ("b", "alone", 6), ("c", "small", 1)]
        {
            report(&mut shard, from, room, count);
        }
        shard.host(&scene::room("{t}.1"));
        let (found, parts) = survey(&mut shard, bars(10), |_| ());
        let mut expected = vec![
            (key("t"), Sum { members: 12, deliveries: 0.0 }),
            (key("alone"), Sum { members: 6, deliveries: 0.0 }),
        ];
        expected.sort_by_key(|(key, _)| *key);
        assert_eq!((found.keys, parts), (expected, 1));
        let (found, _) = survey(&mut shard, bars(1_000_000), |_| ());
        assert_eq!(found.keys, [], "nothing is near to being too big");
    }

    #[tokio::test]
    async fn what_another_node_owns_is_not_told() {
        let (mut shard, _) = scene::shard();
        report(&mut shard, "b", "room", 100);
        assert_eq!(survey(&mut shard, bars(10), |_| ()).0.keys, []);
    }

    #[tokio::test]
    async fn very_many_rooms_are_looked_at_in_parts_and_each_once_though_they_become_more() {
        let mut shard = owner();
        let mut reported = 0;
        let mut more = |shard: &mut Shard| {
            for _ in 0..PART {
                report(shard, "b", &format!("{{tag}}.{reported}"), 1);
                shard.host(&scene::room(&format!("{{tag}}.{reported}")));
                reported += 1;
            }
        };
        (0..3).for_each(|_| more(&mut shard));
        let before = 3 * PART as u64;
        let mut added = 0;
        let (found, parts) = survey(&mut shard, bars(100), |shard| {
            if added < 3 {
                added += 1;
                more(shard);
            }
        });
        let members = found.keys[0].1.members;
        assert_eq!((found.keys.len(), found.keys[0].0), (1, key("tag")));
        // The table stands in another order when it has grown: of those that were there some may be missed.
        assert!((1..=2 * before).contains(&members), "{members}");
        assert!(parts > 6, "{parts}");
        let (found, _) = survey(&mut shard, bars(100), |_| ());
        assert_eq!(found.keys, [(key("tag"), Sum { members: 2 * before, deliveries: 0.0 })]);
    }

    #[test]
    fn a_rate_follows_what_is_published() {
        let mut pace = Pace::default();
        let (seconds, mut passed) = (0.5, u32::MAX - 1_000);
        let weight = 1.0 - (-seconds / SMOOTH.as_secs_f32()).exp();
        pace.passed = passed;
        let mut look = |survey, new: u32| {
            passed = passed.wrapping_add(new);
            pace.go_on(survey, passed, seconds, weight);
            pace.rate
        };
        let first: Vec<f32> = (1..=30).map(|survey| look(survey, 100)).collect();
        assert!(first.is_sorted() && first[0] < 50.0 && first[4] > 120.0 && first[29] > 199.0, "{first:?}");
        let then: Vec<f32> = (31..=80).map(|survey| look(survey, 0)).collect();
        assert!(then.is_sorted_by(|a, b| a >= b) && then[49] == 0.0, "{then:?}");
    }
}
