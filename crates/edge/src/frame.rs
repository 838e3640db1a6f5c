//! Finished WebSocket frames as a server sends them: header and payload in one piece, unmasked.
//!
//! A frame is made once and shared by every socket that it goes to: a clone counts references and
//! copies nothing. What is made here is always one whole message or one control frame; this
//! server never fragments and never compresses.

use std::sync::Arc;

use ringway_protocol::CloseCode;

use crate::alive;
use crate::label::Label;

/// The first byte of an unfragmented frame of each kind (RFC 6455 §5.2: FIN and the opcode).
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// What a control frame can carry (RFC 6455 §5.5), in bytes.
pub(crate) const CONTROL_LIMIT: usize = 125;

/// The two counts in front of what an `Arc` holds, in bytes.
pub(crate) const COUNTS: usize = 2 * size_of::<usize>();

/// The longest reason of a close frame: the limit less the two bytes of the code.
const REASON_LIMIT: usize = CONTROL_LIMIT - 2;

/// A finished frame, ready for a socket. Cheap to clone.
// One pointer wide, since one waits at every socket of a room for the moment of a publication; that it is followed
// twice costs nothing where the same frame goes to many.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Whole>);

#[derive(Debug)]
struct Whole {
    bytes: Box<[u8]>,
    label: Option<Arc<Label>>,
}

impl Whole {
    fn new(bytes: Box<[u8]>, label: Option<Arc<Label>>) -> Whole {
        let whole = Whole { bytes, label };
        alive::add(whole.weight());
        whole
    }

