//! Publications that wait to leave together: they do, in order, and nothing else waits.

use std::io::Read;
use std::net::SocketAddr;

use ringway_testkit::processes::Process;
use serde_json::{Value, json};

use super::{OPEN, launcher};
use crate::bare::{self, Bare};

/// As long as it may be: what is within it on an idle machine is so on a busy one, nearly always.
const CLASSES: &str = r#"
[[classes]]
rooms = "windowed.**"
flush_window = "1s"
"#;

/// A busy machine may stand still for longer than the window: then it is tried again.
const TRIES: usize = 10;

const BURST: usize = 20;

fn serve() -> (Process, ringway_testkit::processes::Launcher) {
    let mut launcher = launcher(&format!("{OPEN}{CLASSES}"));
    (launcher.serve(&[]), launcher)
}

/// A connection without a home room, its hello read.
fn publisher(to: SocketAddr) -> Bare {
    let mut bare = Bare::upgraded(to, "/v1/ws", &[]);
    bare.until(|frame| frame["t"] == "hello");
    bare
}

/// Publishes, and waits for each answer: the one before has been given to the room's members then.
fn publish(from: &mut Bare, room: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let answer = from.ask(&json!({"t": "pub", "id": number + 1, "room": room, "data": number}));
        assert_eq!(answer["t"], "ok", "{answer}");
    }
}

/// What one read of the socket brings, the server's pings apart; it waits for something to come.
fn one_read(member: &Bare) -> Vec<Value> {
    let mut part = vec![0; 64 * 1024];
    let count = member.socket().read(&mut part).unwrap();
    let (mut rest, mut frames) = (&part[..count], Vec::new());
    while let Some((came, used)) = bare::parse(rest) {
        rest = &rest[used..];
        if came.first == 0x81 {
            let frame: Value = serde_json::from_slice(&came.payload).unwrap();
            frames.extend((frame["t"] != "ping").then_some(frame));
        }
    }
    assert!(rest.is_empty(), "a write ends with a frame");
    frames
}

/// Nothing is there yet.
fn nothing_came(member: &Bare) -> bool {
    member.socket().set_nonblocking(true).unwrap();
    let peeked = member.socket().peek(&mut [0]);
    member.socket().set_nonblocking(false).unwrap();
    peeked.is_err()
}

fn numbers(frames: &[Value]) -> Vec<usize> {
    let of = |frame: &Value| frame["data"].as_u64().unwrap_or_else(|| panic!("{frame}")) as usize;
    frames.iter().map(of).collect()
}

#[test]
fn a_burst_leaves_as_one_write_in_order() {
    let (serve, _launcher) = serve();
    for attempt in 0.. {
        let room = format!("windowed.{attempt}");
        let member = Bare::in_room(serve.listen, &room);
        let mut publisher = publisher(serve.listen);
        publish(&mut publisher, &room, 0..BURST);
        let all_waited = nothing_came(&member);
        let mut heard = Vec::new();
        let mut reads = 0;
        while heard.len() < BURST {
            heard.extend(one_read(&member));
            reads += 1;
        }
        assert_eq!(numbers(&heard), Vec::from_iter(0..BURST), "whatever the time");
        if all_waited && reads == 1 {
            return;
        }
        assert!(attempt < TRIES, "{reads} reads, all waited: {all_waited}");
    }
}

#[test]
fn what_else_is_due_takes_along_what_waits() {
    let (serve, _launcher) = serve();
    let mut publisher = publisher(serve.listen);
    for attempt in 0.. {
        let room = format!("windowed.{attempt}");
        let mut member = Bare::in_room(serve.listen, &room);
        let bystander = Bare::in_room(serve.listen, &room);
        let (plain, other) = (format!("plain.{attempt}"), format!("windowed.{attempt}.other"));
        let mut wrong = Vec::new();
        let mut begin = 0;
        for ask in [
            json!({"t": "pub", "id": 100, "room": room, "data": 700, "echo": false}),
            json!({"t": "join", "id": 101, "room": plain}),
            json!({"t": "ping", "id": 102}),
            json!({"t": "join", "id": 103, "room": other}),
            json!({"t": "leave", "id": 104, "room": other}),
        ] {
            publish(&mut publisher, &room, begin..begin + 3);
            let waited = nothing_came(&member);
            member.say(&ask);
            let heard: Vec<Value> = (0..4).map(|_| member.hear()).collect();
            assert_eq!(numbers(&heard[..3]), Vec::from_iter(begin..begin + 3), "before the answer to {ask}");
            assert_eq!(heard[3]["id"], ask["id"], "{heard:?}");
            if !waited || !nothing_came(&bystander) {
                wrong.push(ask);
            }
            // Who doesn't ask for anything has it all when the window is over.
            let last = if begin == 0 { 700 } else { begin + 2 };
            while numbers(&one_read(&bystander)).last() != Some(&last) {}
            begin += 3;
        }
        // A publication of a room without a window does so, too.
        publish(&mut publisher, &room, begin..begin + 3);
        publish(&mut publisher, &plain, 900..901);
        let heard: Vec<Value> = (0..4).map(|_| member.hear()).collect();
        assert_eq!(numbers(&heard), [begin, begin + 1, begin + 2, 900]);
        if wrong.is_empty() && nothing_came(&bystander) {
            return;
        }
        assert!(attempt < TRIES, "the others' windows were over early: {wrong:?}");
    }
}
