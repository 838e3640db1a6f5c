use super::*;
use proptest::prelude::*;
use std::io::{self, Read, Write};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

const LIMIT: u32 = 65_536;
const MASK: [u8; 4] = [0xA5, 0x5A, 0x0F, 0x3C];

/// What a decoder said, in a form that can be kept and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Close(Option<u16>),
    Broken(u16),
}

fn note(said: &mut Vec<Said>, event: Event<'_>) {
    said.push(match event {
        Event::Message(Message::Text(text)) => Said::Text(text.to_vec()),
        Event::Message(Message::Binary(bytes)) => Said::Binary(bytes.to_vec()),
        Event::Ping(payload) => Said::Ping(payload.to_vec()),
        Event::Close(code) => Said::Close(code.map(|code| code.0)),
    });
}

/// Feeds `pieces` one after the other.
fn decode<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Said> {
    let mut said = Vec::new();
    for piece in pieces {
        let fed = decoder.feed(&mut piece.to_vec(), &mut |event| {
            note(&mut said, event);
            ControlFlow::Continue(())
        });
        if let Err(violation) = fed {
            said.push(Said::Broken(violation.code.0));
            break;
        }
    }
    said
}

fn decode_whole(wire: &[u8]) -> Vec<Said> {
    decode(&mut Decoder::new(LIMIT, Peer::Client), [wire])
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_masked(first, payload, MASK)
}

fn frame_masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut wire = vec![first];
    match payload.len() {
        n @ ..=125 => wire.push(0x80 | n as u8),
        n @ 126..=0xFFFF => {
            wire.push(0xFE);
            wire.extend((n as u16).to_be_bytes());
        }
        n => {
            wire.push(0xFF);
            wire.extend((n as u64).to_be_bytes());
        }
    }
    wire.extend(mask);
    let start = wire.len();
    wire.extend(payload);
    unmask(&mut wire[start..], mask);
    wire
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

/// The other implementation, fed in pieces of `step` bytes.
fn oracle(wire: &[u8], step: usize) -> Vec<Said> {
    struct Wire<'a>(&'a [u8], usize);
    impl Read for Wire<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    impl Write for Wire<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(LIMIT as usize))
        .max_frame_size(Some(LIMIT as usize));
    let mut socket = WebSocket::from_raw_socket(Wire(wire, step), Role::Server, Some(config));
    let mut said = Vec::new();
    loop {
        use tungstenite::error::{Error, ProtocolError};
        match socket.read() {
            Ok(tungstenite::Message::Text(text)) => said.push(Said::Text(text.as_bytes().to_vec())),
            Ok(tungstenite::Message::Binary(bytes)) => said.push(Said::Binary(bytes.to_vec())),
            Ok(tungstenite::Message::Ping(bytes)) => said.push(Said::Ping(bytes.to_vec())),
            Ok(tungstenite::Message::Pong(_) | tungstenite::Message::Frame(_)) => {}
            Ok(tungstenite::Message::Close(frame)) => {
                said.push(Said::Close(frame.map(|frame| frame.code.into())));
                return said;
            }
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return said,
            Err(Error::Capacity(_)) => said.push(Said::Broken(1009)),
            Err(Error::Utf8(_)) => said.push(Said::Broken(1007)),
            Err(Error::Protocol(_)) => said.push(Said::Broken(1002)),
            Err(Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed) => return said,
            Err(other) => panic!("{other}"),
        }
        if matches!(said.last(), Some(Said::Broken(_))) {
            return said;
        }
    }
}

fn messages(said: &[Said]) -> Vec<&Said> {
    said.iter().filter(|said| matches!(said, Said::Text(_) | Said::Binary(_))).collect()
}

