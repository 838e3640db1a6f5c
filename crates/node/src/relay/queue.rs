//! What a gateway said about one connection while something of it was being waited for.

use std::collections::VecDeque;

use ringway_link::{OpenAs, Rejoin};
use ringway_protocol::name::RoomName;

/// Something that a gateway says about a connection, in the order said.
#[derive(Debug)]
pub(super) enum Word<'a> {
    /// Its client is there.
    Begin,
    /// A message of its client.
    Frame { text: bool, message: &'a [u8] },
    /// What is said seldom.
    Seldom(Seldom),
}

/// See [`Word`].
#[derive(Debug)]
pub(super) enum Seldom {
    /// It is to be the only one of its id, before anything else is done.
    Settle,
    /// The node is something else to it from now on.
    As {
        role: OpenAs,
        ticket: Box<str>,
        told_to_go: bool,
    },
    Rejoin(Rejoin),
    Move(RoomName),
    Renew(Box<str>),
    Closed,
}

/// So much of what isn't frames waits at most. More than a gateway can have to say, whatever its client does: a rejoin and a
/// move of each room, of which it has 10,000 at most; and other rights, of which only the last count, but for those that
/// frames lie between, which a client's window bounds.
const SELDOM: usize = 32_768;

/// The kinds, in front of what waits.
const BEGIN: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const OTHER: u8 = 3;

/// See the module. Frames lie one behind the other, so that many small ones weigh little more than what was sent.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// What is before it is done.
    at: usize,
    seldom: VecDeque<Seldom>,
    /// An empty message is among it: no frame of the client's is read after that, and so none that weighs nothing waits.
    over: bool,
    /// What came last were other rights.
    renewed: bool,
}

impl Queue {
    /// `false`: more than there can be any use for.
    #[must_use]
    pub(super) fn push(&mut self, word: Word<'_>) -> bool {
        let renewed = std::mem::replace(&mut self.renewed, matches!(word, Word::Seldom(Seldom::Renew(_))));
        match word {
            Word::Begin => self.bytes.push(BEGIN),
            Word::Frame { .. } if self.over => {}
            Word::Frame { text, message } => {
                self.over = message.is_empty();
                self.bytes.push(if text { TEXT } else { BINARY });
                let length = u32::try_from(message.len()).expect("a record is shorter");
                self.bytes.extend_from_slice(&length.to_le_bytes());
                self.bytes.extend_from_slice(message);
            }
            Word::Seldom(seldom) => match (&seldom, self.seldom.back_mut()) {
                // Nothing was asked with the rights before: a client may change them as often as it likes.
                (Seldom::Renew(_), Some(last @ Seldom::Renew(_))) if renewed => *last = seldom,
                _ => {
                    self.bytes.push(OTHER);
                    self.seldom.push_back(seldom);
                }
            },
        }
        self.seldom.len() <= SELDOM
    }

    /// Nothing but an end.
    pub(super) fn of_end() -> Queue {
        Queue { bytes: vec![OTHER], seldom: VecDeque::from([Seldom::Closed]), ..Queue::default() }
    }

    /// It is to be done before all else.
    pub(super) fn push_front(&mut self, seldom: Seldom) {
        if self.at == 0 {
            self.bytes.insert(0, OTHER);
        } else {
            self.at -= 1;
            self.bytes[self.at] = OTHER;
        }
        // What is under way isn't replaced.
        self.renewed &= !self.seldom.is_empty();
        self.seldom.push_front(seldom);
    }

