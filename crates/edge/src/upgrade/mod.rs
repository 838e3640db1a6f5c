//! Is this request head a WebSocket upgrade that we take? Pure checks; nothing is sent here.
//!
//! Whatever two readers of the same bytes could understand differently is refused: a body, a
//! doubled header, an absolute URI. Who the client is, where it comes from and what it asks for
//! in the query are the caller's to judge.

mod error;
mod list;

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Response, StatusCode, Version};
use ringway_protocol::Format;

pub use error::UpgradeError;
use list::{has_token, tokens};

/// The header that gives a session back; browsers use a subprotocol [`SESSION_PREFIX`]….
pub const SESSION_HEADER: HeaderName = HeaderName::from_static("ringway-session");
/// What a subprotocol begins with that carries a token.
pub const BEARER_PREFIX: &str = "bearer.";
/// What a subprotocol begins with that carries a session.
pub const SESSION_PREFIX: &str = "session.";

/// The only version of the WebSocket protocol (RFC 6455).
const WEBSOCKET_VERSION: &[u8] = b"13";

/// Headers that say one thing once. Two of them are two opinions about the same request.
const SINGLE: [HeaderName; 7] =
    [HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, ORIGIN, AUTHORIZATION, CONTENT_LENGTH, SESSION_HEADER];

/// RFC 6455's own example key has stray bits at its end, so they are allowed.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// An upgrade that we take.
#[derive(Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The client's `Sec-WebSocket-Key`.
    pub key: String,
    /// The answer to it, `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The format of frames.
    pub format: Format,
    /// The token of `Authorization: Bearer`, or of the subprotocol `bearer.…`. A secret.
    pub bearer: Option<String>,
    /// The session of `Ringway-Session`, or of the subprotocol `session.…`. A secret.
    pub session: Option<String>,
    /// What the answer names; none if the client offered nothing.
    pub chosen_subprotocol: Option<&'static str>,
    /// Whether the client offered one of ours. Then refusals come after the 101, as close codes.
    pub offered_ours: bool,
}

/// Checks a request head.
///
/// # Errors
/// The status and a sentence for the answer; always before the 101.
pub fn check(head: &Parts) -> Result<Upgrade, UpgradeError> {
    check_request_line(head)?;
    check_headers(&head.headers)?;
    check_websocket(&head.headers)?;
    let key = check_key(&head.headers)?;
    let offered = Offered::read(&head.headers)?;
    let bearer = once(offered.bearer, bearer_of(&head.headers)?, "The token is given twice")?;
    let session =
        once(offered.session, text_of(&head.headers, &SESSION_HEADER)?, "The session is given twice")?;
    if offered.any && offered.format.is_none() {
        return Err(UpgradeError::bad("None of the subprotocols is ours"));
    }
    Ok(Upgrade {
        accept: accept_key(&key),
        key,
        format: offered.format.unwrap_or(Format::Json),
        bearer,
        session,
        chosen_subprotocol: offered.format.map(Format::subprotocol),
        offered_ours: offered.format.is_some(),
    })
}

/// Checks the head of a request that upgrades to another protocol than WebSocket, as processes of a cluster do among
/// themselves.
///
/// # Errors
/// The status and a sentence for the answer.
pub fn check_other(head: &Parts, protocol: &'static str) -> Result<(), UpgradeError> {
    check_request_line(head)?;
    check_headers(&head.headers)?;
    if !has_token(&head.headers, &UPGRADE, protocol) || !has_token(&head.headers, &CONNECTION, "upgrade") {
        return Err(UpgradeError::upgrade_required("The upgrade is to another protocol"));
    }
    Ok(())
}

/// What answers a client's `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
pub fn accept_key(key: &str) -> String {
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

impl Upgrade {
    /// The 101 that takes the upgrade. It names no extension: none is spoken here.
    pub fn response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(subprotocol) = self.chosen_subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        response
    }
}

