//! JSON below frames and payloads: where things end, what a string says, how one is written.
//!
//! RFC 8259 to the letter: no byte order mark, no comments, no trailing commas, no leading zeros.
//! The text is known to be UTF-8 before anything here sees it. Every place is a byte index, and
//! every place that is handed out is a character boundary, as JSON's own characters are ASCII.

use std::borrow::Cow;

/// The text isn't JSON, at this byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotJson(pub(crate) usize);

/// An escape of half a surrogate pair, at this byte: JSON, but not Unicode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfPair(pub(crate) usize);

/// The first byte from `at` on that isn't white space.
#[inline]
pub(crate) fn space(text: &str, mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.as_bytes().get(at) {
        at += 1;
    }
    at
}

/// A string's inside and what follows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted<'a> {
    /// Between the quotes, as written.
    pub(crate) raw: &'a str,
    /// Whether there are escapes in it.
    pub(crate) escaped: bool,
    /// Behind the closing quote.
    pub(crate) end: usize,
}

impl<'a> Quoted<'a> {
    /// What the string says.
    pub(crate) fn text(self) -> Result<Cow<'a, str>, HalfPair> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.raw));
        }
        let mut out = String::with_capacity(self.raw.len());
        unescape(self.raw, &mut out)?;
        Ok(Cow::Owned(out))
    }
}

/// The string whose opening quote stands at `at`.
#[inline]
pub(crate) fn string(text: &str, at: usize) -> Result<Quoted<'_>, NotJson> {
    let bytes = text.as_bytes();
    if bytes.get(at) != Some(&b'"') {
        return Err(NotJson(at));
    }
    let start = at + 1;
    let mut here = start;
    let mut escaped = false;
    loop {
        match bytes.get(here) {
            Some(b'"') => return Ok(Quoted { raw: &text[start..here], escaped, end: here + 1 }),
            Some(b'\\') => {
                escaped = true;
                here += match bytes.get(here + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                    Some(b'u') if hex4(bytes, here + 2).is_some() => 6,
                    _ => return Err(NotJson(here)),
                };
            }
            Some(0x20..) => here += 1,
            _ => return Err(NotJson(here)),
        }
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0_u16, |value, digit| {
        Some(value << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?)
    })
}

/// Appends what `raw`, the inside of a string whose escapes are well formed, says.
fn unescape(raw: &str, out: &mut String) -> Result<(), HalfPair> {
    let bytes = raw.as_bytes();
    let mut rest = 0;
    while let Some(found) = raw[rest..].find('\\') {
        let at = rest + found;
        out.push_str(&raw[rest..at]);
        let (character, width) = match bytes.get(at + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => {
                let first = hex4(bytes, at + 2).ok_or(HalfPair(at))?;
                let second =
                    if bytes.get(at + 6..at + 8) == Some(b"\\u") { hex4(bytes, at + 8) } else { None };
                match (first, second) {
                    (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
                        let code = 0x1_0000 + (u32::from(first - 0xd800) << 10) + u32::from(second - 0xdc00);
                        (char::from_u32(code).ok_or(HalfPair(at))?, 12)
                    }
                    _ => (char::from_u32(first.into()).ok_or(HalfPair(at))?, 6),
                }
            }
            Some(other) => (char::from(*other), 2),
            None => return Err(HalfPair(at)),
        };
        out.push(character);
        rest = at + width;
    }
    out.push_str(&raw[rest..]);
    Ok(())
}

/// A number's kind and what follows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digits<'a> {
    /// As written.
    pub(crate) raw: &'a str,
    /// Whether it has a `.` or an exponent, or is −0.
    pub(crate) float: bool,
    /// Behind it.
    pub(crate) end: usize,
}

