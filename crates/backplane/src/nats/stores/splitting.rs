//! One stream becomes several: every number, time and id is kept, and the rooms that move are closed for a moment only.
//!
//! The new stream is first a mirror of the old one for the parts that move. Once it has nearly all, the old one gives
//! those parts up (whoever publishes then hears `no responders`, and tries again), the mirror takes the rest, and becomes
//! a stream of its own. At last, when everybody has learned who has what, the old one forgets what moved, so that every
//! number is found in one place.
//!
//! What was begun is noted in the old stream, so a split that ends half-way is gone on with by the next; until then its
//! rooms are opened again by whoever looks after the streams.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::Stores;
use super::api::ApiError;
use super::epochs;
use super::moving::{Tell, Way};
use super::shape::{Layout, drop_note, note, note_split, noted_left, noted_parts, noted_split};
use super::watching;
use crate::store::StoreKey;
use crate::subject::PARTS;

/// After so long whoever looks after streams knows that parts have moved: until then they are read where they were.
const KNOWN_BY_ALL: Duration = watching::LOOK_EVERY.saturating_add(Duration::from_secs(2));

/// Why a split didn't come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// What was asked for can't be done.
    #[error("{0}")]
    Impossible(String),
    /// JetStream as a whole isn't there, or doesn't answer; nothing was begun.
    #[error("{0}")]
    Away(String),
    /// It was ended half-way. Nothing is lost, all rooms are open again, and the same command goes on with it.
    #[error("ended half-way: {0}. Run the same again to go on")]
    HalfWay(String),
}

/// How far a split has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitProgress {
    /// Parts begin to move.
    Begun {
        /// Where from.
        from: String,
        /// The stream that is made for them.
        to: String,
        /// How many.
        parts: u32,
    },
    /// They are copied, while all goes on.
    Copying {
        /// The new stream.
        to: String,
        /// The newest number that it has.
        has: u64,
        /// The newest number that there was.
        of: u64,
    },
    /// They have moved. For some seconds what moved is still where it was, too, for those who don't know it yet.
    Moved {
        /// The new stream.
        to: String,
        /// For how long nothing could be published in their rooms.
        closed: Duration,
    },
    /// What moved was deleted where it was.
    Cleaned {
        /// The old stream.
        from: String,
        /// How many messages.
        messages: u64,
    },
    /// The store has so many streams now.
    Done {
        /// How many.
        streams: usize,
    },
}

impl fmt::Display for SplitProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { from, to, parts } => write!(f, "{parts} parts move from {from} to {to}"),
            Self::Copying { to, has, of } => write!(f, "{to}: copied up to {has} of {of}"),
            Self::Moved { to, closed } => write!(f, "{to}: moved; closed for {} ms", closed.as_millis()),
            Self::Cleaned { from, messages } => write!(f, "{from}: {messages} moved messages deleted"),
            Self::Done { streams: 1 } => f.write_str("done: 1 stream"),
            Self::Done { streams } => write!(f, "done: {streams} streams"),
        }
    }
}

impl Stores {
    /// Splits a store until it has so many streams; one that has as many is left as it is. Under load; goes on with what
    /// an earlier one didn't end.
    ///
    /// # Errors
    /// [`SplitError`].
    pub async fn split(
        &self,
        key: &StoreKey,
        into: u8,
        mut tell: impl FnMut(SplitProgress) + Send,
    ) -> Result<(), SplitError> {
        if into == 0 || into > PARTS {
            return Err(SplitError::Impossible(format!("a store has 1 to {PARTS} streams, not {into}")));
        }
        let layout = Layout::new(&self.subjects, key);
        loop {
            let streams = self.streams_of(&layout, key).await?;
            let begun = streams.iter().find_map(|(name, info)| {
                let (parts, to) = noted_split(&info["config"])?;
                Some(Way { layout: &layout, from: name.clone(), to: to.to_owned(), parts })
            });
            let way = match begun {
                Some(way) => way,
                None if streams.len() >= usize::from(into) => {
                    for (name, info) in &streams {
                        self.clean(&layout, name, &info["config"], &mut tell)
                            .await
                            .map_err(|error| half_way(&error))?;
                    }
                    tell(SplitProgress::Done { streams: streams.len() });
                    return Ok(());
                }
                None => self.begin(&layout, &streams, into).await?,
            };
            let Way { from, to, parts, .. } = &way;
            tell(SplitProgress::Begun { from: from.clone(), to: to.clone(), parts: parts.count_ones() });
            self.go(&way, &mut tell).await?;
        }
    }

