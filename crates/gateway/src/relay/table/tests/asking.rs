//! What clients ask, and what becomes of it.

use ringway_link::{Down, Exit};

use super::stage::{Stage, room, send};
use crate::relay::table::Flow;

#[test]
fn messages_go_to_the_rooms_nodes_and_all_else_home() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.homes.insert("far".into(), 1);
    stage.ask(conn, r#"{"t":"pub","id":1,"room":"far","data":1}"#);
    assert_eq!(stage.done(), ["1: open c0 Further", "1: frame c0 pub far"]);
    stage.ask(conn, r#"{"t":"pub","id":2,"data":1}"#);
    stage.ask(conn, r#"{"t":"ping","id":3}"#);
    stage.ask(conn, "{}");
    assert_eq!(stage.done(), ["0: frame c0 pub", "0: frame c0 ping", "0: frame c0 ?"]);
}

#[test]
fn messages_wait_for_hello() {
    let mut stage = Stage::new();
    let conn = stage.table.add(&stage.tenant.clone(), None);
    stage.open(conn, 0);
    stage.hears(0, &Down::Opened { conn });
    stage.begin(conn, &[]);
    stage.done();
    stage.homes.insert("far".into(), 1);
    assert_eq!(stage.ask(conn, r#"{"t":"join","id":1,"room":"far"}"#), Flow::Stop);
    assert!(stage.done().is_empty());
    stage.hears(0, &send(conn, None, b"hello"));
    assert_eq!(stage.done(), ["c0: hello", "1: open c0 Further", "1: frame c0 join far", "c0 resumes"]);
}

#[test]
fn the_limit_of_rooms_holds_over_all_nodes() {
    let mut stage = Stage::new();
    stage.rooms = 2;
    let conn = stage.live();
    stage.homes.insert("b".into(), 1);
    for name in ["a", "b", "c"] {
        stage.ask(conn, &format!(r#"{{"t":"join","id":1,"room":"{name}"}}"#));
    }
    let done = stage.done();
    assert_eq!(done.last().map(String::as_str), Some("c0: err limit_rooms 1 c"), "{done:?}");
    // One that was asked for already isn't one more; and what is left makes room.
    stage.ask(conn, r#"{"t":"join","id":2,"room":"a"}"#);
    stage.ask(conn, r#"{"t":"leave","id":3,"room":"b"}"#);
    stage.ask(conn, r#"{"t":"join","id":4,"room":"c"}"#);
    assert_eq!(stage.done(), ["0: frame c0 join a", "1: frame c0 leave b", "0: frame c0 join c"]);
    // It is asked with each join: what holds by now holds for who is there.
    for (limit, name, asked) in
        [(2, "d", false), (3, "d", true), (3, "e", false), (1, "e", false), (1, "a", true)]
    {
        stage.rooms = limit;
        stage.ask(conn, &format!(r#"{{"t":"join","id":5,"room":"{name}"}}"#));
        let passes_on = stage.done() == [format!("0: frame c0 join {name}")];
        assert_eq!(passes_on, asked, "{name} of {limit}");
    }
}

#[test]
fn what_was_asked_of_a_lost_node_is_answered_or_asked_again() {
    let mut stage = Stage::new();
    let conn = stage.live();
    for name in ["far", "left"] {
        stage.homes.insert(name.into(), 1);
    }
    stage.joined(1, conn, "left", 1, 4);
    stage.done();
    for ask in [
        r#"{"t":"join","id":1,"room":"far"}"#,
        r#"{"t":"pub","id":2,"room":"far","data":1}"#,
        r#"{"t":"history","id":3,"room":"far"}"#,
        r#"{"t":"leave","id":4,"room":"left"}"#,
    ] {
        stage.ask(conn, ask);
    }
    stage.done();
    stage.down(1);
    stage.lose(1);
    assert_eq!(stage.done(), ["c0: err outcome_unknown 2 far", "c0: err unavailable 3 far", "c0: ok 4 left"]);
    stage.work();
    assert_eq!(stage.done(), ["2: open c0 Further", "2: frame c0 join far"]);
    stage.hears(2, &send(conn, None, b"err 9"));
    assert_eq!(stage.done(), ["c0: err 9"], "not its answer");
}

#[test]
fn while_no_node_can_be_reached_a_room_that_was_never_joined_is_known_to_be_left() {
    let mut stage = Stage::new();
    let conn = stage.live();
    (0..3).for_each(|node| stage.down(node));
    for ask in [
        r#"{"t":"join","id":1,"room":"far"}"#,
        r#"{"t":"leave","id":2,"room":"far"}"#,
        r#"{"t":"leave","room":"far"}"#,
    ] {
        stage.ask(conn, ask);
    }
    assert_eq!(
        stage.done(),
        ["c0: err unavailable 1 far", "c0: err not_joined 2 far", "c0: err not_joined 0 far"]
    );
}

#[test]
fn a_join_that_was_refused_is_forgotten() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.homes.insert("far".into(), 1);
    stage.ask(conn, r#"{"t":"join","id":1,"room":"far"}"#);
    stage.hears(1, &Down::Opened { conn });
    stage.hears(1, &Down::Exit { conn, room: room("far"), why: Exit::Left });
    stage.hears(1, &send(conn, None, b"err 1"));
    stage.done();
    stage.lose(1);
    stage.work();
    assert!(stage.done().is_empty());
}

#[test]
fn a_join_without_an_id_of_which_nothing_comes_is_forgotten() {
    let mut stage = Stage::new();
    stage.rooms = 2;
    let conn = stage.live();
    for name in ["a", "b"] {
        stage.ask(conn, &format!(r#"{{"t":"join","room":"{name}"}}"#));
        stage.hears(0, &send(conn, None, b"err"));
    }
    stage.done();
    stage.ask(conn, r#"{"t":"join","id":1,"room":"c"}"#);
    assert_eq!(stage.done(), ["c0: err limit_rooms 1 c"], "these may be under way");
    for _ in 0..10 {
        stage.tick();
    }
    stage.ask(conn, r#"{"t":"join","id":2,"room":"c"}"#);
    assert_eq!(stage.done(), ["0: frame c0 join c"]);
    stage.down(0);
    stage.lose(0);
    stage.work();
    assert_eq!(stage.done(), ["1: open c0 HomeAgain", "1: frame c0 join c"]);
}

#[test]
fn what_a_client_asks_of_very_many_rooms_is_bounded() {
    let mut stage = Stage::new();
    let conn = stage.live();
    for number in 0..3_000 {
        stage.ask(conn, &format!(r#"{{"t":"pub","room":"r{number}","data":1}}"#));
    }
    assert!(stage.table.bytes() < 16 * 1024, "rooms that it only published to are forgotten");
    let mut flow = Flow::Go;
    let mut asked = 0;
    stage.hears(0, &Down::Credit { conn, bytes: u32::MAX });
    while flow == Flow::Go {
        asked += 1;
        flow = stage.ask(conn, &format!(r#"{{"t":"history","id":{asked},"room":"r{asked}"}}"#));
    }
    assert_eq!(asked, 1_024, "answers are waited for");
}

#[test]
fn joins_that_are_asked_again_together_fit_what_a_node_takes_at_once() {
    let mut stage = Stage::new();
    stage.rooms = 1_000;
    let conn = stage.live();
    for number in 0..60 {
        let name = format!("{number}{}", "r".repeat(250));
        stage.homes.insert(name.clone(), 1);
        let pad = " ".repeat(6_000);
        stage.ask(conn, &format!(r#"{{"t":"join",{pad}"id":{number},"room":"{name}"}}"#));
        stage.hears(1, &Down::Credit { conn, bytes: 10_000 });
    }
    stage.done();
    stage.down(1);
    stage.lose(1);
    let refused = stage.done().iter().filter(|line| line.contains("err unavailable")).count();
    stage.work();
    let again = stage.done().iter().filter(|line| line.starts_with("2: frame c0 join")).count();
    assert_eq!((again, refused), (20, 40));
}
