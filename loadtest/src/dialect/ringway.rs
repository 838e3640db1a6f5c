//! Ringway's frames, in either form. Users are `u0`, `u1` …; rooms `room-0` …, `window.0` for the one with a flush window,
//! `{t0}.r0` … where a family shares a tag; all of that behind `drop_oldest.` or `conflate.` where rooms have that policy.
//! Keys are `k0`, `k1` ….

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringway_auth::{Claims, Grant, Grants, Mode, Right, TICKET_SECONDS, Ticket, TicketKey, mint_hs256};
use ringway_protocol::frame::{Join, Pub};
use ringway_protocol::{
    ClientFrame, Format as Wire, Pattern, Payload, RoomName, ServerFrame, TenantId, UserId, decode_server,
    encode_client,
};

use super::{Format, Heard, Pass, Policy, Speak, Upgrade, Who};
use crate::worker::frame::{BINARY, Outgoing, TEXT};
use crate::worker::membership::{Kind, Room};

/// How long identities last: longer than any run.
const LIFETIME_SECONDS: u64 = 48 * 3600;

/// Where a client asks which node is its own.
const LOCATE: &str = "/v1/locate";

pub(super) struct Ringway {
    format: Wire,
    policy: Policy,
    pass: Ready,
}

/// A [`Pass`], its parts made once.
enum Ready {
    Token { secret: Vec<u8>, tenant: TenantId, grants: Grants, path: &'static str },
    Ticket { key: TicketKey, tenant: TenantId, grants: Grants },
    Open,
}

impl Ringway {
    pub(super) fn new(format: Format, policy: Policy, pass: &Pass) -> anyhow::Result<Ringway> {
        let tenant = |tenant: &str| tenant.parse().with_context(|| format!("no tenant's name: {tenant}"));
        let pass = match pass {
            Pass::Token { secret, tenant: name } | Pass::Located { secret, tenant: name } => Ready::Token {
                secret: secret.as_bytes().to_vec(),
                tenant: tenant(name)?,
                grants: grants()?,
                path: if matches!(pass, Pass::Located { .. }) { LOCATE } else { "/v1/ws" },
            },
            Pass::Ticket { secret, tenant: name } => Ready::Ticket {
                key: TicketKey::new(secret.as_bytes()),
                tenant: tenant(name)?,
                grants: grants()?,
            },
            Pass::Open => Ready::Open,
        };
        let format = match format {
            Format::Json => Wire::Json,
            Format::Msgpack => Wire::Msgpack,
        };
        Ok(Ringway { format, policy, pass })
    }

    fn name(&self, room: Room) -> RoomName {
        name(self.policy, room)
    }

    fn put(&self, frame: &ClientFrame, out: &mut Outgoing) {
        let mut payload = Vec::new();
        encode_client(self.format, frame, &mut payload);
        out.frame(self.opcode(), &payload);
    }
}

impl Speak for Ringway {
    fn upgrade(&self, who: &Who<'_>) -> Upgrade {
        let mut headers = format!("Sec-WebSocket-Protocol: {}\r\n", self.format.subprotocol());
        let home = who.rooms.first().map(|room| self.name(*room));
        let room = home.as_ref().map_or_else(String::new, |room| format!("room={}", encoded(room.as_str())));
        let target = match &self.pass {
            Ready::Open => format!("/v1/ws?{room}&user=u{}", who.number),
            Ready::Token { secret, tenant, grants, path } => {
                let token = mint_hs256(secret, &claims(tenant, grants, who.number));
                headers += &format!("Authorization: Bearer {token}\r\n");
                format!("{path}?{room}")
            }
            Ready::Ticket { key, tenant, grants } => {
                let ticket = ticket(self.format, tenant, grants, home, who);
                format!("/v1/ws?ticket={}", key.seal(&ticket))
            }
        };
        Upgrade { target, headers }
    }

    fn located(&self) -> Option<String> {
        matches!(self.pass, Ready::Token { path: LOCATE, .. })
            .then(|| format!("Sec-WebSocket-Protocol: {}\r\n", self.format.subprotocol()))
    }

    fn greet(&self, who: &Who<'_>, out: &mut Outgoing) -> u8 {
        for (room, id) in who.rooms.iter().zip(0..).skip(1) {
            let join = Join { id: Some(id), room: self.name(*room), since: None, last: None, state: None };
            self.put(&ClientFrame::Join(join), out);
        }
        who.rooms.len() as u8
    }

    fn hear(&self, waiting: &mut u8, message: &[u8], _out: &mut Outgoing) -> Heard {
        if is_passing(self.format, message) {
            return Heard::Fine;
        }
        match decode_server(self.format, message) {
            Ok(Some(ServerFrame::Joined(_) | ServerFrame::Ok(_))) => *waiting = waiting.saturating_sub(1),
            Ok(Some(ServerFrame::Err(refusal))) => {
                return Heard::Refused(told("err", refusal.code.as_str(), refusal.message.as_deref()));
            }
            Ok(Some(ServerFrame::Left(left))) => {
                return Heard::Refused(told("left", left.code.as_str(), left.message.as_deref()));
            }
            Ok(Some(ServerFrame::Gap(gap))) => return Heard::Missed(gap.lost.unwrap_or(0)),
            Ok(_) => {}
            Err(error) => return Heard::Refused(error.to_string()),
        }
        Heard::Fine
    }

