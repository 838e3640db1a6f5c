//! Who gets the room, from whom, and when a new epoch begins.

use super::*;
use crate::room::scene::{
    Hand, Stage, actor, epoch, following, holding, known, node, publication, stage, state,
};
use crate::room::{Outcome, Surroundings};

fn not_held(known: Option<Epoch>, holder: Option<&str>) -> Result<Answer, AskError> {
    Ok(Answer::NotHeld { known, holder: holder.map(node) })
}

fn taking() -> (Room<Hand>, Stage) {
    let (mut room, mut stage) = stage("n1");
    room.enter(&mut stage, 1, vec![publication("a")]);
    (room, stage)
}

#[test]
fn alone_a_node_begins_an_epoch_at_once() {
    let (mut room, mut stage) = stage("n1");
    stage.next = None;
    room.enter(&mut stage, 1, vec![publication("a")]);
    assert_eq!(stage.done(), ["live 1 a"]);
    assert!(room.is_holder());
}

#[test]
fn it_asks_the_next_owner_and_whom_that_names_and_goes_on_in_the_given_epoch() {
    let (mut room, mut stage) = taking();
    assert_eq!(stage.done(), ["ask n2: take"]);
    stage.reply(&mut room, not_held(Some(epoch(5)), Some("n3")));
    assert_eq!(stage.done(), ["ask n3: take"]);
    stage.reply(&mut room, Ok(state(epoch(5), 2, 7)));
    assert_eq!(stage.done(), ["live 8 a"]);
    assert_eq!(room.epoch, Some(epoch(5)));
}

#[test]
fn the_owner_in_the_pool_that_the_tenant_left_is_asked_too() {
    let (mut room, mut stage) = stage("n1");
    stage.former = Some(node("n3"));
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.reply(&mut room, not_held(None, None));
    assert_eq!(stage.done(), ["ask n2: take", "ask n3: take"]);
    stage.reply(&mut room, Ok(state(epoch(5), 2, 7)));
    assert_eq!(stage.done(), ["live 8 a"]);
}

#[test]
fn who_takes_this_node_for_the_owner_is_asked_last() {
    let (mut room, mut stage) = stage("n1");
    room.asked(&mut stage, &node("n3"), 1, Ask::Sync { known: None });
    room.asked(&mut stage, &node("n4"), 2, Ask::Publish { publications: vec![publication("a")] });
    stage.reply(&mut room, not_held(None, None));
    stage.reply(&mut room, not_held(None, None));
    assert_eq!(stage.done(), ["ask n2: take", "ask n3: take", "ask n4: take"]);
    stage.reply(&mut room, Ok(state(epoch(5), 2, 7)));
    assert_eq!(stage.done(), ["live 8 a"], "it had the room itself");
}

#[test]
fn who_asks_names_a_holder_that_isnt_in_the_view() {
    let (mut room, mut stage) = stage("n1");
    stage.next = None;
    room.asked(&mut stage, &node("n3"), 1, Ask::Publish { publications: vec![publication("a")] });
    stage.reply(&mut room, not_held(Some(epoch(5)), Some("n4")));
    stage.reply(&mut room, Ok(state(epoch(5), 2, 7)));
    assert_eq!(stage.done(), ["ask n3: take", "ask n4: take", "live 8 a"]);
}

#[test]
fn a_gateway_that_publishes_has_no_room_and_nothing_waits_for_it() {
    let (mut room, mut stage) = stage("n1");
    stage.next = None;
    room.asked(&mut stage, &node("gateway"), 1, Ask::Publish { publications: vec![publication("a")] });
    stage.reply(&mut room, Err(AskError::NoResponders));
    assert_eq!(stage.done(), ["ask gateway: take", "live 1 a"]);
}

#[test]
fn back_from_a_cut_who_asks_isnt_asked_whether_it_took_over() {
    let (mut room, mut stage, _) = holding();
    stage.next = None;
    room.back_from_cut(&mut stage);
    stage.clear();
    room.asked(&mut stage, &node("gateway"), 1, Ask::Publish { publications: vec![publication("a")] });
    assert_eq!(stage.done(), ["live 1 a"]);
}

