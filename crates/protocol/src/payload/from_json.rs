//! JSON in: a text becomes canonical MessagePack in one pass.
//!
//! How many elements an array has is known at its end only, and the length stands before them: one
//! byte is left for it, and where that turns out too small, the elements move up. A move costs the
//! array's own bytes, and an element is in 32 arrays at most.

use super::scan::Keys;
use super::{DEPTH_MAX, PayloadError};
use crate::json::{self, HalfPair, NotJson};
use crate::msgpack::put;

impl From<NotJson> for PayloadError {
    fn from(NotJson(at): NotJson) -> Self {
        Self::NotJson(at)
    }
}

/// An array or object that isn't at its end yet.
#[derive(Clone, Copy, Default)]
struct Open {
    /// Where its head is in the output.
    head: usize,
    /// How many elements, or pairs, it has so far.
    count: usize,
    object: bool,
    /// Where its keys begin among those of all open objects.
    keys_from: usize,
}

/// Appends the value that begins at `at`, and says where it ends.
pub(super) fn convert(text: &str, mut at: usize, out: &mut Vec<u8>) -> Result<usize, PayloadError> {
    let bytes = text.as_bytes();
    let mut open = [Open::default(); DEPTH_MAX];
    let mut depth = 0;
    let mut keys = Keys::default();
    loop {
        match bytes.get(at) {
            Some(bracket @ (b'{' | b'[')) => {
                if depth == DEPTH_MAX {
                    return Err(PayloadError::TooDeep);
                }
                let object = *bracket == b'{';
                open[depth] = Open { head: out.len(), count: 0, object, keys_from: keys.len() };
                out.push(if object { 0x80 } else { 0x90 });
                at = json::space(text, at + 1);
                if bytes.get(at) == Some(if object { &b'}' } else { &b']' }) {
                    at += 1;
                } else {
                    depth += 1;
                    if object {
                        at = convert_key(text, at, out, &mut keys)?;
                    }
                    continue;
                }
            }
            Some(b'"') => at = convert_string(text, at, out)?.1,
            Some(b'-' | b'0'..=b'9') => at = convert_number(text, at, out)?,
            Some(b't') => {
                at = json::word(text, at, "true")?;
                put::flag(out, true);
            }
            Some(b'f') => {
                at = json::word(text, at, "false")?;
                put::flag(out, false);
            }
            Some(b'n') => {
                at = json::word(text, at, "null")?;
                put::nil(out);
            }
            _ => return Err(PayloadError::NotJson(at)),
        }
        // A value is complete: what follows it?
        loop {
            let Some(inner) = depth.checked_sub(1) else { return Ok(at) };
            let here = &mut open[inner];
            here.count += 1;
            at = json::space(text, at);
            match (bytes.get(at), here.object) {
                (Some(b','), object) => {
                    at = json::space(text, at + 1);
                    if object {
                        at = convert_key(text, at, out, &mut keys)?;
                    }
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    if here.object {
                        keys.close(here.keys_from, out)?;
                    }
                    finish_head(out, *here);
                    depth -= 1;
                    at += 1;
                }
                _ => return Err(PayloadError::NotJson(at)),
            }
        }
    }
}

/// Appends a key, and says where its value begins.
fn convert_key(text: &str, at: usize, out: &mut Vec<u8>, keys: &mut Keys) -> Result<usize, PayloadError> {
    let (length, end) = convert_string(text, at, out)?;
    keys.add(out.len() - length, out.len())?;
    let colon = json::space(text, end);
    if text.as_bytes().get(colon) != Some(&b':') {
        return Err(PayloadError::NotJson(colon));
    }
    Ok(json::space(text, colon + 1))
}

/// Appends a string, and says how many bytes it has and what follows it.
fn convert_string(text: &str, at: usize, out: &mut Vec<u8>) -> Result<(usize, usize), PayloadError> {
    let quoted = json::string(text, at)?;
    let said = quoted.text().map_err(|HalfPair(inside)| PayloadError::NotUnicode(at + 1 + inside))?;
    put::str(out, said.as_bytes());
    Ok((said.len(), quoted.end))
}

/// Appends a number, and says what follows it.
fn convert_number(text: &str, at: usize, out: &mut Vec<u8>) -> Result<usize, PayloadError> {
    let digits = json::number(text, at)?;
    let range = PayloadError::NumberRange(at);
    if digits.float {
        match digits.raw.parse::<f64>() {
            Ok(number) if number.is_finite() => put::float(out, number),
            _ => return Err(range),
        }
    } else if digits.raw.starts_with('-') {
        put::int(out, digits.raw.parse().map_err(|_| range)?);
    } else {
        put::uint(out, digits.raw.parse().map_err(|_| range)?);
    }
    Ok(digits.end)
}

/// Writes the length of an array or object whose elements are complete.
fn finish_head(out: &mut Vec<u8>, Open { head, count, object, .. }: Open) {
    if let Ok(few @ 0..=15) = u8::try_from(count) {
        out[head] |= few;
        return;
    }
    let mut longer = Vec::with_capacity(5);
    let count = count as u32;
    if object {
        put::map(&mut longer, count);
    } else {
        put::array(&mut longer, count);
    }
    out.splice(head..=head, longer);
}
