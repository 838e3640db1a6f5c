//! Rooms that keep the newest of each key: what members get, and what is a loss.

use std::time::Duration;

use super::limits::FORGET_AFTER;
use super::scene::{
    Hand, Stage, actor, by, conn, epoch, following_by_key, holding_by_key, keyed, live, node, position,
    stage_by_key, state_by_key,
};
use super::{AskError, Room, Surroundings};
use ringway_backplane::message::{Answer, Ask, LiveBody, Publication};

fn publish(room: &mut Room<Hand>, stage: &mut Stage, words: &[&str]) {
    room.enter(stage, 1, words.iter().map(|word| keyed(word)).collect());
    stage.clear();
}

fn hear(room: &mut Room<Hand>, stage: &mut Stage, offset: u64, word: &str) -> Vec<String> {
    let body = LiveBody::Publication { epoch: epoch(1), offset, publication: keyed(word).into() };
    room.live(stage, &node("n2"), body);
    stage.done()
}

#[test]
fn who_is_there_gets_every_value_and_who_comes_the_newest_of_each() {
    let (mut room, mut stage, _) = holding_by_key();
    room.join(&mut stage, actor("m"), None, None);
    stage.clear();
    room.enter(&mut stage, 1, ["a1", "b1", "a2"].map(keyed).to_vec());
    let done = stage.done();
    assert_eq!(done.iter().filter(|line| line.starts_with("m: msg")).count(), 3);
    room.join(&mut stage, actor("n"), None, Some(1));
    assert_eq!(stage.done(), ["n: joined at 1", "n: replay 2 b1", "n: replay 3 a2"]);
    assert_eq!(stage.joins.last().and_then(|joined| joined.newest), Some(3));
    room.join(&mut stage, actor("o"), None, None);
    room.join(&mut stage, actor("p"), None, Some(0));
    assert_eq!(stage.done(), ["o: joined at 3", "p: joined at 3"], "who doesn't ask gets none");
}

#[test]
fn from_where_a_join_began_it_can_be_resumed() {
    let (mut room, mut stage, epoch) = holding_by_key();
    publish(&mut room, &mut stage, &["a1", "a2", "b1", "a3"]);
    room.join(&mut stage, actor("m"), None, Some(9));
    let place = stage.joins[0].place.expect("a position");
    assert_eq!(stage.done(), ["m: joined at 2", "m: replay 3 b1", "m: replay 4 a3"]);
    publish(&mut room, &mut stage, &["b2"]);
    room.join(&mut stage, actor("m"), Some(position(epoch, place.offset)), None);
    assert_eq!(stage.done(), ["m: joined at 2, resumed", "m: replay 4 a3", "m: replay 5 b2"]);
}

#[test]
fn a_value_that_was_replaced_fails_no_resume_and_one_that_was_dropped_does() {
    let (mut room, mut stage, epoch) = holding_by_key();
    publish(&mut room, &mut stage, &["a1", "a2", "a3", "b1", "a4"]);
    room.join(&mut stage, actor("m"), Some(position(epoch, 1)), None);
    assert_eq!(stage.done(), ["m: joined at 1, resumed", "m: replay 4 b1", "m: replay 5 a4"]);
    assert!(room.kept_bytes() > 0);
    room.shed_replay(room.kept_bytes() / 2);
    room.join(&mut stage, actor("m"), Some(position(epoch, 3)), Some(1));
    assert_eq!(stage.done(), ["m: joined at 4, not resumed", "m: replay 5 a4"]);
    assert_eq!(stage.joins.last().and_then(|joined| joined.oldest), Some(5));
    room.shed_replay(0);
    assert_eq!(room.kept_bytes(), 0);
}

#[test]
fn a_follower_that_lags_passes_over_what_was_replaced_without_a_gap() {
    let (mut room, mut stage) = following_by_key(0, &[(1, "a1"), (3, "b1")]);
    room.join(&mut stage, actor("far"), Some(position(epoch(1), 5)), None);
    stage.reply(&mut room, Err(AskError::Timeout));
    stage.clear();
    assert_eq!(hear(&mut room, &mut stage, 9, "a5"), ["ask n2: sync"]);
    stage.reply(&mut room, Ok(state_by_key(epoch(1), 0, &[(3, "b1"), (5, "c1"), (8, "d1"), (9, "a5")])));
    let done = stage.done();
    assert_eq!(done[..3], ["a: msg 5 c1", "a: msg 8 d1", "far: msg 8 d1"]);
    assert_eq!(done[3..], ["a: msg 9 a5", "far: msg 9 a5"]);
    assert_eq!((room.log.base(), room.log.number()), (0, 9));
    room.join(&mut stage, actor("b"), Some(position(epoch(1), 1)), None);
    assert_eq!(stage.done().len(), 5, "its buffer is whole");
}

#[test]
fn what_cant_be_had_by_key_is_a_gap_and_no_number_is_told() {
    let (mut room, mut stage) = following_by_key(0, &[(1, "a1")]);
    hear(&mut room, &mut stage, 9, "a5");
    stage.reply(&mut room, Ok(state_by_key(epoch(1), 4, &[(7, "b1"), (9, "a5")])));
    assert_eq!(stage.done(), ["a: gap backplane 4", "a: msg 7 b1", "a: msg 9 a5"]);
    assert_eq!(stage.gaps[0].lost, None, "some of them may have been replaced");
}