/// The number that begins at `at`.
#[inline]
pub(crate) fn number(text: &str, at: usize) -> Result<Digits<'_>, NotJson> {
    let bytes = text.as_bytes();
    let digits = |mut here: usize| {
        let start = here;
        while bytes.get(here).is_some_and(u8::is_ascii_digit) {
            here += 1;
        }
        if here == start { Err(NotJson(here)) } else { Ok(here) }
    };
    let negative = bytes.get(at) == Some(&b'-');
    let first = at + usize::from(negative);
    let mut end = if bytes.get(first) == Some(&b'0') { first + 1 } else { digits(first)? };
    let mut float = negative && bytes.get(first) == Some(&b'0');
    if bytes.get(end) == Some(&b'.') {
        float = true;
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        float = true;
        let sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(sign))?;
    }
    Ok(Digits { raw: &text[at..end], float, end })
}

/// What follows `word`, if it stands at `at`.
#[inline]
pub(crate) fn word(text: &str, at: usize, word: &str) -> Result<usize, NotJson> {
    if text.as_bytes()[at..].starts_with(word.as_bytes()) { Ok(at + word.len()) } else { Err(NotJson(at)) }
}

/// What follows the value that begins at `at`, whatever is in it: without recursion, as deep as it
/// likes. A bit for every open bracket is all that is kept.
pub(crate) fn skip(text: &str, mut at: usize) -> Result<usize, NotJson> {
    let bytes = text.as_bytes();
    let mut open = Brackets::default();
    loop {
        match bytes.get(at) {
            Some(b'{') => {
                at = space(text, at + 1);
                if bytes.get(at) == Some(&b'}') {
                    at += 1;
                } else {
                    open.push(true);
                    at = key(text, at)?.1;
                    continue;
                }
            }
            Some(b'[') => {
                at = space(text, at + 1);
                if bytes.get(at) == Some(&b']') {
                    at += 1;
                } else {
                    open.push(false);
                    continue;
                }
            }
            Some(b'"') => at = string(text, at)?.end,
            Some(b't') => at = word(text, at, "true")?,
            Some(b'f') => at = word(text, at, "false")?,
            Some(b'n') => at = word(text, at, "null")?,
            Some(b'-' | b'0'..=b'9') => at = number(text, at)?.end,
            _ => return Err(NotJson(at)),
        }
        loop {
            let Some(object) = open.last() else { return Ok(at) };
            at = space(text, at);
            match (bytes.get(at), object) {
                (Some(b','), true) => {
                    at = key(text, space(text, at + 1))?.1;
                    break;
                }
                (Some(b','), false) => {
                    at = space(text, at + 1);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    open.pop();
                    at += 1;
                }
                _ => return Err(NotJson(at)),
            }
        }
    }
}

/// The key whose quote stands at `at`, and where its value begins.
#[inline]
pub(crate) fn key(text: &str, at: usize) -> Result<(Quoted<'_>, usize), NotJson> {
    let key = string(text, at)?;
    let colon = space(text, key.end);
    if text.as_bytes().get(colon) != Some(&b':') {
        return Err(NotJson(colon));
    }
    Ok((key, space(text, colon + 1)))
}

/// Which brackets are open: true for an object. The first 64 cost nothing.
#[derive(Default)]
struct Brackets {
    depth: usize,
    first: u64,
    more: Vec<u64>,
}

impl Brackets {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word > self.more.len() {
            self.more.push(0);
        }
        let bits = if word == 0 { &mut self.first } else { &mut self.more[word - 1] };
        *bits = *bits & !(1 << bit) | u64::from(object) << bit;
        self.depth += 1;
    }

    fn last(&self) -> Option<bool> {
        let at = self.depth.checked_sub(1)?;
        let bits = if at < 64 { self.first } else { self.more[at / 64 - 1] };
        Some(bits >> (at % 64) & 1 == 1)
    }

    fn pop(&mut self) {
        self.depth -= 1;
    }
}

/// Appends a string with its quotes.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut rest = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            0x20.. => continue,
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                &[b'\\', b'u', b'0', b'0', b'0' + (control >> 4), HEX[usize::from(control & 15)]]
            }
        };
        out.extend_from_slice(&bytes[rest..at]);
        out.extend_from_slice(escape);
        rest = at + 1;
    }
    out.extend_from_slice(&bytes[rest..]);
    out.push(b'"');
}