/// Without the secrets.
impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("format", &self.format)
            .field("bearer", &self.bearer.is_some())
            .field("session", &self.session.is_some())
            .field("offered_ours", &self.offered_ours)
            .finish_non_exhaustive()
    }
}

fn check_request_line(head: &Parts) -> Result<(), UpgradeError> {
    if head.version != Version::HTTP_11 {
        return Err(UpgradeError::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "An upgrade needs HTTP/1.1"));
    }
    if head.method != Method::GET {
        return Err(UpgradeError::new(StatusCode::METHOD_NOT_ALLOWED, "An upgrade is a GET"));
    }
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return Err(UpgradeError::bad("The request target must be a path"));
    }
    Ok(())
}

fn check_headers(headers: &HeaderMap) -> Result<(), UpgradeError> {
    if SINGLE.iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return Err(UpgradeError::bad("A header that says one thing is there twice"));
    }
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    if !host.is_some_and(|host| Authority::try_from(host).is_ok_and(|host| !host.as_str().contains('@'))) {
        return Err(UpgradeError::bad("Host is missing or malformed"));
    }
    if headers.contains_key(TRANSFER_ENCODING)
        || headers.contains_key(EXPECT)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
    {
        return Err(UpgradeError::bad("An upgrade has no body"));
    }
    Ok(())
}

fn check_websocket(headers: &HeaderMap) -> Result<(), UpgradeError> {
    if !has_token(headers, &UPGRADE, "websocket") {
        return Err(UpgradeError::upgrade_required("Upgrade must name websocket"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(UpgradeError::bad("Connection must name Upgrade"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(WEBSOCKET_VERSION) {
        return Err(UpgradeError::upgrade_required("Sec-WebSocket-Version must be 13"));
    }
    Ok(())
}

fn check_key(headers: &HeaderMap) -> Result<String, UpgradeError> {
    let key = text_of(headers, &SEC_WEBSOCKET_KEY)?.unwrap_or_default();
    match KEY_BASE64.decode(&key) {
        Ok(bytes) if bytes.len() == 16 => Ok(key),
        _ => Err(UpgradeError::bad("Sec-WebSocket-Key must be 16 bytes of base64")),
    }
}

/// What the client offered as subprotocols.
#[derive(Default)]
struct Offered {
    any: bool,
    format: Option<Format>,
    bearer: Option<String>,
    session: Option<String>,
}

impl Offered {
    fn read(headers: &HeaderMap) -> Result<Offered, UpgradeError> {
        let mut offered = Offered::default();
        for name in tokens(headers, &SEC_WEBSOCKET_PROTOCOL) {
            let name = name.ok_or(UpgradeError::bad("A subprotocol is malformed"))?;
            offered.any = true;
            if let Some(token) = name.strip_prefix(BEARER_PREFIX) {
                offered.bearer = once(offered.bearer, Some(token.into()), "The token is given twice")?;
            } else if let Some(session) = name.strip_prefix(SESSION_PREFIX) {
                offered.session = once(offered.session, Some(session.into()), "The session is given twice")?;
            } else if offered.format.is_none() {
                // The client's order is its preference.
                offered.format = Format::from_subprotocol(name);
            }
        }
        Ok(offered)
    }
}

/// `Authorization: Bearer`; another scheme is nothing to us.
fn bearer_of(headers: &HeaderMap) -> Result<Option<String>, UpgradeError> {
    let Some(value) = text_of(headers, &AUTHORIZATION)? else { return Ok(None) };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim().into())),
        _ => Ok(None),
    }
}

/// A header of which there is at most one, as text.
fn text_of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, UpgradeError> {
    match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.trim().into())),
        Some(Err(_)) => Err(UpgradeError::bad("A header has bytes outside ASCII")),
    }
}

fn once<T>(first: Option<T>, second: Option<T>, twice: &'static str) -> Result<Option<T>, UpgradeError> {
    match (first, second) {
        (Some(_), Some(_)) => Err(UpgradeError::bad(twice)),
        (first, second) => Ok(first.or(second)),
    }
}

#[cfg(test)]
mod tests;
