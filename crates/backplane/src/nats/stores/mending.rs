//! One stream is brought to what it should be, and its epoch decided.

use std::time::Duration;

use serde_json::Value;

use super::Stores;
use super::api::{ApiError, code};
use super::epochs::{self, Life, Seen};
use super::looking::{Again, Look};
use super::shape::{get_note, note, set_note};
use super::standing::Standing;
use crate::message::Epoch;

/// What seems to contradict what was seen must do so twice, this far apart, before it counts: a leader that was just
/// replaced may still answer once.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl Stores {
    /// Brings a stream's settings and notes to what they should be, and says its epoch; none: it can't be known now.
    pub(super) async fn put_right(
        &self,
        look: &mut Look<'_>,
        name: &str,
        parts: u64,
        info: &mut Value,
    ) -> Result<Option<Epoch>, Again> {
        let Look { plan, memory, disbelieved, found } = look;
        let life = Life::read(info);
        let before = memory.seen.get(name);
        let mut disproven =
            disbelieved.iter().any(|(stream, epoch)| stream == name && Some(*epoch) == life.epoch);
        if !disproven && let Some(before) = before.filter(|before| Some(before.epoch) == life.epoch) {
            disproven = match self.contradicts(name, &life, before).await {
                Ok(contradicts) => contradicts,
                Err(error) => {
                    found.cannot_look(&format!("stream {name}"), &error);
                    return Ok(None);
                }
            };
        }
        let epoch = epochs::epoch_of(&life, before, disproven);

        let config = &info["config"];
        let mut differs = plan.compare(config);
        if plan.layout.parts_of(config) != Some(parts) {
            differs.by_hand.push("subjects");
        }
        let fresh = memory.settled.as_ref() != Some(plan.settings);
        let mend = !differs.by_hand.is_empty()
            || differs.unnoted
            || !plan.layout.has(config)
            || fresh && !differs.by_configuration.is_empty()
            || get_note(config, note::KEYED) != Some(&*plan.settings.latest_per_key.to_string());
        let renew = life.epoch != Some(epoch) || life.noted.as_ref() != Some(&life.created);
        if differs.storage {
            found.hurt.push(format!(
                "stream {name} isn't kept {}, as the configuration says, which can't be changed: give the store another \
                 name, or delete the stream and with it what it keeps",
                if plan.settings.in_memory { "in memory" } else { "in files" }
            ));
        }
        if !mend && !differs.by_configuration.is_empty() {
            found.warnings.push(format!(
                "stream {name} has other settings ({}) by another process's configuration",
                differs.by_configuration.join(", ")
            ));
        }
        if !mend && !renew {
            return Ok(Some(epoch));
        }

        let noted = |config: &mut Value| {
            set_note(config, note::EPOCH, epoch.to_string());
            set_note(config, note::CREATED, life.created.clone());
        };
        if life.epoch.is_some_and(|written| written != epoch) {
            let (was, created) = (life.epoch.map(|epoch| epoch.to_string()), &life.created);
            tracing::warn!(stream = name, was, %epoch, created, "a stream's numbers are another life's");
        }
        if mend {
            let mut config = config.clone();
            plan.mend(&mut config, parts);
            noted(&mut config);
            // Before a process of ours first had it, there was nothing to be put back.
            if !differs.by_hand.is_empty() && plan.layout.has(&info["config"]) {
                let what = differs.by_hand.join(", ");
                tracing::warn!(stream = name, what, "a stream was changed by hand, and is put back");
                set_note(&mut config, note::MENDED, format!("{} {what}", epochs::now_ms()));
            }
            match self.update(&config).await {
                Ok(after) => {
                    *info = after;
                    return Ok(Some(epoch));
                }
                Err(error) if error.is(code::NO_STREAM) => return Err(Again),
                Err(error) => {
                    (found.failed, found.unfinished) = (true, true);
                    let what = [&differs.by_hand[..], &differs.by_configuration[..]].concat().join(", ");
                    found.hurt.push(match error.in_general() {
                        Some(why) => why.to_owned(),
                        None => {
                            format!(
                                "stream {name} can't be given its settings ({what}): {error}{}",
                                plan.advice()
                            )
                        }
                    });
                    if !renew {
                        return Ok(Some(epoch));
                    }
                }
            }
        }
        // The epoch doesn't wait for settings that can't be.
        let mut config = info["config"].clone();
        noted(&mut config);
        match self.update(&config).await {
            Ok(after) => {
                *info = after;
                Ok(Some(epoch))
            }
            Err(error) if error.is(code::NO_STREAM) => Err(Again),
            Err(error) => {
                found.cannot_look(&format!("stream {name}"), &error);
                Ok(None)
            }
        }
    }

    /// Whether a stream isn't any more what was seen of it. Looked at twice before it is believed.
    async fn contradicts(&self, name: &str, life: &Life, before: &Seen) -> Result<bool, ApiError> {
        if !self.differs(name, life, before).await? {
            return Ok(false);
        }
        tokio::time::sleep(ASK_AGAIN).await;
        match self.info(name).await? {
            // What a leader doesn't have that nobody follows any more may be stored all the same.
            Some(info) if Standing::of(&info).is_obeyed() => {
                self.differs(name, &Life::read(&info), before).await
            }
            _ => Ok(false),
        }
    }

    async fn differs(&self, name: &str, life: &Life, before: &Seen) -> Result<bool, ApiError> {
        if life.epoch != Some(before.epoch) || life.created != before.created {
            // Somebody has noticed already, or it is another stream anyway.
            return Ok(false);
        }
        if life.seq < before.seq {
            return Ok(true);
        }
        match &before.ts {
            None => Ok(false),
            Some(ts) if life.seq == before.seq && life.ts.as_ref() == Some(ts) => Ok(false),
            // Nothing there proves nothing: it may have been deleted, or be too old.
            Some(ts) => Ok(self.stored_at(name, before.seq).await?.is_some_and(|now| now != *ts)),
        }
    }
}
