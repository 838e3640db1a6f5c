//! Parts of a store move from one stream to another that is made for them: a step of a split.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Stores;
use super::api::{ApiError, code};
use super::epochs;
use super::shape::{
    Layout, drop_note, get_note, note, note_left, note_parts, noted_left, noted_parts, set_note,
};
use super::splitting::{SplitError, SplitProgress, half_way};

/// Between two looks at how far the copy is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The same while rooms are closed.
const LOOK_OFTEN: Duration = Duration::from_millis(10);

/// The copy counts as close behind when it has within this time what was newest at its beginning.
const CLOSE_BEHIND: Duration = Duration::from_secs(1);

/// How long the copy may stand still.
const STALLED: Duration = Duration::from_secs(60);

/// How long rooms may be closed: then they are opened again, and the split gives up.
const CLOSED_LIMIT: Duration = Duration::from_secs(20);

/// How long one attempt may take to store the mark that ends a stream's part.
const MARK_LIMIT: Duration = Duration::from_secs(2);

/// Parts on their way.
pub(super) struct Way<'a> {
    pub(super) layout: &'a Layout<'a>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) parts: u64,
}

pub(super) type Tell<'a> = &'a mut (dyn FnMut(SplitProgress) + Send);

impl Stores {
    /// Moves parts, from wherever an earlier one has ended.
    pub(super) async fn go(&self, way: &Way<'_>, tell: Tell<'_>) -> Result<(), SplitError> {
        let moved = match self.info(&way.to).await.map_err(|error| half_way(&error))? {
            Some(info) if !info["config"]["mirror"].is_object() => {
                if way.layout.parts_of(&info["config"]).is_none_or(|parts| parts & way.parts != way.parts) {
                    let why = format!("stream {} is there, and isn't what a split has made", way.to);
                    return Err(SplitError::Impossible(why));
                }
                true
            }
            there => {
                if there.is_none() {
                    self.make_mirror(way).await.map_err(|error| half_way(&error))?;
                }
                false
            }
        };
        // Where an earlier one ended while it was off.
        self.change(&way.from, |config| config["allow_direct"] = json!(true))
            .await
            .map_err(|error| half_way(&error))?;
        if !moved {
            self.copy(way, tell).await?;
            self.hand_over(way, tell).await?;
        }
        let now = epochs::now_ms();
        self.change(&way.from, |config| {
            note_left(config, way.parts | noted_left(config).map_or(0, |(parts, _)| parts), now);
            drop_note(config, note::SPLIT);
        })
        .await
        .map_err(|error| half_way(&error))?;
        Ok(())
    }

    /// Makes the mirror, while the old stream is read by its leader alone: a mirror of one with direct reads would answer
    /// them, too, and for all of its rooms.
    async fn make_mirror(&self, way: &Way<'_>) -> Result<(), ApiError> {
        let config = self.change(&way.from, |config| config["allow_direct"] = json!(false)).await?;
        let moving = way.layout.subjects_of(way.parts);
        let moving = moving.iter().map(|subject| json!({ "src": subject, "dest": unchanged(subject) }));
        let mut mirror = config;
        mirror["name"] = json!(way.to);
        mirror["mirror"] = json!({ "name": way.from, "subject_transforms": moving.collect::<Vec<_>>() });
        for key in ["subjects", "republish", "first_seq"] {
            mirror.as_object_mut().expect("a stream's settings are an object").remove(key);
        }
        // Not its own yet: whoever looks after streams leaves it alone.
        for noted in [note::PARTS, note::SPLIT, note::LEFT, note::MENDED] {
            drop_note(&mut mirror, noted);
        }
        match self.create(&mirror).await {
            Err(error) if error.is(code::NAME_IN_USE) => Ok(()),
            created => created.map(drop),
        }
    }

    /// Waits until the copy is close behind.
    async fn copy(&self, way: &Way<'_>, tell: Tell<'_>) -> Result<(), SplitError> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let begin = Instant::now();
            let newest = self.newest_on(way).await.map_err(|error| half_way(&error))?;
            loop {
                let has = self.last_of(&way.to).await.map_err(|error| half_way(&error))?;
                tell(SplitProgress::Copying { to: way.to.clone(), has, of: newest });
                if has >= newest {
                    break;
                }
                if has > last {
                    (last, moved) = (has, Instant::now());
                }
                if moved.elapsed() > STALLED {
                    let why = format!("stream {} doesn't get what it mirrors", way.to);
                    return Err(SplitError::HalfWay(why));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            if begin.elapsed() < CLOSE_BEHIND {
                return Ok(());
            }
        }
    }

    /// Closes the rooms that move, waits until the copy has all of them, and makes it a stream of its own.
    async fn hand_over(&self, way: &Way<'_>, tell: Tell<'_>) -> Result<(), SplitError> {
        let closed = Instant::now();
        let failed = match self.close_and_promote(way, closed).await {
            Ok(()) => {
                tell(SplitProgress::Moved { to: way.to.clone(), closed: closed.elapsed() });
                return Ok(());
            }
            Err(error) => error,
        };
        // Back to where they were, unless they have moved after all.
        let deadline = Instant::now() + CLOSED_LIMIT;
        loop {
            let opened = self
                .change(&way.from, |config| {
                    let all = noted_parts(config).unwrap_or(0) | way.parts;
                    config["subjects"] = json!(way.layout.subjects_of(all));
                    note_parts(config, all);
                })
                .await;
            match opened {
                Ok(_) => return Err(failed),
                Err(error) if error.is(code::OVERLAP) => {
                    tell(SplitProgress::Moved { to: way.to.clone(), closed: closed.elapsed() });
                    return Ok(());
                }
                Err(_) if Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
                Err(_) => return Err(failed),
            }
        }
    }

