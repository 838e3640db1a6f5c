//! What is kept, in ordinary rooms and by key, and which repeats are seen.

use super::*;
use crate::room::scene::{keyed, publication};

const NOW: u64 = 1_700_000_000_000;

fn log(messages: usize) -> Log {
    Log::new(Replay { messages, age: Duration::from_secs(30), by_key: false })
}

fn filled(messages: usize, count: u64) -> Log {
    let mut log = log(messages);
    for number in 1..=count {
        log.push(publication(&number.to_string()).into(), NOW);
    }
    log
}

fn offsets<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<u64> {
    entries.map(|entry| entry.offset).collect()
}

#[test]
fn it_keeps_the_newest_by_count_and_by_age() {
    let mut log = filled(3, 5);
    assert_eq!((log.number(), log.base()), (5, 2));
    assert_eq!(offsets(log.after(2)), [3, 4, 5]);
    assert_eq!(offsets(log.after(4)), [5]);
    assert_eq!(offsets(log.after(9)), [0; 0]);
    log.trim(NOW + 30_000);
    assert_eq!(log.base(), 2);
    log.trim(NOW + 30_001);
    assert_eq!((log.number(), log.base()), (5, 5));
}

#[test]
fn other_bounds_hold_at_once_and_another_way_of_keeping_begins_anew() {
    let bounds = |messages, by_key| Replay { messages, age: Duration::from_secs(30), by_key };
    let mut log = filled(10, 5);
    log.set_bounds(bounds(2, false), NOW);
    assert_eq!((log.number(), log.base()), (5, 3));
    log.set_bounds(bounds(10, false), NOW);
    assert_eq!((log.number(), log.base()), (5, 3), "what is gone is gone");
    log.set_bounds(bounds(10, true), NOW);
    assert_eq!((log.number(), log.base(), log.bytes(), log.is_by_key()), (5, 5, 0, true));
    assert_eq!(log.ts(5), Some(publication("5").ts), "where it is, is known");
    assert!(log.is_short(), "another node may have values");
    for word in ["a1", "b1", "a2"] {
        log.push(keyed(word).into(), NOW);
    }
    assert_eq!(offsets(log.after(log.base())), [7, 8]);
    log.set_bounds(bounds(10, true), NOW);
    assert_eq!(offsets(log.after(log.base())), [7, 8]);
    log.set_bounds(bounds(10, false), NOW);
    assert_eq!((log.number(), log.base(), log.bytes(), log.is_by_key()), (8, 8, 0, false));
}

#[test]
fn it_keeps_no_more_bytes_than_it_may() {
    let mut log = log(usize::MAX);
    for _ in 0..100 {
        let big = Publication { event: Some("x".repeat(60_000).into()), ..publication("") };
        log.push(big.into(), NOW);
    }
    let kept = log.number() - log.base();
    assert_eq!(kept, 8, "of 60 KB in half a megabyte");
    let (base, entries) = log.state();
    assert_eq!(entries.len(), 8);
    assert_eq!(base, 100 - entries.len() as u64);
    assert_eq!(entries.first().map(|entry| entry.0), Some(base + 1));
}

#[test]
fn it_keeps_none_where_the_class_wants_none() {
    let log = filled(0, 5);
    assert_eq!((log.number(), log.base()), (5, 5));
    assert_eq!(log.state(), (5, Vec::new()));
}

#[test]
fn the_newest_so_many_are_those_that_there_are() {
    let log = filled(3, 5);
    assert_eq!([0, 2, 3, 9].map(|count| log.before_newest(count)), [5, 3, 2, 2]);
    assert_eq!(filled(3, 0).before_newest(9), 0);
}

#[test]
fn times_are_known_as_far_as_the_buffer_reaches() {
    let mut log = filled(3, 5);
    assert_eq!([2, 3, 5, 6].map(|offset| log.ts(offset)), [None, Some(NOW), Some(NOW), None]);
    log.trim(NOW + 60_000);
    assert_eq!(log.ts(5), Some(NOW), "the newest is known by its time even when it is gone");
    log.restart(9);
    assert_eq!(log.ts(9), None);
}

#[test]
fn older_entries_are_put_in_front_where_they_fit() {
    let whole = filled(100, 5);
    let older: Vec<Entry> = whole.after(0).cloned().collect();
    let mut log = log(100);
    log.restart(3);
    log.push(publication("4").into(), NOW);
    log.extend_back(0, &older, NOW);
    assert_eq!((log.number(), log.base()), (4, 0));
    assert_eq!(offsets(log.after(0)), [1, 2, 3, 4]);
    let mut empty = self::log(2);
    empty.restart(5);
    empty.extend_back(0, &older, NOW);
    assert_eq!(offsets(empty.after(0)), [4, 5]);
    let mut short = self::log(100);
    short.restart(9);
    short.extend_back(0, &older, NOW);
    assert_eq!(short.base(), 9, "between 5 and 9 there would be a hole");
}

