//! What goes to clients: to whom, where they are then, and what that is worth.

use ringway_link::{Down, Exclude};

use super::stage::{Stage, at, cast, send};

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
