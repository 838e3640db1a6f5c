//! What is an upgrade, and what isn't.

use std::time::{Duration, Instant};

use ringway_protocol::{Format, ServerFrame};
use serde_json::json;

use super::{World, bearer, code, token_of};
use crate::alive::Alive;
use crate::bare::{Bare, KEY, SOON, text, upgrade};

#[test]
fn lists_and_case_of_headers_do_not_matter() {
    let world = World::jwt();
    let token = token_of("acme", "ann", 60);
    for door in world.doors() {
        for lines in [
            vec![format!("Sec-WebSocket-Protocol: bearer.{token} ,ringway.v1.msgpack")],
            vec![
                format!("Sec-WebSocket-Protocol: bearer.{token}"),
                "Sec-WebSocket-Protocol: ringway.v1.msgpack".into(),
            ],
            vec![
                "sec-websocket-PROTOCOL: chat,\t ,ringway.v1.msgpack, ringway.v1.json".into(),
                bearer(&token),
            ],
        ] {
            let target = door.target("room=r", &[&bearer(&token)]);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mut bare = Bare::open(door.address);
            bare.send(upgrade(&target, &lines).as_bytes());
            let answer = bare.answer();
            assert_eq!(answer.status, 101, "{}: {answer:?}", door.name);
            assert_eq!(answer.header("sec-websocket-protocol"), Some("ringway.v1.msgpack"), "{}", door.name);
            assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
            assert!(answer.headers.iter().all(|(_, value)| !value.contains("bearer")), "{answer:?}");
            let ServerFrame::Hello(hello) = bare.hear_as(Format::Msgpack) else {
                panic!("{}: no hello first", door.name)
            };
            assert_eq!(hello.user.unwrap().as_str(), "ann", "the token was used");
        }
        for (from, to) in [
            ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
            ("Connection: Upgrade", "connection: keep-alive\r\nCONNECTION: uPGRADE"),
            ("Upgrade: websocket", "Upgrade: WebSocket"),
            ("Upgrade: websocket", "upgrade: h2c, WEBSOCKET"),
            ("Upgrade: websocket", "Upgrade: websocket\r\nContent-Length: 0"),
        ] {
            let ann = bearer(&token);
            let request = upgrade(&door.target("room=r", &[&ann]), &[&ann]).replace(from, to);
            let mut bare = Bare::open(door.address);
            bare.send(request.as_bytes());
            assert_eq!(bare.answer().status, 101, "{}: {to}", door.name);
            assert_eq!(bare.hear()["user"], "ann");
        }
    }
}

