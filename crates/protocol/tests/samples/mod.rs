//! Frames for tests: one of every kind with every field, and those at the edges.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::borrow::Cow;

use ringway_protocol::frame::*;
use ringway_protocol::{ClientFrame, Code, Payload, ServerFrame};

pub fn json(text: &str) -> Payload {
    Payload::from_json(text.as_bytes()).unwrap()
}

fn name<N: for<'n> TryFrom<&'n str, Error = ringway_protocol::NameError>>(text: &str) -> N {
    N::try_from(text).unwrap()
}

fn publication(data: Payload) -> Pub {
    Pub {
        id: None,
        room: None,
        data,
        event: None,
        key: None,
        mid: None,
        echo: true,
        store: true,
        trace: None,
    }
}

fn message(data: Payload) -> Msg {
    Msg {
        id: None,
        room: Some(name("lobby")),
        data,
        offset: None,
        ts: None,
        user: None,
        event: None,
        key: None,
        mid: None,
        prev: None,
        trace: None,
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const EPOCH: &str = "0195f2c7a1b0-a3f29c51d7e0b684-5be1a07c";

pub fn client_frames() -> Vec<(&'static str, ClientFrame)> {
    vec![
        (
            "join",
            ClientFrame::Join(Join {
                id: Some(1),
                room: name("lobby"),
                since: None,
                last: None,
                state: None,
            }),
        ),
        (
            "join without an id",
            ClientFrame::Join(Join { id: None, room: name("lobby"), since: None, last: None, state: None }),
        ),
        (
            "join that resumes",
            ClientFrame::Join(Join {
                id: Some(2),
                room: name("{team7}.chat"),
                since: Some(Position { epoch: name(EPOCH), offset: 41, ts: Some(1_795_625_000_123) }),
                last: Some(20),
                state: Some(json(r#"{"typing":false}"#)),
            }),
        ),
        (
            "join that resumes, without a time",
            ClientFrame::Join(Join {
                id: Some(3),
                room: name("é😀"),
                since: Some(Position { epoch: name("e"), offset: 0, ts: None }),
                last: None,
                state: None,
            }),
        ),
        (
            "join with the newest only",
            ClientFrame::Join(Join {
                id: Some(4),
                room: name("lobby"),
                since: None,
                last: Some(1_000),
                state: None,
            }),
        ),
        ("leave", ClientFrame::Leave(Leave { id: Some(5), room: name("lobby") })),
        ("pub to the home room", ClientFrame::Pub(publication(json(r#""hi""#)))),
        (
            "pub of null",
            ClientFrame::Pub(Pub { id: Some(6), room: Some(name("lobby")), ..publication(Payload::null()) }),
        ),
        (
            "pub with everything",
            ClientFrame::Pub(Pub {
                id: Some(7),
                room: Some(name("board.1")),
                data: json(r#"{"x":1,"y":-2.5,"name":"Zoë","tags":["a",null,true]}"#),
                event: Some("moved".into()),
                key: Some(name("shape-9")),
                mid: Some("c0ffee-1".into()),
                echo: false,
                store: false,
                trace: Some(TRACE.into()),
            }),
        ),
        (
            "pub of bytes",
            ClientFrame::Pub(Pub {
                id: Some(9_007_199_254_740_991),
                room: Some(name("lobby")),
                mid: Some("m".into()),
                ..publication(Payload::from_bytes(&b"\x00\xff\x10"[..]))
            }),
        ),
        ("pub of no bytes", ClientFrame::Pub(publication(Payload::from_bytes(&b""[..])))),
        (
            "state",
            ClientFrame::State(State {
                id: Some(8),
                room: Some(name("lobby")),
                state: json(r#"{"typing":true}"#),
            }),
        ),
        ("state that clears it", ClientFrame::State(State { id: None, room: None, state: Payload::null() })),
        (
            "members",
            ClientFrame::Members(Members {
                id: Some(9),
                room: Some(name("lobby")),
                after: None,
                limit: None,
            }),
        ),
        (
            "members, the next page",
            ClientFrame::Members(Members {
                id: Some(10),
                room: None,
                after: Some("c_17".into()),
                limit: Some(100),
            }),
        ),
        (
            "history, oldest first",
            ClientFrame::History(History {
                id: Some(11),
                room: Some(name("lobby")),
                after: Some(0),
                before: None,
                limit: Some(50),
                epoch: Some(name(EPOCH)),
            }),
        ),
        (
            "history, newest first",
            ClientFrame::History(History {
                id: Some(12),
                room: Some(name("lobby")),
                after: None,
                before: Some(42),
                limit: None,
                epoch: None,
            }),
        ),
        ("auth", ClientFrame::Auth(Auth { id: Some(13), token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".into() })),
        (
            "call",
            ClientFrame::Call(Call {
                id: Some(14),
                room: None,
                data: json("[1,2]"),
                method: "sum".into(),
                trace: Some(TRACE.into()),
            }),
        ),
        ("ping", ClientFrame::Ping { id: Some(15) }),
        ("ping without an id", ClientFrame::Ping { id: None }),
    ]
}

pub fn server_frames() -> Vec<(&'static str, ServerFrame)> {
    let member = |conn: &str, user: Option<&str>, info: Option<&str>, state: Option<&str>| Member {
        conn: name(conn),
        user: user.map(name),
        info: info.map(json),
        state: state.map(json),
    };
    let answer =
        |id, result| ServerFrame::Ok(Answer { id: Some(id), room: Some(name("lobby")), data: None, result });
    let everything = JoinResult {
        epoch: Some(name(EPOCH)),
        offset: Some(41),
        ts: Some(1_795_625_000_123),
        newest: Some(44),
        durable: true,
        resumed: Some(true),
        oldest: None,
        members: Some(vec![
            member("c_1", Some("u1"), Some(r#"{"name":"Ann"}"#), Some(r#"{"typing":true}"#)),
            member("c_2", None, None, None),
        ]),
        count: None,
        users: Some(2),
        rights: Some(vec!["join".into(), "publish".into()]),
    };
    vec![
        (
            "hello",
            ServerFrame::Hello(Hello {
                room: None,
                conn: name("c_Zk3xT9"),
                session: "s.signed".into(),
                ping: 25,
                expires: None,
                limits: Limits { frame: Some(65_536), rooms: Some(100), publish_per_second: None },
                user: None,
                server: None,
                node: None,
                trace: None,
            }),
        ),
        (
            "hello with everything",
            ServerFrame::Hello(Hello {
                room: Some(name("{team7}.chat")),
                conn: name("c_Zk3xT9"),
                session: "s.signed".into(),
                ping: 25,
                expires: Some(3_600),
                limits: Limits { frame: Some(65_536), rooms: Some(100), publish_per_second: Some(50) },
                user: Some(name("u1")),
                server: Some("ringway/0.1.0".into()),
                node: Some("node-a".into()),
                trace: Some(TRACE.into()),
            }),
        ),
        ("ok to a ping", ServerFrame::Ok(Answer { id: Some(15), room: None, data: None, result: None })),
        ("ok to a leave", answer(5, None)),
        ("ok to a join that resumed", answer(2, Some(OkResult::Join(everything.clone())))),
        (
            "ok to a join that couldn't resume",
            answer(
                2,
                Some(OkResult::Join(JoinResult {
                    epoch: Some(name(EPOCH)),
                    offset: Some(44),
                    ts: Some(1_795_625_000_456),
                    newest: Some(44),
                    resumed: Some(false),
                    oldest: Some(30),
                    count: Some(1_200),
                    users: Some(900),
                    rights: Some(Vec::new()),
                    ..JoinResult::default()
                })),
            ),
        ),
        ("ok to a join without a position", answer(1, Some(OkResult::Join(JoinResult::default())))),
        (
            "ok to a pub",
            answer(
                7,
                Some(OkResult::Pub(PubResult {
                    offset: Some(45),
                    epoch: Some(name(EPOCH)),
                    duplicate: false,
                    local: false,
                })),
            ),
        ),
        (
            "ok to a repeated pub",
            answer(
                7,
                Some(OkResult::Pub(PubResult {
                    offset: Some(45),
                    epoch: Some(name(EPOCH)),
                    duplicate: true,
                    local: false,
                })),
            ),
        ),
        (
            "ok to a pub that reached this node only",
            answer(7, Some(OkResult::Pub(PubResult { local: true, ..PubResult::default() }))),
        ),
        (
            "ok to members",
            answer(
                10,
                Some(OkResult::Members(MembersResult {
                    members: Some(vec![member("c_1", Some("u1"), None, None)]),
                    count: Some(120),
                    users: Some(80),
                    next: Some("c_1".into()),
                })),
            ),
        ),
        (
            "ok to members, counts alone",
            answer(
                9,
                Some(OkResult::Members(MembersResult {
                    members: None,
                    count: Some(120),
                    users: Some(80),
                    next: None,
                })),
            ),
        ),
        (
            "ok to a history",
            answer(
                11,
                Some(OkResult::History(HistoryResult {
                    epoch: Some(name(EPOCH)),
                    more: false,
                    oldest: Some(30),
                    newest: Some(45),
                })),
            ),
        ),
        (
            "ok to an auth",
            ServerFrame::Ok(Answer {
                id: Some(13),
                room: None,
                data: None,
                result: Some(OkResult::Auth(AuthResult { expires: Some(3_600) })),
            }),
        ),
        (
            "ok to a call",
            ServerFrame::Ok(Answer {
                id: Some(14),
                room: None,
                data: Some(json(r#"{"sum":3}"#)),
                result: None,
            }),
        ),
        (
            "ok to a call with bytes",
            ServerFrame::Ok(Answer {
                id: Some(14),
                room: None,
                data: Some(Payload::from_bytes(&b"abc"[..])),
                result: None,
            }),
        ),
        (
            "err",
            ServerFrame::Err(Refusal {
                id: Some(7),
                room: Some(name("board.1")),
                code: Code::Unavailable,
                message: Some("the room's holder can't be reached".into()),
                retry: Some(500),
            }),
        ),
        (
            "err without an id",
            ServerFrame::Err(Refusal {
                id: None,
                room: None,
                code: Code::BadFrame,
                message: None,
                retry: None,
            }),
        ),
        (
            "err of an application",
            ServerFrame::Err(Refusal {
                id: Some(14),
                room: None,
                code: Code::App("app:not_a_member".into()),
                message: None,
                retry: None,
            }),
        ),
        (
            "msg",
            ServerFrame::Msg(Msg {
                offset: Some(42),
                ts: Some(1_795_625_000_200),
                ..message(json(r#""hi""#))
            }),
        ),
        (
            "msg with everything",
            ServerFrame::Msg(Msg {
                id: None,
                room: Some(name("board.1")),
                data: json(r#"{"x":1,"y":-2.5,"name":"Zoë","tags":["a",null,true]}"#),
                offset: Some(43),
                ts: Some(1_795_625_000_300),
                user: Some(name("u1")),
                event: Some("moved".into()),
                key: Some(name("shape-9")),
                mid: Some("c0ffee-1".into()),
                prev: Some(42),
                trace: Some(TRACE.into()),
            }),
        ),
        ("msg to a user", ServerFrame::Msg(Msg { room: None, ..message(Payload::null()) })),
        (
            "msg of bytes",
            ServerFrame::Msg(Msg { offset: Some(44), ..message(Payload::from_bytes(&b"\x00\xff\x10"[..])) }),
        ),
        (
            "msg with bytes inside a value",
            ServerFrame::Msg(message(Payload::from_msgpack(b"\x81\xa3raw\xc4\x03\x00\xff\x10").unwrap())),
        ),
        (
            "msg of a history page",
            ServerFrame::Msg(Msg {
                id: Some(11),
                offset: Some(30),
                ts: Some(1_795_624_000_000),
                ..message(json("1"))
            }),
        ),
        ("joined", ServerFrame::Joined(Joined { room: name("inbox.u1"), result: everything })),
        (
            "left",
            ServerFrame::Left(Left {
                room: name("board.1"),
                code: Code::Kicked,
                message: Some("removed by a moderator".into()),
                retry: None,
            }),
        ),
        (
            "left, to be tried again",
            ServerFrame::Left(Left {
                room: name("board.1"),
                code: Code::LimitRate,
                message: None,
                retry: Some(1_000),
            }),
        ),
        (
            "presence",
            ServerFrame::Presence(Presence {
                room: name("lobby"),
                joined: Some(vec![member("c_3", Some("__proto__"), Some("null"), Some("[1]"))]),
                updated: Some(vec![
                    Updated { conn: name("c_1"), state: Some(json(r#"{"typing":false}"#)) },
                    Updated { conn: name("c_2"), state: None },
                ]),
                left: Some(vec![name("c_4"), name("c_5")]),
                count: Some(3),
                users: Some(3),
            }),
        ),
        (
            "presence, counts alone",
            ServerFrame::Presence(Presence {
                room: name("lobby"),
                joined: None,
                updated: None,
                left: None,
                count: Some(5_000),
                users: Some(4_100),
            }),
        ),
        (
            "gap",
            ServerFrame::Gap(Gap {
                room: name("lobby"),
                reason: GapReason::Epoch,
                epoch: name(EPOCH),
                offset: 0,
                ts: None,
                lost: None,
            }),
        ),
        (
            "gap with everything",
            ServerFrame::Gap(Gap {
                room: name("lobby"),
                reason: GapReason::Slow,
                epoch: name(EPOCH),
                offset: 60,
                ts: Some(1_795_625_001_000),
                lost: Some(15),
            }),
        ),
        ("goaway", ServerFrame::Goaway(Goaway { after: 0, reason: None })),
        (
            "goaway with a reason",
            ServerFrame::Goaway(Goaway { after: 1_500, reason: Some(Cow::Borrowed("restart")) }),
        ),
        ("ping", ServerFrame::Ping),
    ]
}

/// What comes out when a frame was written and read: which result it is isn't on the wire, and null
/// in an optional field is nothing.
pub fn as_read(frame: ServerFrame) -> ServerFrame {
    let no_null = |payload: Option<Payload>| payload.filter(|payload| !payload.is_null());
    let member =
        |member: Member| Member { info: no_null(member.info), state: no_null(member.state), ..member };
    let members = |members: Option<Vec<Member>>| members.map(|all| all.into_iter().map(member).collect());
    let mut frame = frame;
    match &mut frame {
        ServerFrame::Ok(answer) => {
            answer.data = no_null(answer.data.take());
            answer.result = answer.result.take().map(|result| {
                let mut fields = result.into_fields();
                fields.members = members(fields.members);
                OkResult::Fields(Box::new(fields))
            });
        }
        ServerFrame::Joined(joined) => joined.result.members = members(joined.result.members.take()),
        ServerFrame::Presence(presence) => {
            presence.joined = members(presence.joined.take());
            for updated in presence.updated.iter_mut().flatten() {
                updated.state = no_null(updated.state.take());
            }
        }
        _ => {}
    }
    frame
}
