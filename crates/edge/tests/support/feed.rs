//! Publications of feeds that may be left out, and what a client reads of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringway_edge::{Feed, Frame, Label, Lost, Policy};

/// A feed that counts what is left out of it, and says so in gaps that it has a name.
#[derive(Debug, Default)]
pub struct Named {
    name: String,
    dropped: AtomicU64,
    conflated: AtomicU64,
    gaps: AtomicU64,
}

impl Named {
    pub fn new(name: &str) -> Arc<Named> {
        Arc::new(Named { name: name.to_owned(), ..Named::default() })
    }

    pub fn dropped_so_far(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub fn conflated_so_far(&self) -> u64 {
        self.conflated.load(Ordering::Relaxed)
    }

    pub fn gaps_so_far(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// A publication of `len` bytes at least, which says what it is at its beginning.
    pub fn publication(self: &Arc<Self>, it: &Publication<'_>) -> Frame {
        let label = Label {
            feed: Arc::<Named>::clone(self),
            policy: it.policy,
            offset: Some(it.offset),
            ts: it.offset + 7,
            key: it.key.map(|key| key.parse().unwrap()),
        };
        let said = format!("msg {} {} {} ", self.name, it.offset, it.key.unwrap_or("-"));
        filled(&said, it).labelled(Arc::new(label))
    }

    /// The same without a label.
    pub fn plain(&self, it: &Publication<'_>) -> Frame {
        filled(&format!("msg {} {} {} ", self.name, it.offset, it.key.unwrap_or("-")), it)
    }
}

fn filled(said: &str, it: &Publication<'_>) -> Frame {
    let mut payload = said.to_owned().into_bytes();
    payload.resize(it.len.max(payload.len()), b'x');
    if it.text { Frame::text(&payload) } else { Frame::binary(&payload) }
}

impl Feed for Named {
    fn gap(&self, lost: Lost) -> Frame {
        assert_eq!(lost.ts, lost.offset + 7, "the time of the last one lost");
        self.gaps.fetch_add(1, Ordering::Relaxed);
        let said = format!("gap {} {} {}", self.name, lost.offset, lost.frames);
        if lost.text { Frame::text(said.as_bytes()) } else { Frame::binary(said.as_bytes()) }
    }

    fn dropped(&self, frames: u64) {
        self.dropped.fetch_add(frames, Ordering::Relaxed);
    }

    fn conflated(&self, frames: u64) {
        self.conflated.fetch_add(frames, Ordering::Relaxed);
    }
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    pub policy: Policy,
    pub offset: u64,
    pub key: Option<&'a str>,
    pub len: usize,
    pub text: bool,
}

impl Default for Publication<'_> {
    fn default() -> Self {
        Publication { policy: Policy::DropOldest, offset: 0, key: None, len: 0, text: false }
    }
}

/// What a client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Message { feed: String, offset: u64, key: String, len: usize },
    Gap { feed: String, offset: u64, lost: u64 },
    Other(String),
}

impl Read {
    /// What that payload is; panics where the filling of a publication is anything else.
    pub fn of(payload: &[u8]) -> Read {
        let words: Vec<&[u8]> = payload.splitn(5, |&byte| byte == b' ').collect();
        let word = |index: usize| std::str::from_utf8(words[index]).unwrap().to_owned();
        let number = |index: usize| word(index).parse::<u64>().unwrap();
        match words[0] {
            b"msg" => {
                assert!(words[4].iter().all(|&byte| byte == b'x'), "a foreign byte");
                Read::Message { feed: word(1), offset: number(2), key: word(3), len: payload.len() }
            }
            b"gap" => Read::Gap { feed: word(1), offset: number(2), lost: number(3) },
            _ => Read::Other(String::from_utf8(payload.to_vec()).unwrap()),
        }
    }

    pub fn offset(&self) -> Option<u64> {
        match self {
            Read::Message { offset, .. } | Read::Gap { offset, .. } => Some(*offset),
            Read::Other(_) => None,
        }
    }
}

/// Follows one feed as a client does, and panics where it was promised otherwise.
#[derive(Debug, Default)]
pub struct Follower {
    position: u64,
    pub messages: u64,
    pub gaps: u64,
    pub lost: u64,
}

impl Follower {
    /// Where everything not read so far must be told of: no policy replaces anything.
    pub fn take_strictly(&mut self, read: &Read) {
        let before = (self.position, self.lost);
        self.take(read);
        match read {
            Read::Message { offset, .. } => assert_eq!(*offset, before.0 + 1, "a silent loss"),
            Read::Gap { offset, .. } => {
                assert_eq!(offset - before.0, self.lost - before.1, "as many as are missing");
            }
            Read::Other(_) => {}
        }
    }

    pub fn take(&mut self, read: &Read) {
        let Some(offset) = read.offset() else { return };
        assert!(offset > self.position, "{offset} after {}", self.position);
        self.position = offset;
        match read {
            Read::Gap { lost, .. } => {
                self.gaps += 1;
                self.lost += lost;
                assert!(*lost > 0);
            }
            _ => self.messages += 1,
        }
    }

    pub fn position(&self) -> u64 {
        self.position
    }
}
