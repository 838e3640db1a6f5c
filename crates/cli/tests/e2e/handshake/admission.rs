//! Who comes in, and how the others hear that they don't.

use ringway_auth::TicketKey;
use ringway_testkit::wait::until;
use serde_json::json;

use super::{JWT, SECRET, World, bearer, now, token_of};
use crate::bare::{Bare, SOON, upgrade};

#[test]
fn only_the_tenants_own_pages_come_in() {
    let world = World::jwt();
    let (acme, open) = (bearer(&token_of("acme", "ann", 60)), bearer(&token_of("open", "ann", 60)));
    for door in world.doors() {
        for origins in [
            &[] as &[&str],
            &["https://a.example"],
            &["https://a.example:443"],
            &["HTTPS://A.Example"],
            &["https://[::1]:8443"],
        ] {
            let lines: Vec<String> = origins.iter().map(|origin| format!("Origin: {origin}")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).chain([&*acme]).collect();
            door.enter("room=r", &lines);
        }
        for origins in [
            &["http://a.example"] as &[&str],
            &["http://a.example:443"],
            &["https://a.example:444"],
            &["https://a.example.evil"],
            &["https://evil.a.example"],
            &["https://evil?https://a.example"],
            &["https://a.example@evil"],
            &["https://a.example/"],
            &["https://a.example, https://a.example"],
            &["a.example"],
            &["null"],
            &[""],
            &["https://b\u{fc}cher.example"],
        ] {
            let lines: Vec<String> = origins.iter().map(|origin| format!("Origin: {origin}")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).chain([&*acme]).collect();
            let target = door.target("room=r", &[&acme]);
            assert_eq!(
                door.says(&target, &lines),
                ("bad_origin".into(), 403, 4403),
                "{}: {origins:?}",
                door.name
            );
        }
        // Two are two opinions about one request: malformed.
        let target = door.target("room=r", &[&acme]);
        let twice = upgrade(&target, &["Origin: https://a.example", "Origin: https://a.example", &acme]);
        assert_eq!(door.refused(twice).status, 400, "{}", door.name);
        // A tenant that names none admits every page: a token says who somebody is, and no page has another's.
        for origin in ["Origin: https://b.example", "Origin: null", "Origin: https://b\u{fc}cher.example"] {
            let target = door.target("room=r", &[&open]);
            let mut bare = Bare::upgraded(door.address, &target, &[origin, &open]);
            assert_eq!(bare.hear()["t"], "hello", "{} {origin}", door.name);
        }
    }
}

#[test]
fn a_query_means_what_is_written_or_is_refused() {
    let world = World::open();
    let long = format!("room={}", "x".repeat(256));
    for door in &world.doors()[..2] {
        for (query, code) in [
            ("room=%zz", "bad_request"),
            ("room=%", "bad_request"),
            ("room=%FF", "bad_request"),
            ("room=a&room=b", "bad_request"),
            ("room=a&room=a", "bad_request"),
            ("room=a&x&x", "bad_request"),
            ("room=a&since=e:1&since=e:1", "bad_request"),
            ("room=a&client=", "bad_request"),
            ("room=a&client=a%0Ab", "bad_request"),
            ("room=a&tenant=A", "bad_request"),
            ("room=a&user=", "bad_request"),
            ("room=a&user=%00", "bad_request"),
            ("room=", "bad_room"),
            ("room", "bad_room"),
            ("?&&=&room", "bad_room"),
            ("room=%00", "bad_room"),
            ("room=a%0D%0AX", "bad_room"),
            ("room=%C2%85", "bad_room"),
            (&long, "bad_room"),
            ("room=a&since=", "bad_since"),
            ("room=a&since=e", "bad_since"),
            ("room=a&since=e:-1", "bad_since"),
            ("room=a&since=e:1:2:3", "bad_since"),
            ("room=a&since=e_:1", "bad_since"),
            ("room=a&since=e:9007199254740992", "bad_since"),
            ("since=e:1", "bad_since"),
        ] {
            // Plainly, whether or not a subprotocol was offered: no page that works sends it.
            for lines in [&[] as &[&str], &["Sec-WebSocket-Protocol: ringway.v1.json"]] {
                let mut bare = Bare::open(door.address);
                bare.send(upgrade(&format!("/v1/ws?{query}"), lines));
                let answer = bare.answer();
                assert_eq!((answer.status, &*super::code(&answer)), (400, code), "{}: {query}", door.name);
            }
        }
    }
    let longest = format!("room={}", "x".repeat(255));
    for door in world.doors() {
        for (query, room) in [
            ("room=a%2Fb", "a/b"),
            ("room=a/b", "a/b"),
            ("room=a+b", "a b"),
            ("room=a%20b", "a b"),
            ("room=a%2Bb", "a+b"),
            ("room=a%252Fb", "a%2Fb"),
            ("room=..", ".."),
            ("r%6Fom=r", "r"),
            ("x=1&room=r&Room=R&", "r"),
            ("room=%C3%A9", "\u{e9}"),
            ("room=\u{e9}", "\u{e9}"),
            (&longest, &longest[5..]),
        ] {
            let hello = door.enter(query, &[]);
            assert_eq!(hello["room"], room, "{}: {query}", door.name);
        }
    }
    for door in &world.doors()[..2] {
        for query in ["", "other=1", "user=ann", "client=ringway-js/1.2"] {
            assert_eq!(door.enter(query, &[]).get("room"), None, "{}: {query}", door.name);
        }
        let [mut slash, mut space] = ["a%2Fb", "a+b"].map(|room| {
            let mut bare = Bare::upgraded(door.address, &format!("/v1/ws?room={room}"), &[]);
            bare.until(|frame| frame["t"] == "joined");
            bare
        });
        for (room, name) in [(&mut space, "to the space"), (&mut slash, "to the slash")] {
            room.say(&json!({"t": "pub", "data": name}));
            assert_eq!(room.hear()["data"], name, "{}", door.name);
        }
        for room in [&mut space, &mut slash] {
            room.say(&json!({"t": "pub", "data": "again"}));
            assert_eq!(room.hear()["data"], "again", "{}: nothing of the other", door.name);
        }
    }
}

