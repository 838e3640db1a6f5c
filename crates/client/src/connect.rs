//! How a connection is opened: what is asked for, and what may go wrong.

use std::fmt;
use std::time::Duration;

use ringway_protocol::frame::Position;
use ringway_protocol::{CloseCode, Format, RoomName, TenantId, UserId};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio_tungstenite::tungstenite::{self, http};

use crate::endpoint::{Endpoint, EndpointError};

/// How long the TCP connection, TLS and the upgrade may take together.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The header that gives a session back.
const SESSION: HeaderName = HeaderName::from_static("ringway-session");

/// Where a secret travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Secrets {
    /// In headers of their own.
    #[default]
    Headers,
    /// As further subprotocols, which is all that a browser can do.
    Subprotocols,
}

/// What a connection asks for. Everything but the address has a default.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The server.
    pub endpoint: Endpoint,
    /// The frames' form; none: no subprotocol is named, and the server speaks JSON.
    pub format: Option<Format>,
    /// The home room.
    pub room: Option<RoomName>,
    /// Where to resume the home room. (A client that joins with `since` itself leaves it out.)
    pub since: Option<Position>,
    /// A token.
    pub token: Option<String>,
    /// The session of the connection before.
    pub session: Option<String>,
    /// How token and session travel.
    pub secrets: Secrets,
    /// The tenant, where authentication is off.
    pub tenant: Option<TenantId>,
    /// The user, where authentication is off.
    pub user: Option<UserId>,
    /// Name and version of the program, as `NAME/VERSION`.
    pub client: Option<String>,
    /// Further headers: `Origin`, `traceparent` …
    pub headers: HeaderMap,
    /// Further subprotocols, as they are.
    pub subprotocols: Vec<String>,
    /// How long the TCP connection, TLS and the upgrade may take together.
    pub within: Duration,
    /// What the socket reads at a time, in bytes, and keeps as a buffer.
    pub read_buffer: usize,
}

impl ConnectOptions {
    /// MessagePack, and nothing else asked for.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            format: Some(Format::Msgpack),
            room: None,
            since: None,
            token: None,
            session: None,
            secrets: Secrets::default(),
            tenant: None,
            user: None,
            client: None,
            headers: HeaderMap::new(),
            subprotocols: Vec::new(),
            within: CONNECT_WITHIN,
            read_buffer: 16 * 1024,
        }
    }

    /// As [`Self::new`], from a URL.
    ///
    /// # Errors
    /// Where the text isn't a server's address.
    pub fn to(url: &str) -> Result<Self, EndpointError> {
        Ok(Self::new(url.parse()?))
    }

    /// The upgrade's request.
    pub(crate) fn request(&self) -> Result<Request<()>, ConnectError> {
        let since = self.since.as_ref().map(|Position { epoch, offset, ts }| match ts {
            Some(ts) => format!("{epoch}:{offset}:{ts}"),
            None => format!("{epoch}:{offset}"),
        });
        let mut query = Vec::new();
        let mut put = |name, value: Option<&str>| query.extend(value.map(|value| (name, value.to_owned())));
        put("room", self.room.as_ref().map(RoomName::as_str));
        put("since", since.as_deref());
        put("tenant", self.tenant.as_ref().map(TenantId::as_str));
        put("user", self.user.as_ref().map(UserId::as_str));
        put("client", self.client.as_deref());
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();

        let mut request = self.endpoint.upgrade(&query).as_str().into_client_request()?;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        let mut subprotocols: Vec<String> =
            self.format.iter().map(|format| format.subprotocol().to_owned()).collect();
        match self.secrets {
            Secrets::Headers => {
                if let Some(token) = &self.token {
                    headers.insert(AUTHORIZATION, secret(format!("Bearer {token}"))?);
                }
                if let Some(session) = &self.session {
                    headers.insert(SESSION, secret(session.clone())?);
                }
            }
            Secrets::Subprotocols => {
                subprotocols.extend(self.token.iter().map(|token| format!("bearer.{token}")));
                subprotocols.extend(self.session.iter().map(|session| format!("session.{session}")));
            }
        }
        subprotocols.extend(self.subprotocols.iter().cloned());
        if !subprotocols.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, secret(subprotocols.join(", "))?);
        }
        Ok(request)
    }
}

