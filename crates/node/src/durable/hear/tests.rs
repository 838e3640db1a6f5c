//! What comes live, and what is made of it.

use super::*;
use crate::durable::scene::{
    actor, at, epoch, following, following_by_key, keyed, live, live_of, page, page_to, publication, signal,
    stored, ts,
};
use crate::reader::Found;
use std::time::Duration;

#[test]
fn the_next_is_delivered_and_a_repeat_isnt() {
    let (mut room, mut stage) = following(5);
    assert_eq!(stage.hear(&mut room, live(9, 5)), ["a: msg 9 p9"]);
    assert_eq!(stage.hear(&mut room, live(9, 5)), [""; 0]);
    assert_eq!(stage.hear(&mut room, live(5, 3)), [""; 0]);
    assert_eq!(stage.hear(&mut room, live(12, 9)), ["a: msg 12 p12"]);
}

#[test]
fn a_hole_is_filled_before_anything_later_is_delivered() {
    let (mut room, mut stage) = following(5);
    assert_eq!(stage.hear(&mut room, live(12, 9)), ["read after 5 to 9"]);
    assert_eq!(stage.hear(&mut room, live(13, 12)), [""; 0]);
    stage.reply(&mut room, Ok(page(&[7, 9])));
    assert_eq!(stage.done(), ["check 5"], "that nothing fell out before them");
    stage.reply(&mut room, Ok(Found::Same));
    assert_eq!(stage.done(), ["a: msg 7 p7", "a: msg 9 p9", "a: msg 12 p12", "a: msg 13 p13"]);
}

#[test]
fn what_fell_out_of_a_hole_is_a_gap() {
    let (mut room, mut stage) = following(5);
    stage.hear(&mut room, live(12, 9));
    stage.reply(&mut room, Ok(page(&[8, 9])));
    stage.reply(&mut room, Ok(Found::Gone));
    let found =
        Found::NotResumed { epoch: epoch(1), newest: crate::durable::scene::newest(12), oldest: Some(8) };
    stage.reply(&mut room, Ok(found));
    stage.reply(&mut room, Ok(Found::Same));
    let done = stage.done();
    assert_eq!(done[..3], ["check 5", "read since 5", "check 8"]);
    assert_eq!(done[3..], ["a: gap truncated 7", "a: msg 8 p8", "a: msg 9 p9", "a: msg 12 p12"]);
    let (mut room, mut stage) = following(5);
    stage.hear(&mut room, live(12, 9));
    stage.reply(&mut room, Ok(page(&[])));
    stage.reply(&mut room, Ok(Found::Gone));
    assert_eq!(stage.done(), ["check 9", "a: gap truncated 9", "a: msg 12 p12"], "nothing is left of it");
}

#[test]
fn where_the_last_is_gone_by_age_it_is_looked_at_and_life_goes_on() {
    let (mut room, mut stage) = following(5);
    assert_eq!(stage.hear(&mut room, live(9, 0)), ["check 5"]);
    stage.reply(&mut room, Ok(Found::Gone));
    assert_eq!(stage.done(), ["a: msg 9 p9"]);
}

#[test]
fn an_empty_rooms_first_needs_no_look() {
    let (mut room, mut stage) = crate::durable::scene::stage("n2");
    room.join(&mut stage, actor("a"), None, None);
    stage.reply(&mut room, Ok(at(400, false)));
    stage.clear();
    assert_eq!(stage.hear(&mut room, live(412, 0)), ["a: msg 412 p412"]);
}

#[test]
fn another_history_is_disbelieved_until_its_epoch_comes() {
    let (mut room, mut stage) = following(9);
    let mut odd = live(7, 3);
    odd.entry.ts = ts(9) + 50;
    assert_eq!(stage.hear(&mut room, odd), ["check 9"]);
    stage.reply(&mut room, Ok(Found::Other));
    assert_eq!(stage.done(), ["disbelieve 1"]);
    assert_eq!(stage.hear(&mut room, live(10, 9)), [""; 0]);
    stage.epoch = Some(epoch(2));
    room.epoch_is(&mut stage, Some(epoch(2)));
    assert_eq!(stage.done(), ["read newest"]);
    stage.reply(
        &mut room,
        Ok(Found::Newest { epoch: epoch(2), at: crate::durable::scene::newest(7), has: true }),
    );
    assert_eq!(stage.done(), ["a: gap epoch 7"]);
    let next = super::super::Live { epoch: Some(epoch(2)), ..live(11, 7) };
    assert_eq!(stage.hear(&mut room, next), ["a: msg 11 p11"]);
}

