//! What is kept is read: by room, by number, or everything from a number on. Without consumers.
//!
//! Two ways. *Direct* reads are answered by any server that has the stream, quorum or not, and may be a little old. What
//! must not be old is asked of the *leader*.
//!
//! What it costs the server (2.15.1, one, a file; `cargo run -p ringway-backplane --example store_reads`): a pass over everything
//! 2.5 µs a message, by `>` or by number alone, 256, 1,000 or 4,000 a page; a room 0.06 µs for each message of the stream
//! behind the first that is wanted, whether its few are read in one batch or one by one; the newest of 1,000 rooms 2.4 ms. So
//! reading forty rooms from 50,000 messages back costs as much as one pass for all rooms over these.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use super::batches::Batch;
use super::leader::{Done, Got, Info};
use super::shape::noted_split;
use super::{MessageId, Stores, kept, stamp};
use crate::store::{Extent, Found, Newest, Pass, Placed, ReadError, RoomAt, RoomPage};
use crate::subject;

/// How long a direct read has for all its answers.
const READ_LIMIT: Duration = Duration::from_secs(3);

/// How many subjects one question for what is newest names: the server refuses over 1,024.
const SUBJECTS: usize = 1_000;

/// How many bytes such a question's subjects have: it is a message too.
const SUBJECT_BYTES: usize = 512 * 1024;

/// How many bytes of messages one question's answer has at most, give or take a message.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// How many single reads of one call are under way together.
const TOGETHER: usize = 16;

