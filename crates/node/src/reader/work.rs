//! What the desk has in hand: a room is read, the newest of many is asked, a stream is read once for many; and whoever asked is
//! answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use ringway_backplane::message::Epoch;
use ringway_backplane::store::{Newest, ReadError, RoomAt};
use tokio::time::Instant;

use super::asking::waits;
use super::desk::{Inner, PATIENCE};
use super::job::Job;
use super::library::{AtNumber, Library};
use super::pass::Wish;
use super::queue::STRAGGLERS;
use super::verify::{Claim, Proof, nothing_missed, page_of};
use super::{Found, Read, ReadResult};

/// How long a pass may take: rooms wait for somewhat more than that.
const PASS: Duration = Duration::from_secs(3);

/// How often a question is put anew since its stream or epoch changed meanwhile.
const AGAIN: u8 = 3;

/// After a pass, rooms that the leader is asked about at a time.
const PROOFS_AT_ONCE: usize = 8;

impl<L: Library> Inner<L> {
    /// One room is read.
    pub(super) async fn one(self: &Arc<Self>, job: Job) {
        let reading = self.found(&job.at, job.epoch, job.read, job.newest);
        // Who isn't answered by then says so as it is dropped.
        if let Ok(result) = tokio::time::timeout_at(job.until, reading).await {
            self.finish(job, result);
        }
    }

    async fn found(&self, at: &RoomAt, epoch: Epoch, read: Read, newest: Option<Newest>) -> ReadResult {
        let ask = &self.ask;
        match read {
            Read::Check { offset, ts } => ask.check(at, Claim { offset, ts: Some(ts) }).await,
            Read::After { offset, upto } => ask.after(at, epoch, (offset, upto), newest).await,
            Read::Last { count } => ask.last(at, epoch, count).await,
            Read::Newest => match newest {
                Some(newest) => Ok(Found::Newest { epoch, at: newest, has: true }),
                None => Ok(Found::Newest { epoch, at: ask.end_of_stream(at).await?, has: false }),
            },
            // Of an epoch that the store no longer has, or never had.
            Read::Since { epoch: claimed, .. } if claimed != epoch => {
                ask.refused(at, epoch, newest, Proof::Dropped).await
            }
            Read::Since { offset, ts, .. } => ask.since(at, epoch, Claim { offset, ts }, newest).await,
        }
    }

    /// What is newest of all these is asked; who lacks nothing is answered, the others wait to be read.
    pub(super) async fn ask_newest(self: &Arc<Self>, mut jobs: Vec<Job>) {
        let mut indexes = HashMap::with_capacity(jobs.len());
        let mut rooms: Vec<RoomAt> = Vec::with_capacity(jobs.len());
        for job in &jobs {
            indexes.entry(job.at.clone()).or_insert_with(|| {
                rooms.push(job.at.clone());
                rooms.len() - 1
            });
        }
        let Ok(found) = tokio::time::timeout(PATIENCE, self.fresh(&rooms)).await else { return };
        let newest = match found {
            Ok(newest) => newest,
            Err(error) => {
                for job in jobs {
                    self.finish(job, Err(error));
                }
                return;
            }
        };
        for job in &mut jobs {
            job.newest = newest.rooms.get(indexes[&job.at]).copied().flatten();
        }
        for job in jobs {
            self.sort(job, newest.end);
        }
    }

    /// The newest of these rooms, and the end of their stream where its leader could be asked. A follower that hasn't got
    /// what was stored before it was asked is asked again.
    async fn fresh(&self, rooms: &[RoomAt]) -> Result<Fresh, ReadError> {
        let Some(first) = rooms.first() else { return Ok(Fresh { rooms: Vec::new(), end: None }) };
        let (end, newest) = tokio::join!(self.ask.extent(first), self.ask.newest(rooms));
        let mut newest = newest?;
        let end = match end {
            Ok(extent) => Some(Newest { offset: extent.last, ts: extent.last_ts }),
            // It has the rooms no more.
            Err(ReadError::Busy) => return Err(ReadError::Busy),
            // Without a leader nothing is stored either, and what followers have can still be had.
            Err(_) => None,
        };
        let behind = |upto: Option<u64>| upto.zip(end).is_some_and(|(upto, end)| upto < end.offset);
        for wait in waits() {
            if !behind(newest.upto) {
                break;
            }
            tokio::time::sleep(wait).await;
            newest = self.ask.newest(rooms).await?;
        }
        if behind(newest.upto) { Err(ReadError::Busy) } else { Ok(Fresh { rooms: newest.rooms, end }) }
    }

    /// Answers who can be answered by what is newest.
    fn sort(self: &Arc<Self>, job: Job, end: Option<Newest>) {
        let epoch = job.epoch;
        let claim = job.claim();
        let found = match (job.read, job.newest, claim) {
            (Read::Newest, Some(at), _) => Some(Found::Newest { epoch, at, has: true }),
            (Read::Newest, None, _) => end.map(|at| Found::Newest { epoch, at, has: false }),
            (Read::Since { .. } | Read::After { .. }, Some(newest), Some(claim))
                if !job.is_of_another_epoch() && newest.offset == claim.offset && claim.agrees(newest.ts) =>
            {
                Some(nothing_missed(epoch, newest))
            }
            _ => None,
        };
        if let Some(found) = found {
            return self.finish(job, Ok(found));
        }
        let moved = !job.is_of_another_epoch()
            && claim.zip(job.newest).is_some_and(|(claim, newest)| newest.offset > claim.offset);
        let mut state = self.state.lock();
        let queue = state.queues.entry(job.at.key()).or_default();
        if moved {
            queue.moved(job, Instant::now());
        } else {
            queue.single(job);
        }
    }

