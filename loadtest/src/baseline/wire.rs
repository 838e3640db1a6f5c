//! As much of RFC 6455 as a floor needs: a request's head, clients' frames, finished server frames. What a load
//! generator doesn't send (fragments, extensions) is refused.

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The longest head, and the longest message, that is taken.
const HEAD_LIMIT: usize = 16 * 1024;
const MESSAGE_LIMIT: u64 = 1024 * 1024;

pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// What isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad;

/// An upgrade request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upgrade {
    pub(super) path: String,
    /// The 101, finished.
    pub(super) answer: String,
    /// The head's length.
    pub(super) used: usize,
}

/// The upgrade at the beginning of `bytes`; `None`: its head isn't whole yet.
pub(super) fn upgrade(bytes: &[u8]) -> Result<Option<Upgrade>, Bad> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_LIMIT { Err(Bad) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| Bad)?;
    let mut lines = head.split("\r\n");
    let path = lines.next().and_then(|line| line.strip_prefix("GET ")?.split(' ').next()).ok_or(Bad)?;
    let key = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .ok_or(Bad)?
        .1
        .trim();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    Ok(Some(Upgrade { path: path.to_owned(), answer, used: end + 4 }))
}

/// A client's frame, its payload still masked and after it in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: u8,
    pub(super) mask: [u8; 4],
    /// Where the payload begins and ends.
    pub(super) begin: usize,
    pub(super) end: usize,
}

/// The frame at the beginning of `bytes`; `None`: it isn't whole yet.
pub(super) fn frame(bytes: &[u8]) -> Result<Option<Header>, Bad> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = first & 0x0f;
    let known = matches!(opcode, TEXT | BINARY | CLOSE | PING | PONG);
    if first & 0xf0 != 0x80 || second & 0x80 == 0 || !known {
        return Err(Bad);
    }
    let (length, begin) = match second & 0x7f {
        126 => match rest {
            [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 8),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 14),
            None => return Ok(None),
        },
        short => (u64::from(short), 6),
    };
    if length > MESSAGE_LIMIT {
        return Err(Bad);
    }
    let end = begin + usize::try_from(length).map_err(|_| Bad)?;
    if bytes.len() < end {
        return Ok(None);
    }
    let mask = *bytes[begin - 4..].first_chunk().expect("the mask lies before the payload");
    Ok(Some(Header { opcode, mask, begin, end }))
}

/// A finished server frame in `out`, whatever it held: `payload` unmasked by `mask`.
pub(super) fn finish(opcode: u8, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    out.clear();
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(short as u8),
        middle @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a client sends it.
    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        finish(opcode, payload, [0; 4], &mut frame);
        frame[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        let begin = frame.len() - payload.len();
        let mut whole = frame[..begin].to_vec();
        whole.extend(mask);
        whole.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        whole
    }

    #[test]
    fn an_upgrade_is_answered() {
        let head =
            b"GET /echo HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nmore";
        assert_eq!(upgrade(&head[..20]), Ok(None));
        let upgrade = upgrade(head).unwrap().unwrap();
        assert_eq!(upgrade.path, "/echo");
        assert!(upgrade.answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(&head[upgrade.used..], b"more");
        assert_eq!(super::upgrade(b"GET / HTTP/1.1\r\n\r\n"), Err(Bad));
    }

    #[test]
    fn frames_of_every_length_come_whole() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let whole = masked(TEXT, &payload);
            assert_eq!(frame(&whole[..whole.len() - 1]), Ok(None), "{length}");
            let header = frame(&whole).unwrap().unwrap();
            let mut out = Vec::new();
            finish(header.opcode, &whole[header.begin..header.end], header.mask, &mut out);
            assert!(out.ends_with(&payload), "{length}");
            assert_eq!(header.end, whole.len());
        }
    }

    #[test]
    fn fragments_and_unmasked_frames_are_refused() {
        assert_eq!(frame(&[0x01, 0x80, 0, 0, 0, 0]), Err(Bad));
        assert_eq!(frame(&[0x81, 0x00]), Err(Bad));
        assert_eq!(frame(&[0xc1, 0x80, 0, 0, 0, 0]), Err(Bad));
    }
}
