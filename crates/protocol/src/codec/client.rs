//! The rows of what clients send: which fields, in which order.
//!
//! A field is only ever appended, at the end of its row.

use std::sync::Arc;

use super::field::{Fault, Field, Null, Put, Row, Take, required};
use crate::code::Code;
use crate::frame::{
    Auth, Call, ClientFrame, EVENT_MAX, History, Join, Leave, METHOD_MAX, MID_MAX, Members, PAGE_MAX,
    Position, Pub, STATE_MAX, State,
};
use crate::name::{EpochName, Key, RoomName};
use crate::payload::Payload;

/// A frame's type, as MessagePack and as JSON know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Join = 1,
    Leave = 2,
    Pub = 3,
    State = 4,
    Members = 5,
    History = 6,
    Auth = 7,
    Call = 8,
    Ping = 9,
}

impl Kind {
    pub(super) fn of_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Join,
            2 => Self::Leave,
            3 => Self::Pub,
            4 => Self::State,
            5 => Self::Members,
            6 => Self::History,
            7 => Self::Auth,
            8 => Self::Call,
            9 => Self::Ping,
            _ => return None,
        })
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "join" => Self::Join,
            "leave" => Self::Leave,
            "pub" => Self::Pub,
            "state" => Self::State,
            "members" => Self::Members,
            "history" => Self::History,
            "auth" => Self::Auth,
            "call" => Self::Call,
            "ping" => Self::Ping,
            _ => return None,
        })
    }

    pub(super) fn of(frame: &ClientFrame) -> Self {
        match frame {
            ClientFrame::Join(_) => Self::Join,
            ClientFrame::Leave(_) => Self::Leave,
            ClientFrame::Pub(_) => Self::Pub,
            ClientFrame::State(_) => Self::State,
            ClientFrame::Members(_) => Self::Members,
            ClientFrame::History(_) => Self::History,
            ClientFrame::Auth(_) => Self::Auth,
            ClientFrame::Call(_) => Self::Call,
            ClientFrame::Ping { .. } => Self::Ping,
        }
    }
}

/// Takes what follows type and id.
#[inline]
pub(super) fn take<'a, T: Take<'a>>(kind: Kind, id: Option<u64>, take: &mut T) -> Result<ClientFrame, Fault> {
    Ok(match kind {
        Kind::Join => ClientFrame::Join(Join {
            id,
            room: required(Field::Room, room(take)?)?,
            since: since(take)?,
            last: page(take, Field::Last)?,
            state: state(take, Null::IsAbsent)?,
        }),
        Kind::Leave => ClientFrame::Leave(Leave { id, room: required(Field::Room, room(take)?)? }),
        Kind::Pub => ClientFrame::Pub(Pub {
            id,
            room: room(take)?,
            data: required(Field::Data, take.payload(Field::Data, Null::IsValue)?)?,
            event: short(take, Field::Event, EVENT_MAX)?,
            key: key(take)?,
            mid: short(take, Field::Mid, MID_MAX)?,
            echo: take.flag(Field::Echo)?.unwrap_or(true),
            store: take.flag(Field::Store)?.unwrap_or(true),
            trace: any(take, Field::Trace)?,
        }),
        Kind::State => ClientFrame::State(State {
            id,
            room: room(take)?,
            state: required(Field::State, state(take, Null::IsValue)?)?,
        }),
        Kind::Members => ClientFrame::Members(Members {
            id,
            room: room(take)?,
            after: any(take, Field::After)?,
            limit: page(take, Field::Limit)?,
        }),
        Kind::History => ClientFrame::History(History {
            id,
            room: room(take)?,
            after: take.uint(Field::After)?,
            before: take.uint(Field::Before)?,
            limit: page(take, Field::Limit)?,
            epoch: epoch(take)?,
        }),
        Kind::Auth => {
            take.blank()?;
            ClientFrame::Auth(Auth { id, token: required(Field::Token, any(take, Field::Token)?)? })
        }
        Kind::Call => ClientFrame::Call(Call {
            id,
            room: room(take)?,
            data: required(Field::Data, take.payload(Field::Data, Null::IsValue)?)?,
            method: required(Field::Method, short(take, Field::Method, METHOD_MAX)?)?,
            trace: any(take, Field::Trace)?,
        }),
        Kind::Ping => ClientFrame::Ping { id },
    })
}

