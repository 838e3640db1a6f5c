//! The head of a frame: parsed, and judged as early as its bytes allow.
//!
//! A length is judged when its last byte is there, before any payload, so nothing is ever
//! allocated for what a peer merely announces.

use ringway_protocol::CloseCode;

/// The longest head of a frame: two bytes, a 64-bit length, the mask.
pub(crate) const HEAD_LIMIT: usize = 14;

/// Why a peer is told to go: the code and the reason of the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
}

impl Violation {
    pub(crate) const fn protocol(reason: &'static str) -> Violation {
        Violation { code: CloseCode::PROTOCOL, reason }
    }

    pub(crate) const fn not_utf8(reason: &'static str) -> Violation {
        Violation { code: CloseCode::BAD_UTF8, reason }
    }

    pub(crate) const fn policy(reason: &'static str) -> Violation {
        Violation { code: CloseCode::POLICY, reason }
    }

    pub(crate) const fn too_big() -> Violation {
        Violation { code: CloseCode::TOO_BIG, reason: "Message too big" }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    /// Zeros: none, which is the same.
    pub(crate) mask: [u8; 4],
    pub(crate) length: u32,
}

/// Reads a head from the beginning of `bytes`: with its own length, or `None` where more is
/// needed. `room` is how many bytes of payload a data frame may have; `masked`, whether frames have to have a mask, or
/// mustn't (RFC 6455 §5.1).
pub(crate) fn parse(bytes: &[u8], room: u32, masked: bool) -> Result<Option<(Head, usize)>, Violation> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    // No extension was agreed on, so all three reserved bits are (RFC 6455 §5.2).
    if first & 0x70 != 0 {
        return Err(Violation::protocol("Reserved bits are set"));
    }
    let fin = first & 0x80 != 0;
    let opcode = match first & 0x0F {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(Violation::protocol("Reserved opcode")),
    };
    if opcode.is_control() && !fin {
        return Err(Violation::protocol("Fragmented control frame"));
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if masked != (second & 0x80 != 0) {
        return Err(Violation::protocol(if masked { "Frame is not masked" } else { "Frame is masked" }));
    }
    let short = second & 0x7F;
    if opcode.is_control() && short > 125 {
        return Err(Violation::protocol("Control frame too long"));
    }
    let (length, used) = match short {
        126 => match bytes.get(2..4).and_then(|length| length.try_into().ok()) {
            Some(length) => (u64::from(u16::from_be_bytes(length)), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|length| length.try_into().ok()) {
            Some(length) => (u64::from_be_bytes(length), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length > i64::MAX as u64 {
        return Err(Violation::protocol("Length has its highest bit set"));
    }
    if !opcode.is_control() && length > u64::from(room) {
        return Err(Violation::too_big());
    }
    // Cannot be cut: a data frame is at most `room`, a control frame 125.
    let head = |mask| Head { fin, opcode, mask, length: length as u32 };
    if !masked {
        return Ok(Some((head([0; 4]), used)));
    }
    let Some(mask) = bytes.get(used..used + 4).and_then(|mask| mask.try_into().ok()) else {
        return Ok(None);
    };
    Ok(Some((head(mask), used + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;
    use tungstenite::protocol::frame::FrameHeader;

    const ROOM: u32 = 65_536;

    fn refused(bytes: &[u8]) -> (u16, &'static str) {
        let violation = parse(bytes, ROOM, true).unwrap_err();
        (violation.code.0, violation.reason)
    }

    #[test]
    fn a_length_is_judged_before_the_mask_has_come() {
        let long = |length: u64| [&[0x82, 0xFF][..], &length.to_be_bytes()].concat();
        assert_eq!(refused(&long(1 << 63)).0, 1002);
        assert_eq!(refused(&long(u64::MAX)).0, 1002);
        assert_eq!(refused(&long((1 << 63) - 1)).0, 1009);
        assert_eq!(refused(&long(1 << 32)).0, 1009);
        assert_eq!(refused(&long(65_537)).0, 1009);
        assert_eq!(parse(&long(65_536), ROOM, true), Ok(None));
        assert_eq!(parse(&[0x82, 0xFE, 0, 101], 100, true), Err(Violation::too_big()));
    }

    #[test]
    fn what_breaks_the_rules_is_refused_at_its_first_byte() {
        for (bytes, reason) in [
            (&[0xC1][..], "Reserved bits are set"),
            (&[0xA1], "Reserved bits are set"),
            (&[0x91], "Reserved bits are set"),
            (&[0x83], "Reserved opcode"),
            (&[0x8B], "Reserved opcode"),
            (&[0x09], "Fragmented control frame"),
            (&[0x81, 0x05], "Frame is not masked"),
            (&[0x89, 0xFE], "Control frame too long"),
            (&[0x88, 0xFF], "Control frame too long"),
        ] {
            assert_eq!(refused(bytes), (1002, reason), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_link_has_no_masks() {
        let violation = parse(&[0x82, 0x85], ROOM, false).unwrap_err();
        assert_eq!((violation.code.0, violation.reason), (1002, "Frame is masked"));
        let head = Head { fin: true, opcode: Opcode::Binary, mask: [0; 4], length: 5 };
        assert_eq!(parse(&[0x82, 5], ROOM, false), Ok(Some((head, 2))));
        assert_eq!(parse(&[0x82, 126, 0], ROOM, false), Ok(None));
    }

    proptest! {
        #[test]
        fn accepted_heads_are_what_another_implementation_reads(
            bytes in proptest::collection::vec(any::<u8>(), 0..16), masked in any::<bool>(),
        ) {
            if let Ok(Some((head, used))) = parse(&bytes, ROOM, masked) {
                let mut cursor = Cursor::new(&bytes);
                let (other, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
                prop_assert_eq!(cursor.position(), used as u64);
                prop_assert_eq!((head.fin, masked.then_some(head.mask)), (other.is_final, other.mask));
                prop_assert_eq!(u64::from(head.length), length);
                prop_assert_eq!(u8::from(other.opcode), bytes[0] & 0x0F);
            }
        }

        #[test]
        fn a_head_needs_all_of_its_bytes_and_no_more(
            opcode in 1..3_u8, length in 0..=ROOM, mask in any::<[u8; 4]>(), tail in any::<[u8; 3]>(),
        ) {
            let mut bytes = vec![0x80 | opcode];
            match length {
                ..=125 => bytes.push(0x80 | length as u8),
                126..=0xFFFF => { bytes.push(0xFE); bytes.extend((length as u16).to_be_bytes()); }
                _ => { bytes.push(0xFF); bytes.extend(u64::from(length).to_be_bytes()); }
            }
            bytes.extend(mask);
            let whole = bytes.len();
            bytes.extend(tail);
            for end in 0..whole {
                prop_assert_eq!(parse(&bytes[..end], ROOM, true), Ok(None));
            }
            let (head, used) = parse(&bytes, ROOM, true).unwrap().unwrap();
            prop_assert_eq!((head.length, head.mask, used), (length, mask, whole));
        }
    }
}
