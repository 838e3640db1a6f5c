//! What each request is answered, and when.

use serde_json::{Value, json};

use super::World;
use crate::bare::{Bare, SOON, close, frame, home, text, upgrade};
use crate::support::documented;

#[test]
fn a_close_ends_what_is_said_and_nothing_that_was_said_before() {
    let world = World::start();
    for (door, address) in world.doors() {
        let mut member = Bare::in_room(address, "last words");
        // One segment each: words and a close; a close and words.
        for (n, behind) in [(0, false), (1, true), (2, false), (3, true)] {
            let publish = |data: &str| text(&json!({"t": "pub", "data": format!("{n} {data}")}).to_string());
            let words = [publish("one"), publish("two"), publish("three")].concat();
            let goodbye = close(b"\x03\xe8");
            let mut bare = Bare::in_room(address, "last words");
            if behind {
                bare.send(
                    [goodbye, frame(0x89, b""), text(r#"{"t":"leave","room":"last words"}"#), words].concat(),
                );
            } else {
                bare.send([words, goodbye].concat());
            }
            let came = bare.close_frame();
            assert_eq!(came.0, 1000, "{door}: {came:?}");
            assert!(bare.ends_within(SOON));
            if !behind {
                let heard: Vec<Value> = (0..3).map(|_| member.hear()["data"].clone()).collect();
                assert_eq!(heard, [format!("{n} one"), format!("{n} two"), format!("{n} three")], "{door}");
            }
        }
        // Many words, a half of which the next read brings; with a goodbye and without one.
        for (n, last) in [(4, close(b"\x03\xe8")), (5, Vec::new())] {
            let mut bare = Bare::in_room(address, "last words");
            let words: Vec<u8> = (0..50)
                .flat_map(|m| text(&json!({"t": "pub", "data": [n, m, "x".repeat(2_000)]}).to_string()))
                .collect();
            bare.send([words, last].concat());
            bare.socket().shutdown(std::net::Shutdown::Write).unwrap();
            assert!(bare.ends_within(SOON), "{door}");
            for m in 0..50 {
                assert_eq!(member.hear()["data"].as_array().unwrap()[..2], [json!(n), json!(m)], "{door}");
            }
        }
        member.say(&json!({"t": "pub", "data": "end"}));
        assert_eq!(member.hear()["data"], "end", "{door}: nothing else was published");
    }
}

#[test]
fn whatever_comes_first_hello_is_first() {
    let world = World::start();
    let others = world.others("first");
    for (door, address) in world.doors() {
        for (junk, code) in [
            ("null", "bad_frame"),
            ("[]", "bad_frame"),
            ("42", "bad_frame"),
            (r#""x""#, "bad_frame"),
            ("{}", "bad_frame"),
            (r#"{"t":null}"#, "bad_frame"),
            (r#"{"t":"join"}"#, "bad_frame"),
            (r#"{"t":"nonsense"}"#, "unknown_frame"),
        ] {
            let mut bare = Bare::open(address);
            bare.send([upgrade(&home("{first}"), &[]).as_bytes(), &text(junk)].concat());
            assert_eq!(bare.answer().status, 101);
            assert_eq!(bare.hear()["t"], "hello", "{door}: {junk}");
            for _ in 0..3 {
                let refusal = bare.until(|frame| frame["t"] != "joined");
                assert_eq!(
                    (&refusal["t"], &refusal["code"], refusal.get("id")),
                    (&json!("err"), &json!(code), None),
                    "{door}: {junk}"
                );
                bare.send(text(junk));
            }
            bare.is_alive();
        }
    }
    world.undisturbed(others);
}

#[test]
fn joins_and_leaves_that_make_no_sense_are_told_apart() {
    let world = World::start();
    let others = world.others("sense");
    for (door, address) in world.doors() {
        let mut bare = Bare::in_room(address, "{sense}.home");
        let mut ask = |kind: &str, room: &str| {
            let answer = bare.ask(&json!({"t": kind, "id": 1, "room": room}));
            assert_eq!(answer["room"], room, "{door}: {answer}");
            match answer["code"].as_str() {
                Some(code) => {
                    assert!(documented(code).is_some(), "{code} isn't documented");
                    code.to_owned()
                }
                None => answer["t"].as_str().unwrap().to_owned(),
            }
        };
        for (kind, room, said) in [
            ("leave", "{sense}.never", "not_joined"),
            ("leave", "{sense}.never", "not_joined"),
            ("join", "{sense}.a", "ok"),
            ("join", "{sense}.a", "already_joined"),
            ("leave", "{sense}.a", "ok"),
            ("leave", "{sense}.a", "not_joined"),
            ("join", "{sense}.a", "ok"),
            // The home room: the server's join was none of the client's.
            ("join", "{sense}.home", "ok"),
            ("join", "{sense}.home", "already_joined"),
            ("leave", "{sense}.home", "ok"),
            ("leave", "{sense}.home", "not_joined"),
            ("join", "{sense}.home", "ok"),
            ("leave", "{sense}.home", "ok"),
            // What isn't built says so by its own code.
            ("history", "{sense}.a", "no_history"),
        ] {
            assert_eq!(ask(kind, room), said, "{door}: {kind} {room}");
        }
        let answer = bare.ask(&json!({"t": "state", "id": 2, "room": "{sense}.a", "state": {}}));
        assert_eq!(answer["code"], "no_presence", "{door}");
        let answer = bare.ask(&json!({"t": "call", "id": 2, "room": "{sense}.a", "data": 1, "method": "m"}));
        assert_eq!(answer["code"], "no_worker", "{door}");
        // Without an id only failures are told.
        bare.say(&json!({"t": "leave", "room": "{sense}.a"}));
        bare.say(&json!({"t": "leave", "room": "{sense}.a"}));
        let refusal = bare.hear();
        assert_eq!(
            (&refusal["t"], &refusal["code"], refusal.get("id")),
            (&json!("err"), &json!("not_joined"), None),
            "{door}"
        );
        bare.is_alive();
    }
    world.undisturbed(others);
}