#[test]
fn a_new_node_that_finds_nobody_waits_for_whom_it_hasnt_heard_of() {
    let (mut room, mut stage) = stage("n1");
    (stage.new, stage.next) = (true, None);
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.pass(&mut room, TAKE_PAUSE);
    assert_eq!(stage.done(), [""; 0]);
    stage.next = Some(node("n2"));
    stage.pass(&mut room, TAKE_PAUSE);
    stage.reply(&mut room, Ok(state(epoch(5), 2, 7)));
    assert_eq!(stage.done(), ["ask n2: take", "live 8 a"]);
}

#[test]
fn a_new_node_doesnt_wait_for_ever_and_asks_once_more_when_it_isnt_new() {
    let (mut room, mut stage) = stage("n1");
    stage.new = true;
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.new = false;
    stage.reply(&mut room, not_held(None, None));
    stage.pass(&mut room, TAKE_PAUSE);
    stage.reply(&mut room, not_held(None, None));
    assert_eq!(stage.done(), ["ask n2: take", "ask n2: take", "live 1 a"]);

    let (mut room, mut stage) = self::stage("n1");
    (stage.new, stage.next) = (true, None);
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.pass(&mut room, TAKE_WAIT + TAKE_PAUSE);
    assert_eq!(stage.done(), ["live 1 a"]);
}

#[test]
fn who_doesnt_know_the_room_says_where_to_look_by_its_own_view() {
    for (owner, former) in [("n3", None), ("n2", Some("n3"))] {
        let (mut room, mut stage) = stage("n1");
        (stage.owner, stage.next) = (Some(node(owner)), Some(node("n1")));
        stage.former = former.map(node);
        room.asked(&mut stage, &node("n2"), 1, Ask::Take { known: None });
        assert_eq!(stage.answers, [(1, Answer::NotHeld { known: None, holder: Some(node("n3")) })]);
    }
}

#[test]
fn who_was_only_supposed_to_have_it_isnt_waited_for() {
    let (mut room, mut stage) = taking();
    stage.reply(&mut room, not_held(None, Some("n3")));
    stage.reply(&mut room, not_held(None, None));
    assert_eq!(stage.done(), ["ask n2: take", "ask n3: take", "live 1 a"]);
}

#[test]
fn who_was_asked_in_vain_looks_first_where_the_room_went() {
    let (mut room, mut stage) = stage("n1");
    room.asked(&mut stage, &node("n3"), 1, Ask::Take { known: None });
    assert_eq!(stage.answers, [(1, Answer::NotHeld { known: None, holder: None })]);
    room.enter(&mut stage, 1, vec![publication("a")]);
    assert_eq!(stage.done(), ["ask n3: take"]);
    stage.reply(&mut room, Ok(state(epoch(5), 0, 0)));
    assert_eq!(stage.done(), ["live 1 a"]);
    assert_eq!(room.epoch, Some(epoch(5)), "two at once would both have begun one");
}

#[test]
fn four_are_asked_at_most() {
    let (mut room, mut stage) = taking();
    for name in ["n3", "n4", "n5", "n6", "n7"] {
        stage.reply(&mut room, not_held(None, Some(name)));
        if stage.asks.is_empty() {
            break;
        }
    }
    assert_eq!(stage.done()[..4], ["ask n2: take", "ask n3: take", "ask n4: take", "ask n5: take"]);
}

#[test]
fn a_new_epoch_is_greater_than_any_heard_of() {
    let far = epoch(9_000_000_000_000);
    let (mut room, mut stage) = taking();
    stage.reply(&mut room, not_held(Some(far), None));
    assert!(room.epoch > Some(far));
}

#[test]
fn a_holder_gives_whole_and_forgets_that_it_held() {
    let (mut room, mut stage, epoch) = holding();
    room.enter(&mut stage, 1, vec![publication("a"), publication("b")]);
    stage.clear();
    room.asked(&mut stage, &node("n2"), 1, Ask::Take { known: None });
    room.asked(&mut stage, &node("n3"), 2, Ask::Take { known: None });
    let [(1, Answer::State { epoch: given, offset, base, entries }), (2, other)] = &stage.answers[..] else {
        panic!("{:?}", stage.answers)
    };
    assert_eq!((*given, *offset, *base, entries.len()), (epoch, 2, 0, 2));
    assert_eq!(*other, Answer::NotHeld { known: Some(epoch), holder: Some(node("n2")) });
    assert!(!room.is_holder());
}

