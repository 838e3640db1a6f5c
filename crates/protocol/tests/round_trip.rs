//! What one side writes the other reads: every frame, both formats, both directions.

#![allow(clippy::unwrap_used)]

mod samples;
#[path = "../src/seeded.rs"]
mod seeded;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use proptest::option::of;
use proptest::prelude::*;
use ringway_protocol::codec::{Answered, answer_id};
use ringway_protocol::frame::*;
use ringway_protocol::{
    ClientFrame, Code, ConnId, EpochName, Format, Key, Payload, RoomName, ServerFrame, UserId, decode_client,
    decode_client_shared, decode_server, encode_client, encode_msg, encode_server,
};

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

fn written_client(format: Format, frame: &ClientFrame) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode_client(format, frame, &mut out);
    out.split_off(6)
}

fn written_server(format: Format, frame: &ServerFrame) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode_server(format, frame, &mut out);
    out.split_off(6)
}

/// JSON has no bytes inside values: what a JSON reader sees of a payload.
fn through_json(payload: &Payload) -> Payload {
    if payload.is_bytes() {
        return payload.clone();
    }
    let mut out = Vec::new();
    payload.write_json(&mut out);
    Payload::from_json(&out).unwrap()
}

fn check_client(frame: &ClientFrame) {
    for format in FORMATS {
        let bytes = written_client(format, frame);
        assert_eq!(decode_client(format, &bytes).as_ref(), Ok(frame), "{format:?}");
        assert_eq!(decode_client_shared(format, &Bytes::from(bytes)).as_ref(), Ok(frame), "{format:?}");
    }
}

/// What a frame's head has to say.
fn answers(frame: &ServerFrame) -> Option<Answered> {
    match frame {
        ServerFrame::Ok(answer) => Some(Answered { id: answer.id, ok: true }),
        ServerFrame::Err(refusal) => Some(Answered { id: refusal.id, ok: false }),
        _ => None,
    }
}

fn check_server(frame: &ServerFrame) {
    let wanted = samples::as_read(frame.clone());
    for format in FORMATS {
        let bytes = written_server(format, frame);
        assert_eq!(answer_id(format, &bytes), answers(frame), "{format:?}");
        let read = decode_server(format, &bytes).unwrap().unwrap();
        match (format, &read, &wanted) {
            (Format::Json, ServerFrame::Msg(read), ServerFrame::Msg(wanted)) => {
                assert_eq!(read, &Msg { data: through_json(&wanted.data), ..wanted.clone() });
            }
            _ => assert_eq!(read, wanted, "{format:?}"),
        }
        // Written again it is the same, though which result it is has been forgotten.
        if format == Format::Msgpack {
            let again = written_server(format, &read);
            assert_eq!(decode_server(format, &again).unwrap().unwrap(), read);
        }
        if let ServerFrame::Msg(msg) = frame {
            let mut out = Vec::new();
            encode_msg(format, msg, &mut out);
            assert_eq!(out, bytes);
        }
    }
}

#[test]
fn every_sample_is_read_as_it_was_written() {
    for (_, frame) in samples::client_frames() {
        check_client(&frame);
    }
    for (_, frame) in samples::server_frames() {
        check_server(&frame);
    }
}

#[test]
fn what_isnt_an_answer_is_none() {
    for payload in [
        &b""[..],
        b"{",
        b"{\"t\":\"okay\",\"id\":1}",
        b"{\"t\":\"ok\",\"id\":}",
        b"{\"t\":\"ok\",\"id\":99999999999999999999}",
        b"\x90",
        b"\x92\x21",
        b"\x92\x21\xa1a",
        b"\xdd\xff\xff\xff\xff",
    ] {
        assert_eq!(FORMATS.map(|format| answer_id(format, payload)), [None, None], "{payload:02x?}");
    }
    let bare = Some(Answered { id: None, ok: true });
    assert_eq!(answer_id(Format::Json, b"{\"t\":\"ok\"}"), bare);
    assert_eq!(answer_id(Format::Msgpack, b"\x91\x21"), bare);
}

#[test]
fn results_are_taken_as_what_was_asked_for() {
    for (name, frame) in samples::server_frames() {
        let ServerFrame::Ok(Answer { result: Some(result), .. }) = &frame else { continue };
        for format in FORMATS {
            let read = decode_server(format, &written_server(format, &frame)).unwrap().unwrap();
            let ServerFrame::Ok(Answer { result: Some(read), .. }) = read else { panic!("{name}") };
            match result.clone() {
                OkResult::Join(wanted) => assert_eq!(read.into_join(), wanted, "{name}"),
                OkResult::Pub(wanted) => assert_eq!(read.into_pub(), wanted, "{name}"),
                OkResult::Members(wanted) => assert_eq!(read.into_members(), wanted, "{name}"),
                OkResult::History(wanted) => assert_eq!(read.into_history(), wanted, "{name}"),
                OkResult::Auth(wanted) => assert_eq!(read.into_auth(), wanted, "{name}"),
                OkResult::Fields(_) => panic!("{name}: a sample says which result it is"),
            }
        }
    }
}