    fn publication(&self, room: Room, body: &[u8], key: Option<u32>) -> Vec<u8> {
        let data =
            Payload::from_json(&[b"\"", body, b"\""].concat()).expect("ASCII without escapes is a string");
        let frame = ClientFrame::Pub(Pub {
            // Without an id only failures are told.
            id: None,
            room: Some(self.name(room)),
            data,
            event: None,
            key: key.map(|key| format!("k{key}").parse().expect("short text")),
            mid: None,
            echo: true,
            store: true,
            trace: None,
        });
        let mut payload = Vec::new();
        encode_client(self.format, &frame, &mut payload);
        payload
    }

    fn opcode(&self) -> u8 {
        match self.format {
            Wire::Json => TEXT,
            Wire::Msgpack => BINARY,
        }
    }
}

/// Presence and pings: everyone gets them, over and over, and they say nothing here.
fn is_passing(format: Wire, message: &[u8]) -> bool {
    match format {
        Wire::Json => message.starts_with(b"{\"t\":\"presence\"") || message.starts_with(b"{\"t\":\"ping\""),
        // An array of up to fifteen, and the type.
        Wire::Msgpack => matches!(message, [0x90..=0x9f, 38 | 41, ..]),
    }
}

fn name(policy: Policy, room: Room) -> RoomName {
    let name = match room.kind {
        Kind::Usual => format!("room-{}", room.number),
        Kind::Windowed => format!("window.{}", room.number),
        Kind::Tagged { family, member } => format!("{{t{family}}}.r{member}"),
    };
    format!("{}{name}", policy.prefix()).parse().expect("short text without control characters")
}

fn user(number: usize) -> UserId {
    format!("u{number}").parse().expect("short text without control characters")
}

/// For a query. Of what room names have only braces need it.
fn encoded(name: &str) -> String {
    name.replace('{', "%7B").replace('}', "%7D")
}

fn told(kind: &str, code: &str, message: Option<&str>) -> String {
    format!("{kind} {code} {}", message.unwrap_or_default()).trim_end().to_owned()
}

/// All that a token can give, everywhere.
pub(crate) fn grants() -> anyhow::Result<Grants> {
    let rights = [Right::Join, Right::Publish, Right::Presence, Right::History, Right::Call];
    let rooms = Pattern::parse("**").context("the pattern of all rooms")?;
    Ok([Grant { rooms, rights: rights.into_iter().collect() }].into_iter().collect())
}

fn claims(tenant: &TenantId, grants: &Grants, number: usize) -> Claims {
    let now = now_s();
    Claims {
        tenant: Some(tenant.clone()),
        user: Some(user(number)),
        expires: now + LIFETIME_SECONDS,
        issued: Some(now),
        grants: grants.clone(),
        join: Vec::new(),
        info: None,
    }
}

/// As a gateway would have made it for a client that goes to the node itself.
fn ticket(format: Wire, tenant: &TenantId, grants: &Grants, room: Option<RoomName>, who: &Who<'_>) -> Ticket {
    let now = now_s();
    Ticket {
        tenant: tenant.clone(),
        user: Some(user(who.number)),
        grants: grants.clone(),
        info: None,
        join: Vec::new(),
        session: random().parse().expect("base64url of 16 bytes is an id"),
        room,
        since: None,
        conn: random().parse().expect("base64url of 16 bytes is an id"),
        gateway: "loadtest".to_owned(),
        peer: SocketAddr::new(who.source.unwrap_or(Ipv4Addr::LOCALHOST.into()), 0).to_string(),
        client: None,
        format,
        mode: Mode::Direct,
        expires: Some(now + LIFETIME_SECONDS),
        exp: now + TICKET_SECONDS,
    }
}

pub(crate) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use ringway_protocol::frame::{Joined, Presence, Refusal};
    use ringway_protocol::{Code, encode_server};

    use super::*;
    use crate::control::Membership;
    use crate::dialect::stamp;
    use crate::worker::membership::Rooms;

    const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

    fn heard(ringway: &Ringway, waiting: &mut u8, frame: &ServerFrame) -> Heard {
        let mut message = Vec::new();
        encode_server(ringway.format, frame, &mut message);
        ringway.hear(waiting, &message, &mut Outgoing::new(1))
    }

    fn zipf(tagged: bool) -> Rooms {
        Rooms::new(&Membership::Zipf { count: 20, each: 2, skew: 1.0, tagged, seed: 1 })
    }

