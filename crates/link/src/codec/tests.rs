use super::*;
use crate::*;
use proptest::prelude::*;
use ringway_protocol::Code;
use ringway_protocol::frame::Position;
use std::borrow::Cow;

fn up(record: &Up<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_up(record, &mut bytes);
    bytes
}

fn down(record: &Down<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_down(record, &mut bytes);
    bytes
}

/// One finished message with that many bytes.
fn message(first: u8, payload: usize) -> Vec<u8> {
    let mut frame = vec![first];
    match payload {
        ..=125 => frame.push(payload as u8),
        126..=0xFFFF => {
            frame.push(126);
            frame.extend((payload as u16).to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload as u64).to_be_bytes());
        }
    }
    frame.resize(frame.len() + payload, b'x');
    frame
}

/// One of each kind.
fn ups() -> Vec<Up<'static>> {
    let conn = ConnNo(70_000);
    let room = || "board.é".parse().unwrap();
    let epoch = || "e-1".parse().unwrap();
    let rejoin = |since: Option<Position>| {
        Up::Rejoin(Rejoin { conn, room: room(), by_server: since.is_none(), since })
    };
    vec![
        Up::Open(Open {
            conn,
            role: OpenAs::Home,
            ticket: "a.b.c",
            traceparent: None,
            age: 0,
            told_to_go: false,
        }),
        Up::Open(Open {
            conn,
            role: OpenAs::HomeAgain,
            ticket: "",
            traceparent: Some("00-1-2-01"),
            age: u64::MAX,
            told_to_go: true,
        }),
        Up::Open(Open {
            conn: ConnNo(0),
            role: OpenAs::Further,
            ticket: "t",
            traceparent: None,
            age: 7,
            told_to_go: false,
        }),
        Up::Begin { conn },
        Up::Frame { conn, text: true, message: b"{}" },
        Up::Frame { conn, text: false, message: b"" },
        rejoin(None),
        rejoin(Some(Position { epoch: epoch(), offset: u64::MAX, ts: None })),
        rejoin(Some(Position { epoch: epoch(), offset: 0, ts: Some(1) })),
        Up::Move { conn, room: room() },
        Up::Renew { conn, ticket: "a.b.c" },
        Up::Closed { conn: ConnNo(u32::MAX) },
        Up::Credit { conn, bytes: u32::MAX },
        Up::Ping { number: u64::MAX },
    ]
}

/// One of each kind, with frames of a test's own.
fn downs<'a>(text: &'a [u8], binary: &'a [u8]) -> Vec<Down<'a>> {
    let (conn, room) = (ConnNo(300), RoomNo(7));
    let at = Some(At { room, offset: 1 << 40, ts: 1_795_620_000_000 });
    let declared = |policy, epoch| {
        let name = "board.é".parse().unwrap();
        let tenant = "acme".parse().unwrap();
        Down::Room(RoomDeclared { number: room, tenant, room: name, epoch, policy, flush_window: 20 })
    };
    let cast = |but, offset, key| Cast { room, offset, ts: 5, key, but, json: text, msgpack: binary };
    vec![
        Down::Opened { conn },
        Down::Refused { conn, code: Code::LimitConnections, detail: Cow::Borrowed("full"), retry: Some(5) },
        Down::Refused { conn, code: Code::Unavailable, detail: Cow::Borrowed(""), retry: None },
        declared(Policy::Disconnect, None),
        declared(Policy::DropOldest, Some("e-1".parse().unwrap())),
        declared(Policy::Conflate, Some("e-2".parse().unwrap())),
        Down::Send { conn, at: None, frame: text },
        Down::Send { conn, at, frame: binary },
        Down::Enter { conn, room, at, by_server: false },
        Down::Enter { conn, room, at: None, by_server: true },
        Down::Exit { conn, room: "a".parse().unwrap(), why: Exit::Left },
        Down::Exit { conn, room: "a".parse().unwrap(), why: Exit::Moved },
        Down::Cast(cast(Exclude::Nobody, Some(9), None)),
        Down::Cast(cast(Exclude::These(vec![conn, ConnNo(1)]), None, Some("k".parse().unwrap()))),
        Down::Cast(cast(Exclude::AllBut(vec![]), Some(u64::MAX), None)),
        Down::Cast(Cast { json: b"", msgpack: b"", ..cast(Exclude::Nobody, None, None) }),
        Down::Lost { room, offset: 3, ts: 4, frames: 5 },
        Down::Credit { conn, bytes: 16_384 },
        Down::Renewed { conn, ticket: "a.b.c" },
        Down::Close { conn, code: 1008, reason: Cow::Borrowed("expired") },
        Down::CloseLater { conn, after: u32::MAX, code: 1012, reason: Cow::Borrowed("lifetime") },
        Down::Ended { conn },
        Down::Leaving,
        Down::Pong { number: 0 },
    ]
}

#[test]
fn every_record_comes_back_as_it_was() {
    for record in ups() {
        assert_eq!(decode_up(&up(&record)), Ok(record));
    }
    for payload in [0, 125, 126, 65_535, 65_536] {
        let (text, binary) = (message(0x81, payload), message(0x82, payload));
        for record in downs(&text, &binary) {
            assert_eq!(decode_down(&down(&record)), Ok(record));
        }
    }
}

