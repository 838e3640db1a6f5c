//! The rows of what servers send: which fields, in which order.
//!
//! A field is only ever appended, at the end of its row. Reading is a client's business, so it is
//! lenient where a later server may say more: codes and reasons that aren't known are kept.

use std::borrow::Cow;
use std::sync::Arc;

use super::field::{Fault, Field, Null, Put, Row, Take, required};
use crate::code::Code;
use crate::frame::{
    Answer, Gap, GapReason, Goaway, Hello, Joined, Left, Limits, Member, Msg, Presence, Refusal, ServerFrame,
    Updated,
};
use crate::name::{ConnId, EpochName, Key, NameError, RoomName, UserId};
use crate::payload::Payload;

/// A frame's type, as MessagePack and as JSON know it. 42 is reserved for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hello = 32,
    Ok = 33,
    Err = 34,
    Msg = 35,
    Joined = 36,
    Left = 37,
    Presence = 38,
    Gap = 39,
    Goaway = 40,
    Ping = 41,
}

impl Kind {
    pub(super) fn of_number(number: u64) -> Option<Self> {
        Some(match number {
            32 => Self::Hello,
            33 => Self::Ok,
            34 => Self::Err,
            35 => Self::Msg,
            36 => Self::Joined,
            37 => Self::Left,
            38 => Self::Presence,
            39 => Self::Gap,
            40 => Self::Goaway,
            41 => Self::Ping,
            _ => return None,
        })
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "hello" => Self::Hello,
            "ok" => Self::Ok,
            "err" => Self::Err,
            "msg" => Self::Msg,
            "joined" => Self::Joined,
            "left" => Self::Left,
            "presence" => Self::Presence,
            "gap" => Self::Gap,
            "goaway" => Self::Goaway,
            "ping" => Self::Ping,
            _ => return None,
        })
    }

    pub(super) fn of(frame: &ServerFrame) -> Self {
        match frame {
            ServerFrame::Hello(_) => Self::Hello,
            ServerFrame::Ok(_) => Self::Ok,
            ServerFrame::Err(_) => Self::Err,
            ServerFrame::Msg(_) => Self::Msg,
            ServerFrame::Joined(_) => Self::Joined,
            ServerFrame::Left(_) => Self::Left,
            ServerFrame::Presence(_) => Self::Presence,
            ServerFrame::Gap(_) => Self::Gap,
            ServerFrame::Goaway(_) => Self::Goaway,
            ServerFrame::Ping => Self::Ping,
        }
    }
}

/// The id that the frame carries.
pub(super) fn id(frame: &ServerFrame) -> Option<u64> {
    match frame {
        ServerFrame::Ok(frame) => frame.id,
        ServerFrame::Err(frame) => frame.id,
        ServerFrame::Msg(frame) => frame.id,
        _ => None,
    }
}

