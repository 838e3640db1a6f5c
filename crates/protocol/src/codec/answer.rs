//! Which request a server's frame answers: read off its head, for who passes frames on and needs to know no more.

use super::Format;
use super::server::Kind;
use crate::msgpack::{Cursor, Token};

/// What a frame says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The request; none: one without an id, that failed.
    pub id: Option<u64>,
    /// Whether it is an `ok`, and no `err`.
    pub ok: bool,
}

/// Which request a frame answers, if it is an `ok` or `err` as [`encode_server`](super::encode_server) writes it: that
/// begins with its type and its id. What follows isn't looked at.
pub fn answer_id(format: Format, payload: &[u8]) -> Option<Answered> {
    match format {
        Format::Json => in_json(payload),
        Format::Msgpack => in_msgpack(payload),
    }
}

fn in_json(payload: &[u8]) -> Option<Answered> {
    let rest = payload.strip_prefix(b"{\"t\":\"")?;
    let (ok, rest) = match rest.strip_prefix(b"ok\"") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix(b"err\"")?),
    };
    let Some(rest) = rest.strip_prefix(b",\"id\":") else { return Some(Answered { id: None, ok }) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let id = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some(Answered { id: Some(id), ok })
}

fn in_msgpack(payload: &[u8]) -> Option<Answered> {
    let mut cursor = Cursor::new(payload, 0);
    let (Token::Array(elements), _) = cursor.token().ok()? else { return None };
    let (Token::Uint(kind), _) = cursor.token().ok()? else { return None };
    let ok = match Kind::of_number(kind)? {
        Kind::Ok => true,
        Kind::Err => false,
        _ => return None,
    };
    let id = match elements {
        ..2 => None,
        _ => match cursor.token().ok()?.0 {
            Token::Uint(id) => Some(id),
            Token::Nil => None,
            _ => return None,
        },
    };
    Some(Answered { id, ok })
}
