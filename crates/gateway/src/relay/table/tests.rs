//! The table by hand: what each end is told in the cases that have a name, and what a node may not say.

mod hostile;
mod stage;

use ringway_link::{ConnNo, Down, Exclude, Exit};

use super::{Broken, Flow, Work};
use stage::{Stage, at, cast, declared, room, send};

#[test]
fn a_client_is_opened_begins_and_is_told_by_its_home() {
    let mut stage = Stage::new();
    let conn = stage.table.add(&stage.tenant.clone(), Some(&room("home")));
    stage.open(conn, 0);
    assert_eq!(stage.done(), ["0: open c0 Home"]);
    stage.hears(0, &Down::Opened { conn, rooms: 10 });
    assert_eq!(stage.done(), ["c0 opened 10"]);
    stage.begin(conn, &["home"]);
    assert_eq!(stage.done(), ["0: begin c0"]);
    stage.hears(0, &send(conn, None, b"hello"));
    assert_eq!(stage.done(), ["c0: hello"]);
    stage.gone(conn);
    assert_eq!(stage.done(), ["0: closed c0"]);
    assert_eq!(stage.table.clients(), 1);
    stage.hears(0, &Down::Ended { conn });
    assert_eq!((stage.table.clients(), stage.table.uses(super::NodeNo(0))), (0, false));
}

#[test]
fn an_opening_that_is_refused_or_lost_is_tried_elsewhere() {
    let mut stage = Stage::new();
    let conn = stage.table.add(&stage.tenant.clone(), None);
    stage.open(conn, 0);
    stage.refuses(0, conn);
    stage.open(conn, 1);
    stage.lose(1);
    stage.open(conn, 2);
    assert_eq!(
        stage.done(),
        [
            "0: open c0 Home",
            "c0 not opened: refused",
            "1: open c0 Home",
            "c0 not opened: lost",
            "2: open c0 Home"
        ]
    );
}

#[test]
fn a_client_that_goes_while_its_open_is_on_its_way_is_closed_there() {
    let mut stage = Stage::new();
    let conn = stage.table.add(&stage.tenant.clone(), None);
    stage.open(conn, 0);
    stage.gone(conn);
    assert_eq!(stage.done(), ["0: open c0 Home", "0: closed c0"]);
    stage.hears(0, &Down::Opened { conn, rooms: 10 });
    stage.hears(0, &Down::Ended { conn });
    assert_eq!(stage.table.clients(), 0);

    // It was refused meanwhile: then no `Ended` comes.
    let conn = stage.table.add(&stage.tenant.clone(), None);
    stage.open(conn, 0);
    stage.gone(conn);
    stage.refuses(0, conn);
    assert_eq!(stage.table.clients(), 0);
}

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
    stage.hears(0, &Down::Opened { conn, rooms: 10 });
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
    let conn = stage.live_with(2);
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
fn a_join_that_was_refused_is_forgotten() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.homes.insert("far".into(), 1);
    stage.ask(conn, r#"{"t":"join","id":1,"room":"far"}"#);
    stage.hears(1, &Down::Opened { conn, rooms: 10 });
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
    let conn = stage.live_with(2);
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
fn a_client_that_begins_when_its_node_is_lost_begins_at_another() {
    let mut stage = Stage::new();
    let conn = stage.table.add(&stage.tenant.clone(), None);
    stage.open(conn, 0);
    stage.hears(0, &Down::Opened { conn, rooms: 10 });
    stage.down(0);
    stage.lose(0);
    stage.work();
    stage.done();
    stage.begin(conn, &["r"]);
    assert_eq!(stage.done(), ["1: open c0 Home", "1: begin c0"]);
    stage.hears(1, &Down::Opened { conn, rooms: 10 });
    stage.hears(1, &send(conn, None, b"hello"));
    assert_eq!(stage.done(), ["c0: hello"]);
}

#[test]
fn what_an_unneeded_link_declared_is_forgotten_with_it() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.joined(0, conn, "r", 1, 4);
    stage.gone(conn);
    stage.hears(0, &Down::Ended { conn });
    assert!(!stage.table.uses(super::NodeNo(0)) && !stage.table.is_empty());
    stage.done();
    stage.lose(0);
    assert!(stage.table.is_empty() && stage.done().is_empty());
}

