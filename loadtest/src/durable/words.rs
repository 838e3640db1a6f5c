//! What clients of durable rooms say: tickets, joins with a position, publications, all of it MessagePack.

use ringway_auth::{Grants, Mode, TICKET_SECONDS, Ticket, TicketKey};
use ringway_protocol::frame::{Join, Position, Pub};
use ringway_protocol::{
    ClientFrame, Format, Payload, RoomName, ServerFrame, TenantId, decode_server, encode_client,
};
use ringway_ring::Slot;

use crate::dialect::ringway::{grants, now_s, random};
use crate::target::{CLUSTER_SECRET, TENANT};
use crate::worker::frame::{BINARY, Outgoing};

/// Further headers of an upgrade.
pub(super) const HEADERS: &str = "Sec-WebSocket-Protocol: ringway.v1.msgpack\r\n";

/// Bytes of a message's data, as in all load tests.
pub(super) const DATA: usize = 128;

/// Numbers of MessagePack frames, behind the head of an array of up to fifteen.
const OK: u8 = 33;
const MSG: u8 = 35;

/// Who makes tickets and names.
pub(super) struct Words {
    key: TicketKey,
    grants: Grants,
    tenant: TenantId,
}

/// A kind of frame that is told without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quick {
    Ok,
    Msg,
    Other,
}

impl Words {
    pub(super) fn new() -> anyhow::Result<Words> {
        Ok(Words {
            key: TicketKey::new(CLUSTER_SECRET.as_bytes()),
            grants: grants()?,
            tenant: TENANT.parse()?,
        })
    }

    /// Path and query of an upgrade at a node's own port.
    pub(super) fn target(&self, user: usize, room: Option<RoomName>, since: Option<Position>) -> String {
        let now = now_s();
        let ticket = Ticket {
            tenant: self.tenant.clone(),
            user: Some(format!("u{user}").parse().expect("short text without control characters")),
            grants: self.grants.clone(),
            info: None,
            join: Vec::new(),
            session: random().parse().expect("base64url of 16 bytes is an id"),
            room,
            since,
            conn: random().parse().expect("base64url of 16 bytes is an id"),
            gateway: "loadtest".to_owned(),
            peer: "127.0.0.1:0".to_owned(),
            client: None,
            format: Format::Msgpack,
            mode: Mode::Direct,
            expires: Some(now + 48 * 3_600),
            exp: now + TICKET_SECONDS,
        };
        format!("/v1/ws?ticket={}", self.key.seal(&ticket))
    }

    /// A room's slot.
    pub(super) fn slot(&self, room: &RoomName) -> Slot {
        Slot::of_room(&self.tenant, room)
    }

    /// Where Ringway keeps what is published to room `number`.
    pub(super) fn stored(&self, number: usize) -> String {
        let room = room(number);
        let slot = self.slot(&room).number();
        format!("ringway.g.shared.store.{STORE}.{}.{slot}.{TENANT}.{room}._", slot / 256)
    }
}

/// The store of all these rooms.
pub(super) const STORE: &str = "figures";

/// A room's name: all are of one length, and need no encoding anywhere.
pub(super) fn room(number: usize) -> RoomName {
    format!("d-{number:07}").parse().expect("short text without control characters")
}

/// A join, as it is sent.
pub(super) fn join(id: u64, room: RoomName, since: Option<Position>, last: Option<u32>) -> Vec<u8> {
    sent(&ClientFrame::Join(Join { id: Some(id), room, since, last, state: None }))
}

/// That a room is left, as it is sent.
pub(super) fn leave(id: u64, room: RoomName) -> Vec<u8> {
    sent(&ClientFrame::Leave(ringway_protocol::frame::Leave { id: Some(id), room }))
}

/// A frame, as it is sent.
fn sent(frame: &ClientFrame) -> Vec<u8> {
    let mut payload = Vec::new();
    encode_client(Format::Msgpack, frame, &mut payload);
    let mut out = Outgoing::new(rand::random());
    out.frame(BINARY, &payload);
    out.bytes().to_vec()
}

/// Publications to any room, as they are sent: masked by zeros, so that only the room's number is to be put in. A server
/// unmasks it like any other.
#[derive(Debug, Clone)]
pub(super) struct Template {
    frame: Vec<u8>,
    /// Where the room's number stands.
    at: usize,
}

impl Template {
    pub(super) fn new() -> Template {
        let text = format!("\"{}\"", "x".repeat(DATA));
        let frame = ClientFrame::Pub(Pub {
            id: Some(1),
            room: Some(room(0)),
            data: Payload::from_json(text.as_bytes()).expect("ASCII without escapes is a string"),
            event: None,
            key: None,
            mid: None,
            echo: true,
            store: true,
            trace: None,
        });
        let mut payload = Vec::new();
        encode_client(Format::Msgpack, &frame, &mut payload);
        let length = u16::try_from(payload.len()).expect("a small frame");
        let mut frame = vec![0x80 | BINARY, 0x80 | 126];
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&payload);
        let at = memchr::memmem::find(&frame, b"d-0000000").expect("the room is in it") + 2;
        Template { frame, at }
    }

    /// Appends a publication to a room.
    #[inline]
    pub(super) fn put(&mut self, room: usize, out: &mut Vec<u8>) {
        digits(room, &mut self.frame[self.at..self.at + 7]);
        out.extend_from_slice(&self.frame);
    }
}

/// A number in so many digits.
#[inline]
pub(super) fn digits(mut number: usize, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// What kind of frame this is.
#[inline]
pub(super) fn quick(payload: &[u8]) -> Quick {
    match payload {
        [0x90..=0x9f, OK, ..] => Quick::Ok,
        [0x90..=0x9f, MSG, ..] => Quick::Msg,
        _ => Quick::Other,
    }
}

/// A frame, read; none: of a kind that this release doesn't know, or no frame.
pub(super) fn frame(payload: &[u8]) -> Option<ServerFrame> {
    decode_server(Format::Msgpack, payload).ok().flatten()
}

#[cfg(test)]
mod tests {
    use ringway_protocol::decode_client;

    use super::*;
    use crate::worker::frame;

    #[test]
    fn a_template_is_a_publication_to_the_room_put_in() {
        let mut out = Vec::new();
        Template::new().put(123_456, &mut out);
        // A client's frame: the mask's bit and four bytes more than a server's.
        out[1] &= 0x7f;
        let head = frame::head(&out).unwrap().unwrap();
        let Ok(ClientFrame::Pub(publication)) = decode_client(Format::Msgpack, &out[head.at + 4..]) else {
            panic!("no publication")
        };
        assert_eq!(publication.room, Some(room(123_456)));
        assert_eq!(head.end + 4, out.len());
    }

    #[test]
    fn what_is_stored_is_where_a_node_stores_it() {
        let words = Words::new().unwrap();
        let subject = words.stored(42);
        let slot = words.slot(&room(42)).number();
        assert_eq!(subject, format!("ringway.g.shared.store.figures.{}.{slot}.load.d-0000042._", slot / 256));
    }
}
