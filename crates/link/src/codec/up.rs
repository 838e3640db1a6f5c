//! What a gateway says, as bytes.

use ringway_protocol::frame::Position;

use super::BadRecord;
use super::wire::{Reader, Writer};
use crate::{ConnNo, Open, OpenAs, Rejoin, Up};

mod kind {
    pub(super) const OPEN: u64 = 0;
    pub(super) const BEGIN: u64 = 1;
    pub(super) const FRAME: u64 = 2;
    pub(super) const REJOIN: u64 = 3;
    pub(super) const MOVE: u64 = 4;
    pub(super) const RENEW: u64 = 5;
    pub(super) const CLOSED: u64 = 6;
    pub(super) const CREDIT: u64 = 7;
    pub(super) const PING: u64 = 8;
}

/// Appends a record.
pub fn encode_up(record: &Up<'_>, into: &mut Vec<u8>) {
    match record {
        Up::Open(Open { conn, role, ticket, traceparent, age, told_to_go }) => {
            Writer::record(into, kind::OPEN, 6)
                .u32(conn.0)
                .u64(number_of(*role))
                .str(ticket)
                .opt_str(*traceparent)
                .u64(*age)
                .bool(*told_to_go);
        }
        Up::Begin { conn } => {
            Writer::record(into, kind::BEGIN, 1).u32(conn.0);
        }
        Up::Frame { conn, text, message } => {
            Writer::record(into, kind::FRAME, 3).u32(conn.0).bool(*text).bin(message);
        }
        Up::Rejoin(Rejoin { conn, room, by_server, since }) => {
            let mut writer = Writer::record(into, kind::REJOIN, 4);
            writer.u32(conn.0).str(room.as_str()).bool(*by_server);
            match since {
                Some(Position { epoch, offset, ts }) => {
                    writer.array(3).str(epoch.as_str()).u64(*offset).opt_u64(*ts)
                }
                None => writer.nil(),
            };
        }
        Up::Move { conn, room } => {
            Writer::record(into, kind::MOVE, 2).u32(conn.0).str(room.as_str());
        }
        Up::Renew { conn, ticket } => {
            Writer::record(into, kind::RENEW, 2).u32(conn.0).str(ticket);
        }
        Up::Closed { conn } => {
            Writer::record(into, kind::CLOSED, 1).u32(conn.0);
        }
        Up::Credit { conn, bytes } => {
            Writer::record(into, kind::CREDIT, 2).u32(conn.0).u32(*bytes);
        }
        Up::Ping { number } => {
            Writer::record(into, kind::PING, 1).u64(*number);
        }
    }
}

/// Reads one.
///
/// # Errors
/// [`BadRecord`].
pub fn decode_up(bytes: &[u8]) -> Result<Up<'_>, BadRecord> {
    let (mut reader, kind, fields) = Reader::record(bytes)?;
    let known = match kind {
        kind::BEGIN | kind::CLOSED | kind::PING => 1,
        kind::MOVE | kind::RENEW | kind::CREDIT => 2,
        kind::FRAME => 3,
        kind::REJOIN => 4,
        kind::OPEN => 6,
        unknown => return Err(BadRecord::Unknown(unknown)),
    };
    let unknown = fields.at_least(known)?;
    let record = read(&mut reader, kind)?;
    reader.end(unknown)?;
    Ok(record)
}

fn read<'a>(reader: &mut Reader<'a>, kind: u64) -> Result<Up<'a>, BadRecord> {
    if kind == kind::PING {
        return Ok(Up::Ping { number: reader.u64()? });
    }
    let conn = ConnNo(reader.u32()?);
    Ok(match kind {
        kind::OPEN => Up::Open(Open {
            conn,
            role: role_of(reader.u64()?)?,
            ticket: reader.str()?,
            traceparent: reader.opt(Reader::str)?,
            age: reader.u64()?,
            told_to_go: reader.bool()?,
        }),
        kind::BEGIN => Up::Begin { conn },
        kind::FRAME => Up::Frame { conn, text: reader.bool()?, message: reader.bin()? },
        kind::REJOIN => Up::Rejoin(Rejoin {
            conn,
            room: reader.name("room")?,
            by_server: reader.bool()?,
            since: reader.opt(position)?,
        }),
        kind::MOVE => Up::Move { conn, room: reader.name("room")? },
        kind::RENEW => Up::Renew { conn, ticket: reader.str()? },
        kind::CLOSED => Up::Closed { conn },
        kind::CREDIT => Up::Credit { conn, bytes: reader.u32()? },
        unknown => return Err(BadRecord::Unknown(unknown)),
    })
}

fn position(reader: &mut Reader<'_>) -> Result<Position, BadRecord> {
    let unknown = reader.enter()?.at_least(3)?;
    let epoch = reader.name("epoch")?;
    let position = Position { epoch, offset: reader.u64()?, ts: reader.opt(Reader::u64)? };
    reader.leave(unknown)?;
    Ok(position)
}

fn number_of(role: OpenAs) -> u64 {
    match role {
        OpenAs::Home => 0,
        OpenAs::HomeAgain => 1,
        OpenAs::Further => 2,
    }
}

fn role_of(number: u64) -> Result<OpenAs, BadRecord> {
    match number {
        0 => Ok(OpenAs::Home),
        1 => Ok(OpenAs::HomeAgain),
        2 => Ok(OpenAs::Further),
        _ => Err(BadRecord::Field("role")),
    }
}