#[test]
fn what_is_no_upgrade_is_refused_plainly_and_nobody_notices() {
    let world = World::open();
    let others =
        [Alive::watch(world.gateway.listen, "{r}.others"), Alive::watch(world.serve.listen, "{r}.others")];
    let opened = world.opened();
    let long = format!("X: {}\r\nUpgrade: websocket", "y".repeat(70_000));
    let many = (0..2_000).map(|n| format!("X{n:05}: 12\r\n")).collect::<String>() + "Upgrade: websocket";
    let key = |key: &str| format!("Sec-WebSocket-Key: {key}");
    let good_key = key(KEY);
    let twice = format!("{good_key}\r\n{good_key}");
    for door in world.doors() {
        // Nothing of it is used up: a refused request touches no ticket.
        let target = door.target("room=%7Br%7D", &[]);
        let good = upgrade(&target, &["Sec-WebSocket-Protocol: ringway.v1.json"]);
        let absolute = format!("GET http://localhost{target} ");
        for (from, to, behind, status) in [
            // The key: absent, empty, 15 bytes, 17 bytes, not base64 of 24 characters, twice.
            (&*good_key, "X: y", "", 400),
            (&good_key, &key(""), "", 400),
            (&good_key, &key("AAAAAAAAAAAAAAAAAAAA"), "", 400),
            (&good_key, &key("AAAAAAAAAAAAAAAAAAAAAAA="), "", 400),
            (&good_key, &key("!!!!!!!!!!!!!!!!!!!!!!=="), "", 400),
            (&good_key, &twice, "", 400),
            // More than a head may hold.
            ("Upgrade: websocket", &many, "", 431),
            ("Upgrade: websocket", &long, "", 431),
            // No head at all.
            ("Host: localhost", "Host: localhost\r\n folded", "", 400),
            ("Host: localhost", "Host: localhost\r\nX: a\0b", "", 400),
            ("Host: localhost", "Host: localhost\r\nX : y", "", 400),
            ("Host: localhost", "Host: localhost\r\nno colon", "", 400),
            // Another method, another version, another form of the target.
            ("GET ", "POST ", "", 405),
            ("GET ", "PUT ", "", 405),
            ("HTTP/1.1", "HTTP/1.0", "", 505),
            ("HTTP/1.1", "HTTP/2.0", "", 400),
            (&format!("GET {target} "), &absolute, "", 400),
            ("GET /", "GET ", "", 400),
            // A body, announced in any way.
            ("Upgrade: websocket", "Content-Length: 5\r\nUpgrade: websocket", "12345", 400),
            (
                "Upgrade: websocket",
                "Transfer-Encoding: chunked\r\nUpgrade: websocket",
                "5\r\n12345\r\n0\r\n\r\n",
                400,
            ),
            (
                "Upgrade: websocket",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket",
                "5\r\n12345\r\n0\r\n\r\n",
                400,
            ),
            (
                "Upgrade: websocket",
                "Expect: 100-continue\r\nContent-Length: 5\r\nUpgrade: websocket",
                "",
                400,
            ),
            ("Upgrade: websocket", "Expect: 100-continue\r\nUpgrade: websocket", "", 400),
            // No upgrade, or not to what we speak.
            ("Upgrade: websocket\r\n", "", "", 426),
            ("Upgrade: websocket", "Upgrade: h2c", "", 426),
            ("Connection: Upgrade", "Connection: keep-alive", "", 400),
            ("Version: 13", "Version: 8", "", 426),
            ("Version: 13", "Version: 13, 8", "", 426),
            ("Sec-WebSocket-Version: 13\r\n", "", "", 426),
            ("ringway.v1.json", "chat", "", 400),
            ("ringway.v1.json", "ringway.v2.json", "", 400),
            ("ringway.v1.json", "RINGWAY.V1.JSON", "", 400),
            ("ringway.v1.json", "bearer.x", "", 400),
            ("ringway.v1.json", "ringway.v1.json, a b", "", 400),
            // Who is meant?
            ("Host: localhost\r\n", "", "", 400),
            ("Host: localhost", "Host: a\r\nHost: b", "", 400),
            ("Host: localhost", "Host: a b", "", 400),
        ] {
            assert!(good.contains(from), "{from}");
            let request = good.replacen(from, to, 1) + behind;
            let answer = door.refused(&request);
            assert_eq!(answer.status, status, "{}: {to}: {answer:?}", door.name);
            // What isn't HTTP, or no head at all, is answered below anything that knows of codes.
            if !answer.body.is_empty() {
                assert_eq!(code(&answer), "bad_request", "{}: {to}", door.name);
            }
            match status {
                405 => assert_eq!(answer.header("allow"), Some("GET")),
                426 => assert_eq!(answer.header("sec-websocket-version"), Some("13")),
                _ => {}
            }
        }
        let mut bare = Bare::open(door.address);
        let _ = bare.try_send(upgrade(&format!("/v1/ws?room={}", "x".repeat(70_000)), &[]));
        assert_eq!(bare.answer().status, 431, "{}", door.name);
        for nonsense in [
            "hello\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
            "GET\r\n\r\n",
            "\0\0\0\0",
        ] {
            let mut bare = Bare::open(door.address);
            bare.send(nonsense);
            let status = bare.try_answer().map_or(400, |answer| answer.status);
            assert_eq!(status, 400, "{}: {nonsense:?}", door.name);
            assert!(bare.ends_within(Duration::from_secs(1)), "{}: {nonsense:?}", door.name);
        }
        let mut bare = Bare::open(door.address);
        bare.send(upgrade("/v1/nothing", &[]));
        let answer = bare.answer();
        assert_eq!((answer.status, &*code(&answer)), (404, "not_found"), "{}", door.name);
    }
    assert_eq!(world.opened(), opened, "no node has seen a connection");
    for others in others {
        others.undisturbed(&world.processes());
    }
}

#[test]
fn header_values_outside_ascii_are_nobodys_trouble() {
    let world = World::open();
    for door in world.doors() {
        for value in ["Zo\u{eb}".as_bytes(), b"Zo\xeb", b"Zo\t\xff\xfe"] {
            for name in ["User-Agent", "Origin", "X-Forwarded-For", "Traceparent", "Cookie"] {
                let good = upgrade(&door.target("room=r", &[]), &[]);
                let head = good.strip_suffix("\r\n").unwrap().as_bytes();
                let request = [head, name.as_bytes(), b": ", value, b"\r\n\r\n"].concat();
                let mut bare = Bare::open(door.address);
                bare.send(request);
                assert_eq!(bare.answer().status, 101, "{} {name}: {value:x?}", door.name);
                assert_eq!(bare.hear()["t"], "hello");
            }
            // Where text is due and there is none, that is said; it is nobody's fault but the client's.
            for name in ["Authorization", "Sec-WebSocket-Protocol", "Ringway-Session", "Sec-WebSocket-Key"] {
                let line = format!("{name}: ");
                let good = upgrade(&door.target("room=r", &[]), &[])
                    .replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), "");
                let key = if name == "Sec-WebSocket-Key" {
                    String::new()
                } else {
                    format!("Sec-WebSocket-Key: {KEY}\r\n")
                };
                let head = good.strip_suffix("\r\n").unwrap().to_owned() + &key;
                let answer = door.refused([head.as_bytes(), line.as_bytes(), value, b"\r\n\r\n"].concat());
                assert_eq!(
                    (answer.status, &*code(&answer)),
                    (400, "bad_request"),
                    "{} {name}: {value:x?}",
                    door.name
                );
            }
        }
    }
    for process in world.processes() {
        // Read as bytes that aren't UTF-8 the log would be empty.
        assert!(process.log().contains("serves"), "{}", process.name);
        assert!(!process.log().contains("Zo"), "{}", process.log());
    }
}