#[test]
fn a_hand_over_counts_late_if_its_epoch_is_the_greatest() {
    let (mut room, mut stage) = taking();
    let late = stage.reply(&mut room, Err(AskError::Timeout));
    assert!(room.is_holder(), "it began an epoch of its own");
    room.answered(&mut stage, late, Ok(state(epoch(5), 0, 3)));
    assert_ne!(room.epoch, Some(epoch(5)), "lesser than its own");

    let (mut room, mut stage) = taking();
    let late = stage.reply(&mut room, Err(AskError::Timeout));
    room.answered(&mut stage, late, Err(AskError::Timeout));
    let greater = epoch(9_000_000_000_000);
    room.answered(&mut stage, late, Ok(state(greater, 0, 3)));
    assert_eq!((room.epoch, room.is_holder()), (Some(greater), true));
    room.answered(&mut stage, late, Ok(state(epoch(9_000_000_000_001), 0, 3)));
    assert_eq!(room.epoch, Some(greater), "an answer counts once");
}

#[test]
fn a_hand_over_that_comes_after_the_room_was_got_elsewhere_isnt_lost() {
    let (mut room, mut stage) = taking();
    let first = stage.reply(&mut room, Err(AskError::Timeout));
    assert!(room.is_holder());
    room.asked(&mut stage, &node("n3"), 1, Ask::Take { known: None });
    room.enter(&mut stage, 2, vec![publication("b")]);
    let (second, to, _) = stage.asks.remove(0);
    assert_eq!(to, node("n3"));
    let greater = epoch(9_000_000_000_000);
    room.answered(&mut stage, first, Ok(state(greater, 0, 3)));
    assert!(room.is_holder());
    let greatest = epoch(9_000_000_000_001);
    room.answered(&mut stage, second, Ok(state(greatest, 0, 1)));
    assert_eq!((room.epoch, room.is_holder()), (Some(greatest), true));
}

#[test]
fn a_room_just_given_is_waited_for_before_a_new_epoch_begins() {
    let (mut room, mut stage, epoch) = holding();
    room.asked(&mut stage, &node("n2"), 1, Ask::Take { known: None });
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.reply(&mut room, not_held(Some(epoch), Some("n1")));
    assert_eq!(stage.done(), ["ask n2: take"]);
    stage.pass(&mut room, TAKE_PAUSE);
    assert_eq!(stage.done(), ["ask n2: take"], "the state may have been on its way");
    stage.reply(&mut room, Ok(state(epoch, 0, 4)));
    assert_eq!(stage.done(), ["live 5 a"]);
}

#[test]
fn back_from_a_cut_it_goes_on_if_all_say_not_i() {
    let (mut room, mut stage, epoch) = holding();
    room.back_from_cut(&mut stage);
    assert_eq!(stage.done(), ["mark 0"]);
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.reply(&mut room, not_held(Some(epoch), Some("n1")));
    assert_eq!(stage.done(), ["ask n2: take", "live 1 a"]);
    assert_eq!(room.epoch, Some(epoch));
}

#[test]
fn back_from_a_cut_it_begins_an_epoch_if_one_doesnt_answer() {
    let (mut room, mut stage, epoch) = holding();
    room.back_from_cut(&mut stage);
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.reply(&mut room, Err(AskError::Timeout));
    assert!(room.epoch > Some(epoch));
}

#[test]
fn back_from_a_cut_who_isnt_there_yet_is_waited_for_but_not_for_ever() {
    let (mut room, mut stage, epoch) = holding();
    room.back_from_cut(&mut stage);
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.reply(&mut room, Err(AskError::NoResponders));
    stage.pass(&mut room, TAKE_PAUSE);
    stage.reply(&mut room, not_held(Some(epoch), Some("n1")));
    assert_eq!((room.epoch, room.is_holder()), (Some(epoch), true), "it is back, and all say not I");

    let (mut room, mut stage, epoch) = holding();
    room.back_from_cut(&mut stage);
    room.enter(&mut stage, 1, vec![publication("a")]);
    for _ in 0..20 {
        if room.epoch > Some(epoch) {
            break;
        }
        stage.reply(&mut room, Err(AskError::NoResponders));
        stage.pass(&mut room, TAKE_PAUSE);
    }
    assert!(room.epoch > Some(epoch));
}

