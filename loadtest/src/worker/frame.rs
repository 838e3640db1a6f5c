//! WebSocket frames (RFC 6455 §5.2): heads of those that servers send, and whole ones to send, masked.

use super::random::Random;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Longer frames than any that is asked for: what claims to be one is out of step.
const LONGEST: u64 = 64 << 20;

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    /// Where its payload begins.
    pub(crate) at: usize,
    /// Where it ends; it need not be there yet.
    pub(crate) end: usize,
}

/// The head of the frame that begins with these bytes; none: more are needed.
///
/// # Errors
/// It isn't a server's frame, where no extension was agreed on.
#[inline]
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("a frame with reserved bits");
    }
    if second & 0x80 != 0 {
        return Err("a masked frame from a server");
    }
    let (at, len) = match second {
        126 => match rest.first_chunk() {
            Some(len) => (4, u64::from(u16::from_be_bytes(*len))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(len) => (10, u64::from_be_bytes(*len)),
            None => return Ok(None),
        },
        short => (2, u64::from(*short)),
    };
    if len > LONGEST {
        return Err("a frame of more than 64 MiB");
    }
    Ok(Some(Head { fin: first & 0x80 != 0, opcode: first & 0x0f, at, end: at + len as usize }))
}

/// How a server closed: `1008 Slow consumer`.
pub(crate) fn close_reason(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("{code} {}", String::from_utf8_lossy(reason)).trim_end().to_owned()
        }
        _ => "a close frame without a code".to_owned(),
    }
}

/// Frames that are to be sent, one behind the other.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    random: Random,
}

impl Outgoing {
    pub(crate) fn new(seed: u64) -> Outgoing {
        Outgoing { bytes: Vec::new(), random: Random::new(seed) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends a whole frame, masked by a key of its own.
    pub(crate) fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.bytes.push(0x80 | opcode);
        match payload.len() {
            len @ ..126 => self.bytes.push(0x80 | len as u8),
            len @ 126..0x1_0000 => {
                self.bytes.push(0x80 | 126);
                self.bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                self.bytes.push(0x80 | 127);
                self.bytes.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        let key = (self.random.next() as u32).to_ne_bytes();
        self.bytes.extend_from_slice(&key);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        mask(key, &mut self.bytes[at..]);
    }
}

fn mask(key: [u8; 4], payload: &mut [u8]) {
    let twice = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut eights = payload.chunks_exact_mut(8);
    for eight in &mut eights {
        let masked = u64::from_ne_bytes((&*eight).try_into().expect("chunks of eight")) ^ twice;
        eight.copy_from_slice(&masked.to_ne_bytes());
    }
    for (byte, key) in eights.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server would write it.
    fn frame(fin: bool, opcode: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![if fin { 0x80 } else { 0 } | opcode];
        match len {
            ..126 => bytes.push(len as u8),
            126..0x1_0000 => {
                bytes.push(126);
                bytes.extend((len as u16).to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(std::iter::repeat_n(b'x', len));
        bytes
    }

    #[test]
    fn heads_are_read_wherever_they_are_cut() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let bytes = frame(true, TEXT, len);
            let at = bytes.len() - len;
            for cut in 0..at {
                assert_eq!(head(&bytes[..cut]), Ok(None), "{len} bytes, cut at {cut}");
            }
            let whole = Head { fin: true, opcode: TEXT, at, end: at + len };
            for cut in [at, at + len / 2, at + len] {
                assert_eq!(head(&bytes[..cut]), Ok(Some(whole)), "{len} bytes, cut at {cut}");
            }
        }
    }

    #[test]
    fn what_isnt_a_servers_frame_is_told() {
        assert!(head(&[0xc1, 0]).is_err());
        assert!(head(&[0x81, 0x80]).is_err());
        assert!(head(&[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn what_is_sent_is_masked_and_comes_out_again() {
        let mut out = Outgoing::new(1);
        for len in [0, 1, 7, 8, 9, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            out.clear();
            out.frame(BINARY, &payload);
            let sent = out.bytes();
            assert_eq!((sent[0], sent[1] & 0x80), (0x82, 0x80));
            let at = sent.len() - len;
            let key = &sent[at - 4..at];
            assert_ne!(key, [0; 4]);
            let unmasked: Vec<u8> =
                sent[at..].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            assert_eq!(unmasked, payload);
            let mut as_server = sent[..at - 4].to_vec();
            as_server[1] &= 0x7f;
            let read = head(&as_server).ok().flatten().map(|head| (head.at, head.end));
            assert_eq!(read, Some((at - 4, at - 4 + len)));
        }
    }

    #[test]
    fn closes_are_told_with_code_and_reason() {
        assert_eq!(close_reason(b"\x03\xf0Slow consumer"), "1008 Slow consumer");
        assert_eq!(close_reason(b"\x03\xe8"), "1000");
        assert_eq!(close_reason(b""), "a close frame without a code");
    }
}