/// Takes what follows type and id.
pub(super) fn take<'a, T: Take<'a>>(kind: Kind, id: Option<u64>, take: &mut T) -> Result<ServerFrame, Fault> {
    Ok(match kind {
        Kind::Hello => ServerFrame::Hello(Hello {
            room: name(take, Field::Room)?,
            conn: required(Field::Conn, name(take, Field::Conn)?)?,
            session: required(Field::Session, shared(take, Field::Session)?)?,
            ping: required(Field::Ping, take.uint(Field::Ping)?)?,
            expires: take.uint(Field::Expires)?,
            limits: limits(&mut required(Field::Limits, take.inner(Field::Limits)?)?)?,
            user: name(take, Field::User)?,
            server: owned(take, Field::Server)?,
            node: shared(take, Field::Node)?,
            trace: shared(take, Field::Trace)?,
        }),
        Kind::Ok => ServerFrame::Ok(Answer {
            id,
            room: name(take, Field::Room)?,
            data: take.payload(Field::Data, Null::IsAbsent)?,
            result: super::result::take(take)?,
        }),
        Kind::Err => ServerFrame::Err(Refusal {
            id,
            room: name(take, Field::Room)?,
            code: required(Field::Code, code(take)?)?,
            message: owned(take, Field::Message)?,
            retry: take.uint(Field::Retry)?,
        }),
        Kind::Msg => ServerFrame::Msg(Msg {
            id,
            room: name(take, Field::Room)?,
            data: required(Field::Data, take.payload(Field::Data, Null::IsValue)?)?,
            offset: take.uint(Field::Offset)?,
            ts: take.uint(Field::Ts)?,
            user: name(take, Field::User)?,
            event: shared(take, Field::Event)?,
            key: name(take, Field::Key)?,
            mid: shared(take, Field::Mid)?,
            prev: take.uint(Field::Prev)?,
            trace: shared(take, Field::Trace)?,
        }),
        Kind::Joined => ServerFrame::Joined(Joined {
            room: required(Field::Room, name(take, Field::Room)?)?,
            result: required(Field::Result, super::result::take(take)?)?.into_join(),
        }),
        Kind::Left => ServerFrame::Left(Left {
            room: required(Field::Room, name(take, Field::Room)?)?,
            code: required(Field::Code, code(take)?)?,
            message: owned(take, Field::Message)?,
            retry: take.uint(Field::Retry)?,
        }),
        Kind::Presence => ServerFrame::Presence(Presence {
            room: required(Field::Room, name(take, Field::Room)?)?,
            joined: take.each(Field::Joined, member)?,
            updated: take.each(Field::Updated, updated)?,
            left: take.texts(Field::Left, |text| read_name(Field::Left, &text))?,
            count: take.uint(Field::Count)?,
            users: take.uint(Field::Users)?,
        }),
        Kind::Gap => ServerFrame::Gap(Gap {
            room: required(Field::Room, name(take, Field::Room)?)?,
            reason: GapReason::lenient(&required(Field::Reason, take.text(Field::Reason)?)?),
            epoch: required(Field::Epoch, name(take, Field::Epoch)?)?,
            offset: required(Field::Offset, take.uint(Field::Offset)?)?,
            ts: take.uint(Field::Ts)?,
            lost: take.uint(Field::Lost)?,
        }),
        Kind::Goaway => {
            take.blank()?;
            ServerFrame::Goaway(Goaway {
                after: required(Field::After, take.uint(Field::After)?)?,
                reason: owned(take, Field::Reason)?,
            })
        }
        Kind::Ping => ServerFrame::Ping,
    })
}

impl Row for ServerFrame {
    fn put<P: Put>(&self, put: &mut P) {
        match self {
            Self::Hello(frame) => {
                put.text(Field::Room, frame.room.as_ref().map(RoomName::as_str));
                put.text(Field::Conn, Some(frame.conn.as_str()));
                put.text(Field::Session, Some(&frame.session));
                put.uint(Field::Ping, Some(frame.ping));
                put.uint(Field::Expires, frame.expires);
                put.inner(Field::Limits, Some(&frame.limits));
                put.text(Field::User, frame.user.as_ref().map(UserId::as_str));
                put.text(Field::Server, frame.server.as_deref());
                put.text(Field::Node, frame.node.as_deref());
                put.text(Field::Trace, frame.trace.as_deref());
            }
            Self::Ok(frame) => {
                put.text(Field::Room, frame.room.as_ref().map(RoomName::as_str));
                put.payload(Field::Data, not_null(frame.data.as_ref()));
                put.inner(Field::Result, frame.result.as_ref());
            }
            Self::Err(frame) => {
                put.text(Field::Room, frame.room.as_ref().map(RoomName::as_str));
                put.text(Field::Code, Some(frame.code.as_str()));
                put.text(Field::Message, frame.message.as_deref());
                put.uint(Field::Retry, frame.retry);
            }
            Self::Msg(frame) => frame.put(put),
            Self::Joined(frame) => {
                put.text(Field::Room, Some(frame.room.as_str()));
                put.inner(Field::Result, Some(&frame.result));
            }
            Self::Left(frame) => {
                put.text(Field::Room, Some(frame.room.as_str()));
                put.text(Field::Code, Some(frame.code.as_str()));
                put.text(Field::Message, frame.message.as_deref());
                put.uint(Field::Retry, frame.retry);
            }
            Self::Presence(frame) => {
                put.text(Field::Room, Some(frame.room.as_str()));
                put.each(Field::Joined, frame.joined.as_deref());
                put.each(Field::Updated, frame.updated.as_deref());
                put.texts(Field::Left, frame.left.as_deref());
                put.uint(Field::Count, frame.count);
                put.uint(Field::Users, frame.users);
            }
            Self::Gap(frame) => {
                put.text(Field::Room, Some(frame.room.as_str()));
                put.text(Field::Reason, Some(frame.reason.as_str()));
                put.text(Field::Epoch, Some(frame.epoch.as_str()));
                put.uint(Field::Offset, Some(frame.offset));
                put.uint(Field::Ts, frame.ts);
                put.uint(Field::Lost, frame.lost);
            }
            Self::Goaway(frame) => {
                put.blank();
                put.uint(Field::After, Some(frame.after));
                put.text(Field::Reason, frame.reason.as_deref());
            }
            Self::Ping => {}
        }
    }
}