#[test]
fn back_from_a_cut_it_still_gives() {
    let (mut room, mut stage, _) = holding();
    room.back_from_cut(&mut stage);
    room.asked(&mut stage, &node("n2"), 1, Ask::Take { known: None });
    assert!(matches!(&stage.answers[..], [(1, Answer::State { .. })]), "{:?}", stage.answers);
}

#[test]
fn who_knows_a_greater_epoch_ends_ours() {
    let (mut room, mut stage, _) = holding();
    let greater = epoch(9_000_000_000_000);
    let ask = Ask::Take { known: Some(known(greater, "n3", 4)) };
    room.asked(&mut stage, &node("n2"), 1, ask);
    assert_eq!(stage.answers, [(1, Answer::NotHeld { known: Some(greater), holder: Some(node("n2")) })]);
    assert!(!room.is_holder());
}

#[test]
fn away_nothing_is_taken_or_given() {
    let (mut room, mut stage) = taking();
    stage.away = true;
    room.link_lost(&mut stage);
    assert_eq!(stage.outcomes, [(1, Outcome::Local)]);
    assert!(!room.is_holder() && room.taking.is_none());

    let (mut room, mut stage, _) = holding();
    stage.away = true;
    room.link_lost(&mut stage);
    room.asked(&mut stage, &node("n2"), 1, Ask::Take { known: None });
    assert_eq!(stage.answers, [(1, Answer::Refused { code: Code::Unavailable })]);
    assert!(room.is_holder(), "the number isn't lost");
}

#[test]
fn what_waits_for_the_room_is_bounded() {
    let (mut room, mut stage) = taking();
    for asker in 0..2_000 {
        room.asked(&mut stage, &node("n3"), asker, Ask::Sync { known: None });
    }
    assert_eq!(stage.answers.len(), 2_000 - crate::room::limits::QUEUED + 1);
    assert!(stage.answers.iter().all(|(_, answer)| *answer == Answer::Refused { code: Code::Unavailable }));
}

#[test]
fn a_follower_takes_with_its_buffer_and_members_see_no_break() {
    let (mut room, mut stage) = following(3);
    stage.owner = Some(node("n1"));
    room.join(&mut stage, actor("b"), None, None);
    room.enter(&mut stage, 1, vec![publication("a")]);
    stage.reply(&mut room, Ok(state(epoch(1), 0, 5)));
    let done = stage.done();
    assert_eq!(done[..2], ["b: joined at 3", "ask n2: take"]);
    assert_eq!(done[2..6], ["a: msg 4 p4", "b: msg 4 p4", "a: msg 5 p5", "b: msg 5 p5"]);
    assert_eq!(done[6..], ["live 6 a", "a: msg 6 a", "b: msg 6 a"]);
    assert!(stage.me() == &node("n1") && room.is_holder());
}

#[test]
fn a_holder_that_owns_the_slot_no_more_tells_the_owner_once() {
    let (mut room, mut stage, _) = holding();
    room.view_changed(&mut stage);
    assert_eq!(stage.done(), [""; 0]);
    stage.owner = Some(node("n2"));
    room.view_changed(&mut stage);
    room.view_changed(&mut stage);
    assert_eq!(stage.done(), ["ask n2: greater"]);
    stage.reply(&mut room, Ok(Answer::Done));
    stage.view.retain(|(id, _)| *id != node("n2"));
    stage.view.push((node("n2"), 2));
    room.view_changed(&mut stage);
    assert_eq!(stage.done(), ["ask n2: greater"], "the owner lives anew, and knows nothing");
}

#[test]
fn who_was_told_of_a_holder_asks_it_first() {
    let (mut room, mut stage) = stage("n1");
    let ask = Ask::Greater { epoch: epoch(5), holder: Some(node("n3")), offset: 7 };
    room.asked(&mut stage, &node("n3"), 1, ask);
    assert_eq!(stage.answers, [(1, Answer::Done)]);
    room.enter(&mut stage, 2, vec![publication("a")]);
    assert_eq!(stage.done(), ["ask n3: take"]);
    stage.reply(&mut room, Ok(state(epoch(5), 0, 7)));
    assert_eq!(stage.done(), ["live 8 a"]);
}
