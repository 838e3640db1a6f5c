//! Tickets and sessions come back as they were sealed, and no signed string of one kind passes as another, even where
//! all are signed with one secret.
#![allow(clippy::unwrap_used)]

use ringway_auth::{
    Alg, Claims, Grant, Grants, HOP_VERSION, KeySpec, LinkKey, LinkTicket, Mode, Right, SessionError,
    SessionKey, SessionToken, TICKET_SECONDS, Ticket, TicketError, TicketKey, TokenError, TokenKeys,
    mint_hs256,
};
use ringway_protocol::code::Code;
use ringway_protocol::codec::Format;
use ringway_protocol::frame::Position;
use serde_json::{Value, json};

const NOW: u64 = 1_795_620_000;
const SECRET: &[u8] = b"one secret for everything";

fn grants() -> Grants {
    let rights = [Right::Join, Right::Publish].into_iter().collect();
    [Grant { rooms: "board.**".parse().unwrap(), rights }].into_iter().collect()
}

fn ticket() -> Ticket {
    Ticket {
        tenant: "acme".parse().unwrap(),
        user: Some("u1".parse().unwrap()),
        grants: grants(),
        info: Some(json!({"name": "Ann", "n": 1.0})),
        join: vec!["inbox.u1".parse().unwrap()],
        session: "s-1".parse().unwrap(),
        room: Some("{🦀}.é".parse().unwrap()),
        since: Some(Position { epoch: "e-1".parse().unwrap(), offset: u64::MAX, ts: Some(1) }),
        conn: "c-1".parse().unwrap(),
        gateway: "gw-a".to_owned(),
        peer: "[2001:db8::1]:4242".to_owned(),
        client: Some("Zoë/1".to_owned()),
        format: Format::Msgpack,
        mode: Mode::Tunnel,
        expires: Some(NOW + 3600),
        exp: NOW + TICKET_SECONDS,
    }
}

fn bare_ticket() -> Ticket {
    Ticket {
        user: None,
        grants: Grants::all(),
        info: None,
        join: vec![],
        room: None,
        since: None,
        client: None,
        format: Format::Json,
        mode: Mode::Direct,
        expires: None,
        ..ticket()
    }
}

fn link() -> LinkTicket {
    LinkTicket { gateway: "gw-a".to_owned(), exp: NOW + TICKET_SECONDS }
}

fn session() -> SessionToken {
    SessionToken {
        session: "s-1".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        user: Some("u1".parse().unwrap()),
        grants: grants(),
        expires: Some(NOW + 10),
        exp: NOW + 86_400,
    }
}

fn token() -> String {
    let claims = Claims {
        tenant: Some("acme".parse().unwrap()),
        user: Some("u1".parse().unwrap()),
        expires: NOW + 60,
        issued: None,
        grants: grants(),
        join: vec![],
        info: None,
    };
    mint_hs256(SECRET, &claims)
}

fn token_keys() -> TokenKeys {
    let spec = KeySpec { alg: Alg::Hs256, kid: None, bytes: SECRET.to_vec() };
    TokenKeys::new("acme".parse().unwrap(), vec![spec]).unwrap().for_only_tenant()
}

/// A sealed ticket with its claims changed, signed again with the secret.
fn resealed(change: impl Fn(&mut Value)) -> String {
    use base64::Engine;
    let sealed = TicketKey::new(SECRET).seal(&ticket());
    let payload = sealed.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let mut claims: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut claims);
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256), &claims, &key).unwrap()
}

#[test]
fn a_ticket_comes_back_as_it_was_sealed() {
    let key = TicketKey::new(SECRET);
    for ticket in [ticket(), bare_ticket(), Ticket { mode: Mode::Relay, ..ticket() }] {
        assert_eq!(key.open(&key.seal(&ticket), NOW), Ok(ticket));
    }
}

