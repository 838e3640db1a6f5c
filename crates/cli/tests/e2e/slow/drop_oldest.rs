//! `drop_oldest`: what is too old to matter is left out, and the member is told.

use super::*;

#[test]
fn the_oldest_are_left_out_and_the_member_is_told_how_many_and_up_to_where() {
    let cluster = cluster();
    for (round, format) in FORMATS.into_iter().enumerate() {
        let room = format!("cursors.full {round}");
        let nodes = nodes_of(&cluster, &room);
        let mut slow = Reader::on(&cluster, &nodes[round], format, &room).small();
        let mut speaker = Speaker::on(&cluster, &nodes[0], &room);
        let dropped = || figure(&cluster, "ringway_slow_dropped_total", &["tenant="]);
        let (before, told_before) = (dropped(), figure(&cluster, "ringway_slow_gaps_total", &[]));
        speaker.say_until("much is left out", 10_000, no_key, || dropped() >= before + 200.0);
        let all = slow.until(speaker.newest);
        let (heard, lost) = accounted(0, &all);
        assert_eq!((heard + lost, lost as f64), (speaker.newest, dropped() - before), "{format:?}");
        // What waited to the last was a queue's worth of the newest, and what had been on its way before it all.
        assert!(matches!(all[..], [Told::Msg { .. }, .., Told::Msg { .. }]), "{format:?}");
        let gaps = all.iter().filter(|told| matches!(told, Told::Gap(_))).count();
        assert_eq!(figure(&cluster, "ringway_slow_gaps_total", &[]), told_before + gaps as f64);
        // It has caught up, and gets all of what comes now.
        slow.has_all();
        speaker.say(20, 100, no_key);
        assert_eq!(accounted(slow.at, &slow.until(speaker.newest)), (20, 0), "{format:?}");
        slow.has_all();
    }
    assert_eq!(figure(&cluster, "ringway_slow_closed_total", &[]), 0.0);
    nothing_waits(&cluster);
}

/// The member is in two rooms: in one something is lost, and the other's publications push it out.
#[test]
fn what_was_lost_is_behind_the_position_that_the_gap_gives() {
    let cluster = cluster();
    for (round, format) in FORMATS.into_iter().enumerate() {
        let (room, busy) = (format!("cursors.quiet {round}"), format!("cursors.busy {round}"));
        let nodes = nodes_of(&cluster, &room);
        let node = &nodes[round];
        let mut slow = Reader::at(&cluster, node, format, &room).and_in(&busy);
        let (mut quiet, mut loud) =
            (Speaker::on(&cluster, &nodes[0], &room), Speaker::on(&cluster, &nodes[1], &busy));
        quiet.say(2, 100, no_key);
        until_stuck(&cluster, &mut loud, no_key);
        quiet.say(5, 100, no_key);
        // More than a queue holds: what waits of the quiet room are the oldest then.
        loud.say(150, 10_000, no_key);
        quiet.say(3, 100, no_key);
        let all = slow.until(quiet.newest);
        assert_eq!(accounted(0, &all), (5, 5), "{format:?}: {all:?}");
        let [Told::Msg { .. }, Told::Msg { .. }, Told::Gap(gap), ..] = &all[..] else { panic!("{all:?}") };
        assert_eq!((gap.offset, gap.lost), (7, Some(5)));
        // Who comes back with that position gets what followed, and nothing of what was lost.
        let since = json!({"epoch": gap.epoch.as_str(), "offset": gap.offset, "ts": gap.ts});
        for node in &nodes {
            let join = json!({"room": room, "since": since});
            let mut again = Reader::joining(&cluster, Door::Gateway, node, format, &join);
            assert_eq!(again.at, 7);
            assert_eq!(accounted(7, &again.until(quiet.newest)), (3, 0), "{format:?}");
            again.has_all();
        }
    }
}

#[test]
fn rooms_that_may_lose_something_give_way_to_those_that_may_not() {
    const WORDS: u64 = 60;
    let cluster = cluster();
    for format in FORMATS {
        let (chat, cursors) = (format!("chat.{format:?}"), format!("cursors.{format:?}"));
        let nodes = nodes_of(&cluster, &chat);
        let mut slow = Reader::at(&cluster, &nodes[0], format, &chat).and_in(&cursors);
        let (mut words, mut moves) =
            (Speaker::on(&cluster, &nodes[0], &chat), Speaker::on(&cluster, &nodes[0], &cursors));
        let dropped = || figure(&cluster, "ringway_slow_dropped_total", &[]);
        let before = dropped();
        moves.say_until("the queue is full", 10_000, no_key, || dropped() > before);
        // Most of a queue.
        words.say(WORDS, 10_000, no_key);
        moves.say(WORDS, 10_000, no_key);
        assert_eq!(accounted(0, &slow.until(WORDS)), (WORDS, 0), "{format:?}: none of these");
    }
    assert_eq!(figure(&cluster, "ringway_slow_closed_total", &[]), 0.0);
}

#[test]
fn after_the_answer_to_a_leave_nothing_comes_of_the_room_however_much_waited() {
    let cluster = cluster();
    for (round, format) in FORMATS.into_iter().enumerate() {
        for room in [format!("cursors.left {round}"), format!("prices.left {round}")] {
            let nodes = nodes_of(&cluster, &room);
            let mut slow = Reader::at(&cluster, &nodes[round], format, &room);
            let mut speaker = Speaker::on(&cluster, &nodes[0], &room);
            let by_ten = |number: u64| Some(format!("k{}", number % 10));
            let less = || {
                figure(&cluster, "ringway_slow_dropped_total", &[])
                    + figure(&cluster, "ringway_slow_conflated_total", &[])
            };
            let before = less();
            speaker.say_until("something is left out", 10_000, by_ten, || less() > before + 20.0);
            send(&mut slow.bare, format, &json!({"t": "leave", "id": 7, "room": room}));
            // What comes before its answer comes in order. What hadn't come by then needn't.
            let mut at = 0;
            loop {
                match slow.bare.hear_as(format) {
                    ServerFrame::Msg(msg) => {
                        let offset = msg.offset.unwrap();
                        assert!(offset > at, "{room}: {offset} after {at}");
                        at = offset;
                    }
                    ServerFrame::Gap(gap) => {
                        assert!(gap.offset > at, "{room}: {gap:?} after {at}");
                        at = gap.offset;
                    }
                    ServerFrame::Ok(answer) => {
                        assert_eq!(answer.id, Some(7));
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(at, speaker.newest, "{room}: what was published before it was asked");
            speaker.say(20, 1_000, no_key);
            slow.has_all();
        }
    }
}
