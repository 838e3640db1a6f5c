//! Where a stream of WebSocket frames stands: headers are read, payloads skipped.
//!
//! The tunnel moves bytes and understands none of them. But to say goodbye to a client (a close frame of
//! its own) it must know that it isn't in the middle of a frame of the node's. RFC 6455 §5.2.

/// What is kept of a header: two bytes, eight of length. (A server sends no mask, yet its four bytes are counted, so that
/// a stream which breaks that rule isn't misread.)
const KEPT: usize = 10;
const OPCODE_CLOSE: u8 = 8;

/// A place in a stream of frames.
#[derive(Debug, Default)]
pub(crate) struct Boundary {
    /// Payload bytes of the frame at hand that are still to come.
    skip: u64,
    head: [u8; KEPT],
    /// Bytes of the header that have passed.
    have: u8,
    any: bool,
    closed: bool,
}

impl Boundary {
    /// Between two frames.
    pub(crate) fn is_between(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// Whether a whole frame has passed.
    pub(crate) fn any_passed(&self) -> bool {
        self.any
    }

    /// Whether a close frame has begun to pass: nothing may follow it.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Walks over `bytes`.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.walk(bytes, false);
    }

    /// Walks over `bytes` only up to the end of the frame at hand, between two frames that of the next; returns how many
    /// bytes that took.
    pub(crate) fn pass_frame(&mut self, bytes: &[u8]) -> usize {
        self.walk(bytes, true)
    }

    fn walk(&mut self, bytes: &[u8], one: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.skip > 0 {
                let left = bytes.len() - at;
                let step = usize::try_from(self.skip).map_or(left, |skip| skip.min(left));
                at += step;
                self.skip -= step as u64;
            } else {
                if let Some(kept) = self.head.get_mut(usize::from(self.have)) {
                    *kept = bytes[at];
                }
                self.have += 1;
                at += 1;
                if usize::from(self.have) < self.header_length() {
                    continue;
                }
                self.skip = self.payload_length();
                self.closed |= self.head[0] & 0x0f == OPCODE_CLOSE;
                self.have = 0;
            }
            if self.skip == 0 {
                self.any = true;
                if one {
                    break;
                }
            }
        }
        at
    }

    fn header_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn payload_length(&self) -> u64 {
        match self.head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            127 => {
                let mut length = [0; 8];
                length.copy_from_slice(&self.head[2..10]);
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut out = vec![0x80 | opcode];
        match length {
            0..=125 => out.push(length as u8),
            126..=65_535 => {
                out.push(126);
                out.extend((length as u16).to_be_bytes());
            }
            _ => {
                out.push(127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        // A payload that looks like headers must not be taken for some.
        out.extend(std::iter::repeat_n(0x88, length));
        out
    }

    #[test]
    fn every_cut_is_told_apart() {
        let frames = [frame(1, 0), frame(2, 1), frame(1, 125), frame(2, 126), frame(1, 700), frame(9, 4)];
        let stream = frames.concat();
        let mut ends = vec![0];
        ends.extend(frames.iter().scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        }));
        for cut in 0..=stream.len() {
            let mut boundary = Boundary::default();
            boundary.pass(&stream[..cut]);
            assert_eq!(boundary.is_between(), ends.contains(&cut), "cut at {cut}");
            assert_eq!(boundary.any_passed(), cut >= ends[1], "cut at {cut}");
            assert!(!boundary.is_closed());
            let took = boundary.pass_frame(&stream[cut..]);
            let end = ends.iter().copied().find(|end| *end > cut).unwrap_or(stream.len());
            assert_eq!(cut + took, end, "cut at {cut}");
            assert!(boundary.is_between());
        }
    }

    #[test]
    fn byte_by_byte_is_the_same() {
        let stream = [frame(1, 70_000), frame(2, 3), frame(8, 2)].concat();
        let mut boundary = Boundary::default();
        for byte in &stream {
            boundary.pass(std::slice::from_ref(byte));
        }
        assert!(boundary.is_between() && boundary.is_closed());
    }

    #[test]
    fn a_masked_frame_is_counted_whole() {
        let mut boundary = Boundary::default();
        boundary.pass(&[0x82, 0x83, 1, 2, 3, 4, 0x88, 0x88]);
        assert!(!boundary.is_between());
        boundary.pass(&[0x88]);
        assert!(boundary.is_between() && !boundary.is_closed());
    }

    #[test]
    fn an_absurd_length_never_ends() {
        let mut boundary = Boundary::default();
        boundary.pass(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
        assert!(!boundary.is_between());
    }
}
