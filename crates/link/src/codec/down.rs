//! What a node says, as bytes.

use std::borrow::Cow;

use ringway_protocol::{CloseCode, Code};

use super::wire::{Reader, Writer};
use super::{BadRecord, whole};
use crate::{At, Cast, ConnNo, Down, Exclude, Exit, Policy, RoomDeclared, RoomNo};

mod kind {
    pub(super) const OPENED: u64 = 0;
    pub(super) const REFUSED: u64 = 1;
    pub(super) const ROOM: u64 = 2;
    pub(super) const SEND: u64 = 3;
    pub(super) const ENTER: u64 = 4;
    pub(super) const EXIT: u64 = 5;
    pub(super) const CAST: u64 = 6;
    pub(super) const LOST: u64 = 7;
    pub(super) const CREDIT: u64 = 8;
    pub(super) const RENEWED: u64 = 9;
    pub(super) const CLOSE: u64 = 10;
    pub(super) const ENDED: u64 = 11;
    pub(super) const LEAVING: u64 = 12;
    pub(super) const PONG: u64 = 13;
    pub(super) const CLOSE_LATER: u64 = 14;
}

/// The lists of [`Exclude`].
mod list {
    pub(super) const THESE: u64 = 0;
    pub(super) const ALL_BUT: u64 = 1;
}

/// Longest reason of a close frame, in bytes (RFC 6455 §5.5: 125, less the code's two).
const REASON_MAX: usize = 123;

/// Appends a record.
pub fn encode_down(record: &Down<'_>, into: &mut Vec<u8>) {
    match record {
        Down::Opened { conn } => {
            Writer::record(into, kind::OPENED, 1).u32(conn.0);
        }
        Down::Refused { conn, code, detail, retry } => {
            Writer::record(into, kind::REFUSED, 4).u32(conn.0).str(code.as_str()).str(detail).opt_u64(*retry);
        }
        Down::Room(RoomDeclared { number, tenant, room, epoch, policy, flush_window }) => {
            let mut writer = Writer::record(into, kind::ROOM, 6);
            writer.u32(number.0).str(tenant.as_str()).str(room.as_str());
            writer.opt_str(epoch.as_ref().map(AsRef::as_ref)).u64(number_of_policy(*policy));
            writer.u32(*flush_window);
        }
        Down::Send { conn, at, frame } => {
            put_at(Writer::record(into, kind::SEND, 3).u32(conn.0), *at).bin(frame);
        }
        Down::Enter { conn, room, at, by_server } => {
            put_at(Writer::record(into, kind::ENTER, 4).u32(conn.0).u32(room.0), *at).bool(*by_server);
        }
        Down::Exit { conn, room, why } => {
            Writer::record(into, kind::EXIT, 3).u32(conn.0).str(room.as_str()).u64(match why {
                Exit::Left => 0,
                Exit::Moved => 1,
            });
        }
        Down::Cast(Cast { room, offset, ts, key, but, json, msgpack }) => {
            let mut writer = Writer::record(into, kind::CAST, 7);
            writer.u32(room.0).opt_u64(*offset).u64(*ts).opt_str(key.as_ref().map(AsRef::as_ref));
            put_exclude(&mut writer, but).bin(json).bin(msgpack);
        }
        Down::Lost { room, offset, ts, frames } => {
            Writer::record(into, kind::LOST, 4).u32(room.0).u64(*offset).u64(*ts).u64(*frames);
        }
        Down::Credit { conn, bytes } => {
            Writer::record(into, kind::CREDIT, 2).u32(conn.0).u32(*bytes);
        }
        Down::Renewed { conn, ticket } => {
            Writer::record(into, kind::RENEWED, 2).u32(conn.0).str(ticket);
        }
        Down::Close { conn, code, reason } => {
            Writer::record(into, kind::CLOSE, 3).u32(conn.0).u32((*code).into()).str(reason);
        }
        Down::CloseLater { conn, after, code, reason } => {
            let mut writer = Writer::record(into, kind::CLOSE_LATER, 4);
            writer.u32(conn.0).u32(*after).u32((*code).into()).str(reason);
        }
        Down::Ended { conn } => {
            Writer::record(into, kind::ENDED, 1).u32(conn.0);
        }
        Down::Leaving => {
            Writer::record(into, kind::LEAVING, 0);
        }
        Down::Pong { number } => {
            Writer::record(into, kind::PONG, 1).u64(*number);
        }
    }
}

/// Reads one.
///
/// # Errors
/// [`BadRecord`].
pub fn decode_down(bytes: &[u8]) -> Result<Down<'_>, BadRecord> {
    let (mut reader, kind, fields) = Reader::record(bytes)?;
    let known = match kind {
        kind::LEAVING => 0,
        kind::OPENED | kind::ENDED | kind::PONG => 1,
        kind::CREDIT | kind::RENEWED => 2,
        kind::SEND | kind::EXIT | kind::CLOSE => 3,
        kind::REFUSED | kind::ENTER | kind::LOST | kind::CLOSE_LATER => 4,
        kind::ROOM => 6,
        kind::CAST => 7,
        unknown => return Err(BadRecord::Unknown(unknown)),
    };
    let unknown = fields.at_least(known)?;
    let record = match kind {
        kind::CAST => Down::Cast(cast(&mut reader)?),
        kind::ROOM => Down::Room(room(&mut reader)?),
        kind::LOST => Down::Lost {
            room: RoomNo(reader.u32()?),
            offset: reader.u64()?,
            ts: reader.u64()?,
            frames: reader.u64()?,
        },
        kind::LEAVING => Down::Leaving,
        kind::PONG => Down::Pong { number: reader.u64()? },
        of_conn => read(&mut reader, of_conn)?,
    };
    reader.end(unknown)?;
    Ok(record)
}