#[test]
fn a_state_brings_back_what_a_follower_lacks_but_nothing_older_than_it_has() {
    let (mut room, mut stage) = following_by_key(0, &[(1, "a1"), (2, "c1")]);
    hear(&mut room, &mut stage, 4, "a2");
    stage.reply(&mut room, Err(AskError::Timeout));
    assert_eq!(stage.done(), ["a: gap backplane 3", "a: msg 4 a2"]);
    room.join(&mut stage, actor("b"), None, Some(1));
    stage.reply(&mut room, Ok(state_by_key(epoch(1), 0, &[(2, "c1"), (3, "b1"), (4, "a2")])));
    let done = stage.done();
    assert_eq!(done[..2], ["ask n2: sync", "b: joined at 1"], "it knows that it lacks something");
    assert_eq!(done[2..], ["b: replay 2 c1", "b: replay 3 b1", "b: replay 4 a2"]);
    room.join(&mut stage, actor("c"), None, Some(1));
    assert_eq!(stage.done().len(), 4, "asked once");
}

#[test]
fn where_the_owner_cant_be_asked_a_follower_gives_what_it_has() {
    let (mut room, mut stage) = following_by_key(0, &[(1, "a1")]);
    hear(&mut room, &mut stage, 4, "a2");
    stage.reply(&mut room, Err(AskError::Timeout));
    stage.clear();
    room.join(&mut stage, actor("b"), None, Some(1));
    stage.reply(&mut room, Err(AskError::NoResponders));
    assert_eq!(stage.done(), ["ask n2: sync", "b: joined at 3", "b: replay 4 a2"]);
}

#[test]
fn who_takes_the_room_goes_on_with_the_newest_of_each() {
    let (mut room, mut stage) = stage_by_key("n1");
    room.enter(&mut stage, 1, vec![keyed("a7")]);
    stage.reply(&mut room, Ok(state_by_key(epoch(5), 1, &[(3, "b1"), (6, "a6")])));
    assert_eq!(stage.done(), ["ask n2: take", "live 7 a7"]);
    room.asked(&mut stage, &node("n3"), 1, Ask::Take { known: None });
    assert_eq!(stage.answers, [(1, state_by_key(epoch(5), 1, &[(3, "b1"), (7, "a7")]))]);
}

#[test]
fn what_isnt_a_state_is_believed_in_its_number_only() {
    let (mut room, mut stage) = following_by_key(0, &[(1, "a1")]);
    hear(&mut room, &mut stage, 9, "a5");
    let Answer::State { base, entries, .. } = state_by_key(epoch(1), 0, &[(7, "b1"), (6, "c1")]) else {
        unreachable!()
    };
    stage.reply(&mut room, Ok(Answer::State { epoch: epoch(1), offset: 8, base, entries }));
    assert_eq!(stage.done(), ["a: gap backplane 8", "a: msg 9 a5"]);
}

#[test]
fn an_ordinary_node_takes_no_state_by_key_for_whole() {
    let (mut room, mut stage) = super::scene::following(3);
    room.live(&mut stage, &node("n2"), live(epoch(1), 9));
    stage.reply(&mut room, Ok(state_by_key(epoch(1), 3, &[(5, "a1"), (9, "b1")])));
    assert_eq!(stage.done(), ["ask n2: sync", "a: gap backplane 9"]);
}

#[test]
fn a_repeat_of_a_replaced_value_doesnt_bring_it_back() {
    let (mut room, mut stage, _) = holding_by_key();
    let first = Publication { mid: Some("m".into()), ..keyed("a1") };
    room.enter(&mut stage, 1, vec![first.clone(), keyed("a2"), first]);
    assert_eq!(stage.done(), ["live 1 a1", "live 2 a2"]);
}

#[test]
fn own_values_that_werent_wanted_back_come_when_asked_for() {
    let (mut room, mut stage, _) = holding_by_key();
    room.join(&mut stage, actor("m"), None, None);
    stage.clear();
    room.enter(&mut stage, 1, vec![Publication { echo: false, ..by("x", "m") }]);
    assert_eq!(stage.done(), ["live 1 x"]);
    assert!(room.leave(&mut stage, &conn("m")));
    room.join(&mut stage, actor("m"), None, Some(1));
    assert_eq!(stage.done(), ["m: joined at 0", "m: replay 1 x"]);
}

#[test]
fn a_room_isnt_forgotten_while_it_keeps_a_value() {
    let (mut room, mut stage, _) = holding_by_key();
    publish(&mut room, &mut stage, &["a1"]);
    stage.pass(&mut room, 2 * FORGET_AFTER);
    assert!(!room.idle(&mut stage) && room.keeps_publications());
    stage.pass(&mut room, Duration::from_secs(3600));
    assert!(room.idle(&mut stage));
    let ts = stage.wall_ms();
    room.enter(&mut stage, 1, vec![Publication { ts, ..keyed("a2") }]);
    stage.pass(&mut room, FORGET_AFTER);
    assert!(!room.idle(&mut stage));
    room.shed_replay(0);
    assert!(room.idle(&mut stage), "or has had to give it up");
}
