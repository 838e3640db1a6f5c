//! Clients come and go, and nodes with them.

use ringway_link::{Cast, Down, Exclude, RoomNo};

use super::stage::{Stage, declared, room, send};
use crate::relay::table::{Flow, NodeNo};

#[test]
fn a_client_is_opened_begins_and_is_told_by_its_home() {
    let mut stage = Stage::new();
    let conn = stage.table.add(&stage.tenant.clone(), Some(&room("home")));
    stage.open(conn, 0);
    assert_eq!(stage.done(), ["0: open c0 Home"]);
    stage.hears(0, &Down::Opened { conn });
    assert_eq!(stage.done(), ["c0 opened"]);
    stage.begin(conn, &["home"]);
    assert_eq!(stage.done(), ["0: begin c0"]);
    stage.hears(0, &send(conn, None, b"hello"));
    assert_eq!(stage.done(), ["c0: hello"]);
    stage.gone(conn);
    assert_eq!(stage.done(), ["0: closed c0"]);
    assert_eq!(stage.table.clients(), 1);
    stage.hears(0, &Down::Ended { conn });
    assert_eq!((stage.table.clients(), stage.table.uses(NodeNo(0))), (0, false));
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
    stage.hears(0, &Down::Opened { conn });
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
fn a_client_that_begins_when_its_node_is_lost_begins_at_another() {
    let mut stage = Stage::new();
    let conn = stage.table.add(&stage.tenant.clone(), None);
    stage.open(conn, 0);
    stage.hears(0, &Down::Opened { conn });
    stage.down(0);
    stage.lose(0);
    stage.work();
    stage.done();
    stage.begin(conn, &["r"]);
    assert_eq!(stage.done(), ["1: open c0 Home", "1: begin c0"]);
    stage.hears(1, &Down::Opened { conn });
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
    assert!(!stage.table.uses(NodeNo(0)) && !stage.table.is_empty());
    stage.done();
    stage.lose(0);
    assert!(stage.table.is_empty() && stage.done().is_empty());
}

#[test]
fn further_nodes_that_a_client_has_nothing_to_do_with_are_closed() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.homes.insert("far".into(), 1);
    stage.ask(conn, r#"{"t":"pub","room":"far","data":1}"#);
    stage.hears(1, &Down::Opened { conn });
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
fn whom_its_node_closes_is_in_no_room_there() {
    let mut stage = Stage::new();
    let conn = stage.live();
    stage.joined(0, conn, "home", 1, 4);
    stage.hears(0, &Down::Close { conn, code: 4401, reason: "expired".into() });
    // The node may name it for a moment still.
    let but = Exclude::AllBut(vec![conn]);
    let cast = Cast { room: RoomNo(1), offset: Some(5), ts: 5, key: None, but, json: b"5", msgpack: b"" };
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