    async fn close_and_promote(&self, way: &Way<'_>, begin: Instant) -> Result<(), SplitError> {
        // With a mark as the very last message of the parts that move. Its number is above all that the old stream has given
        // to anybody (an empty room's position is the stream's newest), so the new stream goes on above them, too. And it
        // was in the old stream's queue behind all that was published there before.
        let mark = way.layout.mark(way.parts);
        let close = |config: &mut Value, more: &[&str]| {
            let rest = noted_parts(config).unwrap_or(0) & !way.parts;
            let rest_of = way.layout.subjects_of(rest);
            config["subjects"] = rest_of.iter().map(String::as_str).chain(more.iter().copied()).collect();
            note_parts(config, rest);
        };
        self.change(&way.from, |config| close(config, &[&mark])).await.map_err(|error| half_way(&error))?;
        let last = self.put_mark(way, &mark, begin).await?;
        self.change(&way.from, |config| close(config, &[])).await.map_err(|error| half_way(&error))?;
        loop {
            let has = self.last_of(&way.to).await.map_err(|error| half_way(&error))?;
            if has >= last {
                break;
            }
            if begin.elapsed() > CLOSED_LIMIT {
                return Err(SplitError::HalfWay(format!("stream {} has only {has} of {last}", way.to)));
            }
            tokio::time::sleep(LOOK_OFTEN).await;
        }
        // Its epoch may have changed since the mirror was made.
        let from = self.info(&way.from).await.map_err(|error| half_way(&error))?;
        let from = from.ok_or_else(|| SplitError::HalfWay(format!("stream {} is gone", way.from)))?;
        let created = self.info(&way.to).await.map_err(|error| half_way(&error))?;
        let created = created.and_then(|info| info["created"].as_str().map(str::to_owned));
        let created = created.ok_or_else(|| SplitError::HalfWay(format!("stream {} is gone", way.to)))?;
        self.change(&way.to, |config| {
            let settings = config.as_object_mut().expect("a stream's settings are an object");
            settings.remove("mirror");
            settings.remove("mirror_direct");
            config["subjects"] = json!(way.layout.subjects_of(way.parts));
            config["republish"] = way.layout.republish();
            config["allow_direct"] = json!(true);
            config["description"] = json!(way.layout.description());
            for copied in [note::STORE, note::EPOCH, note::SETTINGS, note::KEYED] {
                if let Some(text) = get_note(&from["config"], copied) {
                    set_note(config, copied, text.to_owned());
                }
            }
            set_note(config, note::CREATED, created.clone());
            note_parts(config, way.parts);
        })
        .await
        .map_err(|error| half_way(&error))?;
        Ok(())
    }

    /// Puts the mark into the old stream, and says its number.
    async fn put_mark(&self, way: &Way<'_>, mark: &str, begin: Instant) -> Result<u64, SplitError> {
        loop {
            // Whoever hears or reads it takes it for the sign of something deleted, which is nobody's publication.
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("KV-Operation", "PURGE");
            let asked = self
                .questions
                .ask(&self.client, mark.to_owned(), Some(headers), bytes::Bytes::new(), MARK_LIMIT)
                .await
                .map_err(|error| error.to_string())
                .and_then(|answer| {
                    serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())
                });
            let why = match asked.map(|answer: Value| (answer["seq"].as_u64(), answer)) {
                Ok((Some(number), answer)) if answer.get("error").is_none() => return Ok(number),
                Ok((_, answer)) => {
                    answer["error"]["description"].as_str().unwrap_or("no reason given").to_owned()
                }
                Err(error) => error,
            };
            if begin.elapsed() > CLOSED_LIMIT {
                return Err(SplitError::HalfWay(format!("stream {} takes nothing: {why}", way.from)));
            }
            tokio::time::sleep(LOOK_OFTEN).await;
        }
    }

    /// The greatest number that the old stream has in the parts that move; 0: none.
    async fn newest_on(&self, way: &Way<'_>) -> Result<u64, ApiError> {
        let mut asked = FuturesUnordered::new();
        for subject in way.layout.subjects_of(way.parts) {
            asked.push(async move {
                let body = json!({ "last_by_subj": subject });
                self.api(&format!("STREAM.MSG.GET.{}", way.from), &body).await
            });
        }
        let mut newest = 0;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(answer) => newest = newest.max(answer["message"]["seq"].as_u64().unwrap_or(0)),
                Err(error) if error.is(code::NO_MESSAGE) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }

    async fn last_of(&self, name: &str) -> Result<u64, ApiError> {
        let info = self.info(name).await?;
        Ok(info.and_then(|info| info["state"]["last_seq"].as_u64()).unwrap_or(0))
    }
}

/// A subject with wildcards as the target of a mapping that changes nothing.
fn unchanged(subject: &str) -> String {
    let mut wildcards = 0;
    let words = subject.split('.').map(|word| {
        if word == "*" {
            wildcards += 1;
            format!("{{{{wildcard({wildcards})}}}}")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(".")
}