#[test]
fn an_object_with_more_than_fifteen_fields_gets_a_longer_head() {
    let everything = ResultFields {
        epoch: Some("e".parse().unwrap()),
        offset: Some(1),
        ts: Some(2),
        newest: Some(3),
        durable: Some(true),
        resumed: Some(false),
        oldest: Some(4),
        members: Some(Vec::new()),
        count: Some(5),
        users: Some(6),
        rights: Some(vec!["join".into()]),
        duplicate: Some(true),
        local: Some(true),
        next: Some("n".into()),
        more: Some(true),
        expires: Some(7),
    };
    let result = Some(OkResult::Fields(Box::new(everything)));
    check_server(&ServerFrame::Ok(Answer { id: Some(1), room: None, data: None, result }));
}

fn text(max: usize) -> impl Strategy<Value = Arc<str>> {
    proptest::collection::vec(any::<char>(), 0..=max / 4)
        .prop_map(|characters| characters.into_iter().collect::<String>().into())
}

fn room() -> impl Strategy<Value = RoomName> {
    "\\PC{1,60}".prop_filter_map("a room", |text| text.parse().ok())
}

fn key() -> impl Strategy<Value = Key> {
    "\\PC{1,30}".prop_filter_map("a key", |text| text.parse().ok())
}

fn user() -> impl Strategy<Value = UserId> {
    "\\PC{1,30}".prop_filter_map("a user", |text| text.parse().ok())
}

fn conn() -> impl Strategy<Value = ConnId> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|text| text.parse().unwrap())
}

fn epoch() -> impl Strategy<Value = EpochName> {
    "[A-Za-z0-9-]{1,64}".prop_map(|text| text.parse().unwrap())
}

fn uint() -> impl Strategy<Value = u64> {
    (0..UINT_END, 0..53_u32).prop_map(|(number, shift)| number >> shift)
}

fn value() -> impl Strategy<Value = Payload> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:?}")),
        any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::hash_map("\\PC{0,8}", inner, 0..6).prop_map(|map| {
                let pairs: Vec<_> = map
                    .iter()
                    .map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
    .prop_map(|text| samples::json(&text))
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        4 => value(),
        1 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(Payload::from_bytes),
    ]
}

fn state() -> impl Strategy<Value = Payload> {
    value().prop_filter("small", |value| value.msgpack_len() <= STATE_MAX)
}

fn some_state() -> impl Strategy<Value = Option<Payload>> {
    of(state().prop_filter("not null", |value| !value.is_null()))
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    let position =
        (epoch(), uint(), of(uint())).prop_map(|(epoch, offset, ts)| Position { epoch, offset, ts });
    let page = 0..=PAGE_MAX;
    prop_oneof![
        (of(uint()), room(), of(position), of(page.clone()), some_state()).prop_map(
            |(id, room, since, last, state)| ClientFrame::Join(Join { id, room, since, last, state })
        ),
        (of(uint()), room()).prop_map(|(id, room)| ClientFrame::Leave(Leave { id, room })),
        (
            (of(uint()), of(room()), payload(), of(text(EVENT_MAX)), of(key())),
            (of(text(MID_MAX)), any::<bool>(), any::<bool>(), of(text(200)))
        )
            .prop_map(|((id, room, data, event, key), (mid, echo, store, trace))| {
                ClientFrame::Pub(Pub { id, room, data, event, key, mid, echo, store, trace })
            }),
        (of(uint()), of(room()), state()).prop_map(|(id, room, state)| ClientFrame::State(State {
            id,
            room,
            state
        })),
        (of(uint()), of(room()), of(text(80)), of(page.clone()))
            .prop_map(|(id, room, after, limit)| ClientFrame::Members(Members { id, room, after, limit })),
        (of(uint()), of(room()), of(uint()), of(uint()), of(page), of(epoch())).prop_map(
            |(id, room, after, before, limit, epoch)| {
                ClientFrame::History(History { id, room, after, before, limit, epoch })
            }
        ),
        (of(uint()), text(600)).prop_map(|(id, token)| ClientFrame::Auth(Auth { id, token })),
        (of(uint()), of(room()), payload(), text(METHOD_MAX), of(text(200))).prop_map(
            |(id, room, data, method, trace)| ClientFrame::Call(Call { id, room, data, method, trace })
        ),
        of(uint()).prop_map(|id| ClientFrame::Ping { id }),
    ]
}

fn code() -> impl Strategy<Value = Code> {
    prop_oneof![
        proptest::sample::select(Code::ALL),
        "[a-z_]{1,64}".prop_map(|name| Code::app(&name).unwrap()),
        Just(Code::Other("of_tomorrow".into())),
    ]
}

fn said() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    of(any::<String>().prop_map(Cow::Owned))
}

