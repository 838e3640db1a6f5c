//! Patterns over names, the same in grants, classes, hooks and limits.
//!
//! `*` stands for any number of characters but `.`, `**` for any number of any characters, `$user`
//! for the token's subject; the rest is literal. There is no way to escape: a room that is called
//! `*` can be granted by a wider pattern only.
//!
//! Matching walks the pattern once and keeps the set of places in the name that can be reached,
//! so its cost is bounded by the product of both lengths whatever the pattern is: nothing is tried
//! again, nothing is allocated.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::name::{ROOM_MAX, control_at};

/// Longest pattern, in bytes.
pub const PATTERN_MAX: usize = 255;

/// Why a text isn't a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There was no text at all.
    #[error("a pattern may not be empty")]
    Empty,
    /// More than [`PATTERN_MAX`] bytes.
    #[error("a pattern has at most {PATTERN_MAX} bytes, this has {0}")]
    TooLong(usize),
    /// No name has control characters, so such a pattern could never match.
    #[error("a pattern may not have control characters (at byte {0})")]
    Control(usize),
}

/// A pattern over room names, parsed.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    tokens: Arc<[Token]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(Box<str>),
    User,
    Segment,
    Anything,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Where it is empty, longer than [`PATTERN_MAX`] bytes or has control characters.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_MAX {
            return Err(PatternError::TooLong(text.len()));
        }
        if let Some(at) = control_at(text) {
            return Err(PatternError::Control(at));
        }
        Ok(Self { text: text.into(), tokens: tokens(text).into() })
    }

    /// Whether `room` is meant, for a connection of `user`. Without a user a pattern that has
    /// `$user` matches nothing. A text longer than a room's name can be isn't matched by any.
    pub fn matches(&self, room: &str, user: Option<&str>) -> bool {
        // Nearly every pattern is a literal, `**`, or a literal before one wildcard: those end here.
        let mut rest = room;
        let mut tokens = &*self.tokens;
        while let Some((token, later)) = tokens.split_first() {
            let text = match token {
                Token::Literal(text) => &**text,
                Token::User => match user {
                    Some(user) => user,
                    None => return false,
                },
                Token::Segment | Token::Anything => break,
            };
            match rest.strip_prefix(text) {
                Some(after) => rest = after,
                None => return false,
            }
            tokens = later;
        }
        match tokens {
            [] => rest.is_empty(),
            [Token::Anything] => room.len() <= ROOM_MAX,
            [Token::Segment] => room.len() <= ROOM_MAX && !rest.contains('.'),
            _ => room.len() <= ROOM_MAX && reaches_end(tokens, rest.as_bytes(), user),
        }
    }

    /// Whether the pattern depends on who asks.
    pub fn has_user(&self) -> bool {
        self.tokens.contains(&Token::User)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if rest.starts_with('*') {
            let after = rest.trim_start_matches('*');
            // Three and more stars say no more than two.
            tokens.push(if rest.len() - after.len() == 1 { Token::Segment } else { Token::Anything });
            rest = after;
        } else if let Some(after) = rest.strip_prefix("$user") {
            tokens.push(Token::User);
            rest = after;
        } else {
            let star = rest.find('*').unwrap_or(rest.len());
            let user = rest.find("$user").unwrap_or(rest.len());
            let (literal, after) = rest.split_at(star.min(user));
            tokens.push(Token::Literal(literal.into()));
            rest = after;
        }
    }
    tokens
}

/// Places in a name, as a set: 0 to 255 inclusive, so 256 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Places([u64; 4]);

impl Places {
    fn start() -> Self {
        Self([1, 0, 0, 0])
    }

    fn none() -> Self {
        Self([0; 4])
    }

    fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn contains(self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }
}

