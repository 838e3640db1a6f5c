//! `conflate`: whoever is behind gets the newest of each key, and nothing that is older.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The newest number that came of each key.
fn newest_of_each(all: &[Told]) -> BTreeMap<Option<String>, u64> {
    let mut newest = BTreeMap::new();
    for told in all {
        match told {
            Told::Msg { offset, key, data } => {
                assert_eq!(data[0], *offset, "its own data");
                newest.insert(key.clone(), *offset);
            }
            Told::Gap(gap) => panic!("what a newer value replaced is no loss: {gap:?}"),
        }
    }
    newest
}

#[test]
fn while_a_member_is_behind_only_the_newest_of_each_key_waits() {
    const KEYS: u64 = 10;
    let cluster = cluster();
    let conflated = || figure(&cluster, "ringway_slow_conflated_total", &["tenant="]);
    for (round, format) in FORMATS.into_iter().enumerate() {
        // What has no key is one of them.
        let key = |number: u64| (!number.is_multiple_of(KEYS)).then(|| format!("k{}", number % KEYS));
        let room = format!("prices.full {round}");
        let nodes = nodes_of(&cluster, &room);
        let mut slow = Reader::on(&cluster, &nodes[round], format, &room).small();
        let mut speaker = Speaker::on(&cluster, &nodes[0], &room);
        let before = conflated();
        speaker.say_until("much is replaced", 4_000, key, || conflated() >= before + 500.0);
        let waits = figure(&cluster, "ringway_queued_bytes", &[]);
        // A frame of each, and one that is begun.
        assert!(waits < (KEYS + 2) as f64 * 4_500.0, "{waits} bytes wait");
        let all = slow.until(speaker.newest);
        let expected: BTreeMap<_, _> =
            (speaker.newest - KEYS + 1..=speaker.newest).map(|number| (key(number), number)).collect();
        assert_eq!(newest_of_each(&all), expected, "{format:?}");
        let missing = (speaker.newest - all.len() as u64) as f64;
        assert_eq!(missing, conflated() - before, "{format:?}: nothing is missing but what was replaced");
        slow.has_all();
        // One that keeps up again gets every value.
        for _ in 0..20 {
            speaker.say(1, 100, key);
            assert_eq!(slow.until(speaker.newest).len(), 1, "{format:?}");
        }
    }
    for none in ["ringway_slow_dropped_total", "ringway_slow_gaps_total", "ringway_slow_closed_total"] {
        assert_eq!(figure(&cluster, none, &[]), 0.0, "{none}");
    }
    nothing_waits(&cluster);
}

#[test]
fn what_has_no_key_is_of_one_key() {
    let cluster = cluster();
    let room = "prices.one";
    let nodes = nodes_of(&cluster, room);
    let mut slow = Reader::at(&cluster, &nodes[1], Format::Json, room);
    let mut speaker = Speaker::on(&cluster, &nodes[0], room);
    let conflated = || figure(&cluster, "ringway_slow_conflated_total", &[]);
    speaker.say_until("much is replaced", 10_000, no_key, || conflated() >= 200.0);
    let all = slow.until(speaker.newest);
    assert_eq!(newest_of_each(&all), BTreeMap::from([(None, speaker.newest)]));
    assert_eq!(all.len() as u64, speaker.newest - conflated() as u64);
}

#[test]
fn beyond_a_thousand_keys_the_oldest_goes_and_the_member_is_told() {
    /// Kernels may take them after all, though they took nothing for a while: then all begins again.
    const TRIES: usize = 5;
    let cluster = cluster();
    for (round, format) in FORMATS.into_iter().enumerate() {
        let room = format!("prices.many {round}");
        let nodes = nodes_of(&cluster, &room);
        let mut slow = Reader::at(&cluster, &nodes[round], format, &room);
        let mut speaker = Speaker::on(&cluster, &nodes[0], &room);
        let much_is_lost = |_| lost_of_very_many_keys(&cluster, &mut slow, &mut speaker) >= 100;
        assert!((0..TRIES).any(much_is_lost), "{format:?}");
        slow.has_all();
    }
}

/// How many values a member wasn't given, of more keys than wait for it, while it stood still. It was told of each of them.
fn lost_of_very_many_keys(cluster: &Cluster, slow: &mut Reader, speaker: &mut Speaker) -> u64 {
    const KEYS: u64 = 1_500;
    until_stuck(cluster, speaker, |_| Some("filler".to_owned()));
    let first = speaker.newest + 1;
    speaker.say(KEYS, 50, |number| Some(format!("key {number}")));
    let all = slow.until(speaker.newest);
    let (mut heard, mut lost) = (BTreeSet::new(), 0);
    for told in all {
        match told {
            Told::Msg { offset, .. } => drop(heard.insert(offset)),
            Told::Gap(gap) => lost += gap.lost.unwrap(),
        }
    }
    // Each key's newest: they have one value each, and the filler's is the last before the first of theirs.
    let missing = (first - 1..=speaker.newest).filter(|number| !heard.contains(number)).count() as u64;
    assert_eq!(lost, missing, "those that nothing newer replaced");
    assert!(lost <= KEYS - 990, "{lost}");
    assert!((speaker.newest - 900..=speaker.newest).all(|number| heard.contains(&number)));
    lost
}

/// What the queue replaces is worth little if the sockets behind it hold many seconds' worth of older values.
#[test]
fn little_that_is_old_is_on_its_way_to_who_stood_still_behind_a_gateway_too() {
    /// The node's and the gateway's socket to the next, what the gateway and the client may have been sent, and as much again
    /// for whole segments.
    const ON_THE_WAY: usize = 1 << 20;
    const SIZE: usize = 10_000;
    let cluster = cluster();
    let room = "prices.stale";
    for node in nodes_of(&cluster, room) {
        let mut slow = Reader::on(&cluster, &node, Format::Json, room).small();
        let mut speaker = Speaker { newest: slow.at, ..Speaker::on(&cluster, &node, room) };
        speaker.say(1_200, SIZE, no_key);
        let came = slow.until(speaker.newest).len() * SIZE;
        println!("{node}: {came} bytes before the newest");
        assert!(came <= ON_THE_WAY, "{node}: {came} bytes came before the newest");
    }
}
