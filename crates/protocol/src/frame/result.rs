//! What `ok` and `joined` carry as `result`.
//!
//! A result doesn't say which request it answers: the `id` does. So a reader gets [`ResultFields`],
//! every field that any result may have, and takes from it the result that it asked for.

use std::borrow::Cow;
use std::sync::Arc;

use super::server::Member;
use crate::name::EpochName;

/// A request's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OkResult {
    /// Of a join.
    Join(JoinResult),
    /// Of a publication.
    Pub(PubResult),
    /// Of a question who is there.
    Members(MembersResult),
    /// Of a page of history, after its lines.
    History(HistoryResult),
    /// Of a fresh token.
    Auth(AuthResult),
    /// As decoded: which it is, only the request's `id` tells.
    Fields(Box<ResultFields>),
}

impl OkResult {
    /// Every field that the result has, whatever it answers.
    pub fn into_fields(self) -> ResultFields {
        match self {
            Self::Join(result) => result.into(),
            Self::Pub(result) => result.into(),
            Self::Members(result) => result.into(),
            Self::History(result) => result.into(),
            Self::Auth(result) => result.into(),
            Self::Fields(fields) => *fields,
        }
    }

    /// As a join's result.
    pub fn into_join(self) -> JoinResult {
        match self {
            Self::Join(result) => result,
            other => other.into_fields().into(),
        }
    }

    /// As a publication's result.
    pub fn into_pub(self) -> PubResult {
        match self {
            Self::Pub(result) => result,
            other => other.into_fields().into(),
        }
    }

    /// As the result of a question who is there.
    pub fn into_members(self) -> MembersResult {
        match self {
            Self::Members(result) => result,
            other => other.into_fields().into(),
        }
    }

    /// As the result of a page of history.
    pub fn into_history(self) -> HistoryResult {
        match self {
            Self::History(result) => result,
            other => other.into_fields().into(),
        }
    }

    /// As the result of a fresh token.
    pub fn into_auth(self) -> AuthResult {
        match self {
            Self::Auth(result) => result,
            other => other.into_fields().into(),
        }
    }
}

/// Of a join: where what follows begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JoinResult {
    /// With `offset` and `ts` the position where what follows begins; all absent: the room's holder
    /// wasn't reached, and the client keeps the position it has.
    pub epoch: Option<EpochName>,
    /// See `epoch`.
    pub offset: Option<u64>,
    /// See `epoch`; milliseconds since 1970.
    pub ts: Option<u64>,
    /// The newest offset.
    pub newest: Option<u64>,
    /// Whether the room is stored.
    pub durable: bool,
    /// Where `since` was given: whether everything after it follows.
    pub resumed: Option<bool>,
    /// Where `resumed` is false: the oldest offset that is still kept.
    pub oldest: Option<u64>,
    /// Who is there, in small rooms with presence.
    pub members: Option<Vec<Member>>,
    /// How many connections are there.
    pub count: Option<u64>,
    /// How many users that is.
    pub users: Option<u64>,
    /// What the client may do in the room: `join`, `publish`, `presence`, `history`, `call`.
    pub rights: Option<Vec<Cow<'static, str>>>,
}

/// Of a publication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PubResult {
    /// Its place; none: it has none (a signal, or `local`).
    pub offset: Option<u64>,
    /// The epoch of that place.
    pub epoch: Option<EpochName>,
    /// It was a repeat; the place is the first one's.
    pub duplicate: bool,
    /// The backplane was away: only this node's members were reached.
    pub local: bool,
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MembersResult {
    /// A page of them; none: only counts are given.
    pub members: Option<Vec<Member>>,
    /// How many connections there are in all.
    pub count: Option<u64>,
    /// How many users that is.
    pub users: Option<u64>,
    /// The next page's `after`; none: this was the last.
    pub next: Option<Arc<str>>,
}

/// Of a page of history, after its lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryResult {
    /// The epoch of the lines' offsets.
    pub epoch: Option<EpochName>,
    /// Whether there is more in the direction that was asked for.
    pub more: bool,
    /// The oldest offset that is kept.
    pub oldest: Option<u64>,
    /// The newest.
    pub newest: Option<u64>,
}