#[test]
fn casts_go_to_who_has_entered_less_who_is_left_out() {
    let mut stage = Stage::new();
    let conns = [stage.live(), stage.live(), stage.live()];
    for conn in conns {
        stage.joined(0, conn, "r", 1, 0);
    }
    stage.done();
    stage.hears(0, &cast(1, 1, Exclude::Nobody));
    assert_eq!(stage.done(), ["c0 c1 c2: cast 1"]);
    stage.hears(0, &cast(1, 2, Exclude::These(vec![conns[1]])));
    stage.hears(0, &cast(1, 3, Exclude::AllBut(vec![conns[1], conns[1]])));
    assert_eq!(stage.done(), ["c0 c2: cast 2", "c1: cast 3"]);
    // Each is where it was brought.
    stage.down(0);
    stage.lose(0);
    stage.work();
    let rejoins: Vec<_> = stage.done().into_iter().filter(|line| line.contains("rejoin")).collect();
    assert_eq!(rejoins, ["1: rejoin c0 r e:2", "1: rejoin c1 r e:3", "1: rejoin c2 r e:2"]);
}

#[test]
fn a_position_isnt_beyond_what_was_sent() {
    let mut stage = Stage::new();
    let (a, b) = (stage.live(), stage.live());
    stage.joined(0, a, "r", 1, 7);
    stage.joined(0, b, "r", 1, 3);
    // `b` has its replay while `a` gets what is new.
    stage.hears(0, &send(b, Some(at(1, 4)), b"replay"));
    stage.hears(0, &cast(1, 8, Exclude::These(vec![b])));
    assert_eq!(stage.positions("r"), ["e:8", "e:4"]);
    for offset in 5..9 {
        stage.hears(0, &send(b, Some(at(1, offset)), b"replay"));
    }
    assert_eq!(stage.positions("r"), ["e:8", "e:8"]);
    stage.hears(0, &cast(1, 9, Exclude::Nobody));
    assert_eq!(stage.positions("r"), ["e:9", "e:9"]);
}

#[test]
fn who_is_ahead_of_what_was_lost_isnt_told() {
    let mut stage = Stage::new();
    let (a, b) = (stage.live(), stage.live());
    stage.joined(0, a, "r", 1, 5);
    stage.joined(0, b, "r", 1, 9);
    stage.done();
    stage.hears(0, &Down::Lost { room: at(1, 0).room, offset: 7, ts: 7, frames: 2 });
    assert_eq!(stage.done(), ["c0: lost 2 up to 7"]);
    assert_eq!(stage.positions("r"), ["e:7", "e:9"]);
}

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
    stage.hears(1, &Down::Opened { conn, rooms: 10 });
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

