//! What reading from stores is counted by.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// A kind of question to a store.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(super) enum Kind {
    /// What is newest of many rooms.
    #[allow(non_camel_case_types)]
    newest,
    /// Some of what is kept of one room.
    #[allow(non_camel_case_types)]
    room,
    /// Some of what is kept of all rooms.
    #[allow(non_camel_case_types)]
    pass,
    /// Something that only the stream's leader can say.
    #[allow(non_camel_case_types)]
    leader,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: Kind,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResumedLabel {
    resumed: bool,
}

/// Counts of questions, of what they brought, and of resumes.
#[derive(Clone, Debug)]
pub(crate) struct ReadCounts {
    asked: [Counter; 4],
    messages: Counter,
    resumed: Counter,
    not_resumed: Counter,
}

impl ReadCounts {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let asked = Family::<KindLabel, Counter>::default();
        let resumes = Family::<ResumedLabel, Counter>::default();
        let kinds = [Kind::newest, Kind::room, Kind::pass, Kind::leader];
        let counts = Self {
            asked: kinds.map(|kind| asked.get_or_create_owned(&KindLabel { kind })),
            messages: Counter::default(),
            resumed: resumes.get_or_create_owned(&ResumedLabel { resumed: true }),
            not_resumed: resumes.get_or_create_owned(&ResumedLabel { resumed: false }),
        };
        registry.register(
            "store_reads",
            "Questions to stores: what is newest of many rooms, what is kept of a room, of all (pass), or what only the leader knows",
            asked,
        );
        registry.register(
            "store_read_messages",
            "Publications that were read from stores",
            counts.messages.clone(),
        );
        registry.register(
            "store_resumes",
            "Positions in durable rooms that were looked up, by whether everything since could be had",
            resumes,
        );
        counts
    }

    /// Counts that nobody reads.
    #[cfg(test)]
    pub(crate) fn unread() -> Self {
        Self::register(&mut Registry::default())
    }

    pub(super) fn asked(&self, kind: Kind) {
        self.asked[kind as usize].inc();
    }

    pub(super) fn read(&self, messages: usize) {
        self.messages.inc_by(messages as u64);
    }

    pub(super) fn resumed(&self, resumed: bool) {
        let counter = if resumed { &self.resumed } else { &self.not_resumed };
        counter.inc();
    }
}