    #[test]
    fn is_ready_when_it_is_in_every_room() {
        for format in FORMATS {
            let ringway = Ringway::new(format, Policy::Disconnect, &Pass::Open).unwrap();
            let plan = zipf(false);
            let rooms = [plan.room(3), plan.room(7)];
            let who = Who { number: 5, source: None, rooms: &rooms, plan: &plan };
            assert_eq!(ringway.upgrade(&who).target, "/v1/ws?room=room-3&user=u5");
            let mut out = Outgoing::new(1);
            let mut waiting = ringway.greet(&who, &mut out);
            assert!(waiting == 2 && !out.is_empty());
            let joined = Joined { room: ringway.name(rooms[0]), result: Default::default() };
            assert_eq!(heard(&ringway, &mut waiting, &ServerFrame::Joined(joined)), Heard::Fine);
            let presence = Presence {
                room: ringway.name(rooms[0]),
                joined: None,
                updated: None,
                left: None,
                count: Some(2),
                users: None,
            };
            assert_eq!(heard(&ringway, &mut waiting, &ServerFrame::Presence(presence)), Heard::Fine);
            assert_eq!(heard(&ringway, &mut waiting, &ServerFrame::Ping), Heard::Fine);
            assert_eq!(waiting, 1);
            let ok = ringway_protocol::frame::Answer { id: Some(1), room: None, data: None, result: None };
            assert_eq!(heard(&ringway, &mut waiting, &ServerFrame::Ok(ok)), Heard::Fine);
            assert_eq!(waiting, 0);
        }
    }

    #[test]
    fn refusals_are_told() {
        for format in FORMATS {
            let ringway = Ringway::new(format, Policy::Disconnect, &Pass::Open).unwrap();
            let refusal =
                Refusal { id: None, room: None, code: Code::LimitRate, message: None, retry: Some(10) };
            let heard = heard(&ringway, &mut 0, &ServerFrame::Err(refusal));
            assert_eq!(heard, Heard::Refused("err limit_rate".to_owned()));
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let ringway = Ringway::new(Format::Msgpack, Policy::DropOldest, &Pass::Open).unwrap();
        let gap = ringway_protocol::frame::Gap {
            room: "drop_oldest.room-0".parse().unwrap(),
            reason: ringway_protocol::frame::GapReason::Slow,
            epoch: "e1".parse().unwrap(),
            offset: 9,
            ts: None,
            lost: Some(4),
        };
        assert_eq!(heard(&ringway, &mut 0, &ServerFrame::Gap(gap)), Heard::Missed(4));
    }

    #[test]
    fn a_publication_holds_its_body_as_it_is() {
        for format in FORMATS {
            let ringway = Ringway::new(format, Policy::Disconnect, &Pass::Open).unwrap();
            let body = stamp::body(100);
            let payload = ringway.publication(zipf(true).room(5), &body, Some(3));
            assert_eq!(memchr::memmem::find_iter(&payload, &body).count(), 1);
            let frame = ringway_protocol::decode_client(ringway.format, &payload).unwrap();
            assert_eq!(frame.room().map(RoomName::as_str), Some("{t2}.r1"));
            assert_eq!(frame.id(), None);
            assert!(matches!(frame, ClientFrame::Pub(Pub { key: Some(key), .. }) if key.as_str() == "k3"));
        }
    }

    #[test]
    fn tickets_and_tokens_are_ones() {
        let secret = "a secret that is long enough for every kind of key".to_owned();
        let plan = zipf(true);
        let rooms = [plan.room(4)];
        let who = Who { number: 9, source: None, rooms: &rooms, plan: &plan };
        let pass = Pass::Ticket { secret: secret.clone(), tenant: "acme".to_owned() };
        let upgrade = Ringway::new(Format::Msgpack, Policy::Conflate, &pass).unwrap().upgrade(&who);
        let sealed = upgrade.target.strip_prefix("/v1/ws?ticket=").unwrap();
        let ticket = TicketKey::new(secret.as_bytes()).open(sealed, now_s()).unwrap();
        assert_eq!(ticket.room.as_ref().map(RoomName::as_str), Some("conflate.{t2}.r0"));
        assert_eq!(ticket.user.as_ref().map(UserId::as_str), Some("u9"));

        let pass = Pass::Token { secret: secret.clone(), tenant: "acme".to_owned() };
        let upgrade = Ringway::new(Format::Json, Policy::Disconnect, &pass).unwrap().upgrade(&who);
        assert_eq!(upgrade.target, "/v1/ws?room=%7Bt2%7D.r0");
        let spec =
            ringway_auth::KeySpec { alg: ringway_auth::Alg::Hs256, kid: None, bytes: secret.into_bytes() };
        let keys = ringway_auth::TokenKeys::new("acme".parse().unwrap(), vec![spec]).unwrap();
        let token =
            upgrade.headers.lines().find_map(|line| line.strip_prefix("Authorization: Bearer ")).unwrap();
        let identity = keys.verify(token, now_s()).unwrap();
        assert_eq!(identity.user.as_ref().map(UserId::as_str), Some("u9"));
    }
}