    /// Gives the next to `to`; none: nothing waits.
    pub(super) fn next<R>(&mut self, to: impl FnOnce(Word<'_>) -> R) -> Option<R> {
        let rest = &self.bytes[self.at..];
        let (kind, rest) = rest.split_first()?;
        let (word, used) = match *kind {
            BEGIN => (Word::Begin, 1),
            OTHER => (Word::Seldom(self.seldom.pop_front().expect("one for each mark")), 1),
            kind => {
                let (length, rest) = rest.split_first_chunk().expect("a length before each frame");
                let length = u32::from_le_bytes(*length) as usize;
                (Word::Frame { text: kind == TEXT, message: &rest[..length] }, 5 + length)
            }
        };
        let result = to(word);
        self.at += used;
        if self.at > self.bytes.len() / 2 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: Word<'_>) -> String {
        match word {
            Word::Begin => "begin".into(),
            Word::Frame { text, message } => format!("{text} {}", String::from_utf8_lossy(message)),
            Word::Seldom(seldom) => format!("{seldom:?}"),
        }
    }

    #[test]
    fn what_waits_comes_in_the_order_said() {
        let mut queue = Queue::default();
        let mut said = Vec::new();
        let mut heard = Vec::new();
        for number in 0..1_000_u32 {
            let message = "x".repeat(1 + number as usize % 7);
            let make = || match number % 5 {
                0 => Word::Begin,
                1 | 2 => Word::Frame { text: number % 2 == 0, message: message.as_bytes() },
                3 => Word::Seldom(Seldom::Closed),
                _ => Word::Seldom(Seldom::Move(format!("r{number}").parse().unwrap())),
            };
            said.push(read(make()));
            assert!(queue.push(make()));
            if number % 3 == 0 {
                heard.extend(queue.next(read));
            }
        }
        while let Some(word) = queue.next(read) {
            heard.push(word);
        }
        assert_eq!(heard, said);
        assert!(queue.bytes.is_empty() && queue.seldom.is_empty());
    }

    #[test]
    fn what_is_to_be_done_first_comes_first() {
        let mut queue = Queue::default();
        for text in [b"a", b"b", b"c"] {
            assert!(queue.push(Word::Frame { text: true, message: text }));
        }
        queue.push_front(Seldom::Settle);
        assert_eq!(queue.next(read).unwrap(), "Settle");
        assert_eq!(queue.next(read).unwrap(), "true a");
        queue.push_front(Seldom::Settle);
        assert_eq!(queue.next(read).unwrap(), "Settle");
        assert_eq!(queue.next(read).unwrap(), "true b");
        assert_eq!(queue.next(read).unwrap(), "true c");
        assert!(queue.next(read).is_none());
    }

    #[test]
    fn no_frame_waits_behind_an_empty_one() {
        let mut queue = Queue::default();
        for text in ["a", "", "", "b"] {
            assert!(queue.push(Word::Frame { text: true, message: text.as_bytes() }));
        }
        assert!(queue.push(Word::Seldom(Seldom::Closed)));
        let heard: Vec<_> = std::iter::from_fn(|| queue.next(read)).collect();
        assert_eq!(heard, ["true a", "true ", "Closed"]);
    }

    #[test]
    fn of_rights_that_nothing_was_asked_with_only_the_last_wait() {
        let renew = |number: usize| Word::Seldom(Seldom::Renew(format!("{number}").into()));
        let mut queue = Queue::default();
        // More often than anything else may be said, as a client can that changes them while its node waits.
        assert!((0..2 * SELDOM).all(|number| queue.push(renew(number))));
        assert_eq!(queue.next(read).unwrap(), format!("Renew({:?})", (2 * SELDOM - 1).to_string()));
        assert!(queue.next(read).is_none());
        let frame = || Word::Frame { text: true, message: b"\x03" };
        for number in 0..3 {
            assert!(queue.push(renew(number)) && queue.push(renew(10 + number)) && queue.push(frame()));
        }
        queue.push_front(Seldom::Renew("first".into()));
        assert!(queue.push(Word::Seldom(Seldom::Closed)) && queue.push(renew(4)));
        let heard: Vec<_> = std::iter::from_fn(|| queue.next(read)).collect();
        let renewed = ["first", "10", "11", "12", "4"].map(|rights| format!("Renew({rights:?})"));
        let [first, a, b, c, last] = renewed;
        let said = "true \x03".to_owned();
        assert_eq!(heard, [first, a, said.clone(), b, said.clone(), c, said, "Closed".into(), last]);
        queue.push_front(Seldom::Renew("again".into()));
        assert!(queue.push(renew(5)));
        assert_eq!(std::iter::from_fn(|| queue.next(read)).count(), 2, "one of them is under way");
    }

    #[test]
    fn more_than_any_use_is_known() {
        let mut queue = Queue::default();
        assert!((0..SELDOM).all(|_| queue.push(Word::Seldom(Seldom::Closed))));
        assert!(!queue.push(Word::Seldom(Seldom::Closed)));
    }
}