impl Row for ClientFrame {
    fn put<P: Put>(&self, put: &mut P) {
        let named =
            |put: &mut P, room: &Option<RoomName>| put.text(Field::Room, room.as_ref().map(RoomName::as_str));
        match self {
            Self::Join(frame) => {
                put.text(Field::Room, Some(frame.room.as_str()));
                put.inner(Field::Since, frame.since.as_ref());
                put.uint(Field::Last, frame.last.map(u64::from));
                put.payload(Field::State, frame.state.as_ref().filter(|state| !state.is_null()));
            }
            Self::Leave(frame) => put.text(Field::Room, Some(frame.room.as_str())),
            Self::Pub(frame) => {
                named(put, &frame.room);
                put.payload(Field::Data, Some(&frame.data));
                put.text(Field::Event, frame.event.as_deref());
                put.text(Field::Key, frame.key.as_ref().map(Key::as_str));
                put.text(Field::Mid, frame.mid.as_deref());
                put.flag(Field::Echo, (!frame.echo).then_some(false));
                put.flag(Field::Store, (!frame.store).then_some(false));
                put.text(Field::Trace, frame.trace.as_deref());
            }
            Self::State(frame) => {
                named(put, &frame.room);
                put.payload(Field::State, Some(&frame.state));
            }
            Self::Members(frame) => {
                named(put, &frame.room);
                put.text(Field::After, frame.after.as_deref());
                put.uint(Field::Limit, frame.limit.map(u64::from));
            }
            Self::History(frame) => {
                named(put, &frame.room);
                put.uint(Field::After, frame.after);
                put.uint(Field::Before, frame.before);
                put.uint(Field::Limit, frame.limit.map(u64::from));
                put.text(Field::Epoch, frame.epoch.as_ref().map(EpochName::as_str));
            }
            Self::Auth(frame) => {
                put.blank();
                put.text(Field::Token, Some(&frame.token));
            }
            Self::Call(frame) => {
                named(put, &frame.room);
                put.payload(Field::Data, Some(&frame.data));
                put.text(Field::Method, Some(&frame.method));
                put.text(Field::Trace, frame.trace.as_deref());
            }
            Self::Ping { .. } => {}
        }
    }
}

impl Row for Position {
    fn put<P: Put>(&self, put: &mut P) {
        put.text(Field::Epoch, Some(self.epoch.as_str()));
        put.uint(Field::Offset, Some(self.offset));
        put.uint(Field::Ts, self.ts);
    }
}

/// The room, by the rule for rooms.
#[inline]
fn room<'a, T: Take<'a>>(take: &mut T) -> Result<Option<RoomName>, Fault> {
    let Some(text) = take.text(Field::Room)? else { return Ok(None) };
    match RoomName::try_from(&*text) {
        Ok(room) => Ok(Some(room)),
        Err(error) => Err(Fault::name(Field::Room, error).with(Code::BadRoom)),
    }
}

/// A position. Whatever is wrong with it, it is a `since` that can't be read.
fn since<'a, T: Take<'a>>(take: &mut T) -> Result<Option<Position>, Fault> {
    let position = |mut since: T::Inner| {
        Ok(Position {
            epoch: required(Field::Epoch, epoch(&mut since)?)?,
            offset: required(Field::Offset, since.uint(Field::Offset)?)?,
            ts: since.uint(Field::Ts)?,
        })
    };
    let since = take.inner(Field::Since).and_then(|since| since.map(position).transpose());
    since.map_err(|fault: Fault| fault.with(Code::BadSince))
}

fn epoch<'a, T: Take<'a>>(take: &mut T) -> Result<Option<EpochName>, Fault> {
    let Some(text) = take.text(Field::Epoch)? else { return Ok(None) };
    EpochName::try_from(&*text).map(Some).map_err(|error| Fault::name(Field::Epoch, error))
}

#[inline]
fn key<'a, T: Take<'a>>(take: &mut T) -> Result<Option<Key>, Fault> {
    let Some(text) = take.text(Field::Key)? else { return Ok(None) };
    Key::try_from(&*text).map(Some).map_err(|error| Fault::name(Field::Key, error))
}

/// A text of so many bytes at most.
#[inline]
fn short<'a, T: Take<'a>>(take: &mut T, field: Field, max: usize) -> Result<Option<Arc<str>>, Fault> {
    let Some(text) = take.text(field)? else { return Ok(None) };
    if text.len() > max {
        return Err(Fault::frame(format!(
            "`{}` has at most {max} bytes, this has {}",
            field.name(),
            text.len()
        )));
    }
    Ok(Some((*text).into()))
}

#[inline]
fn any<'a, T: Take<'a>>(take: &mut T, field: Field) -> Result<Option<Arc<str>>, Fault> {
    Ok(take.text(field)?.map(|text| (*text).into()))
}

/// How many lines or members are asked for.
fn page<'a, T: Take<'a>>(take: &mut T, field: Field) -> Result<Option<u32>, Fault> {
    let Some(number) = take.uint(field)? else { return Ok(None) };
    match u32::try_from(number) {
        Ok(number @ 0..=PAGE_MAX) => Ok(Some(number)),
        _ => Err(Fault::frame(format!("`{}` is at most {PAGE_MAX}", field.name()))),
    }
}

/// A presence state: its size is judged by its MessagePack form, so alike in both formats.
fn state<'a, T: Take<'a>>(take: &mut T, null: Null) -> Result<Option<Payload>, Fault> {
    let state = take.value(Field::State, null)?;
    match &state {
        Some(state) if state.msgpack_len() > STATE_MAX => Err(Fault::new(
            Code::TooBig,
            format!("`state` has at most {STATE_MAX} bytes in MessagePack, this has {}", state.msgpack_len()),
        )),
        _ => Ok(state),
    }
}
