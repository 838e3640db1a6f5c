//! MessagePack in: finds a payload's end and checks the rules, in one pass.
//!
//! Most publishers write every number and length in its smallest form; then the bytes are passed on
//! as they are. Else they are written anew, token by token, which needs no checks any more.

use super::{DEPTH_MAX, PayloadError};
use crate::msgpack::{Cursor, Malformed, Token, put};

/// What a payload turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// Where it ends.
    pub(super) end: usize,
    /// Whether it is in canonical form already.
    pub(super) canonical: bool,
    /// Where its inside begins, if the whole payload is bytes.
    pub(super) bytes_from: Option<usize>,
}

impl From<Malformed> for PayloadError {
    fn from(Malformed(at): Malformed) -> Self {
        Self::NotMsgpack(at)
    }
}

/// An array or object that isn't at its end yet.
#[derive(Clone, Copy, Default)]
struct Open {
    /// How many elements, or pairs, are to come.
    left: u32,
    /// How many pairs there are in all; 0 for an array.
    pairs: u32,
    /// Where its keys begin among those of all open objects.
    keys_from: usize,
}

/// Checks the payload that begins at `at`.
pub(super) fn scan(bytes: &[u8], at: usize) -> Result<Scan, PayloadError> {
    let mut cursor = Cursor::new(bytes, at);
    let mut canonical = true;
    let mut open = [Open::default(); DEPTH_MAX];
    let mut depth = 0;
    let mut keys = Keys::default();
    loop {
        let (token, smallest) = cursor.token()?;
        canonical &= smallest;
        let (count, pairs) = match token {
            Token::Nil | Token::Bool(_) | Token::Uint(_) | Token::Negative(_) => (0, 0),
            Token::Float(number) if number.is_finite() => (0, 0),
            Token::Float(_) => return Err(PayloadError::NotFinite),
            Token::Str(text) => {
                check_text(text, cursor.at)?;
                (0, 0)
            }
            Token::Bin(_) if depth > 0 => (0, 0),
            Token::Bin(inside) => {
                let bytes_from = Some(cursor.at - inside.len());
                return Ok(Scan { end: cursor.at, canonical, bytes_from });
            }
            Token::Ext => return Err(PayloadError::Extension),
            Token::Array(count) => (count, 0),
            Token::Map(pairs) => (pairs, pairs),
        };
        if matches!(token, Token::Array(_) | Token::Map(_)) {
            if depth == DEPTH_MAX {
                return Err(PayloadError::TooDeep);
            }
            open[depth] = Open { left: count, pairs, keys_from: keys.len() };
            depth += 1;
        }
        // A value is complete, or a container has just been opened: on to the next value.
        loop {
            let Some(inner) = depth.checked_sub(1) else {
                return Ok(Scan { end: cursor.at, canonical, bytes_from: None });
            };
            let here = &mut open[inner];
            if here.left > 0 {
                here.left -= 1;
                if here.pairs > 0 {
                    let (key, smallest) = cursor.token()?;
                    let Token::Str(text) = key else { return Err(PayloadError::KeyKind) };
                    check_text(text, cursor.at)?;
                    canonical &= smallest;
                    if here.pairs > 1 {
                        keys.add(cursor.at - text.len(), cursor.at)?;
                    }
                }
                break;
            }
            if here.pairs > 1 {
                keys.close(here.keys_from, bytes)?;
            }
            depth -= 1;
        }
    }
}

fn check_text(text: &[u8], end: usize) -> Result<(), PayloadError> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(PayloadError::NotUnicode(end - text.len() + error.valid_up_to())),
    }
}

/// Appends what was scanned (`bytes` from `at` to its end) in canonical form. Lengths stand before
/// what they count, so the tokens can be written one after the other without knowing the nesting.
pub(super) fn rewrite(bytes: &[u8], at: usize, end: usize, out: &mut Vec<u8>) {
    let mut cursor = Cursor::new(&bytes[..end], at);
    while let Ok((token, _)) = cursor.token() {
        match token {
            Token::Nil | Token::Ext => put::nil(out),
            Token::Bool(value) => put::flag(out, value),
            Token::Uint(number) => put::uint(out, number),
            Token::Negative(number) => put::int(out, number),
            Token::Float(number) => put::float(out, number),
            Token::Str(text) => put::str(out, text),
            Token::Bin(inside) => put::bin(out, inside),
            Token::Array(count) => put::array(out, count),
            Token::Map(count) => put::map(out, count),
        }
    }
}

/// The keys of all open objects, as places in a buffer: those of an inner object are behind those
/// of the outer ones. Costs nothing until an object with two keys is met.
#[derive(Default)]
pub(super) struct Keys(Vec<(u32, u32)>);

/// Up to so many keys are compared each with each; more are sorted first.
const FEW_KEYS: usize = 12;

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, from: usize, to: usize) -> Result<(), PayloadError> {
        let place = |at: usize| u32::try_from(at).map_err(|_| PayloadError::NotMsgpack(at));
        self.0.push((place(from)?, place(to)?));
        Ok(())
    }

    /// The object whose keys begin at `from` is at its end: looks for a key that is in it twice,
    /// and forgets its keys.
    pub(super) fn close(&mut self, from: usize, buffer: &[u8]) -> Result<(), PayloadError> {
        let text = |(from, to): (u32, u32)| &buffer[from as usize..to as usize];
        let own = &mut self.0[from..];
        let twice = if own.len() <= FEW_KEYS {
            own.iter()
                .enumerate()
                .find(|(at, key)| own[..*at].iter().any(|other| text(*other) == text(**key)))
                .map(|(_, key)| *key)
        } else {
            own.sort_unstable_by(|one, other| text(*one).cmp(text(*other)));
            own.windows(2).find(|pair| text(pair[0]) == text(pair[1])).map(|pair| pair[0])
        };
        self.0.truncate(from);
        match twice {
            None => Ok(()),
            Some(key) => {
                Err(PayloadError::DuplicateKey(String::from_utf8_lossy(text(key)).chars().take(64).collect()))
            }
        }
    }
}
