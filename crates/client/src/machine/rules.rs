//! The client's rules, one test each.

use std::time::Duration;

use ringway_protocol::frame::{GapReason, JoinResult};
use ringway_protocol::{CloseCode, Code};

use super::Settings;
use super::stage::{Stage, at, gap, goaway, hello, joined, left, message, msg, position, room, settings};
use crate::event::{JoinOptions, RequestError, State};

#[test]
fn joins_leave_with_the_upgrade_and_the_first_room_is_home() {
    let mut stage = Stage::new(settings());
    for n in 0..100 {
        stage.join(&format!("room {n:02}"));
    }
    stage.machine.dial(stage.now);
    stage.act();
    assert_eq!(stage.sockets[&1].home.as_deref(), Some("room 00"));
    stage.open(1);
    assert_eq!(stage.joins(1).len(), 100, "before hello");
    stage.join("later");
    assert_eq!(stage.joins(1).last().unwrap().0, "later");
}

#[test]
fn the_home_stays_the_room_that_was_joined_first() {
    let mut stage = Stage::new(settings());
    stage.join("z");
    stage.machine.dial(stage.now);
    stage.open(1);
    stage.join("a");
    stage.drop(1, 1012, "");
    let second = stage.reconnect();
    assert_eq!(stage.sockets[&second].home.as_deref(), Some("z"), "whatever else was joined since");
    assert!(stage.machine.leave(&room("z")));
    stage.act();
    stage.drop(second, 1012, "");
    let third = stage.reconnect();
    assert_eq!(stage.sockets[&third].home.as_deref(), Some("a"), "the first of those that are left");
}

#[test]
fn a_cut_resumes_from_the_last_message_and_gives_the_session_back() {
    let mut stage = Stage::standing(settings());
    stage.say(1, msg("a", 11));
    stage.drop(1, 1006, "");
    assert!(matches!(stage.states[..], [State::Reconnecting { .. }]));
    let next = stage.reconnect();
    assert_eq!(stage.sockets[&next].session.as_deref(), Some("s1"));
    assert_eq!(stage.joins(next)[0].2, Some(11));
    stage.answer_join(next, "a", at("e", 11, 13, Some(true)));
    stage.say(next, msg("a", 12));
    stage.drop(next, 1006, ""); // in the middle of the replay
    let last = stage.reconnect();
    assert_eq!(stage.joins(last)[0].2, Some(12));
    stage.answer_join(last, "a", at("e", 12, 13, Some(true)));
    stage.say(last, msg("a", 13));
    assert_eq!(stage.heard, ["m11", "joined a", "m12", "joined a", "m13"]);
}

#[test]
fn an_answer_without_a_position_keeps_the_old_one_until_a_gap() {
    let mut stage = Stage::standing(settings());
    stage.drop(1, 1012, "");
    let next = stage.reconnect();
    stage.answer_join(next, "a", JoinResult::default());
    stage.drop(next, 1012, "");
    let last = stage.reconnect();
    assert_eq!(stage.joins(last)[0].2, Some(10));
    stage.answer_join(last, "a", JoinResult::default());
    stage.say(last, gap("a", GapReason::Epoch, "f", 0));
    stage.say(last, msg("a", 1));
    assert_eq!(stage.heard, ["joined a", "joined a", "gap epoch", "m1"]);
}

#[test]
fn what_the_server_joins_is_a_room_and_what_we_hold_keeps_its_position() {
    let mut stage = Stage::standing(settings());
    stage.say(1, joined("inbox", at("i", 5, 5, None)));
    stage.say(1, msg("inbox", 6));
    stage.say(1, msg("a", 11));
    stage.drop(1, 1012, "");
    let next = stage.reconnect();
    let since: Vec<_> = stage.joins(next).into_iter().map(|(room, _, since)| (room, since)).collect();
    assert_eq!(since, [("a".to_owned(), Some(11)), ("inbox".to_owned(), Some(6))]);
    stage.heard.clear();
    stage.say(next, joined("a", at("e", 14, 14, None)));
    stage.say(next, msg("a", 15));
    assert!(stage.heard.is_empty(), "before our own answer");
    stage.answer_join(next, "a", at("e", 11, 15, Some(true)));
    (12..=15).for_each(|offset| stage.say(next, msg("a", offset)));
    assert_eq!(stage.heard, ["joined a", "m12", "m13", "m14", "m15"]);
    // The application may join it itself, once.
    stage.join("inbox");
    stage.join("inbox");
    assert!(matches!(
        stage.reply(),
        Some(("join", Err(RequestError::Refused { code: Code::AlreadyJoined, .. })))
    ));
    stage.answer_join(next, "inbox", at("i", 6, 6, Some(true)));
    assert!(matches!(stage.reply(), Some(("join", Ok(_)))));
}

