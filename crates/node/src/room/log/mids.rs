//! Repeats: which publication had which `mid`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Entry;
use crate::room::limits::{MIDS, MIDS_AGE};
use ringway_backplane::message::Publication;
use ringway_protocol::name::{SessionId, UserId};

/// Who may repeat a `mid`: a user, or where there is none a session, or where there is none whoever has neither.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Author {
    User(UserId),
    Session(SessionId),
    Nobody,
}

type Name = (Author, Arc<str>);

/// Whose `mid` a publication has, if it has one.
fn name_of(publication: &Publication) -> Option<Name> {
    let mid = publication.mid.clone()?;
    let author = match (&publication.user, &publication.session) {
        (Some(user), _) => Author::User(user.clone()),
        (None, Some(session)) => Author::Session(session.clone()),
        (None, None) => Author::Nobody,
    };
    Some((author, mid))
}

/// Which publication had each `mid` that is remembered. Where a repeat wasn't recognised, by a node that couldn't know, the
/// later one: it is kept longer.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<Name, u64>);

impl Repeats {
    pub(super) fn note(&mut self, entry: &Entry) {
        if let Some(name) = name_of(&entry.publication) {
            self.remember(name, entry.offset);
        }
    }

    fn remember(&mut self, name: Name, offset: u64) {
        let latest = self.0.entry(name).or_insert(offset);
        *latest = offset.max(*latest);
    }

    pub(super) fn note_replaced(&mut self, replaced: &Replaced) {
        for gone in &replaced.0 {
            self.remember(gone.name.clone(), gone.offset);
        }
    }

    pub(super) fn forget(&mut self, entry: &Entry) {
        if let Some(name) = name_of(&entry.publication) {
            self.forget_name(&name, entry.offset);
        }
    }

    fn forget_name(&mut self, name: &Name, offset: u64) {
        if self.0.get(name) == Some(&offset) {
            self.0.remove(name);
        }
    }

    pub(super) fn offset_of(&self, publication: &Publication) -> Option<u64> {
        self.0.get(&name_of(publication)?).copied()
    }
}

#[derive(Debug)]
struct Gone {
    offset: u64,
    ts: u64,
    name: Name,
}

/// Whose place a newer one of their key took: they aren't kept, but their `mid`s are, for as long as an ordinary room would
/// keep them. Else a retry that was overtaken would bring back the older value.
#[derive(Debug, Default)]
pub(super) struct Replaced(VecDeque<Gone>);

impl Replaced {
    /// `number`: the room's newest.
    pub(super) fn remember(&mut self, entry: &Entry, number: u64) {
        if number - entry.offset < MIDS
            && let Some(name) = name_of(&entry.publication)
        {
            self.0.push_back(Gone { offset: entry.offset, ts: entry.publication.ts, name });
        }
    }

    /// Forgets those that are too far back, in number or time.
    pub(super) fn trim(&mut self, number: u64, wall_ms: u64, mut repeats: Option<&mut Repeats>) {
        let too_old = wall_ms.saturating_sub(MIDS_AGE);
        while let Some(gone) = self.0.front()
            && (number - gone.offset >= MIDS || gone.ts < too_old)
        {
            if let Some(repeats) = &mut repeats {
                repeats.forget_name(&gone.name, gone.offset);
            }
            self.0.pop_front();
        }
        if self.0.is_empty() && self.0.capacity() > 0 {
            self.0 = VecDeque::new();
        }
    }
}