/// Reads a record that begins with a connection's number.
fn read<'a>(reader: &mut Reader<'a>, kind: u64) -> Result<Down<'a>, BadRecord> {
    let conn = ConnNo(reader.u32()?);
    Ok(match kind {
        kind::OPENED => Down::Opened { conn },
        kind::REFUSED => Down::Refused {
            conn,
            code: Code::lenient(reader.str()?),
            detail: Cow::Borrowed(reader.str()?),
            retry: reader.opt(Reader::u64)?,
        },
        kind::SEND => {
            let (at, frame) = (reader.opt(at)?, reader.bin()?);
            if !whole::is_message(frame) {
                return Err(BadRecord::Field("frame"));
            }
            Down::Send { conn, at, frame }
        }
        kind::ENTER => {
            Down::Enter { conn, room: RoomNo(reader.u32()?), at: reader.opt(at)?, by_server: reader.bool()? }
        }
        kind::EXIT => Down::Exit {
            conn,
            room: reader.name("room")?,
            why: match reader.u64()? {
                0 => Exit::Left,
                1 => Exit::Moved,
                _ => return Err(BadRecord::Field("reason of an exit")),
            },
        },
        kind::CREDIT => Down::Credit { conn, bytes: reader.u32()? },
        kind::RENEWED => Down::Renewed { conn, ticket: reader.str()? },
        kind::CLOSE => {
            let (code, reason) = close(reader)?;
            Down::Close { conn, code, reason }
        }
        kind::CLOSE_LATER => {
            let after = reader.u32()?;
            let (code, reason) = close(reader)?;
            Down::CloseLater { conn, after, code, reason }
        }
        kind::ENDED => Down::Ended { conn },
        unknown => return Err(BadRecord::Unknown(unknown)),
    })
}

/// The code and the reason of a close.
fn close<'a>(reader: &mut Reader<'a>) -> Result<(u16, Cow<'a, str>), BadRecord> {
    let code = u16::try_from(reader.u64()?).map_err(|_| BadRecord::Field("close code"))?;
    if !CloseCode(code).may_be_sent() {
        return Err(BadRecord::Field("close code"));
    }
    let reason = reader.str()?;
    if reason.len() > REASON_MAX {
        return Err(BadRecord::Field("reason of a close"));
    }
    Ok((code, Cow::Borrowed(reason)))
}

fn room(reader: &mut Reader<'_>) -> Result<RoomDeclared, BadRecord> {
    Ok(RoomDeclared {
        number: RoomNo(reader.u32()?),
        tenant: reader.name("tenant")?,
        room: reader.name("room")?,
        epoch: reader.opt(|reader| reader.name("epoch"))?,
        policy: match reader.u64()? {
            0 => Policy::Disconnect,
            1 => Policy::DropOldest,
            2 => Policy::Conflate,
            _ => return Err(BadRecord::Field("policy")),
        },
        flush_window: reader.u32()?,
    })
}

fn cast<'a>(reader: &mut Reader<'a>) -> Result<Cast<'a>, BadRecord> {
    let cast = Cast {
        room: RoomNo(reader.u32()?),
        offset: reader.opt(Reader::u64)?,
        ts: reader.u64()?,
        key: reader.opt(|reader| reader.name("key"))?,
        but: reader.opt(exclude)?.unwrap_or(Exclude::Nobody),
        json: reader.bin()?,
        msgpack: reader.bin()?,
    };
    let json = cast.json.is_empty() || whole::is(whole::TEXT, cast.json);
    let msgpack = cast.msgpack.is_empty() || whole::is(whole::BINARY, cast.msgpack);
    if json && msgpack { Ok(cast) } else { Err(BadRecord::Field("frame")) }
}

fn put_exclude<'w, 'v>(writer: &'w mut Writer<'v>, but: &Exclude) -> &'w mut Writer<'v> {
    let (kind, list) = match but {
        Exclude::Nobody => return writer.nil(),
        Exclude::These(list) => (list::THESE, list),
        Exclude::AllBut(list) => (list::ALL_BUT, list),
    };
    writer.array(2).u64(kind).numbers(list.iter().map(|conn| conn.0))
}

fn exclude(reader: &mut Reader<'_>) -> Result<Exclude, BadRecord> {
    let unknown = reader.enter()?.at_least(2)?;
    let kind = reader.u64()?;
    let list = reader.numbers()?.map(ConnNo).collect();
    reader.leave(unknown)?;
    match kind {
        list::THESE => Ok(Exclude::These(list)),
        list::ALL_BUT => Ok(Exclude::AllBut(list)),
        _ => Err(BadRecord::Field("kind of list")),
    }
}

fn put_at<'w, 'v>(writer: &'w mut Writer<'v>, at: Option<At>) -> &'w mut Writer<'v> {
    match at {
        Some(At { room, offset, ts }) => writer.array(3).u32(room.0).u64(offset).u64(ts),
        None => writer.nil(),
    }
}

fn at(reader: &mut Reader<'_>) -> Result<At, BadRecord> {
    let unknown = reader.enter()?.at_least(3)?;
    let at = At { room: RoomNo(reader.u32()?), offset: reader.u64()?, ts: reader.u64()? };
    reader.leave(unknown)?;
    Ok(at)
}

fn number_of_policy(policy: Policy) -> u64 {
    match policy {
        Policy::Disconnect => 0,
        Policy::DropOldest => 1,
        Policy::Conflate => 2,
    }
}
