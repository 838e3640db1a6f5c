//! The calls over HTTP: publish to a room, a user or everyone; what a durable room keeps; where a
//! room lives; how many are in it. Nothing is tried again here: whoever calls knows best.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder};
use ringway_protocol::frame::{HistoryResult, MembersResult, Msg, PubResult};
use ringway_protocol::{
    Code, ConnId, EpochName, Format, Key, Payload, RoomName, ServerFrame, TenantId, UserId, decode_server,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::connect::Problem;
use crate::endpoint::Endpoint;

/// How long a call may take.
const WITHIN: Duration = Duration::from_secs(10);

/// And a page of an admin port: less, since a person waits.
const PAGE_WITHIN: Duration = Duration::from_secs(5);

/// Whom a publication is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// The members of a room.
    Room(RoomName),
    /// All connections of a user.
    User(UserId),
    /// All connections of the tenant.
    All,
}

/// A publication over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishHttp {
    /// What is published.
    pub data: Payload,
    /// A name for the kind of publication, at most 64 bytes.
    pub event: Option<Arc<str>>,
    /// What it is the newest of.
    pub key: Option<Key>,
    /// An id of one's own, at most 64 bytes: a repeat is published once.
    pub mid: Option<Arc<str>>,
    /// False in a durable room: a passing signal.
    pub store: bool,
    /// The connection that doesn't hear it live.
    pub exclude: Option<ConnId>,
}

impl From<Payload> for PublishHttp {
    fn from(data: Payload) -> Self {
        Self { data, event: None, key: None, mid: None, store: true, exclude: None }
    }
}

/// Which page of a room's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageHttp {
    /// Oldest first, from behind this offset.
    pub after: Option<u64>,
    /// Newest first, from before this offset; neither: from the newest.
    pub before: Option<u64>,
    /// How many at most, 1 to 1,000; none: 100.
    pub limit: Option<u32>,
    /// The epoch that the offsets are of; none: the present one.
    pub epoch: Option<EpochName>,
}

/// Where a room, or a user's connection without a home room, lives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Located {
    /// The tenant.
    pub tenant: TenantId,
    /// The room that was asked for.
    #[serde(default)]
    pub room: Option<RoomName>,
    /// The slot, below 16,384.
    pub slot: u16,
    /// The pool.
    pub pool: String,
    /// The node.
    pub node: String,
    /// The direct path, with a ticket that is good for 30 s and once; none: the node has no public
    /// URL, or whoever asked is no client.
    #[serde(default)]
    pub url: Option<String>,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server refused it.
    #[error("{status} {code}{}", detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why, for programs. [`Code::Internal`] where the answer says nothing.
        code: Code,
        /// Why, for people.
        detail: Option<String>,
        /// `Retry-After`.
        retry: Option<Duration>,
    },
    /// The event, key or id can't stand in a header.
    #[error("{0} has characters that no header may have")]
    Header(HeaderName),
    /// The network, TLS, or an answer that can't be read.
    #[error("{0}")]
    Transport(String),
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        // Without the URL, whose query may hold a ticket; with the cause, which says more.
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Transport(format!("{error}{cause}"))
    }
}

/// A server, and who calls it.
#[derive(Clone)]
pub struct Http {
    endpoint: Endpoint,
    /// An API key or a token.
    bearer: Option<String>,
    /// Where authentication is off.
    tenant: Option<TenantId>,
    user: Option<UserId>,
    client: reqwest::Client,
}