/// Of a fresh token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthResult {
    /// Seconds from now until the new token expires; none: never.
    pub expires: Option<u64>,
}

/// Every field that any result may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultFields {
    /// Join, publication, history.
    pub epoch: Option<EpochName>,
    /// Join, publication.
    pub offset: Option<u64>,
    /// Join.
    pub ts: Option<u64>,
    /// Join, history.
    pub newest: Option<u64>,
    /// Join.
    pub durable: Option<bool>,
    /// Join.
    pub resumed: Option<bool>,
    /// Join, history.
    pub oldest: Option<u64>,
    /// Join, members.
    pub members: Option<Vec<Member>>,
    /// Join, members.
    pub count: Option<u64>,
    /// Join, members.
    pub users: Option<u64>,
    /// Join.
    pub rights: Option<Vec<Cow<'static, str>>>,
    /// Publication.
    pub duplicate: Option<bool>,
    /// Publication.
    pub local: Option<bool>,
    /// Members.
    pub next: Option<Arc<str>>,
    /// History.
    pub more: Option<bool>,
    /// Auth.
    pub expires: Option<u64>,
}

impl From<JoinResult> for ResultFields {
    fn from(result: JoinResult) -> Self {
        Self {
            epoch: result.epoch,
            offset: result.offset,
            ts: result.ts,
            newest: result.newest,
            durable: Some(result.durable),
            resumed: result.resumed,
            oldest: result.oldest,
            members: result.members,
            count: result.count,
            users: result.users,
            rights: result.rights,
            ..Self::default()
        }
    }
}

impl From<ResultFields> for JoinResult {
    fn from(fields: ResultFields) -> Self {
        Self {
            epoch: fields.epoch,
            offset: fields.offset,
            ts: fields.ts,
            newest: fields.newest,
            durable: fields.durable.unwrap_or(false),
            resumed: fields.resumed,
            oldest: fields.oldest,
            members: fields.members,
            count: fields.count,
            users: fields.users,
            rights: fields.rights,
        }
    }
}

impl From<PubResult> for ResultFields {
    fn from(result: PubResult) -> Self {
        Self {
            offset: result.offset,
            epoch: result.epoch,
            duplicate: result.duplicate.then_some(true),
            local: result.local.then_some(true),
            ..Self::default()
        }
    }
}

impl From<ResultFields> for PubResult {
    fn from(fields: ResultFields) -> Self {
        Self {
            offset: fields.offset,
            epoch: fields.epoch,
            duplicate: fields.duplicate.unwrap_or(false),
            local: fields.local.unwrap_or(false),
        }
    }
}

impl From<MembersResult> for ResultFields {
    fn from(result: MembersResult) -> Self {
        Self {
            members: result.members,
            count: result.count,
            users: result.users,
            next: result.next,
            ..Self::default()
        }
    }
}

impl From<ResultFields> for MembersResult {
    fn from(fields: ResultFields) -> Self {
        Self { members: fields.members, count: fields.count, users: fields.users, next: fields.next }
    }
}

impl From<HistoryResult> for ResultFields {
    fn from(result: HistoryResult) -> Self {
        Self {
            epoch: result.epoch,
            more: Some(result.more),
            oldest: result.oldest,
            newest: result.newest,
            ..Self::default()
        }
    }
}

impl From<ResultFields> for HistoryResult {
    fn from(fields: ResultFields) -> Self {
        Self {
            epoch: fields.epoch,
            more: fields.more.unwrap_or(false),
            oldest: fields.oldest,
            newest: fields.newest,
        }
    }
}

impl From<AuthResult> for ResultFields {
    fn from(result: AuthResult) -> Self {
        Self { expires: result.expires, ..Self::default() }
    }
}

impl From<ResultFields> for AuthResult {
    fn from(fields: ResultFields) -> Self {
        Self { expires: fields.expires }
    }
}
