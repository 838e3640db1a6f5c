//! One look at a store: its streams are found, made where they are missing, put right, and their epochs decided.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Stores;
use super::api::code;
use super::epochs::{self, Life, Seen};
use super::findings::Findings;
use super::shape::{Plan, get_note, note, note_parts, noted_parts, noted_split};
use crate::message::Epoch;
use crate::store::{StoreKey, StoreSettings, StoreState, StreamState};

/// How often a look begins anew because others made or changed streams meanwhile.
const TRIES: usize = 5;

/// Names that are tried for a new stream, where others have them.
const NAMES: usize = 1_000;

/// How long a split may keep rooms closed before it counts as ended half-way. It gives up by itself before that.
const CLOSED_LIMIT: Duration = Duration::from_secs(45);

/// For so long it isn't worth a word.
const CLOSED_BRIEFLY: Duration = Duration::from_secs(2);

/// What is remembered of a store between two looks.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Its streams.
    pub(super) seen: BTreeMap<String, Seen>,
    /// What was told.
    pub(super) state: StoreState,
    /// The settings that this process has brought to hold, or has left to others that had newer ones.
    pub(super) settled: Option<StoreSettings>,
    /// Whether somebody didn't answer the last time.
    silent: bool,
    /// Since when rooms are closed by a split.
    closed: Option<Instant>,
    /// What was disbelieved, and couldn't get another epoch yet.
    pub(super) disbelieved: Vec<(String, Epoch)>,
    /// What must be looked at soon again.
    pub(super) unfinished: bool,
}

/// One look at a store: what it goes by, and what it finds.
pub(super) struct Look<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) memory: &'a mut Memory,
    /// Streams, with the epochs that somebody has proven wrong.
    pub(super) disbelieved: &'a [(String, Epoch)],
    pub(super) found: &'a mut Findings,
}

/// Streams changed while they were looked at: from the beginning.
pub(super) struct Again;

impl Stores {
    /// Looks at a store. `disbelieved`: streams, with the epochs that somebody has proven wrong.
    pub(super) async fn look(
        &self,
        key: &StoreKey,
        settings: &StoreSettings,
        memory: &mut Memory,
        disbelieved: &[(String, Epoch)],
    ) {
        let plan = Plan::new(&self.subjects, key, settings);
        let mut found = Findings::default();
        for _ in 0..TRIES {
            found = Findings::default();
            let mut look = Look { plan: &plan, memory, disbelieved, found: &mut found };
            match self.look_once(&mut look).await {
                Ok(()) => break,
                Err(Again) => found.unfinished = true,
            }
        }
        let Findings { mut streams, mut hurt, silent, warnings, blind, failed, mut unfinished, .. } = found;
        if blind {
            // What can't be looked at now is as it was.
            let gone = |one: &&StreamState| streams.iter().all(|stream| stream.name != one.name);
            let former: Vec<_> = memory.state.streams.iter().filter(gone).cloned().collect();
            streams.extend(former);
        }
        streams.sort_by(|one, other| one.name.cmp(&other.name));
        // While a leader is chosen nobody answers for some seconds: once isn't worth a word where all was well.
        let once = !silent.is_empty() && !memory.silent && memory.state.hurt.is_none() && !streams.is_empty();
        memory.silent = !silent.is_empty();
        if !once {
            hurt.extend(silent);
        }
        let hurt = if hurt.is_empty() { None } else { Some(hurt.join("; ")) };
        if !blind && !failed {
            memory.settled = Some(settings.clone());
        }
        let still = |(name, epoch): &&(String, Epoch)| {
            streams.iter().any(|stream| *stream.name == **name && stream.epoch == *epoch)
        };
        memory.disbelieved = disbelieved.iter().filter(still).cloned().collect();
        unfinished |= !memory.disbelieved.is_empty();
        memory.unfinished = unfinished;
        memory.state = StoreState { streams, hurt, warnings };
    }

