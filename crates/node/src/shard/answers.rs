//! What a connection is told of a room: results and refusals as frames.

use std::borrow::Cow;
use std::time::Duration;

use ringway_backplane::message::{Epoch, Published};
use ringway_protocol::code::Code;
use ringway_protocol::frame::{
    Answer, Gap, GapReason, JoinResult, Joined, Left, MembersResult, OkResult, PubResult, Refusal,
    ServerFrame,
};
use ringway_protocol::name::{EpochName, RoomName};

use super::tally::Count;
use crate::tenant::TooMuch;
use crate::{durable, room};

/// Why something is refused, for programs and for people.
#[derive(Debug, Clone)]
pub(crate) struct No {
    pub(crate) code: Code,
    pub(crate) message: &'static str,
    pub(crate) retry: Option<Duration>,
}

impl No {
    pub(crate) fn new(code: Code, message: &'static str) -> Self {
        Self { code, message, retry: None }
    }

    pub(crate) fn for_now(code: Code, message: &'static str, retry: Duration) -> Self {
        Self { code, message, retry: Some(retry) }
    }

    /// `limit_rate`: try again when there is room for it, if ever.
    pub(crate) fn too_much(over: &TooMuch) -> Self {
        Self { retry: over.retry, ..Self::new(Code::LimitRate, over.whose) }
    }

    /// `unavailable`: the room's owner can't be reached.
    pub(crate) fn unavailable(retry: Duration) -> Self {
        Self::for_now(Code::Unavailable, "the room's owner can't be reached now", retry)
    }

    pub(crate) fn err(&self, id: Option<u64>, room: Option<RoomName>) -> ServerFrame {
        ServerFrame::Err(Refusal {
            id,
            room,
            code: self.code.clone(),
            message: Some(Cow::Borrowed(self.message)),
            retry: self.retry.map(millis),
        })
    }

    pub(crate) fn left(&self, room: RoomName) -> ServerFrame {
        ServerFrame::Left(Left {
            room,
            code: self.code.clone(),
            message: Some(Cow::Borrowed(self.message)),
            retry: self.retry.map(millis),
        })
    }
}

/// An `ok`, where the request asked for one.
pub(crate) fn ok(id: Option<u64>, room: RoomName, result: Option<OkResult>) -> Option<ServerFrame> {
    id.map(|id| ServerFrame::Ok(Answer { id: Some(id), room: Some(room), data: None, result }))
}

pub(crate) fn joined_by_server(room: RoomName, result: JoinResult) -> ServerFrame {
    ServerFrame::Joined(Joined { room, result })
}

pub(crate) fn join_result(joined: &room::Joined, rights: Vec<&'static str>) -> JoinResult {
    JoinResult {
        epoch: joined.place.map(|p| epoch_name(p.epoch)),
        offset: joined.place.map(|p| p.offset),
        ts: joined.place.and_then(|p| p.ts),
        newest: joined.newest,
        durable: false,
        resumed: joined.resumed,
        oldest: joined.oldest,
        members: None,
        count: None,
        users: None,
        rights: Some(rights.into_iter().map(Cow::Borrowed).collect()),
    }
}

pub(crate) fn durable_join_result(joined: &durable::Joined, rights: Vec<&'static str>) -> JoinResult {
    JoinResult {
        epoch: Some(epoch_name(joined.epoch)),
        offset: Some(joined.offset),
        ts: joined.ts,
        newest: Some(joined.newest),
        durable: true,
        resumed: joined.resumed,
        oldest: joined.oldest,
        members: None,
        count: None,
        users: None,
        rights: Some(rights.into_iter().map(Cow::Borrowed).collect()),
    }
}

pub(crate) fn published(published: &Published) -> OkResult {
    OkResult::Pub(PubResult {
        offset: Some(published.offset),
        epoch: Some(epoch_name(published.epoch)),
        duplicate: published.duplicate,
        local: false,
    })
}

/// What isn't stored was sent on. `local`: to who is on this node alone.
pub(crate) fn passed(local: bool) -> OkResult {
    OkResult::Pub(PubResult { offset: None, epoch: None, duplicate: false, local })
}

pub(crate) fn counted(count: Count) -> OkResult {
    OkResult::Members(MembersResult {
        members: None,
        count: Some(count.connections),
        users: count.users,
        next: None,
    })
}

pub(crate) fn gap(room: RoomName, reason: GapReason, place: room::Place, lost: Option<u64>) -> ServerFrame {
    let room::Place { epoch, offset, ts } = place;
    ServerFrame::Gap(Gap { room, reason, epoch: epoch_name(epoch), offset, ts, lost })
}

/// An epoch as clients see it.
pub(crate) fn epoch_name(epoch: Epoch) -> EpochName {
    epoch.to_string().parse().expect("an epoch is written in the characters that epochs may have")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