#[test]
fn where_no_other_epoch_comes_it_is_looked_at_again() {
    let (mut room, mut stage) = following(9);
    stage.hear(&mut room, live(12, 7));
    stage.reply(&mut room, Ok(Found::Other));
    stage.pass_ms(&mut room, 300);
    assert_eq!(stage.done(), ["disbelieve 1", "check 9"]);
    stage.reply(&mut room, Ok(Found::Same));
    assert_eq!(stage.done(), ["a: msg 12 p12"]);
}

#[test]
fn a_repeat_with_a_later_time_is_followed_up_once() {
    let (mut room, mut stage) = following(9);
    for expected in [&["check 9"][..], &[]] {
        let mut odd = live(7, 3);
        odd.entry.ts = ts(9) + 50;
        assert_eq!(stage.hear(&mut room, odd), expected);
        if !expected.is_empty() {
            stage.reply(&mut room, Ok(Found::Same));
        }
    }
}

#[test]
fn what_is_marked_or_acknowledged_and_doesnt_come_is_read() {
    let (mut room, mut stage) = following(5);
    room.mark(&mut stage, epoch(1), 9);
    stage.hear(&mut room, live(9, 5));
    stage.pass_ms(&mut room, 200);
    assert_eq!(stage.done(), [""; 0], "it came");
    room.mark(&mut stage, epoch(1), 12);
    stage.pass_ms(&mut room, 200);
    assert_eq!(stage.done(), ["read after 9 to 12"]);
    stage.reply(&mut room, Ok(page(&[12])));
    stage.reply(&mut room, Ok(Found::Same));
    assert_eq!(stage.done(), ["check 9", "a: msg 12 p12"]);
    stage.owner = Some(crate::durable::scene::node("n1"));
    room.enter(&mut stage, 1, vec![publication("x")]);
    stage.acknowledge(&mut room, &[stored(20)]);
    stage.pass_ms(&mut room, 200);
    assert_eq!(stage.done(), ["store x", "read after 12 to 20"]);
}

#[test]
fn a_mark_of_nothing_moves_nobody() {
    let (mut room, mut stage) = following(5);
    room.mark(&mut stage, epoch(1), 1 << 60);
    stage.pass_ms(&mut room, 200);
    stage.reply(&mut room, Ok(page(&[])));
    stage.reply(&mut room, Ok(page_to(&[], 5, false)));
    assert_eq!(stage.done(), ["read after 5 to 1152921504606846976", "read since 5"]);
    assert_eq!(stage.hear(&mut room, live(9, 5)), ["a: msg 9 p9"]);
}

#[test]
fn what_names_a_number_that_was_never_given_moves_nobody() {
    let (mut room, mut stage) = following(5);
    stage.hear(&mut room, live(1_001, 1_000));
    stage.reply(&mut room, Ok(page(&[])));
    stage.reply(&mut room, Ok(Found::Other));
    assert_eq!(stage.done(), ["check 1000"]);
    assert_eq!(stage.hear(&mut room, live(9, 5)), ["a: msg 9 p9"]);
}

#[test]
fn of_an_unknown_stream_nothing_is_believed_but_the_store_is_looked_at() {
    let (mut room, mut stage) = following(5);
    let unknown = super::super::Live { epoch: None, ..live(9, 5) };
    assert_eq!(stage.hear(&mut room, unknown), ["look again"]);
    let other = super::super::Live { epoch: Some(epoch(3)), ..live(9, 5) };
    assert_eq!(stage.hear(&mut room, other), [""; 0]);
    stage.pass_ms(&mut room, 200);
    assert_eq!(stage.done(), ["read since 5"]);
    stage.reply(&mut room, Ok(page(&[])));
    assert_eq!(stage.done(), [""; 0]);
}

#[test]
fn what_was_forgotten_isnt_given_any_more() {
    let (mut room, mut stage) = following(5);
    stage.hear(&mut room, live(9, 5));
    room.forgotten(&mut stage, epoch(1), 9, ts(9));
    assert_eq!(stage.done(), ["a: gap truncated 9"], "told, though it had it all");
    assert_eq!(stage.hear(&mut room, live(12, 0)), ["a: msg 12 p12"], "that it is gone says nothing");
    room.join(&mut stage, actor("b"), Some(crate::durable::scene::position(5)), None);
    assert_eq!(stage.done(), ["read since 5"]);
}

