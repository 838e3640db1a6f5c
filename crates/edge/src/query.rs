//! The query of a request, read strictly: `application/x-www-form-urlencoded`, each parameter once.
//!
//! Owns decoding only; what a parameter means is its reader's business. A parameter nobody asks for is
//! ignored, unless it comes twice: a request whose halves disagree is refused, never guessed at.

use std::fmt;

/// More parameters than any call knows; a longer list is only there to cost time.
const MOST_PARAMETERS: usize = 64;

/// What is wrong with a query.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadQuery {
    /// Two values for one parameter.
    #[error("parameter `{0}` is given twice")]
    Twice(String),
    /// `%` and no byte.
    #[error("`%` is not followed by two hexadecimal digits")]
    Percent,
    /// Bytes that are no text.
    #[error("the query is not valid UTF-8")]
    Utf8,
    /// More than any call has.
    #[error("more than {MOST_PARAMETERS} parameters")]
    TooMany,
}

/// The parameters of one request, decoded.
#[derive(Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads the part of a URL after `?`.
    ///
    /// # Errors
    /// [`BadQuery`]: the request is malformed.
    pub fn parse(raw: Option<&str>) -> Result<Self, BadQuery> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in raw.unwrap_or_default().split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if name.is_empty() {
                continue;
            }
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(BadQuery::Twice(name));
            }
            if pairs.len() == MOST_PARAMETERS {
                return Err(BadQuery::TooMany);
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter; given without `=` it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Values may hold tokens, so only the names show.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

fn decode(text: &str) -> Result<String, BadQuery> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(hex).ok_or(BadQuery::Percent)?;
                let low = bytes.next().and_then(hex).ok_or(BadQuery::Percent)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| BadQuery::Utf8)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(raw: &str) -> Result<Option<String>, BadQuery> {
        Query::parse(Some(raw)).map(|query| query.get("room").map(str::to_owned))
    }

    #[test]
    fn values_are_decoded_once() {
        for (raw, means) in [
            ("room=a", "a"),
            ("room=a+b", "a b"),
            ("room=a%2Fb", "a/b"),
            ("room=a%2fb&", "a/b"),
            ("room=a/b", "a/b"),
            ("room=%2B", "+"),
            ("room=%252F", "%2F"),
            ("room=%C3%A9", "é"),
            ("room=é", "é"),
            ("room=%00", "\0"),
            ("room=", ""),
            ("room", ""),
            ("?&&=&room", ""),
            ("room=a=b", "a=b"),
            ("x=1&room=r&y", "r"),
            ("r%6Fom=r", "r"),
        ] {
            assert_eq!(room(raw), Ok(Some(means.to_owned())), "{raw}");
        }
        assert_eq!(room("?room=a"), Ok(None), "a second `?` belongs to the name");
        assert_eq!(room("Room=a"), Ok(None), "names are compared as they are");
        assert!(Query::parse(None).is_ok_and(|query| query.get("room").is_none()));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (raw, wrong) in [
            ("room=%zz", BadQuery::Percent),
            ("room=%", BadQuery::Percent),
            ("room=%4", BadQuery::Percent),
            ("room=%+1", BadQuery::Percent),
            ("x=%ff&room=a", BadQuery::Utf8),
            ("room=%C3", BadQuery::Utf8),
            ("room=a&room=b", BadQuery::Twice("room".into())),
            ("room=a&room=a", BadQuery::Twice("room".into())),
            ("room=a&r%6fom=a", BadQuery::Twice("room".into())),
            ("unknown&room=a&unknown=1", BadQuery::Twice("unknown".into())),
        ] {
            assert_eq!(room(raw), Err(wrong), "{raw}");
        }
        let many = (0..=MOST_PARAMETERS).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(room(&many), Err(BadQuery::TooMany));
    }

    #[test]
    fn values_do_not_show() {
        let query = Query::parse(Some("token=secret&room=r")).expect("well formed");
        assert_eq!(format!("{query:?}"), r#"["token", "room"]"#);
    }
}