    /// One pass over a stream for all these.
    pub(super) async fn pass(self: &Arc<Self>, jobs: Vec<Job>) {
        let Some(at) = jobs.first().map(|job| job.at.clone()) else { return };
        let rooms: Vec<_> = jobs.iter().map(|job| (job.at.tenant.clone(), job.at.room.clone())).collect();
        let mut wishes: Vec<_> = jobs
            .iter()
            .map(|job| {
                let claim = job.claim().expect("only who has a position waits for a pass");
                Wish::new(claim, job.newest.expect("only who moved waits for a pass"))
            })
            .collect();
        let until = Instant::now() + PASS;
        let passed = self.ask.pass_for(&at, &rooms, &mut wishes, until).await;
        let mut missed = Vec::new();
        let mut reached = Vec::new();
        for (job, wish) in jobs.into_iter().zip(wishes) {
            match passed.why_not_all {
                _ if wish.reached => reached.push((job, wish)),
                Some(error) => self.finish(job, Err(error)),
                None => missed.push(job),
            }
        }
        // What a single question brings was so at one time. Over several, something may have been dropped before the pass came
        // to it.
        let long = passed.times > 1;
        let end = if long { self.ask.holding(&at).await.ok() } else { None };
        let judging = stream::iter(reached).for_each_concurrent(PROOFS_AT_ONCE, |(job, wish)| async move {
            let stood = !long || end.is_some_and(|end| wish.stood(&end));
            let judging = self.judged(&job.at, job.epoch, job.read, wish, stood);
            match tokio::time::timeout_at(job.until, judging).await {
                Ok(Some(result)) => self.finish(job, result),
                Ok(None) => self.singly(vec![job]),
                Err(_) => {}
            }
        });
        judging.await;
        self.left_out(missed).await;
    }

    /// What a pass found, if it can be believed; none: the room has to be read by itself. `stood`: it is sure that what is at
    /// the claim, if it was met, was kept until the pass had ended.
    async fn judged(
        &self,
        at: &RoomAt,
        epoch: Epoch,
        read: Read,
        wish: Wish,
        stood: bool,
    ) -> Option<ReadResult> {
        let Wish { claim, newest, mut kept, more, others, short, .. } = wish;
        if let Read::After { offset, .. } = read {
            kept.retain(|kept| kept.offset > offset);
            return Some(Ok(page_of(epoch, (claim.place(), newest), kept, more)));
        }
        if others.is_some_and(|ts| !claim.agrees(ts)) {
            return Some(self.ask.refused(at, epoch, Some(newest), Proof::Foreign).await);
        }
        if !at.latest_per_key {
            let met = kept.first().filter(|first| first.offset == claim.offset);
            if let Some(met) = met.filter(|_| !stood) {
                match self.ask.at(at, claim.offset).await {
                    Ok(AtNumber::Ours(ts)) if ts == met.ts => {}
                    Ok(_) => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
            if short {
                return None;
            }
        }
        Some(self.ask.judged(at, epoch, claim, newest, (kept, more)).await)
    }

    /// Those that a pass didn't reach, since it would have had to read too much.
    async fn left_out(self: &Arc<Self>, jobs: Vec<Job>) {
        // What this node lacks it has to get, however long it takes; a client can be told that it doesn't get it.
        let is_since = |job: &Job| matches!(job.read, Read::Since { .. });
        let (jobs, others): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(is_since);
        self.singly(others);
        if jobs.len() <= STRAGGLERS {
            self.singly(jobs);
            return;
        }
        let refusing = stream::iter(jobs).for_each_concurrent(PROOFS_AT_ONCE, |job| async move {
            let refusing = self.ask.refused(&job.at, job.epoch, job.newest, Proof::Dropped);
            if let Ok(result) = tokio::time::timeout_at(job.until, refusing).await {
                self.finish(job, result);
            }
        });
        refusing.await;
    }

    /// They are read one by one.
    fn singly(&self, jobs: Vec<Job>) {
        let mut state = self.state.lock();
        for job in jobs {
            state.queues.entry(job.at.key()).or_default().single(job);
        }
    }

    /// Tells what was found, if the numbers are still those of the epoch that it was asked in; else it is asked anew.
    fn finish(self: &Arc<Self>, mut job: Job, result: ReadResult) {
        match self.stream(&job.at) {
            Ok((stream, epoch)) if (&stream, epoch) != (&job.stream, job.epoch) && job.again < AGAIN => {
                (job.stream, job.epoch, job.newest) = (stream, epoch, None);
                job.again += 1;
                self.put(job);
            }
            Ok((stream, epoch)) if (&stream, epoch) != (&job.stream, job.epoch) => {
                job.done.tell(Err(ReadError::Busy));
            }
            Err(error) => job.done.tell(Err(error)),
            Ok(_) => {
                if let (Read::Since { .. }, Ok(found)) = (job.read, &result) {
                    self.ask.counts.resumed(matches!(found, Found::Page { .. }));
                }
                job.done.tell(result);
            }
        }
    }
}

/// What is newest of rooms, by somebody who had all that was stored before he was asked.
struct Fresh {
    rooms: Vec<Option<Newest>>,
    end: Option<Newest>,
}
