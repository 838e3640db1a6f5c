//! Is this one whole message, as a WebSocket's server sends it (RFC 6455 §5.2)?

/// FIN and the opcode of a text message.
pub(super) const TEXT: u8 = 0x81;
/// FIN and the opcode of a binary message.
pub(super) const BINARY: u8 = 0x82;

/// Whether the bytes are one frame of that first byte, not masked, no more and no less.
pub(super) fn is(first: u8, frame: &[u8]) -> bool {
    let (head, payload) = match frame {
        [begin, short @ ..=125, ..] if *begin == first => (2, usize::from(*short)),
        [begin, 126, high, low, ..] if *begin == first => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [begin, 127, rest @ ..] if *begin == first => match rest.first_chunk() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX)),
            None => return false,
        },
        _ => return false,
    };
    frame.len() - head == payload
}

/// Whether the bytes are one text or binary message.
pub(super) fn is_message(frame: &[u8]) -> bool {
    is(TEXT, frame) || is(BINARY, frame)
}
