//! Whether who answers as a stream's leader still is it. A leader that is cut off from the other servers goes on answering
//! for ten seconds, while those have elected another and store what it will never hear of in time: what it doesn't have
//! proves nothing.

use std::time::Duration;

use serde::Deserialize;

/// So lately the others must have answered it. They elect another 4 s after they last heard of it, at the earliest.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// The servers that keep a stream, as its leader sees them (`cluster` of `STREAM.INFO`).
#[derive(Debug, Default, Deserialize)]
pub(super) struct Standing {
    /// But for itself. None: it is the only one.
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
struct Replica {
    /// How long ago it was heard, in nanoseconds; 0: never.
    #[serde(default)]
    active: u64,
    #[serde(default)]
    offline: bool,
}

impl Standing {
    /// Reads an answer of `STREAM.INFO`.
    pub(super) fn of(info: &serde_json::Value) -> Self {
        // One without this part speaks for itself alone.
        Self::deserialize(&info["cluster"]).unwrap_or_default()
    }

    /// Most of the servers, itself among them, have answered it lately: then none of what is stored is unknown to it.
    pub(super) fn is_obeyed(&self) -> bool {
        let heard = self.replicas.iter().filter(|replica| {
            !replica.offline && replica.active > 0 && Duration::from_nanos(replica.active) < HEARD_WITHIN
        });
        // Of 2 n or 2 n + 1 servers, n others.
        heard.count() >= self.replicas.len().div_ceil(2)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_leader_is_obeyed_while_most_have_answered_it_lately() {
        let (lately, long_ago) = (json!({"active": 900_000_000}), json!({"active": 3_100_000_000_u64}));
        let (never, offline) = (json!({"active": 0}), json!({"active": 900_000_000, "offline": true}));
        let obeyed = |replicas: &[&serde_json::Value]| {
            Standing::of(&json!({"cluster": {"leader": "a", "replicas": replicas}})).is_obeyed()
        };
        assert!(obeyed(&[]) && Standing::of(&json!({"config": {}})).is_obeyed(), "the only one");
        assert!(obeyed(&[&lately]) && !obeyed(&[&long_ago]));
        assert!(obeyed(&[&lately, &long_ago]) && obeyed(&[&never, &lately]));
        assert!(!obeyed(&[&never, &long_ago]) && !obeyed(&[&offline, &offline]));
        assert!(obeyed(&[&lately, &lately, &offline, &offline]));
        assert!(!obeyed(&[&lately, &long_ago, &offline, &offline]));
    }
}