fn members() -> impl Strategy<Value = Option<Vec<Member>>> {
    let member = (conn(), of(user()), of(value()), of(value()))
        .prop_map(|(conn, user, info, state)| Member { conn, user, info, state });
    of(proptest::collection::vec(member, 0..20))
}

fn join_result() -> impl Strategy<Value = JoinResult> {
    (
        (of(epoch()), of(uint()), of(uint()), of(uint()), any::<bool>(), of(any::<bool>())),
        (of(uint()), members(), of(uint()), of(uint())),
        of(proptest::collection::vec(any::<String>().prop_map(Cow::Owned), 0..20)),
    )
        .prop_map(
            |((epoch, offset, ts, newest, durable, resumed), (oldest, members, count, users), rights)| {
                JoinResult {
                    epoch,
                    offset,
                    ts,
                    newest,
                    durable,
                    resumed,
                    oldest,
                    members,
                    count,
                    users,
                    rights,
                }
            },
        )
}

fn ok_result() -> impl Strategy<Value = OkResult> {
    prop_oneof![
        join_result().prop_map(OkResult::Join),
        (of(uint()), of(epoch()), any::<bool>(), any::<bool>()).prop_map(
            |(offset, epoch, duplicate, local)| {
                OkResult::Pub(PubResult { offset, epoch, duplicate, local })
            }
        ),
        (members(), of(uint()), of(uint()), of(text(80))).prop_map(|(members, count, users, next)| {
            OkResult::Members(MembersResult { members, count, users, next })
        }),
        (of(epoch()), any::<bool>(), of(uint()), of(uint())).prop_map(|(epoch, more, oldest, newest)| {
            OkResult::History(HistoryResult { epoch, more, oldest, newest })
        }),
        of(uint()).prop_map(|expires| OkResult::Auth(AuthResult { expires })),
    ]
}

fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let limits = (of(uint()), of(uint()), of(uint())).prop_map(|(frame, rooms, publish_per_second)| Limits {
        frame,
        rooms,
        publish_per_second,
    });
    let reason = prop_oneof![
        Just(GapReason::Slow),
        Just(GapReason::Backplane),
        Just(GapReason::Truncated),
        Just(GapReason::Epoch),
        Just(GapReason::Other("moon".into())),
    ];
    let updated = (conn(), of(value())).prop_map(|(conn, state)| Updated { conn, state });
    prop_oneof![
        (
            (of(room()), conn(), text(300), uint(), of(uint())),
            (limits, of(user()), said(), of(text(60)), of(text(60)))
        )
            .prop_map(
                |((room, conn, session, ping, expires), (limits, user, server, node, trace))| {
                    ServerFrame::Hello(Hello {
                        room,
                        conn,
                        session,
                        ping,
                        expires,
                        limits,
                        user,
                        server,
                        node,
                        trace,
                    })
                }
            ),
        (of(uint()), of(room()), of(payload()), of(ok_result()))
            .prop_map(|(id, room, data, result)| ServerFrame::Ok(Answer { id, room, data, result })),
        (of(uint()), of(room()), code(), said(), of(uint())).prop_map(|(id, room, code, message, retry)| {
            ServerFrame::Err(Refusal { id, room, code, message, retry })
        }),
        (
            (of(uint()), of(room()), payload(), of(uint()), of(uint())),
            (of(user()), of(text(64)), of(key()), of(text(64)), of(uint()), of(text(60)))
        )
            .prop_map(|((id, room, data, offset, ts), (user, event, key, mid, prev, trace))| {
                ServerFrame::Msg(Msg { id, room, data, offset, ts, user, event, key, mid, prev, trace })
            }),
        (room(), join_result()).prop_map(|(room, result)| ServerFrame::Joined(Joined { room, result })),
        (room(), code(), said(), of(uint())).prop_map(|(room, code, message, retry)| {
            ServerFrame::Left(Left { room, code, message, retry })
        }),
        (
            room(),
            members(),
            of(proptest::collection::vec(updated, 0..20)),
            of(proptest::collection::vec(conn(), 0..20)),
            of(uint()),
            of(uint())
        )
            .prop_map(|(room, joined, updated, left, count, users)| {
                ServerFrame::Presence(Presence { room, joined, updated, left, count, users })
            }),
        (room(), reason, epoch(), uint(), of(uint()), of(uint())).prop_map(
            |(room, reason, epoch, offset, ts, lost)| {
                ServerFrame::Gap(Gap { room, reason, epoch, offset, ts, lost })
            }
        ),
        (uint(), said()).prop_map(|(after, reason)| ServerFrame::Goaway(Goaway { after, reason })),
        Just(ServerFrame::Ping),
    ]
}

proptest! {
    #![proptest_config(seeded::seeded(1_000))]

    #[test]
    fn any_client_frame_is_read_as_it_was_written(frame in client_frame()) {
        check_client(&frame);
    }

    #[test]
    fn any_server_frame_is_read_as_it_was_written(frame in server_frame()) {
        check_server(&frame);
    }
}