/// Appends a decimal number.
pub(crate) fn write_uint(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All of the text is one value, perhaps with white space around it.
    fn is_json(text: &str) -> bool {
        skip(text, space(text, 0)).is_ok_and(|end| space(text, end) == text.len())
    }

    #[test]
    fn grammar_is_the_rfcs() {
        for good in [
            "null",
            " true ",
            "false",
            "0",
            "-0",
            "10",
            "1.5",
            "1e5",
            "1E+5",
            "-0.0e-0",
            "\"\"",
            "\"\\u00e9\\n\\/\"",
            "\"\\ud800\"",
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[1,2]",
            "[[],{}]",
            "{\"a\":1,\"a\":2}",
            " { \"a\" : [ 1 , 2 ] } ",
            "\"é😀\"",
            "\"\u{7f}\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "nul",
            "nulll",
            "True",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "--1",
            "0x1",
            "NaN",
            "Infinity",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\t\"",
            "[",
            "]",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "}",
            "{1:2}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1",
            "{a:1}",
            "[1}",
            "{\"a\":1]",
            "'a'",
            "\u{feff}1",
            "1 2",
            "/**/1",
            "[1]]",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn skipping_goes_as_deep_as_it_likes() {
        for deep in
            ["[".repeat(100_000) + &"]".repeat(100_000), "{\"a\":".repeat(50_000) + "1" + &"}".repeat(50_000)]
        {
            assert!(is_json(&deep));
            assert!(!is_json(&deep[..deep.len() - 1]));
        }
        let mixed = "[{\"a\":".repeat(1_000) + "1" + &"}]".repeat(1_000);
        assert!(is_json(&mixed));
        assert!(!is_json(&mixed.replace("}]}]}]", "}]]}}]")));
    }

    #[test]
    fn escapes_say_what_they_say() {
        for (written, said) in [
            (r#""\u0041\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t""#, Ok("Aé😀\"\\/\u{8}\u{c}\n\r\t")),
            (r#""\uD83D\uDE00x""#, Ok("😀x")),
            (r#""a\ud800""#, Err(HalfPair(1))),
            (r#""\udc00\ud800""#, Err(HalfPair(0))),
            (r#""\ud800\u0041""#, Err(HalfPair(0))),
            (r#""\ud800\n""#, Err(HalfPair(0))),
        ] {
            assert_eq!(string(written, 0).unwrap().text().as_deref(), said.as_deref(), "{written}");
        }
    }

    #[test]
    fn numbers_know_whether_they_are_floats() {
        for (written, float) in [
            ("0", false),
            ("-1", false),
            ("12", false),
            ("-0", true),
            ("0.0", true),
            ("1e2", true),
            ("-0e0", true),
        ] {
            assert_eq!(number(written, 0).unwrap().float, float, "{written}");
        }
    }

    proptest! {
        #![proptest_config(crate::seeded::seeded(2000))]

        #[test]
        fn agrees_with_serde_json_about_what_is_json(text in "[\\[\\]{},:\"a\\\\u0-2.eE+\\- \n-]{0,12}") {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            prop_assert_eq!(is_json(&text), theirs.is_ok(), "{}", text);
        }

        #[test]
        fn strings_are_written_as_serde_json_does(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(std::str::from_utf8(&out).unwrap(), serde_json::to_string(&text).unwrap());
            let read = string(std::str::from_utf8(&out).unwrap(), 0).unwrap();
            prop_assert_eq!(read.text().unwrap(), text);
        }

        #[test]
        fn numbers_are_written_plainly(number in any::<u64>(), shift in 0..64_u32) {
            let mut out = Vec::new();
            write_uint(&mut out, number >> shift);
            prop_assert_eq!(String::from_utf8(out).unwrap(), (number >> shift).to_string());
        }
    }
}