#[test]
fn a_record_cut_short_or_with_something_behind_it_is_none() {
    let (text, binary) = (message(0x81, 3), message(0x82, 130));
    let downs = downs(&text, &binary);
    let all = ups().iter().map(|record| (true, up(record))).collect::<Vec<_>>();
    let all = all.into_iter().chain(downs.iter().map(|record| (false, down(record))));
    for (is_up, bytes) in all {
        let read = |bytes: &[u8]| {
            if is_up { decode_up(bytes).map(drop) } else { decode_down(bytes).map(drop) }
        };
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{bytes:02x?} up to {end}");
        }
        assert_eq!(read(&[&bytes[..], &[0]].concat()), Err(BadRecord::Unreadable));
    }
}

#[test]
fn fields_of_a_later_release_are_passed_over() {
    for record in ups() {
        assert_eq!(decode_up(&longer(&up(&record))), Ok(record));
    }
    let (text, binary) = (message(0x81, 3), message(0x82, 130));
    for record in downs(&text, &binary) {
        assert_eq!(decode_down(&longer(&down(&record))), Ok(record));
    }
}

/// The same record with two more fields.
fn longer(bytes: &[u8]) -> Vec<u8> {
    let mut longer = bytes.to_vec();
    longer[0] += 2;
    longer.extend([0x93, 1, 0xC0, 0xA1, b'x', 0xC4, 1, 0]);
    longer
}

#[test]
fn what_breaks_a_rule_is_named() {
    let told = |bytes: &[u8]| decode_down(bytes).expect_err("no record");
    assert_eq!(told(&[0x91, 99]), BadRecord::Unknown(99));
    assert_eq!(decode_up(&[0x91, 9]), Err(BadRecord::Unknown(9)));
    assert_eq!(told(&[0x90]), BadRecord::Unreadable);
    assert_eq!(told(&[0xC0]), BadRecord::Unreadable);
    let conn = ConnNo(1);
    let good = message(0x81, 200);
    for bad in [
        &good[..good.len() - 1],
        &[&good[..], b"x"].concat(),
        &message(0x88, 2),
        &message(0x01, 2),
        &[0x81, 0x82, 1, 2, 3, 4, 5, 6],
        &[0x81],
        &[0x82, 127, 0, 0],
        &[0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        b"",
    ] {
        assert_eq!(told(&down(&Down::Send { conn, at: None, frame: bad })), BadRecord::Field("frame"));
    }
    let cast = |json, msgpack| {
        let (room, but) = (RoomNo(1), Exclude::Nobody);
        told(&down(&Down::Cast(Cast { room, offset: None, ts: 0, key: None, but, json, msgpack })))
    };
    let binary = message(0x82, 2);
    assert_eq!(cast(&binary, b""), BadRecord::Field("frame"));
    assert_eq!(cast(b"", &good), BadRecord::Field("frame"));
    for code in [0, 1005, 5000] {
        let close = Down::Close { conn, code, reason: Cow::Borrowed("") };
        assert_eq!(told(&down(&close)), BadRecord::Field("close code"));
        let later = Down::CloseLater { conn, after: 0, code, reason: Cow::Borrowed("") };
        assert_eq!(told(&down(&later)), BadRecord::Field("close code"));
    }
    let reason = "x".repeat(124);
    let close = Down::Close { conn, code: 1000, reason: Cow::Borrowed(&reason) };
    assert_eq!(told(&down(&close)), BadRecord::Field("reason of a close"));
    // [MOVE, 1, ""]
    assert_eq!(decode_up(&[0x93, 4, 1, 0xA0]), Err(BadRecord::Field("room")));
    // [OPEN, 1, role 3, "", nil, 0, false]
    assert_eq!(decode_up(&[0x97, 0, 1, 3, 0xA0, 0xC0, 0, 0xC2]), Err(BadRecord::Field("role")));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_what_is_read_is_written_alike(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Ok(record) = decode_up(&bytes) {
            let again = up(&record); prop_assert_eq!(decode_up(&again), Ok(record));
        }
        if let Ok(record) = decode_down(&bytes) {
            let again = down(&record); prop_assert_eq!(decode_down(&again), Ok(record));
        }
    }

    /// Nearer to what a link carries than chance comes: a record with some of its bytes changed.
    #[test]
    fn damaged_records_are_refused_or_are_others(
        which in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (text, binary) = (message(0x81, 3), message(0x82, 130));
        let damaged = |mut bytes: Vec<u8>| {
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        let (ups, downs) = (ups(), downs(&text, &binary));
        let bytes = damaged(up(&ups[which.index(ups.len())]));
        if let Ok(record) = decode_up(&bytes) {
            let again = up(&record); prop_assert_eq!(decode_up(&again), Ok(record));
        }
        let bytes = damaged(down(&downs[which.index(downs.len())]));
        if let Ok(record) = decode_down(&bytes) {
            let again = down(&record); prop_assert_eq!(decode_down(&again), Ok(record));
        }
    }

    #[test]
    fn lists_and_frames_of_any_size_come_back(
        list in proptest::collection::vec(any::<u32>().prop_map(ConnNo), 0..300),
        these in any::<bool>(),
        payload in 0..70_000_usize,
    ) {
        let (json, msgpack) = (message(0x81, payload), message(0x82, payload / 2));
        let but = if these { Exclude::These(list) } else { Exclude::AllBut(list) };
        let cast = Cast {
            room: RoomNo(1), offset: Some(1), ts: 2, key: None, but, json: &json, msgpack: &msgpack,
        };
        let record = Down::Cast(cast);
        let again = down(&record); prop_assert_eq!(decode_down(&again), Ok(record));
    }
}