#[test]
fn refusals_are_seen_by_browsers_and_by_everybody_else() {
    let world = World::start(JWT, &[("RINGWAY_NODE__MAX_CONNECTIONS", "1")]);
    let (ann, late) = (token_of("acme", "ann", 60), token_of("acme", "ann", -60));
    let (stranger, adrift) = (token_of("nobody", "ann", 60), token_of("adrift", "ann", 60));
    let forged = format!("{}AAA", &ann[..ann.len() - 3]);
    for door in &world.doors()[..2] {
        for (token, said) in [
            ("", ("token_invalid", 401, 4401)),
            ("nonsense", ("token_invalid", 401, 4401)),
            (&forged, ("token_invalid", 401, 4401)),
            (&late, ("expired", 401, 4401)),
            (&stranger, ("unknown_tenant", 404, 4404)),
            (&adrift, ("unavailable", 503, 1013)),
        ] {
            let line = if token.is_empty() { "X: y".to_owned() } else { bearer(token) };
            let (code, status, close) = door.says("/v1/ws?room=r", &[&line]);
            assert_eq!((&*code, status, close), said, "{}: {token}", door.name);
            if !token.is_empty() {
                let line = format!("Sec-WebSocket-Protocol: ringway.v1.json, bearer.{token}");
                let mut bare = Bare::upgraded(door.address, "/v1/ws?room=r", &[&line]);
                assert_eq!(bare.close_frame().0, said.2, "{}: {token}", door.name);
            }
        }
        assert_eq!(door.says("/v1/ws?room=r&token=x", &[]).0, "token_invalid", "not in the URL");
    }
    // The one connection that the node takes, and the next.
    let [gateway, _, direct] = world.doors();
    let ann = bearer(&ann);
    let (first, second) = (direct.target("room=r", &[&ann]), direct.target("room=r", &[&ann]));
    let mut inside = Bare::upgraded(direct.address, &first, &[]);
    assert_eq!(inside.hear()["t"], "hello");
    assert_eq!(direct.says(&second, &[]), ("limit_connections".into(), 503, 1013));
    assert_eq!(gateway.says("/v1/ws?room=r", &[&ann]), ("unavailable".into(), 503, 1013));
    inside.is_alive();
    drop(inside);
    // Once there is room again, the ticket that was turned away is as good as before.
    until("a place", SOON, || {
        let mut bare = Bare::open(direct.address);
        bare.send(upgrade(&second, &[]));
        (bare.answer().status == 101).then_some(())
    });
}

#[test]
fn who_passes_headers_on_is_not_believed() {
    let world = World::open();
    for door in world.doors() {
        let lines = [
            "X-Forwarded-For: 203.0.113.7",
            "X-Forwarded-For: 203.0.113.8, 203.0.113.9",
            "X-Forwarded-Proto: https",
            "X-Real-IP: 203.0.113.10",
            "Forwarded: for=203.0.113.11",
        ];
        let mut bare = Bare::upgraded(door.address, &door.target("room=r", &lines), &lines);
        assert_eq!(bare.hear()["t"], "hello", "{}", door.name);
        bare.is_alive();
    }
    let target = world.doors()[2].target("room=r", &["X-Forwarded-For: 203.0.113.7"]);
    let ticket =
        TicketKey::new(SECRET.as_bytes()).open(target.split_once("ticket=").unwrap().1, now()).unwrap();
    assert!(ticket.peer.starts_with("127.0.0.1:"), "the peer is who is there: {}", ticket.peer);
    for process in world.processes() {
        assert!(!process.log().contains("203.0.113"), "{}", process.log());
    }
}