#[test]
fn a_doubt_is_one_read() {
    let (mut room, mut stage) = following(5);
    room.doubt(&mut stage);
    room.doubt(&mut stage);
    assert_eq!(stage.hear(&mut room, live(9, 5)), ["read since 5"]);
    stage.reply(&mut room, Ok(page(&[])));
    assert_eq!(stage.done(), ["a: msg 9 p9"]);
    stage.pass_ms(&mut room, 200);
    assert_eq!(stage.done(), ["read since 9"], "for the second");
}

#[test]
fn what_waits_is_bounded_and_the_rest_is_read() {
    let (mut room, mut stage) = following(5);
    for offset in 10..2_000 {
        room.stored_live(&mut stage, live(offset, offset - 1));
    }
    assert_eq!(room.ahead.len(), AHEAD);
    stage.reply(&mut room, Ok(page(&[9])));
    stage.reply(&mut room, Ok(Found::Same));
    stage.done();
    stage.pass_ms(&mut room, 200);
    assert_eq!(stage.done(), [format!("read since {}", 9 + AHEAD)]);
}

#[test]
fn signals_go_to_who_is_here_but_not_back() {
    let (mut room, mut stage) = following(5);
    room.join(&mut stage, actor("b"), None, None);
    stage.clear();
    let quiet = Publication { echo: false, conn: Some("a".parse().expect("an id")), ..signal("s") };
    room.signal(&mut stage, &quiet);
    assert_eq!(stage.done(), ["b: signal s"]);
}

#[test]
fn by_key_values_cross_but_none_is_older_than_the_one_before() {
    let (mut room, mut stage) = following_by_key(5);
    assert_eq!(stage.hear(&mut room, live_of(9, 0, keyed("a2"))), ["a: msg 9 a2"]);
    assert_eq!(stage.hear(&mut room, live_of(8, 0, keyed("b1"))), ["a: msg 8 b1"]);
    assert_eq!(stage.hear(&mut room, live_of(7, 0, keyed("a1"))), [""; 0]);
    assert_eq!(stage.hear(&mut room, live_of(12, 11, keyed("a4"))), ["a: msg 12 a4"], "a3 is replaced");
}

#[test]
fn by_key_a_mark_reveals_what_a_later_value_of_another_hides() {
    let (mut room, mut stage) = following_by_key(5);
    stage.hear(&mut room, live_of(9, 0, keyed("b1")));
    room.mark_keys(&mut stage, epoch(1), vec![(keyed("a1").key, 7), (keyed("b1").key, 9)]);
    stage.pass_ms(&mut room, 200);
    assert_eq!(stage.done(), ["read after 6 to 7"]);
    let of = |offset, word| ringway_backplane::store::Kept {
        offset,
        ts: ts(offset),
        publication: keyed(word).into(),
    };
    let kept = vec![of(7, "a1"), of(9, "b1"), of(11, "c1")];
    let newest = crate::durable::scene::newest(11);
    stage.reply(&mut room, Ok(Found::Page { epoch: epoch(1), kept, more: false, newest }));
    assert_eq!(stage.done(), ["a: msg 7 a1", "a: msg 11 c1"]);
    room.mark_keys(&mut stage, epoch(1), vec![(keyed("a1").key, 7)]);
    stage.pass(&mut room, Duration::from_secs(1));
    assert_eq!(stage.done(), [""; 0]);
}

/// Acknowledgements of a busy publisher come a little before what they speak of: there is always one that was just spoken of.
#[test]
fn by_key_what_was_just_spoken_of_isnt_read_for_what_was_before() {
    let (mut room, mut stage) = following_by_key(5);
    for offset in 6..30 {
        let word = format!("a{offset}");
        room.mark_keys(&mut stage, epoch(1), vec![(keyed(&word).key, offset)]);
        stage.pass_ms(&mut room, 30);
        assert_eq!(
            stage.hear(&mut room, live_of(offset, 0, keyed(&word))),
            [format!("a: msg {offset} {word}")]
        );
    }
    room.mark_keys(&mut stage, epoch(1), vec![(keyed("a30").key, 30)]);
    stage.pass_ms(&mut room, 200);
    assert_eq!(stage.done(), ["read after 29 to 30"]);
}

#[test]
fn by_key_memory_is_bounded() {
    let (mut room, mut stage) = following_by_key(5);
    for offset in 10..10_000 {
        let publication =
            Publication { key: Some(format!("k{offset}").parse().expect("a key")), ..publication("x") };
        room.stored_live(&mut stage, live_of(offset, 0, publication));
    }
    assert_eq!(stage.done().len(), 9_990);
    assert_eq!(stage.hear(&mut room, live_of(20, 0, keyed("z1"))), [""; 0], "all so far back is settled");
}
