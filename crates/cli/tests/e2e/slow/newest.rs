//! Who opens a price room sees prices at once: its replay is the newest of every key.

use std::collections::BTreeMap;

use super::*;
use crate::call::post;

fn key(number: u64) -> Option<String> {
    // Some come often, some were last heard of long ago, and some have no key.
    match number {
        1..=5 => Some(format!("early {number}")),
        _ if number.is_multiple_of(8) => None,
        _ => Some(format!("k{}", number % 8)),
    }
}

/// The newest of each key, of those behind `since`.
fn newest(up_to: u64, since: u64) -> Vec<(u64, Option<String>)> {
    let by_key: BTreeMap<Option<String>, u64> = (1..=up_to).map(|number| (key(number), number)).collect();
    let mut newest: Vec<_> = by_key.into_iter().map(|(key, number)| (number, key)).collect();
    newest.retain(|(number, _)| *number > since);
    newest.sort_unstable();
    newest
}

fn heard(all: &[Told]) -> Vec<(u64, Option<String>)> {
    all.iter()
        .map(|told| match told {
            Told::Msg { offset, key, data } => {
                assert_eq!(data[0], *offset);
                (*offset, key.clone())
            }
            Told::Gap(gap) => panic!("{gap:?}"),
        })
        .collect()
}

#[test]
fn a_join_with_last_gets_the_newest_of_every_key() {
    let cluster = cluster();
    for (n, format) in FORMATS.into_iter().enumerate() {
        let room = format!("prices.newest {n}");
        let nodes = nodes_of(&cluster, &room);
        let mut speaker = Speaker::on(&cluster, &nodes[0], &room);
        // Many more than a replay buffer of other classes holds.
        speaker.say(400, 100, key);
        for node in &nodes {
            for last in [1, 7, 1_000] {
                let join = json!({"room": room, "last": last});
                let mut reader = Reader::joining(&cluster, Door::Gateway, node, format, &join);
                let begin = reader.at;
                let all = heard(&reader.until(speaker.newest));
                assert_eq!(all, newest(speaker.newest, 0), "{format:?}, {node}, last {last}");
                reader.has_all();
                // Live goes on behind it, and where it began is a position that brings the same again.
                speaker.say(3, 100, key);
                assert_eq!(reader.until(speaker.newest).len(), 3);
                let since = json!({"epoch": reader.epoch, "offset": begin});
                let join = json!({"room": room, "since": since});
                let mut again = Reader::joining(&cluster, Door::Gateway, node, format, &join);
                let all = heard(&again.until(speaker.newest));
                assert_eq!(all, newest(speaker.newest, begin), "{format:?}, {node}, from {begin}");
            }
            // Without it nothing older comes.
            let mut reader = Reader::on(&cluster, node, format, &room);
            assert_eq!(reader.at, speaker.newest);
            reader.has_all();
        }
    }
}

#[test]
fn what_was_replaced_is_not_missed_by_who_comes_back() {
    let cluster = cluster();
    let room = "prices.back";
    let nodes = nodes_of(&cluster, room);
    let mut speaker = Speaker::on(&cluster, &nodes[0], room);
    speaker.say(20, 100, key);
    let epoch = Reader::on(&cluster, &nodes[0], Format::Json, room).epoch;
    speaker.say(480, 100, key);
    for (node, format) in nodes.iter().zip(FORMATS) {
        for since in [1, 3, 20, 250, 499, 500] {
            let join = json!({"room": room, "since": {"epoch": epoch, "offset": since}});
            // `resumed` is looked at by the reader.
            let mut reader = Reader::joining(&cluster, Door::Gateway, node, format, &join);
            assert_eq!(reader.at, since);
            assert_eq!(heard(&reader.until(speaker.newest)), newest(speaker.newest, since), "{since}");
            reader.has_all();
        }
    }
}

#[test]
fn as_many_keys_are_kept_as_the_class_says_and_by_http_too() {
    let cluster = cluster();
    let room = "prices.few.x";
    let nodes = nodes_of(&cluster, room);
    for number in 1..=9 {
        let target = format!("/v1/messages?room={}", encoded(room));
        let published = post(&target, "application/json", format!("[{number}, \"\"]"))
            .with("Ringway-Key", &format!("k{}", number % 5))
            .ok(cluster.gateway());
        assert_eq!(published["offset"], number);
    }
    for (node, format) in nodes.iter().zip(FORMATS) {
        let join = json!({"room": room, "last": 1});
        let mut reader = Reader::joining(&cluster, Door::Gateway, node, format, &join);
        let expected = [7, 8, 9].map(|number: u64| (number, Some(format!("k{}", number % 5))));
        assert_eq!(heard(&reader.until(9)), expected, "{format:?}");
        reader.has_all();
    }
}