#[test]
fn frames_may_come_in_one_piece_with_the_upgrade() {
    let world = World::jwt();
    let ann = bearer(&token_of("acme", "ann", 60));
    for door in world.doors() {
        let mut member = Bare::upgraded(door.address, &door.target("room=early", &[&ann]), &[&ann]);
        member.until(|frame| frame["t"] == "joined");
        let frames = [
            text(r#"{"t":"pub","id":1,"data":"one"}"#),
            text(r#"{"t":"join","id":2,"room":"second"}"#),
            text(r#"{"t":"pub","id":3,"room":"second","data":"two"}"#),
        ]
        .concat();
        let request = upgrade(&door.target("room=early", &[&ann]), &[&ann]);
        let whole = [request.as_bytes(), &frames].concat();
        // In one segment, and cut where it hurts: within the head, between head and frames, within a frame.
        for cut in [whole.len(), request.len() - 1, request.len(), request.len() + 1, request.len() + 9] {
            let whole = match door.tickets {
                None => whole.clone(),
                Some(_) => {
                    [upgrade(&door.target("room=early", &[&ann]), &[&ann]).as_bytes(), &frames].concat()
                }
            };
            let mut bare = Bare::open(door.address);
            bare.send(&whole[..cut]);
            bare.send(&whole[cut..]);
            assert_eq!(bare.answer().status, 101, "{}: cut at {cut}", door.name);
            assert_eq!(bare.hear()["t"], "hello", "first, always");
            let mut answers = Vec::new();
            while answers.len() < 3 {
                let frame = bare.hear();
                answers.extend(frame["id"].as_u64().filter(|_| frame["t"] == "ok"));
            }
            answers.sort_unstable();
            assert_eq!(answers, [1, 2, 3], "{}", door.name);
            assert_eq!(member.hear()["data"], "one", "{}: published", door.name);
            // Once, and nothing of who is refused.
            for (target, lines) in [
                ("/v1/ws?room=early", "X: y"),
                ("/v1/ws?room=early", "Sec-WebSocket-Protocol: ringway.v1.json"),
            ] {
                let mut refused = Bare::open(door.address);
                refused.send([upgrade(target, &[lines]).as_bytes(), &frames].concat());
                refused.answer();
                assert!(refused.ends_within(SOON), "{}", door.name);
            }
            bare.ask(&json!({"t": "pub", "id": 4, "data": "end"}));
            assert_eq!(member.hear()["data"], "end", "{}: published once", door.name);
        }
    }
}

#[test]
fn a_handshake_that_never_ends_is_cut_off_after_ten_seconds() {
    let world = World::open();
    let began = Instant::now();
    let mut waiting = Vec::new();
    for door in world.doors() {
        let good = upgrade("/v1/ws?room=r", &[]);
        for beginning in ["", "G", "GET /v1/ws?room=r HTTP/1.1\r\n", &good[..good.len() - 2]] {
            let mut bare = Bare::open(door.address);
            bare.send(beginning);
            waiting.push((format!("{} after {beginning:?}", door.name), bare, false));
        }
        // Some bytes now and then don't buy time.
        waiting.push((format!("{}, dripping", door.name), Bare::open(door.address), true));
        // Nor does a request that was answered.
        let mut bare = Bare::open(door.address);
        bare.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(bare.answer().status, 404);
        waiting.push((format!("{}, after an answer", door.name), bare, false));
    }
    let others = Alive::watch(world.gateway.listen, "others");
    while began.elapsed() < Duration::from_millis(8_500) {
        for (name, bare, drips) in &mut waiting {
            assert!(
                bare.is_silent_for(Duration::from_millis(10)),
                "{name}: ended after {:?}",
                began.elapsed()
            );
            if *drips {
                bare.send("X");
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let deadline = began + Duration::from_secs(12);
    for (name, bare, _) in &mut waiting {
        assert!(bare.ends_within(deadline.saturating_duration_since(Instant::now())), "{name}: still open");
    }
    others.undisturbed(&world.processes());
}

#[test]
fn an_upgrade_may_follow_other_requests() {
    let world = World::open();
    for door in &world.doors()[..2] {
        let call = format!("GET /v1/locate?room=r HTTP/1.1\r\nHost: {}\r\n\r\n", door.address);
        let whole = [
            call.as_bytes(),
            call.as_bytes(),
            upgrade("/v1/ws?room=r", &[]).as_bytes(),
            &text(r#"{"t":"ping","id":1}"#),
        ]
        .concat();
        // One after the other, and all of it in one segment.
        for cut in [call.len(), whole.len()] {
            let mut bare = Bare::open(door.address);
            bare.send(&whole[..cut]);
            assert_eq!(bare.answer().status, 200, "{}", door.name);
            bare.send(&whole[cut..]);
            assert_eq!(bare.answer().status, 200, "{}", door.name);
            assert_eq!(bare.answer().status, 101, "{}", door.name);
            assert_eq!(bare.until(|frame| frame["t"] == "ok")["id"], 1, "{}", door.name);
        }
    }
}
