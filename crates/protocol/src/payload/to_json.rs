//! JSON out: canonical MessagePack becomes a text in one pass.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::DEPTH_MAX;
use crate::json;
use crate::msgpack::{Cursor, Token};

/// Appends `value`, canonical MessagePack that was checked, as JSON.
pub(super) fn write(value: &[u8], out: &mut Vec<u8>) {
    let mut cursor = Cursor::new(value, 0);
    // What is to come in each open array or object: keys and values counted alike.
    let mut left = [0_u64; DEPTH_MAX];
    let mut object = [false; DEPTH_MAX];
    let mut depth = 0;
    while let Ok((token, _)) = cursor.token() {
        match token {
            Token::Nil | Token::Ext => out.extend_from_slice(b"null"),
            Token::Bool(true) => out.extend_from_slice(b"true"),
            Token::Bool(false) => out.extend_from_slice(b"false"),
            Token::Uint(number) => json::write_uint(out, number),
            Token::Negative(number) => {
                out.push(b'-');
                json::write_uint(out, number.unsigned_abs());
            }
            Token::Float(number) => write_float(out, number),
            Token::Str(text) => json::write_string(out, std::str::from_utf8(text).unwrap_or_default()),
            Token::Bin(bytes) => write_base64(out, bytes),
            Token::Array(0) => out.extend_from_slice(b"[]"),
            Token::Map(0) => out.extend_from_slice(b"{}"),
            Token::Array(_) | Token::Map(_) if depth == DEPTH_MAX => return,
            Token::Array(count) => {
                out.push(b'[');
                (left[depth], object[depth]) = (count.into(), false);
                depth += 1;
                continue;
            }
            Token::Map(count) => {
                out.push(b'{');
                (left[depth], object[depth]) = (u64::from(count) * 2, true);
                depth += 1;
                continue;
            }
        }
        loop {
            let Some(inner) = depth.checked_sub(1) else { return };
            left[inner] -= 1;
            if left[inner] > 0 {
                out.push(if object[inner] && left[inner] % 2 == 1 { b':' } else { b',' });
                break;
            }
            out.push(if object[inner] { b'}' } else { b']' });
            depth = inner;
        }
    }
}

/// The shortest digits that read back as the same float, always with `.` or `e`: what Rust's
/// `{:?}` promises for finite floats.
fn write_float(out: &mut Vec<u8>, number: f64) {
    // A `Vec` takes every write.
    let _ = write!(out, "{number:?}");
}

/// Appends bytes as a string: RFC 4648 §4, with padding.
pub(crate) fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what is needed, so this can't fail.
    let _ = STANDARD.encode_slice(bytes, &mut out[from..]);
    out.push(b'"');
}

/// Reads what [`write_base64`] wrote, without its quotes.
pub(super) fn read_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