/// Keys and tokens don't belong into logs.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Http {
    /// Calls a server; `bearer` is an API key or a token.
    ///
    /// # Errors
    /// Where TLS can't be set up.
    pub fn new(endpoint: Endpoint, bearer: Option<String>) -> Result<Self, HttpError> {
        crate::install_crypto();
        let client = reqwest::Client::builder().timeout(WITHIN).build()?;
        Ok(Self { endpoint, bearer, tenant: None, user: None, client })
    }

    /// Reads a page in JSON without any authorization, such as an admin port's.
    ///
    /// # Errors
    /// [`HttpError::Transport`]: nobody answers within 5 s, or with an error, or with another page.
    pub async fn page<T: DeserializeOwned>(url: &str) -> Result<T, HttpError> {
        crate::install_crypto();
        let client = reqwest::Client::builder().timeout(PAGE_WITHIN).no_proxy().build()?;
        Ok(client.get(url).send().await?.error_for_status()?.json().await?)
    }

    /// Where authentication is off: on behalf of whom.
    #[must_use]
    pub fn on_behalf_of(mut self, tenant: Option<TenantId>, user: Option<UserId>) -> Self {
        (self.tenant, self.user) = (tenant, user);
        self
    }

    /// Publishes: the result is `pub`'s.
    ///
    /// # Errors
    /// Where it is refused, or the server wasn't reached. After an [`HttpError::Transport`] the
    /// outcome is unknown: with a `mid` it may be tried again.
    pub async fn publish(&self, to: &To, publish: impl Into<PublishHttp>) -> Result<PubResult, HttpError> {
        let PublishHttp { data, event, key, mid, store, exclude } = publish.into();
        let query = match to {
            To::Room(room) => ("room", room.as_str()),
            To::User(user) => ("user", user.as_str()),
            To::All => ("all", "true"),
        };
        let (kind, body) = match (data.bytes(), data.value_msgpack()) {
            (Some(bytes), _) => ("application/octet-stream", bytes.clone()),
            (None, Some(value)) => ("application/msgpack", value.clone()),
            (None, None) => ("application/json", "null".into()),
        };
        let mut call =
            self.call(Method::POST, "/v1/messages", &[query]).header(CONTENT_TYPE, kind).body(body);
        for (name, value) in [
            ("ringway-event", event.as_deref()),
            ("ringway-key", key.as_ref().map(Key::as_str)),
            ("ringway-message-id", mid.as_deref()),
            ("ringway-store", (!store).then_some("false")),
            ("ringway-exclude", exclude.as_ref().map(ConnId::as_str)),
        ] {
            let Some(value) = value else { continue };
            let name = HeaderName::from_static(name);
            let value =
                HeaderValue::from_bytes(value.as_bytes()).map_err(|_| HttpError::Header(name.clone()))?;
            call = call.header(name, value);
        }
        #[derive(Deserialize)]
        struct Answer {
            offset: Option<u64>,
            epoch: Option<EpochName>,
            #[serde(default)]
            duplicate: bool,
            #[serde(default)]
            local: bool,
        }
        let Answer { offset, epoch, duplicate, local } = answer(call).await?;
        Ok(PubResult { offset, epoch, duplicate, local })
    }

    /// A page of what a durable room keeps, in the order asked for, and what the server says of it.
    ///
    /// # Errors
    /// Where it is refused, or the server wasn't reached.
    pub async fn history(
        &self,
        room: &RoomName,
        page: &PageHttp,
    ) -> Result<(Vec<Msg>, HistoryResult), HttpError> {
        #[derive(Deserialize)]
        struct Answer {
            epoch: EpochName,
            messages: Vec<Box<RawValue>>,
            #[serde(default)]
            more: bool,
            oldest: Option<u64>,
            newest: Option<u64>,
        }
        let PageHttp { after, before, limit, epoch } = page;
        let [after, before, limit] =
            [*after, *before, limit.map(u64::from)].map(|number| number.map(|n| n.to_string()));
        let epoch = epoch.as_ref().map(|epoch| epoch.as_str());
        let given = [("after", &after), ("before", &before), ("limit", &limit)];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let query: Vec<_> =
            [("room", room.as_str())].into_iter().chain(given).chain(epoch.map(|e| ("epoch", e))).collect();
        let Answer { epoch, messages, more, oldest, newest } =
            answer(self.call(Method::GET, "/v1/messages", &query)).await?;
        let lines = messages.iter().map(|message| line(room, message)).collect::<Result<_, _>>()?;
        Ok((lines, HistoryResult { epoch: Some(epoch), more, oldest, newest }))
    }

    /// Has a durable room forget all that it keeps.
    ///
    /// # Errors
    /// Where it is refused, or the server wasn't reached. After an [`HttpError::Transport`] it may
    /// have been done.
    pub async fn forget(&self, room: &RoomName) -> Result<(), HttpError> {
        #[derive(Deserialize)]
        struct Answer {}
        let Answer {} = answer(self.call(Method::DELETE, "/v1/messages", &[("room", room.as_str())])).await?;
        Ok(())
    }

    /// Where a room lives; without one, where the caller's connection would.
    ///
    /// # Errors
    /// Where it is refused, or the server wasn't reached.
    pub async fn locate(&self, room: Option<&RoomName>) -> Result<Located, HttpError> {
        let query = room.map(|room| ("room", room.as_str()));
        answer(self.call(Method::GET, "/v1/locate", query.as_slice())).await
    }

    /// How many are in a room, over all nodes. (`members` is left out: lists are had by a frame.)
    ///
    /// # Errors
    /// Where it is refused, or the server wasn't reached.
    pub async fn members(&self, room: &RoomName) -> Result<MembersResult, HttpError> {
        #[derive(Deserialize)]
        struct Answer {
            count: Option<u64>,
            users: Option<u64>,
            next: Option<String>,
        }
        let call = self.call(Method::GET, "/v1/members", &[("room", room.as_str())]);
        let Answer { count, users, next } = answer(call).await?;
        Ok(MembersResult { members: None, count, users, next: next.map(Arc::from) })
    }

    fn call(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let tenant = self.tenant.as_ref().map(|tenant| ("tenant", tenant.as_str()));
        // `user` is whom a publication is for, where it is given already.
        let user = self.user.as_ref().filter(|_| query.iter().all(|(name, _)| *name != "user"));
        let user = user.map(|user| ("user", user.as_str()));
        let query: Vec<_> = query.iter().copied().chain(tenant).chain(user).collect();
        let call = self.client.request(method, self.endpoint.call(path, &query));
        match &self.bearer {
            Some(bearer) => call.bearer_auth(bearer),
            None => call,
        }
    }
}

/// A message of a page: a `msg` frame without its type and room.
fn line(room: &RoomName, message: &RawValue) -> Result<Msg, HttpError> {
    let bad = |error: &dyn fmt::Display| HttpError::Transport(format!("a message of the answer: {error}"));
    let fields = message.get().strip_prefix('{').ok_or_else(|| bad(&"not an object"))?;
    match decode_server(Format::Json, format!("{{\"t\":\"msg\",{fields}").as_bytes()) {
        Ok(Some(ServerFrame::Msg(msg))) => Ok(Msg { room: Some(room.clone()), ..msg }),
        Ok(_) => Err(bad(&"another frame")),
        Err(error) => Err(bad(&error)),
    }
}

/// What the server answers, read as what it should be.
async fn answer<T: serde::de::DeserializeOwned>(call: RequestBuilder) -> Result<T, HttpError> {
    let response = call.send().await?;
    let status = response.status();
    let retry = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = response.bytes().await?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| HttpError::Transport(format!("the answer: {error}")));
    }
    let Problem { code, detail } = serde_json::from_slice(&body).unwrap_or_default();
    Err(HttpError::Refused {
        status: status.as_u16(),
        code: code.map_or(Code::Internal, |code| Code::lenient(&code)),
        detail,
        retry: retry.map(Duration::from_secs),
    })
}
