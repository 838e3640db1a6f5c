//! Homes are elsewhere by now.

use ringway_link::{Down, Exclude, Exit};

use super::stage::{Stage, cast, room};
use crate::relay::table::Flow;

#[test]
fn a_room_whose_home_moves_is_left_and_rejoined_and_what_is_asked_meanwhile_waits() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.joined(0, conn, "r", 1, 5);
    stage.homes.insert("r".into(), 1);
    stage.table.look_again();
    stage.work();
    assert_eq!(stage.done().last().map(String::as_str), Some("0: move c0 r"));
    assert_eq!(stage.ask(conn, r#"{"t":"pub","id":7,"room":"r","data":1}"#), Flow::Stop);
    stage.hears(0, &cast(1, 6, Exclude::Nobody));
    stage.hears(0, &Down::Exit { conn, room: room("r"), why: Exit::Moved });
    assert_eq!(
        stage.done(),
        ["c0: cast 6", "1: open c0 Further", "1: rejoin c0 r e:6", "1: frame c0 pub r", "c0 resumes"]
    );
}

#[test]
fn a_home_that_moves_is_taken_over_before_it_is_left() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.home = 1;
    stage.table.look_again();
    stage.work();
    assert_eq!(stage.done(), ["1: open c0 HomeAgain"]);
    stage.hears(1, &Down::Opened { conn });
    assert_eq!(stage.done(), ["0: closed c0"], "nothing else of it is there");
}

#[test]
fn a_node_that_refuses_to_be_home_isnt_asked_again_at_once() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.down(2);
    stage.home = 1;
    stage.table.look_again();
    stage.work();
    stage.refuses(1, conn);
    assert_eq!(stage.done(), ["1: open c0 HomeAgain"], "it stays where it was");
    stage.table.look_again();
    stage.work();
    assert!(stage.done().is_empty());
    for _ in 0..10 {
        stage.tick();
    }
    assert_eq!(stage.done(), ["1: open c0 HomeAgain"]);
}

#[test]
fn where_no_node_is_left_members_are_told_in_the_end() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.joined(0, conn, "r", 1, 5);
    stage.done();
    for node in 0..3 {
        stage.down(node);
    }
    stage.lose(0);
    stage.work();
    stage.ask(conn, r#"{"t":"join","id":8,"room":"other"}"#);
    for _ in 0..9 {
        stage.tick();
    }
    assert_eq!(stage.done(), ["c0: err unavailable 8 other"]);
    stage.tick();
    assert_eq!(stage.done(), ["c0: left r", "c0 closes 1013"]);
}