#[test]
fn a_ticket_is_over_at_its_second() {
    let key = TicketKey::new(SECRET);
    let sealed = key.seal(&ticket());
    assert!(key.open(&sealed, NOW + TICKET_SECONDS - 1).is_ok());
    assert_eq!(key.open(&sealed, NOW + TICKET_SECONDS), Err(TicketError::Expired));
    assert_eq!(TicketError::Expired.code(), Code::Expired);
}

#[test]
fn only_the_clusters_secret_makes_tickets_and_sessions() {
    let (ticket, session) = (ticket(), session());
    let foreign = TicketKey::new(b"another").seal(&ticket);
    assert_eq!(TicketKey::new(SECRET).open(&foreign, NOW), Err(TicketError::NotOurs));
    let foreign = LinkKey::new(b"another").seal(&link());
    assert_eq!(LinkKey::new(SECRET).open(&foreign, NOW), Err(TicketError::NotOurs));
    let foreign = SessionKey::new(b"another").seal(&session);
    assert_eq!(SessionKey::new(SECRET).open(&foreign, NOW), Err(SessionError::NotOurs));
}

#[test]
fn a_ticket_of_another_hop_is_told_from_a_forged_one() {
    let key = TicketKey::new(SECRET);
    assert!(key.open(&resealed(|_| ()), NOW).is_ok());
    let newer = resealed(|claims| claims["ver"] = json!(HOP_VERSION + 1));
    assert_eq!(key.open(&newer, NOW), Err(TicketError::Version(HOP_VERSION + 1)));
    let other_mode = resealed(|claims| claims["mode"] = json!("carrier pigeon"));
    assert_eq!(key.open(&other_mode, NOW), Err(TicketError::Unreadable));
    let more = resealed(|claims| claims["later"] = json!("ignored"));
    assert!(key.open(&more, NOW).is_ok());
}

#[test]
fn a_links_ticket_comes_back_until_its_second() {
    let key = LinkKey::new(SECRET);
    let sealed = key.seal(&link());
    assert_eq!(key.open(&sealed, NOW + TICKET_SECONDS - 1), Ok(link()));
    assert_eq!(key.open(&sealed, NOW + TICKET_SECONDS), Err(TicketError::Expired));
}

#[test]
fn a_session_comes_back_as_it_was_sealed_until_it_ends() {
    let key = SessionKey::new(SECRET);
    for session in [session(), SessionToken { user: None, expires: None, ..session() }] {
        let sealed = key.seal(&session);
        assert_eq!(key.open(&sealed, session.exp - 1), Ok(session.clone()), "after the token's end, too");
        assert_eq!(key.open(&sealed, session.exp), Err(SessionError::Expired));
    }
}

#[test]
fn no_kind_passes_as_another() {
    let (tickets, sessions, tokens) = (TicketKey::new(SECRET), SessionKey::new(SECRET), token_keys());
    let (ticket, session, token) = (tickets.seal(&ticket()), sessions.seal(&session()), token());
    let (links, link) = (LinkKey::new(SECRET), LinkKey::new(SECRET).seal(&link()));
    assert!(tokens.verify(&token, NOW).is_ok());

    for other in [&ticket, &session, &token] {
        assert_eq!(links.open(other, NOW), Err(TicketError::NotOurs));
    }
    for other in [&session, &token, &link] {
        assert_eq!(tickets.open(other, NOW), Err(TicketError::NotOurs));
    }
    for other in [&ticket, &token, &link] {
        assert_eq!(sessions.open(other, NOW), Err(SessionError::NotOurs));
    }
    for other in [&ticket, &session, &link] {
        assert_eq!(tokens.verify(other, NOW), Err(TokenError::Audience));
    }
}

#[test]
fn a_ticket_doesnt_show_where_keys_are_printed() {
    let shown =
        format!("{:?} {:?} {:?}", TicketKey::new(SECRET), LinkKey::new(SECRET), SessionKey::new(SECRET));
    assert_eq!(shown, "TicketKey LinkKey SessionKey");
}