    async fn look_once(&self, look: &mut Look<'_>) -> Result<(), Again> {
        let plan = look.plan;
        let names = match self.streams_under(&plan.layout.everything()).await {
            Ok(names) => names,
            Err(error) => {
                look.found.cannot_look("its streams", &error);
                return Ok(());
            }
        };
        // Those that somebody took all subjects from aren't found by them.
        let others = look.memory.seen.keys().cloned().chain([plan.layout.name(1)]);
        let candidates: BTreeSet<_> = names.iter().cloned().chain(others).collect();
        let mut there = BTreeSet::new();
        for name in candidates {
            match self.info(&name).await {
                Ok(None) => {}
                Ok(Some(info)) => {
                    there.insert(name.clone());
                    let by_subject = names.contains(&name);
                    self.look_at(look, &name, by_subject, info).await?;
                }
                Err(error) => {
                    there.insert(name.clone());
                    look.found.cannot_look(&format!("stream {name}"), &error);
                }
            }
        }
        let Look { memory, found, .. } = look;
        if !found.blind {
            let known = memory.seen.values().map(|seen| seen.epoch).max();
            let missing = !found.covered;
            memory.seen.retain(|name, _| there.contains(name));
            if missing != 0 && !found.foreign {
                self.make(plan, missing, known, found).await?;
            }
            self.reopen(plan, memory, found).await?;
        }
        if plan.settings.replicas == 2 {
            found.warnings.push(
                "replicas = 2: with either server away nothing is stored, so it is no safer than 1; right would be 1 or 3"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Sees to the parts that a split has closed: it does so for well under a second, and if it was killed then, they are
    /// given back to where they came from.
    async fn reopen(&self, plan: &Plan<'_>, memory: &mut Memory, found: &mut Findings) -> Result<(), Again> {
        let closed = |parts: u64| parts & !found.taken;
        let Some((name, parts)) = found.splits.iter().find(|(_, parts)| closed(*parts) != 0).cloned() else {
            memory.closed = None;
            return Ok(());
        };
        // Until they have moved, what is in them is read there, and what is published tries there.
        for stream in &mut found.streams {
            if *stream.name == *name {
                stream.parts |= parts & !found.taken;
            }
        }
        let since = memory.closed.get_or_insert_with(Instant::now).elapsed();
        if since > CLOSED_BRIEFLY {
            found.hurt.push(format!(
                "stream {name} is being split, and some of its rooms are closed: if the split was ended half-way, run \
                 `ringway store split` again"
            ));
        }
        if since < CLOSED_LIMIT {
            return Ok(());
        }
        memory.closed = None;
        let Ok(Some(info)) = self.info(&name).await else { return Err(Again) };
        let mut config = info["config"].clone();
        let all = plan.layout.parts_of(&config).unwrap_or(0) | parts & !found.taken;
        config["subjects"] = plan.layout.subjects_of(all).into();
        note_parts(&mut config, all);
        match self.update(&config).await {
            Ok(_) => tracing::warn!(stream = name, "a split was ended half-way: its rooms are open again"),
            // It came to its end after all.
            Err(error) if error.is(code::OVERLAP) => {}
            Err(error) => {
                tracing::warn!(stream = name, %error, "rooms that a split has closed can't be opened");
            }
        }
        Err(Again)
    }

    /// Makes the stream that takes the parts which none takes.
    async fn make(
        &self,
        plan: &Plan<'_>,
        parts: u64,
        known: Option<Epoch>,
        found: &mut Findings,
    ) -> Result<(), Again> {
        for nth in 1..=NAMES {
            let name = plan.layout.name(nth);
            match self.create(&plan.stream(&name, parts, epochs::new(known))).await {
                Ok(_) => {
                    tracing::info!(stream = name, "a stream was made");
                    return Err(Again);
                }
                Err(error) if error.is(code::OVERLAP) => return Err(Again),
                Err(error) if error.is(code::NAME_IN_USE) => match self.info(&name).await {
                    Ok(Some(info)) if !plan.layout.has(&info["config"]) => {}
                    Ok(_) => return Err(Again),
                    Err(error) => {
                        found.cannot_look(&format!("stream {name}"), &error);
                        return Ok(());
                    }
                },
                Err(error) => {
                    (found.failed, found.unfinished) = (true, true);
                    found.hurt.push(match error.in_general() {
                        Some(why) => why.to_owned(),
                        None => format!("stream {name} can't be made: {error}{}", plan.advice()),
                    });
                    return Ok(());
                }
            }
        }
        found.hurt.push(format!("stream {} can't be made: the name is taken", plan.layout.name(1)));
        Ok(())
    }

    /// Looks at one stream. `by_subject`: it was found by what it takes.
    async fn look_at(
        &self,
        look: &mut Look<'_>,
        name: &str,
        by_subject: bool,
        mut info: Value,
    ) -> Result<(), Again> {
        let Look { plan, found, .. } = look;
        let config = &info["config"];
        if config["mirror"].is_object() {
            // What a split is making: not of the store yet.
            return Ok(());
        }
        let takes = plan.layout.parts_of(config);
        let parts = match (plan.layout.has(config), takes) {
            (true, takes) => noted_parts(config).or(takes).unwrap_or(0),
            // Made by hand, as ours would be.
            (false, Some(parts)) if by_subject => parts,
            (false, _) if by_subject => {
                found.foreign(name, config, &plan.layout.everything());
                return Ok(());
            }
            // Another's, that has the name.
            (false, _) => return Ok(()),
        };
        found.covered |= parts | noted_split(config).map_or(0, |(parts, _)| parts);
        if config["sealed"] == true {
            found.hurt.push(format!(
                "stream {name} is sealed: nothing can be stored. Delete it, and it is made anew"
            ));
        }
        let keyed = get_note(config, note::KEYED).is_some_and(|keyed| {
            keyed != plan.settings.latest_per_key.to_string() && info["state"]["messages"] != 0
        });
        if keyed {
            found.hurt.push(format!(
                "stream {name} keeps what was published {} latest_per_key, which can't be changed: give the store another \
                 name, or delete the stream and with it what it keeps",
                if plan.settings.latest_per_key { "without" } else { "with" }
            ));
            return Ok(());
        }
        let Some(epoch) = self.put_right(look, name, parts, &mut info).await? else { return Ok(()) };
        let Look { plan, memory, found, .. } = look;
        let config = &info["config"];
        let (life, takes) = (Life::read(&info), plan.layout.parts_of(config).unwrap_or(0));
        found.taken |= takes;
        found.splits.extend(noted_split(config).map(|(parts, _)| (name.to_owned(), parts)));
        let seen = life.seen(epoch, memory.seen.get(name));
        memory.seen.insert(name.to_owned(), seen);
        found.streams.push(StreamState { name: name.into(), epoch, parts: takes });
        found.notice(plan, name, &info);
        Ok(())
    }
}
