//! Which epoch a stream's numbers belong to: decided from what it says and what was seen of it before.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::shape::{get_note, note};
use crate::message::Epoch;

/// What was seen of a stream when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its epoch then.
    pub(super) epoch: Epoch,
    /// When it was made, as the server writes it.
    pub(super) created: String,
    /// Its last number.
    pub(super) seq: u64,
    /// When that was stored, as the server writes it; none: the message wasn't there any more.
    pub(super) ts: Option<String>,
}

/// What a stream's server says of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// The epoch in its metadata.
    pub(super) epoch: Option<Epoch>,
    /// When it was made, as of when that epoch was written.
    pub(super) noted: Option<String>,
    /// When it was made.
    pub(super) created: String,
    /// Its last number.
    pub(super) seq: u64,
    /// When that was stored; none: the stream is empty.
    pub(super) ts: Option<String>,
}

impl Life {
    pub(super) fn read(info: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (config, state) = (&info["config"], &info["state"]);
        let ts = Some(text(&state["last_ts"])).filter(|ts| !ts.is_empty() && !ts.starts_with("0001-01-01"));
        Self {
            epoch: get_note(config, note::EPOCH).and_then(|epoch| epoch.parse().ok()),
            noted: get_note(config, note::CREATED).map(str::to_owned),
            created: text(&info["created"]),
            seq: state["last_seq"].as_u64().unwrap_or(0),
            ts: ts.filter(|_| state["messages"].as_u64().unwrap_or(0) > 0),
        }
    }

    /// What is to be remembered of it.
    pub(super) fn seen(&self, epoch: Epoch, before: Option<&Seen>) -> Seen {
        // Where the stream is empty now, the message of before stays what can be witnessed.
        let same = before.filter(|before| before.epoch == epoch && before.seq == self.seq);
        let ts = self.ts.clone().or_else(|| same.and_then(|before| before.ts.clone()));
        Seen { epoch, created: self.created.clone(), seq: self.seq, ts }
    }
}

/// The epoch that a stream has from now on, by what it says and what was seen before. `disproven`: what was seen of it
/// is so no more. None in its metadata, and nothing seen: a new one.
pub(super) fn epoch_of(life: &Life, before: Option<&Seen>, disproven: bool) -> Epoch {
    let another = |noted: &String| *noted != life.created;
    let remade = before.is_some_and(|before| another(&before.created));
    let Some(written) = life.epoch else {
        return match before {
            // Only what is noted in it was taken away.
            Some(before) if !remade => {
                if disproven {
                    before.epoch.bumped()
                } else {
                    before.epoch
                }
            }
            Some(before) => new(Some(before.epoch)),
            None => new(None),
        };
    };
    let kin = before.map(|before| before.epoch).filter(|known| known.is_kin_of(&written));
    // Put back to a time before a bump: an epoch that was given once is never given again.
    if let Some(known) = kin.filter(|known| known.ms > written.ms) {
        return known.bumped();
    }
    let restored = match &life.noted {
        Some(noted) => another(noted),
        // Written by whoever sees it first; who saw another stream of that epoch before knows better.
        None => remade && kin == Some(written),
    };
    if restored || disproven { written.bumped() } else { written }
}

/// An epoch that nobody has had, greater than one that is known.
pub(super) fn new(known: Option<Epoch>) -> Epoch {
    let now = now_ms();
    let ms = known.map_or(now, |known| now.max(known.ms.saturating_add(1)));
    Epoch { ms, node: rand::random(), random: rand::random() }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    u64::try_from(now).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const E: Epoch = Epoch { ms: 100, node: 7, random: 9 };

    fn life(epoch: Option<Epoch>, noted: Option<&str>, created: &str) -> Life {
        let noted = noted.map(str::to_owned);
        Life { epoch, noted, created: created.to_owned(), seq: 5, ts: Some("t5".to_owned()) }
    }

    fn seen(epoch: Epoch, created: &str) -> Seen {
        Seen { epoch, created: created.to_owned(), seq: 5, ts: Some("t5".to_owned()) }
    }

    #[test]
    fn a_stream_keeps_its_epoch_while_it_is_the_same() {
        assert_eq!(epoch_of(&life(Some(E), Some("c1"), "c1"), None, false), E);
        assert_eq!(epoch_of(&life(Some(E), Some("c1"), "c1"), Some(&seen(E, "c1")), false), E);
        // Just made, and nobody has noted when.
        assert_eq!(epoch_of(&life(Some(E), None, "c1"), None, false), E);
        // What was noted is gone: it is known here.
        assert_eq!(epoch_of(&life(None, None, "c1"), Some(&seen(E, "c1")), false), E);
    }

    #[test]
    fn made_again_with_what_was_noted_it_has_the_next() {
        assert_eq!(epoch_of(&life(Some(E), Some("c1"), "c2"), None, false), E.bumped());
        // Two that notice come to the same.
        assert_eq!(epoch_of(&life(Some(E), Some("c1"), "c2"), Some(&seen(E, "c1")), false), E.bumped());
        assert_eq!(epoch_of(&life(Some(E), None, "c2"), Some(&seen(E, "c1")), false), E.bumped());
    }

    #[test]
    fn put_back_to_before_a_bump_it_gets_none_that_was_given() {
        let bumped = E.bumped();
        let known = seen(bumped, "c1");
        assert_eq!(epoch_of(&life(Some(E), Some("c1"), "c1"), Some(&known), false), bumped.bumped());
        assert_eq!(epoch_of(&life(Some(E), Some("c1"), "c2"), Some(&known), true), bumped.bumped());
        // Who didn't see the bump takes what another wrote.
        assert_eq!(epoch_of(&life(Some(bumped), Some("c1"), "c1"), Some(&seen(E, "c1")), false), bumped);
    }

    #[test]
    fn without_anything_noted_it_is_a_new_one_and_later_than_what_was_known() {
        let known = Epoch { ms: u64::MAX - 5, ..E };
        let next = epoch_of(&life(None, None, "c2"), Some(&seen(known, "c1")), false);
        assert!(next > known && !next.is_kin_of(&known));
        assert_ne!(
            epoch_of(&life(None, None, "c1"), None, false),
            epoch_of(&life(None, None, "c1"), None, false)
        );
    }

    #[test]
    fn what_was_proven_wrong_is_bumped_once() {
        assert_eq!(epoch_of(&life(Some(E), Some("c1"), "c1"), Some(&seen(E, "c1")), true), E.bumped());
        assert_eq!(epoch_of(&life(Some(E), Some("c1"), "c2"), Some(&seen(E, "c1")), true), E.bumped());
    }

    #[test]
    fn an_empty_stream_leaves_the_witness_of_before() {
        let empty = Life { ts: None, ..life(Some(E), Some("c1"), "c1") };
        assert_eq!(empty.seen(E, Some(&seen(E, "c1"))), seen(E, "c1"));
        let later = Life { seq: 6, ..empty };
        assert_eq!(later.seen(E, Some(&seen(E, "c1"))).ts, None);
    }
}