#[test]
fn a_join_that_the_server_resumed_itself_counts_at_once() {
    let mut stage = Stage::standing(settings());
    stage.drop(1, 1012, "");
    let next = stage.reconnect();
    stage.say(next, joined("a", at("e", 10, 11, Some(true))));
    stage.say(next, msg("a", 11));
    stage.answer_join(next, "a", at("e", 10, 11, Some(true)));
    stage.say(next, msg("a", 11));
    assert_eq!(stage.heard, ["joined a", "m11", "joined a"]);
}

#[test]
fn a_publication_is_sent_again_with_its_mid_and_in_its_order_until_it_is_answered() {
    let mut stage = Stage::standing(settings());
    stage.publish("a", "one", "one");
    stage.publish("a", "two", "two");
    let first = stage.pubs(1);
    stage.drop(1, 1006, "");
    stage.publish("a", "three", "three");
    let next = stage.reconnect();
    let again = stage.pubs(next);
    assert_eq!(again[..2], first[..]);
    assert_eq!(again.iter().map(|(text, ..)| text.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
    for (n, text) in ["one", "two", "three"].into_iter().enumerate() {
        stage.answer_pub(next, text, 11 + n as u64);
        assert_eq!(Stage::offset_of(stage.reply()), Some(11 + n as u64));
    }
    stage.drop(next, 1006, "");
    let last = stage.reconnect();
    assert!(stage.pubs(last).is_empty());
}

#[test]
fn a_refusal_that_says_when_to_ask_again_is_asked_again_and_another_is_told() {
    let mut stage = Stage::standing(settings());
    stage.publish("a", "x", "x");
    let (_, id, mid) = stage.pubs(1).remove(0);
    stage.refuse(1, id, Code::OutcomeUnknown, Some(2_000));
    stage.pass(1_999);
    assert_eq!(stage.pubs(1).len(), 1);
    stage.pass(1);
    assert_eq!(stage.pubs(1)[1].2, mid);
    stage.refuse(1, id, Code::Forbidden, None);
    assert!(matches!(stage.reply(), Some(("x", Err(RequestError::Refused { code: Code::Forbidden, .. })))));
}

#[test]
fn what_cannot_be_sent_or_is_not_answered_fails() {
    let mut stage = Stage::standing(Settings { most_waiting: 2, ..settings() });
    stage.publish("a", &"x".repeat(70_000), "big");
    assert!(matches!(stage.reply(), Some(("big", Err(RequestError::TooBig { limit: 65_536, .. })))));
    ["one", "two", "three"].into_iter().for_each(|text| stage.publish("a", text, text));
    assert!(matches!(stage.reply(), Some(("three", Err(RequestError::Busy)))));
    stage.pass(29_999);
    assert!(stage.replies.is_empty());
    stage.pass(1);
    assert!(matches!(stage.reply(), Some(("one", Err(RequestError::Timeout)))));
    assert!(matches!(stage.reply(), Some(("two", Err(RequestError::Timeout)))));
    stage.publish("a", "four", "four");
    stage.machine.close();
    stage.act();
    assert!(matches!(stage.reply(), Some(("four", Err(RequestError::Closed)))));
    stage.publish("a", "five", "five");
    stage.join("b");
    assert!(matches!(stage.reply(), Some(("five", Err(RequestError::Closed)))));
    assert!(matches!(stage.reply(), Some(("join", Err(RequestError::Closed)))));
    assert!(stage.sockets[&1].ended);
}

#[test]
fn after_1009_the_biggest_request_is_not_repeated() {
    let mut stage = Stage::standing(settings());
    stage.publish("a", "small", "small");
    stage.publish("a", &"b".repeat(1_000), "big");
    stage.drop(1, 1009, "");
    assert!(matches!(stage.reply(), Some(("big", Err(RequestError::TooBig { .. })))));
    let next = stage.reconnect();
    assert_eq!(stage.pubs(next).len(), 1);
}

#[test]
fn goaway_moves_room_by_room_and_nothing_comes_twice() {
    let mut stage = Stage::standing(settings());
    stage.join("b");
    stage.answer_join(1, "b", at("x", 0, 0, None));
    stage.publish("a", "kept", "kept");
    (stage.heard, stage.replies) = (Vec::new(), Vec::new());
    stage.say(1, goaway(3_000));
    stage.pass(2_999);
    assert_eq!(stage.latest(), 1);
    stage.say(1, msg("a", 11));
    stage.pass(1);
    assert_eq!(stage.sockets[&2].session.as_deref(), Some("s1"));
    stage.open(2);
    let since: Vec<_> = stage.joins(2).into_iter().map(|(_, _, since)| since).collect();
    assert_eq!(since, [Some(11), Some(0)]);
    stage.say(1, msg("a", 12));
    stage.say(1, message(None, None, "to the user"));
    stage.say(2, message(None, None, "too early"));
    stage.say(2, hello("s2"));
    stage.say(1, msg("a", 13));
    stage.say(1, message(None, None, "too late"));
    stage.say(2, message(None, None, "to the user again"));
    stage.answer_join(2, "a", at("e", 11, 13, Some(true)));
    stage.say(1, msg("a", 14)); // not from there any more
    [12, 13].into_iter().for_each(|offset| stage.say(2, msg("a", offset)));
    stage.say(2, gap("a", GapReason::Backplane, "e", 13)); // what it misses, we have
    [14, 15].into_iter().for_each(|offset| stage.say(2, msg("a", offset)));
    stage.say(1, msg("b", 1));
    assert!(!stage.sockets[&1].ended && stage.pubs(2).is_empty(), "before all have moved");
    stage.answer_join(2, "b", at("x", 0, 1, Some(true)));
    assert!(stage.sockets[&1].ended);
    [1, 2].into_iter().for_each(|offset| stage.say(2, msg("b", offset)));
    assert_eq!(
        stage.heard,
        [
            "m11",
            "m12",
            "to the user",
            "m13",
            "to the user again",
            "joined a",
            "m14",
            "m15",
            "m1",
            "joined b",
            "m2"
        ]
    );
    assert_eq!(stage.pubs(2), stage.pubs(1));
    stage.answer_pub(2, "kept", 16);
    assert_eq!(Stage::offset_of(stage.reply()), Some(16));
}

#[test]
fn goaway_ends_the_old_connection_after_ten_seconds_though_a_join_is_unanswered() {
    let mut stage = Stage::standing(settings());
    stage.say(1, goaway(0));
    stage.pass(0);
    stage.open(2);
    stage.say(2, hello("s2"));
    stage.pass(9_999);
    stage.say(1, msg("a", 11));
    assert!(!stage.sockets[&1].ended);
    stage.pass(1);
    assert!(stage.sockets[&1].ended);
    stage.answer_join(2, "a", at("e", 10, 11, Some(true)));
    [11, 12].into_iter().for_each(|offset| stage.say(2, msg("a", offset)));
    assert_eq!(stage.heard, ["m11", "joined a", "m12"]);
}

#[test]
fn goaway_tries_again_while_the_old_connection_stands_and_ends_with_it_where_refused() {
    let mut stage = Stage::standing(settings());
    stage.say(1, goaway(0));
    stage.pass(0);
    stage.drop(2, 1013, "overloaded retry=5000");
    stage.say(1, msg("a", 11));
    stage.pass(4_999);
    assert_eq!(stage.latest(), 2);
    stage.pass(1);
    assert_eq!(stage.latest(), 3);
    stage.drop(3, 4403, "");
    stage.say(1, msg("a", 12));
    assert_eq!(stage.heard, ["m11", "m12"]);
    stage.drop(1, 1012, "");
    while stage.latest() < 4 {
        stage.pass(10);
    }
    stage.drop(4, 4403, "");
    assert!(
        matches!(stage.states.last(), Some(State::Closed(closed)) if closed.code == CloseCode::FORBIDDEN)
    );
}

#[test]
fn goaway_may_end_the_old_one_first_replaced_by_our_own_session() {
    for (code, accepted) in [(4409, true), (1012, true), (1012, false)] {
        let mut stage = Stage::standing(settings());
        stage.say(1, goaway(0));
        stage.pass(0);
        stage.publish("a", "x", "x");
        if accepted {
            stage.open(2);
        }
        stage.drop(1, code, "");
        if !accepted {
            stage.open(2);
        }
        assert_eq!((stage.latest(), stage.pubs(2).len()), (2, 1), "{code} {accepted}");
    }
}

#[test]
fn a_goaway_of_the_new_connection_is_followed_when_it_counts() {
    let mut stage = Stage::standing(settings());
    stage.say(1, goaway(0));
    stage.pass(0);
    stage.open(2);
    stage.say(2, hello("s2"));
    stage.say(2, goaway(1_000));
    stage.pass(5_000);
    assert_eq!(stage.latest(), 2, "one at a time");
    stage.answer_join(2, "a", at("e", 10, 10, Some(true)));
    stage.pass(0);
    assert_eq!(stage.latest(), 3);
}

#[test]
fn silence_for_ping_and_ten_seconds_means_a_new_connection() {
    let mut stage = Stage::standing(settings());
    stage.pass(30_000);
    stage.say(1, ringway_protocol::ServerFrame::Ping);
    stage.pass(34_999);
    assert!(stage.states.is_empty());
    stage.pass(1);
    assert!(stage.sockets[&1].ended);
    stage.pass(500);
    assert_eq!(stage.latest(), 2);
    stage.pass(16_000);
    assert!(stage.sockets[&2].ended && stage.latest() == 3, "no hello within 15 s");
}

#[test]
fn the_back_off_grows_and_begins_anew_after_thirty_seconds_of_standing() {
    let mut stage = Stage::standing(settings());
    let waits = |stage: &Stage| {
        let wait = |state: &State| match state {
            State::Reconnecting { after, .. } => Some(*after),
            _ => None,
        };
        stage.states.iter().filter_map(wait).collect::<Vec<_>>()
    };
    for _ in 0..10 {
        let latest = stage.latest();
        stage.drop(latest, 1006, "");
        stage.reconnect();
    }
    let ceilings = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0, 20.0].map(Duration::from_secs_f64);
    let grown = waits(&stage);
    assert!(grown.iter().zip(ceilings).all(|(wait, ceiling)| *wait <= ceiling), "{grown:?}");
    assert!(grown.iter().max() > Some(&Duration::from_secs(2)), "{grown:?}");
    stage.states.clear();
    stage.pass(30_000);
    let latest = stage.latest();
    stage.drop(latest, 1006, "");
    assert!(waits(&stage)[0] <= Duration::from_millis(500));
}

#[test]
fn every_close_code_is_followed_as_the_table_says() {
    for code in [1000, 1002, 1003, 1007, 4000, 4001, 4401, 4403, 4404, 4409, 4410, 4499] {
        let mut stage = Stage::standing(settings());
        stage.drop(1, code, "");
        stage.pass(60_000);
        assert_eq!((stage.latest(), stage.machine.is_closed()), (1, true), "{code}");
    }
    for code in [1001, 1005, 1006, 1008, 1009, 1011, 1012, 1013, 3000, 4500, 4999] {
        let mut stage = Stage::standing(settings());
        stage.drop(1, code, "");
        assert_eq!(stage.reconnect(), 2, "{code}");
    }
}

#[test]
fn after_4401_the_next_connection_wants_a_new_token() {
    let mut stage = Stage::standing(Settings { renewable: true, ..settings() });
    stage.drop(1, 1012, "");
    stage.reconnect();
    assert!(!stage.sockets[&2].new_token);
    stage.drop(2, 4401, "expired");
    stage.pass(1_000);
    assert!(stage.sockets[&3].new_token);
    stage.drop(3, 1006, "no token for now");
    stage.reconnect();
    assert!(stage.sockets[&4].new_token, "still");
    stage.drop(4, 1012, "");
    stage.reconnect();
    assert!(!stage.sockets[&5].new_token, "that one was good");
}

#[test]
fn a_membership_may_be_refused_ended_or_put_off() {
    let mut stage = Stage::standing(settings());
    stage.join("secret");
    let id = stage.joins(1)[1].1;
    stage.refuse(1, id, Code::Forbidden, None);
    assert!(matches!(
        stage.reply(),
        Some(("join", Err(RequestError::Refused { code: Code::Forbidden, .. })))
    ));
    stage.say(1, left("a", Code::Unavailable, Some(700)));
    stage.pass(700);
    assert_eq!(stage.joins(1).last().map(|(room, _, since)| (room.as_str(), *since)), Some(("a", Some(10))));
    stage.answer_join(1, "a", at("e", 10, 10, Some(true)));
    stage.say(1, msg("a", 11));
    stage.say(1, left("a", Code::Kicked, None));
    stage.say(1, msg("a", 12));
    assert_eq!(stage.heard, ["left secret forbidden", "joined a", "m11", "left a kicked"]);
    stage.drop(1, 1012, "");
    let next = stage.reconnect();
    assert!(stage.joins(next).is_empty());
    assert!(!stage.machine.leave(&room("a")));
}

#[test]
fn leave_and_join_again_is_another_membership() {
    let mut stage = Stage::standing(settings());
    stage.drop(1, 1012, "");
    let next = stage.reconnect(); // the join is on its way
    assert!(stage.machine.leave(&room("a")));
    stage.machine.join(
        &room("a"),
        JoinOptions { since: Some(position("e", 5)), ..JoinOptions::default() },
        "again",
    );
    stage.act();
    let (first, second) = (stage.joins(next)[0].clone(), stage.joins(next)[1].clone());
    assert_eq!((first.2, second.2), (Some(10), Some(5)));
    let ok = |id| {
        let result = Some(ringway_protocol::frame::OkResult::Join(at("e", 5, 6, Some(true))));
        ringway_protocol::ServerFrame::Ok(ringway_protocol::frame::Answer {
            id: Some(id),
            room: None,
            data: None,
            result,
        })
    };
    stage.say(next, ok(first.1));
    stage.say(next, msg("a", 6));
    assert_eq!(stage.heard, ["left a not_joined"]);
    stage.say(next, ok(second.1));
    stage.say(next, msg("a", 6));
    assert_eq!(stage.heard, ["left a not_joined", "joined a", "m6"]);
}