/// Whether `tokens` can be walked from the beginning of `name` to its end.
fn reaches_end(tokens: &[Token], name: &[u8], user: Option<&str>) -> bool {
    let mut here = Places::start();
    for token in tokens {
        let mut next = Places::none();
        match token {
            Token::Anything | Token::Segment => {
                let mut open = false;
                for at in 0..=name.len() {
                    open |= here.contains(at);
                    if open {
                        next.insert(at);
                    }
                    if *token == Token::Segment && name.get(at) == Some(&b'.') {
                        open = false;
                    }
                }
            }
            Token::Literal(_) | Token::User => {
                let text = match (token, user) {
                    (Token::Literal(text), _) => text.as_bytes(),
                    (_, Some(user)) => user.as_bytes(),
                    (_, None) => return false,
                };
                for at in 0..=name.len() {
                    if here.contains(at) && name[at..].starts_with(text) {
                        next.insert(at + text.len());
                    }
                }
            }
        }
        if next == Places::none() {
            return false;
        }
        here = next;
    }
    here.contains(name.len())
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Pattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pattern, E> {
                Pattern::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, room: &str, user: Option<&str>) -> bool {
        Pattern::parse(pattern).unwrap().matches(room, user)
    }

    #[test]
    fn wildcards_and_the_user() {
        for (pattern, room, user, wanted) in [
            ("lobby", "lobby", None, true),
            ("lobby", "lobby2", None, false),
            ("lobby", "lobb", None, false),
            ("board.*", "board.7", None, true),
            ("board.*", "board.", None, true),
            ("board.*", "board.7.x", None, false),
            ("board.*", "board", None, false),
            ("board.**", "board.7.x", None, true),
            ("board.**", "board.", None, true),
            ("**", "anything.at.all", None, true),
            ("*", "any thing", None, true),
            ("*", "a.b", None, false),
            ("***", "a.b", None, true),
            ("*.*", "a.b", None, true),
            ("*.*", "a.b.c", None, false),
            ("**.log", "a.b.log", None, true),
            ("**.log", "a.b.logs", None, false),
            ("a*c*e", "abcde", None, true),
            ("a*c*e", "ab.cde", None, false),
            ("a**c*e", "ab.cde", None, true),
            ("*.x.**", "a.x.b.c", None, true),
            ("*.x.**", "a.b.x.c", None, false),
            ("inbox.$user", "inbox.u1", Some("u1"), true),
            ("inbox.$user", "inbox.u2", Some("u1"), false),
            ("inbox.$user", "inbox.$user", None, false),
            ("inbox.$user.*", "inbox.a.b.c", Some("a.b"), true),
            ("**.$user", "x.y.*", Some("*"), true),
            ("**.$user", "x.y.z", Some("*"), false),
            ("$user$user", "abab", Some("ab"), true),
            ("{$user}.**", "{u1}.chat", Some("u1"), true),
            ("é*", "éa", None, true),
        ] {
            assert_eq!(matches(pattern, room, user), wanted, "{pattern} on {room} by {user:?}");
        }
    }

    #[test]
    fn hostile_patterns_cost_what_others_do() {
        let room = "a".repeat(255);
        let pattern = Pattern::parse(&("a*".repeat(127) + "b")).unwrap();
        let deep = Pattern::parse(&("**a*".repeat(63) + "b")).unwrap();
        for _ in 0..1_000 {
            assert!(!pattern.matches(&room, None));
            assert!(!deep.matches(&room, None));
        }
    }

    #[test]
    fn names_that_cannot_be_are_not_matched() {
        assert!(!matches("**", &"a".repeat(256), None));
        assert!(matches("**b", &("a".repeat(254) + "b"), None));
    }

    #[test]
    fn what_isnt_a_pattern_says_so() {
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        assert_eq!(Pattern::parse(&"*".repeat(256)), Err(PatternError::TooLong(256)));
        assert_eq!(Pattern::parse("a\n"), Err(PatternError::Control(1)));
    }

    /// The plain definition, exponential, as the judge.
    fn slow(tokens: &[Token], room: &str, user: Option<&str>) -> bool {
        let Some((token, later)) = tokens.split_first() else { return room.is_empty() };
        match token {
            Token::Literal(text) => room.strip_prefix(&**text).is_some_and(|rest| slow(later, rest, user)),
            Token::User => {
                user.and_then(|user| room.strip_prefix(user)).is_some_and(|rest| slow(later, rest, user))
            }
            Token::Anything => {
                (0..=room.len()).any(|at| room.is_char_boundary(at) && slow(later, &room[at..], user))
            }
            Token::Segment => (0..=room.len())
                .take_while(|at| !room.as_bytes()[..*at].contains(&b'.'))
                .any(|at| room.is_char_boundary(at) && slow(later, &room[at..], user)),
        }
    }

    proptest! {
        #![proptest_config(crate::seeded::seeded(4000))]

        #[test]
        fn agrees_with_the_definition(pattern in "[ab.*]{1,9}|[a.]{0,2}\\$user[ab*.]{0,4}", room in "[ab.é]{0,10}", user in proptest::option::of("[ab]{1,2}")) {
            let parsed = Pattern::parse(&pattern).unwrap();
            prop_assert_eq!(
                parsed.matches(&room, user.as_deref()),
                slow(&tokens(&pattern), &room, user.as_deref())
            );
        }
    }
}