/// A script of the peer's frames that keeps the rules.
fn lawful() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![".{0,40}", "[a-zé€𝄞]{0,200}", "x{65000,65536}"];
    let binary = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..300),
        1 => proptest::collection::vec(any::<u8>(), 65_000..=65_536),
    ];
    let message =
        prop_oneof![text.prop_map(|text| (0x01, text.into_bytes())), binary.prop_map(|bytes| (0x02, bytes)),];
    let control = (prop_oneof![Just(0x89_u8), Just(0x8A)], proptest::collection::vec(any::<u8>(), 0..=125));
    let piece =
        (message, proptest::collection::vec(any::<prop::sample::Index>(), 0..5), control, any::<[u8; 4]>());
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| {
        let mut wire = Vec::new();
        for ((opcode, payload), cuts, (control, control_payload), mask) in pieces {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            cuts.push(payload.len());
            cuts.sort_unstable();
            let mut from = 0;
            for (number, &to) in cuts.iter().enumerate() {
                let opcode = if number == 0 { opcode } else { 0 };
                let fin = if number + 1 == cuts.len() { 0x80 } else { 0 };
                wire.extend(frame_masked(fin | opcode, &payload[from..to], mask));
                if number % 2 == 0 {
                    wire.extend(frame_masked(control, &control_payload, mask));
                }
                from = to;
            }
        }
        wire
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lawful_frames_mean_the_same_as_to_another_implementation(
        wire in lawful(), step in 1..5_000_usize,
    ) {
        let expected = oracle(&wire, usize::MAX);
        prop_assert_eq!(&decode_whole(&wire), &expected);
        let mut decoder = Decoder::new(LIMIT, Peer::Client);
        prop_assert_eq!(&decode(&mut decoder, wire.chunks(step)), &expected);
        prop_assert_eq!(decoder.kept(), 0, "nothing is unfinished, so nothing is kept");
    }

    #[test]
    fn any_cut_gives_the_same(wire in lawful(), cut in any::<prop::sample::Index>()) {
        let (head, tail) = wire.split_at(cut.index(wire.len() + 1));
        prop_assert_eq!(decode(&mut Decoder::new(LIMIT, Peer::Client), [head, tail]), decode_whole(&wire));
    }

    /// Broken in one place: the messages before it are the same, and so is the verdict.
    #[test]
    fn a_broken_stream_breaks_the_same_way(
        before in lawful(),
        broken in prop_oneof![
            (0x10..0x80_u8).prop_map(|bits| frame(0x81 | (bits & 0x70).max(0x10), b"x")),
            prop_oneof![3..8_u8, 11..16_u8].prop_map(|opcode| frame(0x80 | opcode, b"x")),
            Just(vec![0x81, 0x01, b'x']),
            (8..11_u8).prop_map(|opcode| frame(opcode, b"x")),
            (8..11_u8).prop_map(|opcode| frame(0x80 | opcode, &[0; 126])),
            Just(frame(0x80, b"x")),
            Just([frame(0x01, b"x"), frame(0x81, b"y")].concat()),
            Just(frame(0x82, &[0; 65_537])),
            Just([frame(0x02, &[0; 40_000]), frame(0x80, &[0; 40_000])].concat()),
            Just(frame(0x81, b"\xC3\x28")),
            Just(frame(0x88, b"x")),
            Just(close(1000, b"\xFF")),
        ],
    ) {
        let wire = [before, broken].concat();
        let expected = oracle(&wire, usize::MAX);
        prop_assert!(matches!(expected.last(), Some(Said::Broken(_))));
        prop_assert_eq!(decode_whole(&wire), expected);
    }

    #[test]
    fn damaged_streams_give_the_same_messages(
        wire in lawful(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
        step in 1..5_000_usize,
    ) {
        let mut wire = wire;
        for (at, flip) in damage {
            if !wire.is_empty() {
                let at = at.index(wire.len());
                wire[at] ^= flip;
            }
        }
        let said = decode(&mut Decoder::new(LIMIT, Peer::Client), wire.chunks(step));
        prop_assert_eq!(&said, &decode_whole(&wire));
        let expected = oracle(&wire, usize::MAX);
        prop_assert_eq!(messages(&said), messages(&expected));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_make_a_message_up(
        wire in proptest::collection::vec(any::<u8>(), 0..400), step in 1..40_usize,
    ) {
        let mut decoder = Decoder::new(LIMIT, Peer::Client);
        let said = decode(&mut decoder, wire.chunks(step));
        prop_assert_eq!(&said, &decode_whole(&wire));
        prop_assert!(decoder.kept() <= wire.len() * 2);
        let expected = oracle(&wire, usize::MAX);
        prop_assert_eq!(messages(&said), messages(&expected));
    }
}

#[test]
fn every_split_of_a_dialogue_gives_the_same() {
    let wire = [
        frame(0x01, "é".as_bytes().split_at(1).0),
        frame(0x89, b"between"),
        frame(0x00, b""),
        frame(0x80, "é".as_bytes().split_at(1).1),
        frame(0x82, &[7; 300]),
        close(1000, b"bye"),
    ]
    .concat();
    let expected = vec![
        Said::Ping(b"between".to_vec()),
        Said::Text("é".as_bytes().to_vec()),
        Said::Binary(vec![7; 300]),
        Said::Close(Some(1000)),
    ];
    assert_eq!(decode_whole(&wire), expected);
    assert_eq!(decode(&mut Decoder::new(LIMIT, Peer::Client), wire.chunks(1)), expected);
    for cut in 0..=wire.len() {
        let (head, tail) = wire.split_at(cut);
        assert_eq!(decode(&mut Decoder::new(LIMIT, Peer::Client), [head, tail]), expected, "cut at {cut}");
    }
}

#[test]
fn close_frames_are_judged() {
    for (code, verdict) in [
        (999, Said::Broken(1002)),
        (1000, Said::Close(Some(1000))),
        (1004, Said::Broken(1002)),
        (1005, Said::Broken(1002)),
        (1006, Said::Broken(1002)),
        (1012, Said::Close(Some(1012))),
        (1015, Said::Broken(1002)),
        (1016, Said::Broken(1002)),
        (2999, Said::Broken(1002)),
        (3000, Said::Close(Some(3000))),
        (4999, Said::Close(Some(4999))),
        (5000, Said::Broken(1002)),
    ] {
        assert_eq!(decode_whole(&close(code, b"")), [verdict], "{code}");
    }
    assert_eq!(decode_whole(&frame(0x88, b"")), [Said::Close(None)]);
    assert_eq!(decode_whole(&frame(0x88, b"\x03")), [Said::Broken(1002)]);
    assert_eq!(decode_whole(&close(1000, &[b'a'; 123])), [Said::Close(Some(1000))]);
    assert_eq!(decode_whole(&close(1000, b"\xC3\x28")), [Said::Broken(1007)]);
}

#[test]
fn nothing_after_a_close_is_looked_at() {
    let wire = [close(1000, b""), frame(0x89, b"ping"), frame(0x81, b"late"), vec![0xFF; 20]].concat();
    assert_eq!(decode_whole(&wire), [Said::Close(Some(1000))]);
    let mut decoder = Decoder::new(LIMIT, Peer::Client);
    assert_eq!(decode(&mut decoder, wire.chunks(3)), [Said::Close(Some(1000))]);
    assert_eq!(decoder.kept(), 0);
}

#[test]
fn a_sink_that_breaks_ends_the_input() {
    let mut wire = [frame(0x81, b"one"), frame(0x81, b"two")].concat();
    let mut seen = 0;
    let mut decoder = Decoder::new(LIMIT, Peer::Client);
    for _ in 0..2 {
        let fed = decoder.feed(&mut wire, &mut |_| {
            seen += 1;
            ControlFlow::Break(())
        });
        assert!(fed.is_ok());
    }
    assert_eq!(seen, 1);
}

#[test]
fn a_code_point_may_be_cut_but_not_broken() {
    let emoji = "🦀".as_bytes();
    let cut = |a: &[u8], b: &[u8], c: &[u8]| [frame(0x01, a), frame(0x00, b), frame(0x80, c)].concat();
    assert_eq!(decode_whole(&cut(&emoji[..1], &emoji[1..3], &emoji[3..])), [Said::Text(emoji.to_vec())]);
    assert_eq!(decode_whole(&cut(&emoji[..1], b"x", &emoji[3..])), [Said::Broken(1007)]);
    assert_eq!(decode_whole(&cut(b"ok", b"\xED\xA0\x80", b"")), [Said::Broken(1007)], "a surrogate");
}

#[test]
fn tiny_fragments_end_long_before_they_cost() {
    let mut wire = frame(0x01, b"x");
    for _ in 0..1_000_000 / 7 {
        wire.extend(frame(0x00, b"x"));
    }
    let mut decoder = Decoder::new(LIMIT, Peer::Client);
    assert_eq!(decode(&mut decoder, wire.chunks(65_536)), [Said::Broken(1008)]);
    assert_eq!(decoder.kept(), 0);
    let empty: Vec<u8> = [frame(0x01, b""), frame(0x00, b"").repeat(2_000)].concat();
    assert_eq!(decode_whole(&empty), [Said::Broken(1008)]);
}

#[test]
fn the_limit_counts_all_fragments_and_is_exact() {
    let exact = [frame(0x02, &[1; 65_535]), frame(0x80, &[1; 1])].concat();
    assert_eq!(decode_whole(&exact), [Said::Binary(vec![1; 65_536])]);
    let over = [frame(0x02, &[1; 65_535]), frame(0x80, &[1; 2])].concat();
    assert_eq!(decode_whole(&over), [Said::Broken(1009)]);
}

#[test]
fn a_mask_of_zeros_is_a_mask() {
    assert_eq!(decode_whole(&frame_masked(0x81, b"plain", [0; 4])), [Said::Text(b"plain".to_vec())]);
}

#[test]
fn what_is_announced_costs_nothing_until_it_comes() {
    let wire = frame(0x82, &[0; 65_536]);
    let mut decoder = Decoder::new(LIMIT, Peer::Client);
    assert_eq!(decode(&mut decoder, [&wire[..10]]), []);
    assert!(decoder.kept() <= 16);
    assert_eq!(decode(&mut decoder, [&wire[10..20]]), []);
    assert!(decoder.kept() <= 16);
    assert_eq!(decode(&mut decoder, [&wire[20..40_000]]), []);
    assert!(decoder.kept() <= 80_000);
    assert_eq!(decode(&mut decoder, [&wire[40_000..]]), [Said::Binary(vec![0; 65_536])]);
    assert_eq!(decoder.kept(), 0);
}

#[test]
fn a_links_records_come_whole_however_they_were_cut() {
    let records: Vec<Vec<u8>> = [0, 1, 125, 126, 300, 70_000].map(|len| vec![len as u8; len]).into();
    let wire: Vec<u8> =
        records.iter().flat_map(|record| crate::Frame::record(record).encoded().to_vec()).collect();
    for step in [1, 2, 3, 7, 64, 1_000, wire.len()] {
        let mut decoder = Decoder::new(70_000, Peer::Link);
        let mut heard = Vec::new();
        for piece in wire.chunks(step) {
            let fed = decoder.feed(&mut piece.to_vec(), &mut |event| {
                let Event::Message(Message::Binary(record)) = event else { panic!("{event:?}") };
                heard.push(record.to_vec());
                ControlFlow::Continue(())
            });
            assert_eq!(fed, Ok(()));
        }
        assert!(heard == records && decoder.kept() == 0, "by {step}");
    }
}

#[test]
fn a_link_takes_no_masks_and_a_client_must_have_them() {
    let masked = [0x82, 0x81, 1, 2, 3, 4, 5];
    let plain = [0x82, 1, 5];
    for (peer, wire) in [(Peer::Link, &masked[..]), (Peer::Client, &plain)] {
        let mut decoder = Decoder::new(LIMIT, peer);
        let mut ignore = |_: Event<'_>| ControlFlow::Continue(());
        assert!(decoder.feed(&mut wire.to_vec(), &mut ignore).is_err());
    }
}