    /// The store's streams, in order of their names.
    async fn streams_of(
        &self,
        layout: &Layout<'_>,
        key: &StoreKey,
    ) -> Result<Vec<(String, Value)>, SplitError> {
        let impossible = |why: &str| {
            Err(SplitError::Impossible(format!("store {} of group {}: {why}", key.store, key.group)))
        };
        let mut streams = Vec::new();
        for name in self.streams_under(&layout.everything()).await.map_err(|error| told(&error))? {
            let Some(info) = self.info(&name).await.map_err(|error| told(&error))? else { continue };
            if !layout.has(&info["config"]) {
                return impossible(&format!("stream {name} isn't Ringway's"));
            }
            streams.push((name, info));
        }
        if streams.is_empty() {
            return impossible("it has no stream; nodes make it where a class names the store");
        }
        streams.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(streams)
    }

    /// Decides what moves next, and notes it.
    async fn begin<'a>(
        &self,
        layout: &'a Layout<'a>,
        streams: &[(String, Value)],
        into: u8,
    ) -> Result<Way<'a>, SplitError> {
        let parts_of = |info: &Value| noted_parts(&info["config"]).unwrap_or(0);
        let widest =
            streams.iter().max_by_key(|(name, info)| (parts_of(info).count_ones(), std::cmp::Reverse(name)));
        let (from, info) = widest.expect("there is a stream");
        let has = parts_of(info);
        let share = u32::from(PARTS.div_ceil(into));
        let moving = share.min(has.count_ones() / 2);
        if moving == 0 {
            return Err(SplitError::Impossible(format!("stream {from} has one part, which isn't divided")));
        }
        // The upper ones: those that stay are together, too.
        let mut parts = has;
        while parts.count_ones() > moving {
            parts &= parts - 1;
        }
        let mut nth = 2;
        while self.info(&layout.name(nth)).await.map_err(|error| told(&error))?.is_some() {
            nth += 1;
        }
        let to = layout.name(nth);
        self.change(from, |config| note_split(config, parts, &to)).await.map_err(|error| told(&error))?;
        Ok(Way { layout, from: from.clone(), to, parts })
    }

    /// Deletes what moved where it was, once nobody looks for it there any more.
    async fn clean(
        &self,
        layout: &Layout<'_>,
        from: &str,
        config: &Value,
        tell: Tell<'_>,
    ) -> Result<(), ApiError> {
        let Some((parts, since)) = noted_left(config) else { return Ok(()) };
        let passed = Duration::from_millis(epochs::now_ms().saturating_sub(since));
        tokio::time::sleep(KNOWN_BY_ALL.saturating_sub(passed)).await;
        let mut messages = 0;
        // Never what it takes itself.
        for subject in layout.subjects_of(parts & !layout.parts_of(config).unwrap_or(u64::MAX)) {
            let asked = self.api(&format!("STREAM.PURGE.{from}"), &json!({ "filter": subject })).await?;
            messages += asked["purged"].as_u64().unwrap_or(0);
        }
        self.change(from, |config| drop_note(config, note::LEFT)).await?;
        tell(SplitProgress::Cleaned { from: from.to_owned(), messages });
        Ok(())
    }
}

/// Before anything was begun.
fn told(error: &ApiError) -> SplitError {
    match error.in_general() {
        Some(why) => SplitError::Away(why.to_owned()),
        None => SplitError::Impossible(error.to_string()),
    }
}

pub(super) fn half_way(error: &ApiError) -> SplitError {
    SplitError::HalfWay(error.in_general().map_or_else(|| error.to_string(), str::to_owned))
}
