//! What `ok` and `joined` carry as `result`: an object, so its fields go by their names.

use super::field::{Fault, Field, Put, Row, Take};
use super::server::{epoch, member, shared};
use crate::frame::{AuthResult, HistoryResult, JoinResult, MembersResult, OkResult, PubResult, ResultFields};
use crate::name::EpochName;

/// Takes a result. Which it is, only the request's id tells.
pub(super) fn take<'a, T: Take<'a>>(take: &mut T) -> Result<Option<OkResult>, Fault> {
    let Some(mut result) = take.inner(Field::Result)? else { return Ok(None) };
    let result = &mut result;
    Ok(Some(OkResult::Fields(Box::new(ResultFields {
        epoch: epoch(result)?,
        offset: result.uint(Field::Offset)?,
        ts: result.uint(Field::Ts)?,
        newest: result.uint(Field::Newest)?,
        durable: result.flag(Field::Durable)?,
        resumed: result.flag(Field::Resumed)?,
        oldest: result.uint(Field::Oldest)?,
        members: result.each(Field::Members, member)?,
        count: result.uint(Field::Count)?,
        users: result.uint(Field::Users)?,
        rights: result.texts(Field::Rights, |right| Ok(right.into_owned().into()))?,
        duplicate: result.flag(Field::Duplicate)?,
        local: result.flag(Field::Local)?,
        next: shared(result, Field::Next)?,
        more: result.flag(Field::More)?,
        expires: result.uint(Field::Expires)?,
    }))))
}

impl Row for OkResult {
    fn put<P: Put>(&self, put: &mut P) {
        match self {
            Self::Join(result) => result.put(put),
            Self::Pub(result) => result.put(put),
            Self::Members(result) => result.put(put),
            Self::History(result) => result.put(put),
            Self::Auth(result) => result.put(put),
            Self::Fields(result) => result.put(put),
        }
    }
}

impl Row for JoinResult {
    fn put<P: Put>(&self, put: &mut P) {
        put.text(Field::Epoch, self.epoch.as_ref().map(EpochName::as_str));
        put.uint(Field::Offset, self.offset);
        put.uint(Field::Ts, self.ts);
        put.uint(Field::Newest, self.newest);
        put.flag(Field::Durable, Some(self.durable));
        put.flag(Field::Resumed, self.resumed);
        put.uint(Field::Oldest, self.oldest);
        put.each(Field::Members, self.members.as_deref());
        put.uint(Field::Count, self.count);
        put.uint(Field::Users, self.users);
        put.texts(Field::Rights, self.rights.as_deref());
    }
}

impl Row for PubResult {
    fn put<P: Put>(&self, put: &mut P) {
        put.uint(Field::Offset, self.offset);
        put.text(Field::Epoch, self.epoch.as_ref().map(EpochName::as_str));
        put.flag(Field::Duplicate, self.duplicate.then_some(true));
        put.flag(Field::Local, self.local.then_some(true));
    }
}

impl Row for MembersResult {
    fn put<P: Put>(&self, put: &mut P) {
        put.each(Field::Members, self.members.as_deref());
        put.uint(Field::Count, self.count);
        put.uint(Field::Users, self.users);
        put.text(Field::Next, self.next.as_deref());
    }
}

impl Row for HistoryResult {
    fn put<P: Put>(&self, put: &mut P) {
        put.text(Field::Epoch, self.epoch.as_ref().map(EpochName::as_str));
        put.flag(Field::More, Some(self.more));
        put.uint(Field::Oldest, self.oldest);
        put.uint(Field::Newest, self.newest);
    }
}

impl Row for AuthResult {
    fn put<P: Put>(&self, put: &mut P) {
        put.uint(Field::Expires, self.expires);
    }
}

impl Row for ResultFields {
    fn put<P: Put>(&self, put: &mut P) {
        put.text(Field::Epoch, self.epoch.as_ref().map(EpochName::as_str));
        put.uint(Field::Offset, self.offset);
        put.uint(Field::Ts, self.ts);
        put.uint(Field::Newest, self.newest);
        put.flag(Field::Durable, self.durable);
        put.flag(Field::Resumed, self.resumed);
        put.uint(Field::Oldest, self.oldest);
        put.each(Field::Members, self.members.as_deref());
        put.uint(Field::Count, self.count);
        put.uint(Field::Users, self.users);
        put.texts(Field::Rights, self.rights.as_deref());
        put.flag(Field::Duplicate, self.duplicate);
        put.flag(Field::Local, self.local);
        put.text(Field::Next, self.next.as_deref());
        put.flag(Field::More, self.more);
        put.uint(Field::Expires, self.expires);
    }
}