    /// What it takes of memory: the bytes, itself with the counts of its `Arc`, and its label, which at most one other
    /// frame shares, that of the other format.
    fn weight(&self) -> usize {
        let label = self.label.as_ref().map_or(0, |label| label.weight());
        self.bytes.len() + size_of::<Whole>() + COUNTS + label
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        alive::subtract(self.weight());
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Frame {}

impl Frame {
    /// A text message. The payload must be UTF-8; that is the caller's promise to the receiver.
    pub fn text(payload: &[u8]) -> Frame {
        debug_assert!(std::str::from_utf8(payload).is_ok(), "a text frame carries UTF-8");
        Frame::new(TEXT, payload)
    }

    /// A binary message.
    pub fn binary(payload: &[u8]) -> Frame {
        Frame::new(BINARY, payload)
    }

    /// A record of a link, to be read as a binary message.
    pub fn record(record: &[u8]) -> Frame {
        Frame::binary(record)
    }

    /// A frame that another process of the cluster made: `encoded` is all of it, header and payload, a text or binary
    /// message.
    pub fn finished(encoded: &[u8]) -> Frame {
        debug_assert!(
            matches!(encoded.first(), Some(&(TEXT | BINARY))),
            "a finished frame is a whole message"
        );
        Frame(Arc::new(Whole::new(Box::from(encoded), None)))
    }

    /// A ping. A payload over 125 bytes is cut to what a control frame can carry.
    pub fn ping(payload: &[u8]) -> Frame {
        Frame::control(PING, payload)
    }

    /// A close frame. The reason is cut to 123 bytes, never inside a character.
    pub fn close(code: CloseCode, reason: &str) -> Frame {
        let mut payload = Vec::with_capacity(CONTROL_LIMIT);
        payload.extend_from_slice(&code.0.to_be_bytes());
        payload.extend_from_slice(cut(reason, REASON_LIMIT).as_bytes());
        Frame::control(CLOSE, &payload)
    }

    /// The close frame without a code: the answer to a close frame without one.
    pub(crate) fn close_empty() -> Frame {
        Frame::control(CLOSE, &[])
    }

    pub(crate) fn pong(payload: &[u8]) -> Frame {
        Frame::control(PONG, payload)
    }

    /// The same frame, which may be left out where its peer is behind, as the label says.
    #[must_use]
    pub fn labelled(mut self, label: Arc<Label>) -> Frame {
        if let Some(whole) = Arc::get_mut(&mut self.0) {
            // Nobody shares it yet, as is usual right after it was made.
            alive::subtract(whole.weight());
            whole.label = Some(label);
            alive::add(whole.weight());
            return self;
        }
        Frame(Arc::new(Whole::new(self.0.bytes.clone(), Some(label))))
    }

    /// What may become of it where its peer is behind.
    pub fn label(&self) -> Option<&Arc<Label>> {
        self.0.label.as_ref()
    }

    /// Bytes of memory that all frames of this process take, those that wait in any queue among them: each counted once,
    /// however many queues share it. The sum of a few counters, read one after the other.
    #[must_use]
    pub fn alive_bytes() -> u64 {
        alive::sum()
    }

    /// Whether it is a text message.
    pub(crate) fn is_text(&self) -> bool {
        self.0.bytes.first() == Some(&TEXT)
    }

    /// The bytes for the wire, header and payload.
    pub fn encoded(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Bytes on the wire, header included; never zero.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.bytes.len()
    }

    fn control(first: u8, payload: &[u8]) -> Frame {
        Frame::new(first, &payload[..payload.len().min(CONTROL_LIMIT)])
    }

    fn new(first: u8, payload: &[u8]) -> Frame {
        // An exact capacity keeps the conversion below from moving the bytes.
        let mut bytes = Vec::with_capacity(payload.len() + header_len(payload.len()));
        bytes.push(first);
        match payload.len() {
            n @ ..=125 => bytes.push(n as u8),
            n @ 126..=0xFFFF => {
                bytes.push(126);
                bytes.extend_from_slice(&(n as u16).to_be_bytes());
            }
            n => {
                bytes.push(127);
                bytes.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        Frame(Arc::new(Whole::new(bytes.into_boxed_slice(), None)))
    }
}

const fn header_len(payload: usize) -> usize {
    match payload {
        ..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tungstenite::protocol::frame::FrameHeader;

    #[test]
    fn headers_are_what_another_implementation_reads() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; len];
            for (frame, opcode) in [(Frame::text(&payload), 1_u8), (Frame::binary(&payload), 2)] {
                let mut cursor = Cursor::new(frame.encoded());
                let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
                assert!(header.is_final && header.mask.is_none());
                assert_eq!((u8::from(header.opcode), length), (opcode, len as u64));
                assert_eq!(&frame.encoded()[cursor.position() as usize..], &payload[..]);
                assert_eq!(frame.len(), len + header_len(len));
            }
        }
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let frame = Frame::close(CloseCode(1008), &"é".repeat(100));
        assert_eq!(frame.encoded()[..4], [0x88, 2 + 122, 0x03, 0xF0]);
        assert_eq!(std::str::from_utf8(&frame.encoded()[4..]).unwrap(), "é".repeat(61));
        assert_eq!(Frame::close(CloseCode(1000), "").encoded(), [0x88, 2, 0x03, 0xE8]);
        assert_eq!(Frame::close_empty().encoded(), [0x88, 0]);
    }

    #[test]
    fn a_ping_never_outgrows_a_control_frame() {
        assert_eq!(Frame::ping(&[7; 300]).len(), 127);
        assert_eq!(Frame::pong(b"a").encoded(), [0x8A, 1, b'a']);
    }

    #[derive(Debug)]
    struct Nothing;

    impl crate::label::Feed for Nothing {
        fn gap(&self, _: crate::label::Lost) -> Frame {
            Frame::text(b"gap")
        }

        fn dropped(&self, _: u64) {}

        fn conflated(&self, _: u64) {}
    }

    #[test]
    fn a_label_is_put_on_without_a_copy_and_leaves_shared_frames_as_they_are() {
        let label = || {
            let feed = Arc::new(Nothing);
            Arc::new(Label { feed, policy: crate::Policy::DropOldest, offset: None, ts: 0, key: None })
        };
        let frame = Frame::text(b"payload");
        let bytes = frame.encoded().as_ptr();
        let labelled = frame.labelled(label());
        assert_eq!((labelled.encoded().as_ptr(), labelled.label().is_some()), (bytes, true));
        let shared = Frame::text(b"payload");
        let labelled = shared.clone().labelled(label());
        assert!(shared.label().is_none() && labelled.label().is_some());
        assert_eq!(shared, labelled);
        assert!(labelled.is_text() && !Frame::binary(b"").is_text());
    }

    #[test]
    fn a_finished_frame_is_what_it_was_where_it_was_made() {
        for frame in [Frame::text(b"payload"), Frame::binary(&[7; 200])] {
            let again = Frame::finished(frame.encoded());
            assert_eq!((again.encoded(), again.is_text()), (frame.encoded(), frame.is_text()));
        }
    }

    #[test]
    fn clones_share_the_bytes() {
        let frame = Frame::binary(&[1; 1000]);
        let clone = frame.clone();
        assert_eq!(clone.encoded().as_ptr(), frame.encoded().as_ptr());
    }
}