impl Row for Msg {
    #[inline]
    fn put<P: Put>(&self, put: &mut P) {
        put.text(Field::Room, self.room.as_ref().map(RoomName::as_str));
        put.payload(Field::Data, Some(&self.data));
        put.uint(Field::Offset, self.offset);
        put.uint(Field::Ts, self.ts);
        put.text(Field::User, self.user.as_ref().map(UserId::as_str));
        put.text(Field::Event, self.event.as_deref());
        put.text(Field::Key, self.key.as_ref().map(Key::as_str));
        put.text(Field::Mid, self.mid.as_deref());
        put.uint(Field::Prev, self.prev);
        put.text(Field::Trace, self.trace.as_deref());
    }
}

impl Row for Limits {
    fn put<P: Put>(&self, put: &mut P) {
        put.uint(Field::Frame, self.frame);
        put.uint(Field::Rooms, self.rooms);
        put.uint(Field::PublishPerSecond, self.publish_per_second);
    }
}

impl Row for Member {
    fn put<P: Put>(&self, put: &mut P) {
        put.text(Field::Conn, Some(self.conn.as_str()));
        put.text(Field::User, self.user.as_ref().map(UserId::as_str));
        put.payload(Field::Info, not_null(self.info.as_ref()));
        put.payload(Field::State, not_null(self.state.as_ref()));
    }
}

impl Row for Updated {
    fn put<P: Put>(&self, put: &mut P) {
        put.text(Field::Conn, Some(self.conn.as_str()));
        put.payload(Field::State, not_null(self.state.as_ref()));
    }
}

/// Null in an optional field is the same as nothing.
fn not_null(payload: Option<&Payload>) -> Option<&Payload> {
    payload.filter(|payload| !payload.is_null())
}

fn limits<'a, T: Take<'a>>(take: &mut T) -> Result<Limits, Fault> {
    Ok(Limits {
        frame: take.uint(Field::Frame)?,
        rooms: take.uint(Field::Rooms)?,
        publish_per_second: take.uint(Field::PublishPerSecond)?,
    })
}

pub(super) fn member<'a, T: Take<'a>>(take: &mut T) -> Result<Member, Fault> {
    Ok(Member {
        conn: required(Field::Conn, name::<ConnId, _>(take, Field::Conn)?)?,
        user: name(take, Field::User)?,
        info: take.value(Field::Info, Null::IsAbsent)?,
        state: take.value(Field::State, Null::IsAbsent)?,
    })
}

fn updated<'a, T: Take<'a>>(take: &mut T) -> Result<Updated, Fault> {
    Ok(Updated {
        conn: required(Field::Conn, name::<ConnId, _>(take, Field::Conn)?)?,
        state: take.value(Field::State, Null::IsAbsent)?,
    })
}

/// A name by the rule of its type.
fn name<'a, N, T>(take: &mut T, field: Field) -> Result<Option<N>, Fault>
where
    N: for<'n> TryFrom<&'n str, Error = NameError>,
    T: Take<'a>,
{
    take.text(field)?.map(|text| read_name(field, &text)).transpose()
}

fn read_name<N: for<'n> TryFrom<&'n str, Error = NameError>>(field: Field, text: &str) -> Result<N, Fault> {
    N::try_from(text).map_err(|error| Fault::name(field, error))
}

pub(super) fn epoch<'a, T: Take<'a>>(take: &mut T) -> Result<Option<EpochName>, Fault> {
    name(take, Field::Epoch)
}

fn code<'a, T: Take<'a>>(take: &mut T) -> Result<Option<Code>, Fault> {
    Ok(take.text(Field::Code)?.map(|text| Code::lenient(&text)))
}

pub(super) fn shared<'a, T: Take<'a>>(take: &mut T, field: Field) -> Result<Option<Arc<str>>, Fault> {
    Ok(take.text(field)?.map(|text| (*text).into()))
}

fn owned<'a, T: Take<'a>>(take: &mut T, field: Field) -> Result<Option<Cow<'static, str>>, Fault> {
    Ok(take.text(field)?.map(|text| Cow::Owned(text.into_owned())))
}