fn with_mid(mid: &str, user: Option<&str>, session: Option<&str>) -> Publication {
    Publication {
        mid: Some(mid.into()),
        user: user.map(|user| user.parse().expect("a user")),
        session: session.map(|session| session.parse().expect("a session")),
        ..publication("")
    }
}

#[test]
fn a_repeat_is_the_same_users_or_without_a_user_the_same_sessions() {
    let mut log = log(3);
    let first = [("u", Some("u"), Some("s1")), ("s", None, Some("s1")), ("n", None, None)];
    for (mid, user, session) in first {
        log.push(with_mid(mid, user, session).into(), NOW);
    }
    let mut repeated = |mid, user, session| log.repeated(&with_mid(mid, user, session));
    assert_eq!(repeated("u", Some("u"), Some("another")), Some(1));
    assert_eq!(repeated("u", Some("v"), Some("s1")), None);
    assert_eq!(repeated("u", None, Some("s1")), None);
    assert_eq!(repeated("s", None, Some("s1")), Some(2));
    assert_eq!(repeated("s", None, Some("s2")), None);
    assert_eq!(repeated("n", None, None), Some(3));
    assert_eq!(repeated("x", None, None), None);
}

#[test]
fn a_repeat_is_seen_as_long_as_the_first_is_kept() {
    let mut log = log(2);
    log.push(with_mid("a", Some("u"), None).into(), NOW);
    assert_eq!(log.repeated(&with_mid("a", Some("u"), None)), Some(1));
    log.push(publication("").into(), NOW);
    assert_eq!(log.repeated(&with_mid("a", Some("u"), None)), Some(1));
    log.push(publication("").into(), NOW);
    assert_eq!(log.repeated(&with_mid("a", Some("u"), None)), None);
}

fn by_key(messages: usize) -> Log {
    Log::new(Replay { messages, age: Duration::from_secs(3600), by_key: true })
}

fn filled_by_key(messages: usize, words: &[&str]) -> Log {
    let mut log = by_key(messages);
    for word in words {
        log.push(keyed(word).into(), NOW);
    }
    log
}

#[test]
fn by_key_only_the_newest_of_each_is_kept_and_what_it_replaced_isnt_missing() {
    let log = filled_by_key(100, &["a1", "b1", "-1", "a2", "-2", "a3"]);
    assert_eq!((log.number(), log.base()), (6, 0));
    assert_eq!(offsets(log.after(0)), [2, 5, 6]);
    assert_eq!(offsets(log.after(2)), [5, 6]);
    assert_eq!(log.bytes(), log.after(0).map(|entry| weight(&entry.publication)).sum::<usize>());
}

#[test]
fn by_key_the_base_is_the_last_that_was_dropped() {
    let mut log = filled_by_key(3, &["a1", "b1", "c1", "b2", "d1"]);
    assert_eq!((log.base(), offsets(log.after(1))), (1, vec![3, 4, 5]), "the oldest key went");
    log.push(keyed("c2").into(), NOW);
    assert_eq!((log.base(), offsets(log.after(1))), (1, vec![4, 5, 6]));
    log.shed(2 * weight(&keyed("x1")));
    assert_eq!((log.base(), offsets(log.after(4))), (4, vec![5, 6]));
    log.trim(NOW + 3_600_001);
    assert_eq!((log.base(), log.number(), log.bytes()), (6, 6, 0));
    log.push(keyed("a2").into(), NOW);
    assert_eq!((log.base(), offsets(log.after(6))), (6, vec![7]));
}

#[test]
fn by_key_whoever_asks_for_the_newest_gets_all_keys() {
    let log = filled_by_key(100, &["a1", "a2", "b1", "c1", "b2"]);
    assert_eq!([0, 1, 2, 9].map(|count| log.before_newest(count)), [5, 1, 1, 1]);
    assert_eq!(by_key(100).before_newest(1), 0);
    assert_eq!([1, 2, 3, 5].map(|offset| log.ts(offset)), [None, Some(NOW), None, Some(NOW)]);
}