impl Stores {
    /// The newest of each of these rooms of one stream, in their order; none: it has nothing, as far as who answered knows
    /// (a follower may be behind). Up to 1,000 rooms are one question. In a store that keeps the newest of each key: the newest
    /// of all keys, and a question a room.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn newest(&self, rooms: &[RoomAt]) -> Result<Vec<Option<Newest>>, ReadError> {
        Ok(self.newest_upto(rooms).await?.0)
    }

    /// As [`newest`](Self::newest); and the last number that whoever answered had, where it says so.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn newest_upto(
        &self,
        rooms: &[RoomAt],
    ) -> Result<(Vec<Option<Newest>>, Option<u64>), ReadError> {
        let Some(first) = rooms.first() else { return Ok((Vec::new(), None)) };
        let stream = self.stream_of(first)?;
        let subjects = rooms.iter().map(|room| self.room_subject(room)).collect::<Result<Vec<_>, _>>()?;
        if first.latest_per_key {
            let reads = subjects.into_iter().map(|subject| self.newest_of_keys(&stream, subject));
            let newest = futures_util::stream::iter(reads).buffered(TOGETHER).try_collect().await?;
            return Ok((newest, None));
        }
        let mut newest = vec![None; rooms.len()];
        let mut upto = Some(u64::MAX);
        let mut rest = &subjects[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(SUBJECTS).take_while(|subject| {
                bytes += subject.len() + 3;
                bytes <= SUBJECT_BYTES
            });
            let (these, others) = rest.split_at(fits.count().max(1));
            let from = subjects.len() - rest.len();
            let had = self.newest_of(&stream, these, &mut newest[from..from + these.len()]).await?;
            upto = upto.zip(had).map(|(upto, had)| upto.min(had));
            rest = others;
        }
        Ok((newest, upto))
    }

    /// Puts the newest of each subject in its place. The last number that whoever answered had.
    async fn newest_of(
        &self,
        stream: &str,
        subjects: &[String],
        newest: &mut [Option<Newest>],
    ) -> Result<Option<u64>, ReadError> {
        let mut upto = Some(u64::MAX);
        let places: std::collections::HashMap<&str, usize> =
            subjects.iter().enumerate().map(|(place, subject)| (subject.as_str(), place)).collect();
        // One subject twice has one answer.
        loop {
            let left: Vec<&str> = places
                .iter()
                .filter(|(_, place)| newest[**place].is_none())
                .map(|(subject, _)| *subject)
                .collect();
            if left.is_empty() {
                break;
            }
            let question = json!({ "multi_last": left, "batch": left.len(), "max_bytes": ANSWER_BYTES });
            let batch = self.read(stream, &question).await?;
            upto = upto.zip(batch.upto).map(|(upto, had)| upto.min(had));
            let before = newest.iter().flatten().count();
            for message in &batch.messages {
                let (place, subject) = kept::read_place(message)?;
                let at = places.get(subject).ok_or(ReadError::BadAnswer)?;
                newest[*at] = Some(place);
            }
            // Where the answer's bounds, or a loss, left some out, they are asked for again.
            if batch.pending == 0 || newest.iter().flatten().count() == before {
                break;
            }
        }
        for (at, subject) in subjects.iter().enumerate() {
            newest[at] = newest[places[subject.as_str()]];
        }
        Ok(upto)
    }

    async fn newest_of_keys(&self, stream: &str, subject: String) -> Result<Option<Newest>, ReadError> {
        let batch = self.read(stream, &json!({ "last_by_subj": subject })).await?;
        batch.messages.first().map(|message| kept::read_place(message).map(|(place, _)| place)).transpose()
    }

    /// What is kept of a room from this number on (inclusive), at most so many and so many bytes, and at least one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn room(
        &self,
        at: &RoomAt,
        from: u64,
        count: u32,
        bytes: usize,
    ) -> Result<RoomPage, ReadError> {
        let (stream, subject) = (self.stream_of(at)?, self.room_subject(at)?);
        let (from, count, bytes) = (from.max(1), count.max(1), bytes.max(1));
        let question = json!({ "seq": from, "next_by_subj": subject, "batch": count, "max_bytes": bytes });
        let batch = self.read(&stream, &question).await?;
        let mut page = RoomPage { more: batch.pending > 0, ..RoomPage::default() };
        for message in &batch.messages {
            let (place, _) = kept::read_place(message)?;
            page.upto = place.offset;
            page.kept.extend(kept::read(message, place, &self.counters));
        }
        Ok(page)
    }

    /// Looks for what was stored in a room under this id since then (milliseconds since 1970), among the first 256. None: it
    /// isn't there, as far as who answered knows. For who doesn't know whether it was stored: the server recognises a repeat by
    /// its id too, but not where the stream was split meanwhile.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find(&self, at: &RoomAt, id: MessageId, since: u64) -> Result<Option<Placed>, ReadError> {
        let (stream, subject) = (self.stream_of(at)?, self.room_subject(at)?);
        let since = stamp::text(since);
        let question =
            json!({ "start_time": since, "next_by_subj": subject, "batch": 256, "max_bytes": ANSWER_BYTES });
        let batch = self.read(&stream, &question).await?;
        let id = id.text();
        let has = |message: &&Message| {
            let found = message.headers.as_ref().and_then(|headers| headers.get(NATS_MESSAGE_ID));
            found.is_some_and(|found| found.as_str() == id)
        };
        let Some(found) = batch.messages.iter().find(has) else { return Ok(None) };
        let (place, _) = kept::read_place(found)?;
        let epoch = self.known.borrow().epoch_of(&at.key(), &stream).ok_or(ReadError::Away)?;
        Ok(Some(Placed { stream, epoch, offset: place.offset, duplicate: false }))
    }

    /// Everything that the stream of this room keeps from this number on (inclusive), at most so many.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn pass(&self, at: &RoomAt, from: u64, count: u32) -> Result<Pass, ReadError> {
        let stream = self.stream_of(at)?;
        let (from, count) = (from.max(1), count.max(1));
        // Without a subject some servers answer nothing where the very first isn't there.
        let question = json!({ "seq": from, "next_by_subj": ">", "batch": count, "max_bytes": ANSWER_BYTES });
        let batch = self.read(&stream, &question).await?;
        let mut pass = Pass { upto: from.saturating_sub(1), ..Pass::default() };
        for message in &batch.messages {
            let (place, subject) = kept::read_place(message)?;
            pass.upto = place.offset;
            // A stranger's message under no room's subject is nobody's.
            let Some((_, tenant, room)) = subject::live_room(subject) else { continue };
            let kept = kept::read(message, place, &self.counters);
            pass.kept.extend(kept.map(|kept| ((tenant, room), kept)));
        }
        pass.next = (batch.pending > 0).then_some(pass.upto + 1);
        Ok(pass)
    }

    /// What the leader of the stream of this room has at a number.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn at(&self, at: &RoomAt, offset: u64) -> Result<Found, ReadError> {
        let found = self.head(at, &json!({ "seq": offset })).await?;
        Ok(found.map_or(Found::Nothing, |(subject, place)| Found::Here { subject, ts: place.ts }))
    }

    /// A room's newest, as the leader knows it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn newest_by_leader(&self, at: &RoomAt) -> Result<Option<Newest>, ReadError> {
        let found = self.head(at, &json!({ "last_by_subj": self.room_subject(at)? })).await?;
        Ok(found.map(|(_, place)| place))
    }

    async fn head(
        &self,
        at: &RoomAt,
        question: &serde_json::Value,
    ) -> Result<Option<(String, Newest)>, ReadError> {
        let stream = self.stream_of(at)?;
        let asked = self.ask_leader::<Got>(&at.key(), ("MSG.GET", &stream), bytes(question)).await?;
        let Some(Got { message }) = asked else { return Ok(None) };
        let ts = stamp::millis(&message.time).ok_or(ReadError::BadAnswer)?;
        Ok(Some((message.subject, Newest { offset: message.seq, ts })))
    }

    /// The stream of this room, as its leader sees it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn extent(&self, at: &RoomAt) -> Result<Extent, ReadError> {
        let state = self.state_of(at, Bytes::new()).await?.state;
        Ok(Extent {
            first: if state.messages == 0 { state.last_seq + 1 } else { state.first_seq },
            last: state.last_seq,
            // Of what keeps nothing, the server says the year 1.
            last_ts: stamp::millis(&state.last_ts).unwrap_or(0),
            messages: state.messages,
            bytes: state.bytes,
        })
    }

    /// How much is kept of a room, as the leader knows it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn count(&self, at: &RoomAt) -> Result<u64, ReadError> {
        let question = json!({ "subjects_filter": self.room_subject(at)? });
        Ok(self.state_of(at, bytes(&question)).await?.state.subjects.values().sum())
    }

    /// What the stream that is known to have this room is like. [`ReadError::Busy`]: it isn't the one any more, and who asks
    /// again will ask the other soon.
    pub(super) async fn state_of(&self, at: &RoomAt, question: Bytes) -> Result<Info, ReadError> {
        let stream = self.stream_of(at)?;
        let asked = self.ask_leader::<Info>(&at.key(), ("INFO", &stream), question).await?;
        let info = asked.ok_or(ReadError::BadAnswer)?;
        if !info.cluster.is_obeyed() {
            return Err(ReadError::Away);
        }
        let part = self.subjects.stored_part(&at.group, &at.store, subject::part_of(at.slot));
        let takes = info.config["subjects"].as_array().is_some_and(|all| all.iter().any(|one| *one == part));
        if takes {
            Ok(info)
        } else {
            // A split gave it to another stream: what this one says of the room isn't true any more.
            self.look_again(&at.key());
            Err(ReadError::Busy)
        }
    }

    /// Deletes what is kept of a room, up to and with this number.
    ///
    /// # Errors
    /// [`ReadError`]; with [`ReadError::Timeout`] it may have been done.
    pub async fn forget(&self, at: &RoomAt, upto: u64) -> Result<(), ReadError> {
        // What stands there is the first that stays; 0 would be "all".
        let question = json!({ "filter": self.room_subject(at)?, "seq": upto.saturating_add(1) });
        let stream = self.stream_of(at)?;
        // What a split copies meanwhile would be back when it is done.
        let split = noted_split(&self.state_of(at, Bytes::new()).await?.config).map(|(parts, _)| parts);
        if split.is_some_and(|parts| parts & 1 << subject::part_of(at.slot) != 0) {
            return Err(ReadError::Away);
        }
        let asked = self.ask_leader::<Done>(&at.key(), ("PURGE", &stream), bytes(&question)).await?;
        asked.map(|Done {}| ()).ok_or(ReadError::BadAnswer)
    }

    async fn read(&self, stream: &str, question: &serde_json::Value) -> Result<Batch, ReadError> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        self.batches.ask(&self.client, subject, bytes(question), READ_LIMIT).await
    }

    fn stream_of(&self, at: &RoomAt) -> Result<Arc<str>, ReadError> {
        let stream = self.known.borrow().stream_of(at).map(|stream| stream.name.clone());
        stream.ok_or_else(|| {
            self.look_again(&at.key());
            ReadError::Away
        })
    }

    fn room_subject(&self, at: &RoomAt) -> Result<String, ReadError> {
        // Nothing can be published to a room of such a name either.
        self.subjects.stored_room(at).map_err(|_| ReadError::BadAnswer)
    }
}

fn bytes(question: &serde_json::Value) -> Bytes {
    question.to_string().into()
}
