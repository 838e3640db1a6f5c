//! A reader of changing pace: what is written to it directly, from its queue, and directly again, comes in order.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn numbers_only_rise_for_who_is_slow_and_fast_by_turns() {
    const MESSAGES: u64 = 2_500;
    const TOGGLE: Duration = Duration::from_millis(50);
    let cluster = cluster();
    let key = |number: u64| Some(format!("k{}", number % 10));
    std::thread::scope(|scope| {
        for room in &ROOMS[1..] {
            let nodes = nodes_of(&cluster, room);
            for (node, format) in nodes.iter().zip(FORMATS) {
                let mut reader = Reader::on(&cluster, node, format, room).small();
                scope.spawn(move || {
                    let (mut all, mut toggled) = (Vec::new(), Instant::now());
                    // A last one of each key, so that each may be the last.
                    while reader.at < MESSAGES {
                        if toggled.elapsed() > TOGGLE {
                            std::thread::sleep(TOGGLE);
                            toggled = Instant::now();
                        }
                        // That it rises is looked at there.
                        all.push(reader.step());
                    }
                    println!("{room}, {format:?}: {} of {MESSAGES}", all.len());
                    if room.starts_with("cursors") {
                        let (heard, lost) = accounted(0, &all);
                        assert_eq!(heard + lost, MESSAGES);
                    } else {
                        // The newest of each key has come, and after it nothing of that key.
                        let mut newest = std::collections::BTreeMap::new();
                        for told in &all {
                            let Told::Msg { offset, key, .. } = told else { panic!("{room}: {told:?}") };
                            newest.insert(key.clone(), *offset);
                        }
                        let expected = (MESSAGES - 9..=MESSAGES).map(|number| (key(number), number));
                        assert_eq!(newest, expected.collect());
                    }
                    reader.has_all();
                });
            }
        }
        for room in &ROOMS[1..] {
            let cluster = &cluster;
            scope.spawn(move || {
                let mut speaker = Speaker::on(cluster, &nodes_of(cluster, room)[0], room);
                speaker.say(MESSAGES, 4_000, key);
            });
        }
    });
    assert_eq!(figure(&cluster, "ringway_slow_closed_total", &[]), 0.0);
}