#[test]
fn by_key_a_state_has_holes_and_is_cut_from_its_oldest_end() {
    let mut log = filled_by_key(100, &["a1", "a2", "b1"]);
    let (base, entries) = log.state();
    assert_eq!((base, entries.iter().map(|entry| entry.0).collect::<Vec<_>>()), (0, vec![2, 3]));
    log.shed(0);
    assert_eq!(log.state(), (3, Vec::new()));
}

#[test]
fn what_can_be_a_state_depends_on_the_kind_of_room() {
    let entries = |offsets: &[u64]| -> Vec<Entry> {
        offsets.iter().map(|offset| Entry { offset: *offset, publication: keyed("a1").into() }).collect()
    };
    for (number, base, offsets, run, newest) in [
        (5, 3, &[4, 5][..], true, true),
        (5, 2, &[4, 5], false, true),
        (5, 3, &[5], false, true),
        (5, 5, &[], true, true),
        (5, 3, &[], false, false),
        (5, 3, &[4], false, false),
        (5, 4, &[4, 5], false, false),
        (5, 2, &[5, 5], false, false),
        (3, 5, &[], false, false),
        (6, 3, &[4, 5], false, false),
    ] {
        let entries = entries(offsets);
        let verdicts = [log(9), by_key(9)].map(|log| log.is_state(number, base, &entries));
        assert_eq!(verdicts, [run, newest], "{base}..{number} {offsets:?}");
    }
}

#[test]
fn by_key_older_entries_are_put_in_front_where_no_newer_of_their_key_is() {
    let older: Vec<Entry> = filled_by_key(100, &["b1", "c1", "a1", "d1"]).after(0).cloned().collect();
    let mut log = by_key(100);
    log.restart(3);
    log.push(keyed("b2").into(), NOW);
    log.extend_back(0, &older, NOW);
    assert_eq!((log.base(), log.number(), offsets(log.after(0))), (0, 4, vec![2, 3, 4]));
    let mut far = by_key(100);
    far.restart(9);
    far.extend_back(0, &older, NOW);
    assert_eq!(far.base(), 9, "what was between is missing");
    let mut few = by_key(2);
    few.restart(4);
    few.extend_back(0, &older, NOW);
    assert_eq!((few.base(), offsets(few.after(2))), (2, vec![3, 4]));
}

fn keyed_with_mid(word: &str, mid: &str) -> Publication {
    Publication { mid: Some(mid.into()), ..keyed(word) }
}

#[test]
fn a_repeat_of_what_was_replaced_is_seen_for_a_hundred_publications_and_half_a_minute() {
    let repeat = keyed_with_mid("a1", "m");
    for asked_before in [false, true] {
        let mut log = by_key(1_000);
        log.push(repeat.clone().into(), NOW);
        if asked_before {
            assert_eq!(log.repeated(&repeat), Some(1));
        }
        for number in 2..=100 {
            log.push(keyed("a2").into(), NOW);
            assert_eq!(log.repeated(&repeat), Some(1), "{number}");
        }
        log.push(keyed("a2").into(), NOW);
        assert_eq!(log.repeated(&repeat), None);

        log.push(repeat.clone().into(), NOW);
        log.push(keyed("a3").into(), NOW);
        log.trim(NOW + 30_000);
        assert_eq!(log.repeated(&repeat), Some(102));
        log.trim(NOW + 30_001);
        assert_eq!(log.repeated(&repeat), None);
    }
}

#[test]
fn a_repeat_of_a_value_that_is_kept_is_seen_however_old() {
    let mut log = by_key(1_000);
    log.push(keyed_with_mid("a1", "m").into(), NOW);
    for _ in 0..500 {
        log.push(keyed("b1").into(), NOW + 60_000);
    }
    assert_eq!(log.repeated(&keyed_with_mid("c1", "m")), Some(1));
}

#[test]
fn many_keys_at_random_are_kept_as_a_plain_map_would() {
    let mut log = by_key(50);
    let mut plain: Vec<(usize, u64)> = Vec::new();
    let (mut random, mut base) = (7_u64, 0);
    for offset in 1..=20_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = (random >> 33) as usize % 80;
        let key_name = key.to_string().parse().expect("a key");
        log.push(Publication { key: Some(key_name), ..publication("") }.into(), NOW);
        plain.retain(|(other, _)| *other != key);
        plain.push((key, offset));
        if plain.len() > 50 {
            base = plain.remove(0).1;
        }
        assert_eq!(log.base(), base);
        if offset % 97 == 0 {
            let expected: Vec<u64> = plain.iter().map(|(_, offset)| *offset).collect();
            assert_eq!(offsets(log.after(log.base())), expected);
        }
    }
}