#[test]
fn further_nodes_that_a_client_has_nothing_to_do_with_are_closed() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.homes.insert("far".into(), 1);
    stage.ask(conn, r#"{"t":"pub","room":"far","data":1}"#);
    stage.hears(1, &Down::Opened { conn, rooms: 10 });
    stage.hears(1, &Down::Credit { conn, bytes: 1_000 });
    stage.done();
    for _ in 0..38 {
        stage.tick();
    }
    assert!(stage.done().is_empty());
    stage.tick();
    assert_eq!(stage.done(), ["1: closed c0"]);
    // Asked again before it has ended: that waits.
    assert_eq!(stage.ask(conn, r#"{"t":"join","id":1,"room":"far"}"#), Flow::Stop);
    stage.hears(1, &Down::Ended { conn });
    assert_eq!(stage.done(), ["1: open c0 Further", "1: frame c0 join far", "c0 resumes"]);
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
fn whom_its_node_closes_is_in_no_room_there() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.joined(0, conn, "home", 1, 4);
    stage.hears(0, &Down::Close { conn, code: 4401, reason: "expired".into() });
    // The node may name it for a moment still.
    let but = Exclude::AllBut(vec![conn]);
    let cast = ringway_link::Cast {
        room: ringway_link::RoomNo(1),
        offset: Some(5),
        ts: 5,
        key: None,
        but,
        json: b"5",
        msgpack: b"",
    };
    stage.hears(0, &Down::Cast(cast));
    // The room's number is another's, before the gateway has said that the client is gone.
    stage.hears(0, &Down::Room(declared(1, "t", "other", Some("e"))));
    stage.done();
    stage.gone(conn);
    assert_eq!(stage.done(), ["0: closed c0"]);
    stage.hears(0, &Down::Ended { conn });
    assert_eq!(stage.table.clients(), 0);
}

#[test]
fn joins_that_are_asked_again_together_fit_what_a_node_takes_at_once() {
    let mut stage = Stage::new();
    let conn = stage.live_with(1_000);
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

#[test]
fn rights_that_cannot_be_read_end_the_client_and_no_link() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.homes.insert("far".into(), 1);
    stage.joined(1, conn, "far", 1, 4);
    stage.ask(conn, r#"{"t":"auth","id":1,"token":"t"}"#);
    stage.done();
    stage.hears(0, &Down::Renewed { conn, ticket: "unreadable" });
    assert_eq!(stage.done(), ["c0 is unreadable", "c0 closes 1012"]);
}

#[test]
fn credit_goes_back_to_the_nodes_that_it_is_owed_to() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.homes.insert("far".into(), 1);
    stage.joined(1, conn, "far", 1, 0);
    stage.credit(conn, 0);
    stage.done();
    stage.hears(0, &send(conn, None, &[b'x'; 100]));
    stage.hears(1, &send(conn, None, &[b'x'; 50]));
    assert_eq!(stage.table.owed(conn), 150);
    stage.done();
    stage.credit(conn, 30);
    assert_eq!(stage.done(), ["0: credit c0 100", "1: credit c0 20"]);
    assert_eq!(stage.table.owed(conn), 30);
    stage.credit(conn, 30);
    assert!(stage.done().is_empty());
}

#[test]
fn a_client_in_one_room_takes_little() {
    let mut stage = Stage::new();
    for _ in 0..1_000 {
        let conn = stage.live();
        stage.joined(0, conn, "r", 1, 7);
        stage.credit(conn, 0);
    }
    let bytes = stage.table.bytes();
    assert!(bytes <= 1_000 * 200, "{} a client", bytes / 1_000);
}

#[test]
fn what_a_node_may_not_say_ends_its_link() {
    let nobody = ConnNo(77);
    type Case = (&'static str, fn(ConnNo) -> Down<'static>, Broken);
    let cases: &[Case] = &[
        ("a frame for nobody", |_| send(ConnNo(77), None, b"x"), Broken::UnknownConnection),
        ("an answer that nobody waits for", |conn| Down::Opened { conn, rooms: 1 }, Broken::NotOpening),
        ("an end that nobody asked for", |conn| Down::Ended { conn }, Broken::NotClosing),
        ("a cast to no room", |_| cast(9, 1, Exclude::Nobody), Broken::UndeclaredRoom),
        ("a place in no room", |conn| send(conn, Some(at(9, 1)), b"x"), Broken::UndeclaredRoom),
        (
            "a seat twice",
            |conn| Down::Enter { conn, room: at(1, 0).room, at: None, by_server: false },
            Broken::EnteredTwice,
        ),
        ("a cast for nobody", |_| cast(1, 1, Exclude::AllBut(vec![ConnNo(77)])), Broken::UnknownConnection),
        ("a cast for who isn't in", |conn| cast(2, 1, Exclude::AllBut(vec![conn])), Broken::NotEntered),
        (
            "another tenant's room",
            |conn| Down::Enter { conn, room: at(3, 0).room, at: None, by_server: true },
            Broken::OtherTenant,
        ),
        ("an offset of no epoch", |_| cast(4, 1, Exclude::Nobody), Broken::NoEpoch),
        (
            "a number with members",
            |_| Down::Room(declared(1, "t", "another", Some("e"))),
            Broken::NumberInUse,
        ),
        (
            "a number too big",
            |_| Down::Room(declared(u32::MAX, "t", "another", Some("e"))),
            Broken::RoomNumber,
        ),
    ];
    for (what, say, broken) in cases {
        let mut stage = Stage::new();
        let conn = stage.live();
        assert_ne!(conn, nobody);
        stage.joined(0, conn, "r", 1, 0);
        stage.hears(0, &Down::Room(declared(2, "t", "other", Some("e"))));
        stage.hears(0, &Down::Room(declared(3, "u", "r", Some("e"))));
        stage.hears(0, &Down::Room(declared(4, "t", "bare", None)));
        assert_eq!(stage.tell(0, &say(conn)), Err(*broken), "{what}");
        stage.lose(0);
        assert_eq!(stage.work(), Work::Done, "{what}");
    }
}
