//! The table by hand: what each end is told in the cases that have a name, and what a node may not say.

mod asking;
mod casting;
mod hostile;
mod moving;
mod opening;
mod stage;

use ringway_link::{ConnNo, Down, Exclude, Exit};

use super::{Broken, Work};
use stage::{Stage, at, cast, declared, send};

#[test]
fn what_a_node_may_not_say_ends_its_link() {
    let nobody = ConnNo(77);
    type Case = (&'static str, fn(ConnNo) -> Down<'static>, Broken);
    let cases: &[Case] = &[
        ("a frame for nobody", |_| send(ConnNo(77), None, b"x"), Broken::UnknownConnection),
        ("an answer that nobody waits for", |conn| Down::Opened { conn }, Broken::NotOpening),
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

#[test]
fn a_room_has_one_number_at_a_time() {
    let mut stage = Stage::new();
    let [first, second] = [stage.live(), stage.live()];
    stage.joined(0, first, "r", 1, 0);
    // Another tenant's of that name is another room.
    stage.hears(0, &Down::Room(declared(2, "u", "r", Some("e"))));
    stage.hears(0, &Down::Room(declared(3, "t", "r", Some("e"))));
    let enter = Down::Enter { conn: second, room: at(3, 0).room, at: None, by_server: true };
    assert_eq!(stage.tell(0, &enter), Err(Broken::TwoNumbers));
    stage.hears(0, &Down::Exit { conn: first, room: "r".parse().unwrap(), why: Exit::Left });
    assert_eq!(stage.tell(0, &enter), Ok(()));
    stage.done();
    stage.hears(0, &cast(3, 1, Exclude::Nobody));
    assert_eq!(stage.done().len(), 1);
}
