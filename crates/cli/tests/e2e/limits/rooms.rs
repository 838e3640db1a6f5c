//! What a room may take, whoever gives it: from members on its own node, on another one, and over HTTP.

use super::*;

const CLASSES: &str = "
[[classes]]
rooms = \"slow.**\"
limits = { publish_per_second = 1, publish_burst = 5 }
[[classes]]
rooms = \"small.**\"
limits = { members = 2 }
";

#[test]
fn a_room_takes_as_many_publications_as_it_may_from_all_together() {
    let cluster = cluster(&[("acme", "")], CLASSES);
    let gateway = cluster.gateway();
    let homes = rooms(gateway, "acme", "home");
    for (n, room) in rooms(gateway, "acme", "slow.r").iter().enumerate() {
        // One on the room's node, one on the other; neither alone is over.
        let mut here = enter(gateway, "acme", "ann", &homes[n]);
        let mut there = enter(gateway, "acme", "bob", &homes[1 - n]);
        let mut listener = enter(gateway, "acme", "eve", &homes[1 - n]);
        assert_eq!(listener.ask(&json!({"t": "join", "id": 1, "room": room}))["t"], "ok");
        assert_eq!(publish(&mut here, room, 3, 10), [None, None, None]);
        let answers = publish(&mut there, room, 6, 10);
        let accepted = 3 + answers.iter().filter(|answer| answer.is_none()).count();
        let (first, refusal) = until_refused(answers);
        assert!((2..6).contains(&first), "{first}");
        assert_eq!(refusal, Refused::with_retry("limit_rate"));
        let (_, refusal) = until_refused(publish(&mut here, room, 6, 11));
        assert_eq!(refusal, Refused::with_retry("limit_rate"));
        let refused = (0..20).map(|_| call(gateway, "acme", room, 12)).find(|answer| answer.status != 200);
        let refused = Refused::of(&refused.expect("one is refused"));
        assert_eq!(refused, Refused::with_retry("limit_rate"), "over HTTP");
        // What was accepted is numbered without a hole.
        for offset in 1..=accepted as u64 {
            assert_eq!(listener.hear()["offset"], offset);
        }
        // Another room isn't concerned, and this one not for long.
        assert_eq!(publish(&mut there, "free", 20, 10), [const { None }; 20]);
        is_let_through(&mut there, room);
    }
}

#[test]
fn a_room_has_as_many_members_as_it_may() {
    let cluster = cluster(&[("acme", "")], CLASSES);
    let gateway = cluster.gateway();
    let [room, _] = rooms(gateway, "acme", "small.r");
    let mut inside: Vec<Bare> = (0..2).map(|_| enter(gateway, "acme", "ann", &room)).collect();
    // As a home room, and asked for; the connection stays.
    let mut third = try_enter(gateway, &way("acme", "bob", &room)).unwrap();
    let left = third.hear();
    assert_eq!((&left["t"], &left["code"]), (&json!("left"), &json!("limit_connections")), "{left}");
    assert!(left["retry"].as_u64().is_some(), "{left}");
    let join = json!({"t": "join", "id": 1, "room": room});
    assert_eq!(Refused::of_frame(&third.ask(&join)), Refused::with_retry("limit_connections"));
    assert_eq!(third.ask(&json!({"t": "join", "id": 2, "room": "small.other"}))["t"], "ok");
    inside.iter_mut().for_each(Bare::is_alive);
    // Whoever leaves makes room, and so does who is gone.
    assert_eq!(inside[0].ask(&json!({"t": "leave", "id": 3, "room": room}))["t"], "ok");
    until("a place", SOON, || (third.ask(&join)["t"] == "ok").then_some(()));
    assert_eq!(Refused::of_frame(&inside[0].ask(&join)), Refused::with_retry("limit_connections"));
    inside.pop().unwrap().reset();
    until("a place", SOON, || (inside[0].ask(&join)["t"] == "ok").then_some(()));
}
