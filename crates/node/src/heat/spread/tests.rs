use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_protocol::name::TenantId;

use super::*;

const BARS: Bars = Bars { members: 100, deliveries: 1_000 };

fn key(number: u32) -> KeyHash {
    let tenant: TenantId = "acme".parse().unwrap();
    KeyHash::of(&tenant, &format!("k{number}"))
}

fn sum(members: u64, deliveries: f64) -> Sum {
    Sum { members, deliveries }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Over how many nodes the first key is.
fn over(heat: &Heat) -> u8 {
    let mut wanted = heat.wanted().filter(|spread| spread.key == key(0));
    let over = wanted.next().map_or(1, |spread| spread.over);
    assert!(wanted.next().is_none());
    over
}

#[test]
fn it_grows_at_once_by_whichever_asks_for_more() {
    let mut heat = Heat::default();
    for (second, (members, deliveries, expected)) in
        [(100, 0.0, 1), (101, 0.0, 2), (250, 0.0, 3), (250, 5_000.0, 5), (250, 5_000.5, 6), (9_999, 0.0, 64)]
            .into_iter()
            .enumerate()
    {
        heat.look(at(second as u64), &[(key(0), sum(members, deliveries))], BARS);
        assert_eq!(over(&heat), expected, "{members} members, {deliveries} deliveries");
    }
}

#[test]
fn a_room_of_few_members_is_spread_over_no_more_nodes_than_it_has_members() {
    let mut heat = Heat::default();
    for (members, expected) in [(0, 1), (1, 1), (3, 3)] {
        heat.look(at(members), &[(key(0), sum(members, 1e9))], BARS);
        assert_eq!(over(&heat), expected);
    }
}

#[test]
fn nought_is_no_bar() {
    let mut heat = Heat::default();
    heat.look(at(0), &[(key(0), sum(1_000_000, 1e9))], Bars { members: 0, deliveries: 0 });
    assert_eq!(over(&heat), 1);
    heat.look(at(1), &[(key(0), sum(1_000, 1e9))], Bars { members: 500, deliveries: 0 });
    assert_eq!(over(&heat), 2);
}

#[test]
fn it_shrinks_after_a_minute_that_fewer_could_have_carried_with_something_to_spare() {
    let mut heat = Heat::default();
    let mut look = |second, members| {
        heat.look(at(second), &[(key(0), sum(members, 0.0))], BARS);
        over(&heat)
    };
    assert_eq!(look(0, 300), 3);
    // Two nodes carry 200, and 140 with something to spare.
    (1..1_000).for_each(|second| assert_eq!(look(second, 141), 3));
    (1_000..1_060).for_each(|second| assert_eq!(look(second, 140), 3));
    assert_eq!(look(1_060, 140), 2);
    // And one carries 70.
    assert_eq!(look(1_061, 70), 2);
    assert_eq!(look(1_120, 71), 2, "once too much, and the minute begins anew");
    assert_eq!(look(1_121, 70), 2);
    assert_eq!(look(1_180, 70), 2);
    assert_eq!(look(1_181, 70), 1);
}

#[test]
fn it_shrinks_no_further_than_the_most_of_the_minute_asked_for() {
    let mut heat = Heat::default();
    let mut look = |second, members| {
        heat.look(at(second), &[(key(0), sum(members, 0.0))], BARS);
        over(&heat)
    };
    assert_eq!(look(0, 1_000), 10);
    assert_eq!(look(1, 10), 10);
    assert_eq!(look(30, 280), 10, "of which four nodes would have enough");
    assert_eq!(look(31, 10), 10);
    assert_eq!(look(61, 10), 4);
    assert_eq!(look(62, 10), 4);
    assert_eq!(look(122, 10), 1);
}

#[test]
fn a_key_that_is_not_found_any_more_cools_like_one_that_is_empty() {
    let mut heat = Heat::default();
    heat.look(at(0), &[(key(0), sum(300, 0.0))], BARS);
    heat.look(at(1), &[], BARS);
    heat.look(at(60), &[], BARS);
    assert_eq!(over(&heat), 3);
    heat.look(at(61), &[], BARS);
    assert_eq!((over(&heat), heat.keys.len()), (1, 0));
}

#[test]
fn what_a_former_owner_said_holds_until_it_has_been_too_much_for_a_minute() {
    let said = |over| Spread { key: key(0), over };
    let mut heat = Heat::default();
    heat.take_over(said(1), at(0));
    assert_eq!(heat.keys.len(), 0);
    heat.take_over(said(5), at(0));
    assert_eq!(over(&heat), 5);
    // Its members' nodes tell the new owner one after the other.
    heat.look(at(1), &[(key(0), sum(90, 0.0))], BARS);
    heat.look(at(2), &[(key(0), sum(480, 0.0))], BARS);
    heat.look(at(100), &[(key(0), sum(480, 0.0))], BARS);
    assert_eq!(over(&heat), 5);
    heat.take_over(said(3), at(100));
    assert_eq!(over(&heat), 5, "its own word counts");
    // Nobody comes.
    let mut other = Heat::default();
    other.take_over(said(5), at(0));
    other.look(at(59), &[], BARS);
    assert_eq!(over(&other), 5);
    other.look(at(60), &[], BARS);
    assert_eq!(over(&other), 1);
}

#[test]
fn under_any_schedule_it_is_enough_now_and_was_needed_lately() {
    const STEP: Duration = Duration::from_secs(3);
    let seed = std::env::var("RINGWAY_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..50 {
        let mut heat = Heat::default();
        let mut history: Vec<(Duration, Sum)> = Vec::new();
        let (mut now, mut members) = (Duration::ZERO, 50.0_f64);
        for _ in 0..300 {
            now += random.random_range(STEP / 30..STEP);
            members = (members * random.random_range(0.8..1.25)).clamp(1.0, 20_000.0);
            let sum = sum(members as u64, members * random.random_range(0.0..30.0));
            history.push((now, sum));
            heat.look(now, &[(key(0), sum)], BARS);
            let over = over(&heat);
            assert!(over >= BARS.over(sum, 1.0), "too few for {sum:?}");
            // A minute begins with the first look that asks for fewer, and ends with a look.
            let lately = history.iter().filter(|(at, _)| now - *at <= 2 * COOLS_FOR + 2 * STEP);
            let needed = lately.map(|(_, sum)| BARS.over(*sum, SPARE)).max().unwrap_or(1);
            assert!(over <= needed, "{over}, and {needed} would have been enough for two minutes");
        }
    }
}

#[test]
fn of_very_many_keys_the_biggest_are_told_and_of_equals_those_told_before() {
    let spread = |number: u32, over: u8| Spread { key: key(number), over };
    let mut before: Vec<Spread> = (0..50).map(|number| spread(number, 2)).collect();
    before.sort_by_key(|spread| spread.key);
    let mut wanted: Vec<Spread> =
        before.iter().copied().chain((50..100).map(|number| spread(number, 2))).collect();
    wanted.extend((100..110).map(|number| spread(number, 3)));
    let told = told(wanted.iter().copied(), &before, 64);
    assert_eq!(told.len(), 64);
    assert!(told.is_sorted_by_key(|spread| spread.key));
    assert_eq!(told.iter().filter(|spread| spread.over == 3).count(), 10);
    assert_eq!(told.iter().filter(|spread| before.contains(spread)).count(), 50);
}

#[test]
fn keys_are_bounded() {
    let mut heat = Heat::default();
    for round in 0..10 {
        let found: Vec<_> = (0..KEYS as u32).map(|n| (key(round * KEYS as u32 + n), sum(500, 0.0))).collect();
        heat.look(at(u64::from(round)), &found, BARS);
        assert!(heat.keys.len() <= KEYS);
    }
    (0..1_000).for_each(|n| heat.take_over(Spread { key: key(100_000 + n), over: 2 }, at(10)));
    assert!(heat.keys.len() <= KEYS);
}