fn secret(text: String) -> Result<HeaderValue, ConnectError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| ConnectError::Header)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Tokens and sessions don't belong into logs.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("endpoint", &self.endpoint)
            .field("format", &self.format)
            .field("room", &self.room)
            .field("since", &self.since)
            .field("tenant", &self.tenant)
            .field("user", &self.user)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A token, a session or a subprotocol has characters that no header may have.
    #[error("a token, session or subprotocol has characters that no header may have")]
    Header,
    /// The server answered, but not with 101.
    #[error("the upgrade was refused with {status}{}", code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The problem document's code, where there was one.
        code: Option<String>,
        /// What the server said, for people.
        detail: Option<String>,
        /// `Retry-After`.
        retry: Option<Duration>,
    },
    /// It took longer than [`ConnectOptions::within`].
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The network, TLS, or an answer that isn't an upgrade's.
    #[error(transparent)]
    WebSocket(Box<tungstenite::Error>),
}

impl ConnectError {
    /// What the refusal would have been, had it come after the 101: for deciding whether to come
    /// back. A malformed request (400 and most other 4xx) is a bug, and 1002 says stop.
    pub(crate) fn close_code(&self) -> CloseCode {
        match self {
            Self::Header => CloseCode::PROTOCOL,
            Self::Refused { status: 401, .. } => CloseCode::TOKEN,
            Self::Refused { status: 403, .. } => CloseCode::FORBIDDEN,
            Self::Refused { status: 404, .. } => CloseCode::UNKNOWN_TENANT,
            Self::Refused { status: 408 | 425 | 429, .. } => CloseCode::TRY_LATER,
            Self::Refused { status: 400..=499, .. } => CloseCode::PROTOCOL,
            Self::Refused { status: 503, .. } => CloseCode::TRY_LATER,
            Self::Refused { .. } | Self::Timeout(_) | Self::WebSocket(_) => CloseCode(1006),
        }
    }

    /// The reason that goes with it, with the server's hint.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Refused { retry: Some(retry), .. } => format!("{self} retry={}", retry.as_millis()),
            _ => self.to_string(),
        }
    }
}

impl From<tungstenite::Error> for ConnectError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => refused(&response),
            error => Self::WebSocket(Box::new(error)),
        }
    }
}

fn refused(response: &http::Response<Option<Vec<u8>>>) -> ConnectError {
    let problem: Problem =
        response.body().as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let seconds =
        response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    ConnectError::Refused {
        status: response.status().as_u16(),
        code: problem.code,
        detail: problem.detail,
        retry: seconds.map(Duration::from_secs),
    }
}

/// What a problem document says (RFC 9457), as far as it matters here.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) detail: Option<String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn header<'a>(request: &'a Request<()>, name: &str) -> Option<&'a str> {
        request.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn secrets_travel_in_headers_or_as_subprotocols_and_never_in_the_url() {
        let mut options = ConnectOptions {
            token: Some("a.b.c".to_owned()),
            session: Some("s-1".to_owned()),
            room: Some("lobby".parse().unwrap()),
            since: Some(Position { epoch: "e-1".parse().unwrap(), offset: 5, ts: Some(7) }),
            user: Some("u 1".parse().unwrap()),
            ..ConnectOptions::to("http://a.example").unwrap()
        };
        let request = options.request().unwrap();
        assert_eq!(request.uri().to_string(), "ws://a.example/v1/ws?room=lobby&since=e-1%3A5%3A7&user=u+1");
        assert_eq!(header(&request, "authorization"), Some("Bearer a.b.c"));
        assert_eq!(header(&request, "ringway-session"), Some("s-1"));
        assert_eq!(header(&request, "sec-websocket-protocol"), Some("ringway.v1.msgpack"));
        options.secrets = Secrets::Subprotocols;
        let request = options.request().unwrap();
        assert_eq!(header(&request, "authorization"), None);
        assert_eq!(
            header(&request, "sec-websocket-protocol"),
            Some("ringway.v1.msgpack, bearer.a.b.c, session.s-1")
        );
        assert!(!format!("{options:?}").contains("a.b.c"));
        options = ConnectOptions { format: None, token: None, session: None, ..options };
        assert_eq!(header(&options.request().unwrap(), "sec-websocket-protocol"), None);
        options.token = Some("line\nbreak".to_owned());
        assert!(matches!(options.request(), Err(ConnectError::Header)));
    }

    #[test]
    fn a_refused_upgrade_is_followed_like_the_close_that_it_would_have_been() {
        let refused = |status, retry| ConnectError::Refused { status, code: None, detail: None, retry };
        for (status, code) in [
            (400, 1002),
            (401, 4401),
            (403, 4403),
            (404, 4404),
            (429, 1013),
            (431, 1002),
            (503, 1013),
            (502, 1006),
        ] {
            assert_eq!(refused(status, None).close_code(), CloseCode(code), "{status}");
        }
        let reason = refused(503, Some(Duration::from_secs(2))).reason();
        assert_eq!(ringway_protocol::close::retry_hint(&reason), Some(2_000));
    }
}
