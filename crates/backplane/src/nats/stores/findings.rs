//! What one look at a store found: its streams, and what is to be told of them, in words for people.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::api::ApiError;
use super::epochs;
use super::shape::{Plan, get_note, note, noted_left, noted_split};
use crate::store::StreamState;

/// How long it is told that something was changed by hand.
const TELL_MENDED: Duration = Duration::from_secs(600);

/// Who keeps a stream tells its leader every second that it is there.
const AWAY_AFTER: Duration = Duration::from_secs(5);

/// A split that has come to its end has deleted by then what moved.
const TELL_LEFT: Duration = Duration::from_secs(300);

/// From so many rooms (or keys) on in one stream it should be split: a server takes long to start with a million.
const MANY: u64 = 750_000;

/// What one look found. Its words are the same as long as the matter is: they are logged when they change.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) streams: Vec<StreamState>,
    pub(super) hurt: Vec<String>,
    /// Who didn't answer in time, and what that means if it lasts.
    pub(super) silent: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// The parts that are cared for, by streams or by a split.
    pub(super) covered: u64,
    /// The parts that streams take now.
    pub(super) taken: u64,
    /// Streams that a split takes parts from, with these.
    pub(super) splits: Vec<(String, u64)>,
    /// Something couldn't be looked at: nothing may be concluded from what is missing.
    pub(super) blind: bool,
    /// Another's stream takes what is the store's.
    pub(super) foreign: bool,
    /// Something couldn't be brought to what the settings say.
    pub(super) failed: bool,
    /// Not everything is settled that could be.
    pub(super) unfinished: bool,
}

impl Findings {
    pub(super) fn cannot_look(&mut self, at: &str, error: &ApiError) {
        self.blind = true;
        self.unfinished = true;
        let told_in = if *error == ApiError::Silent { &mut self.silent } else { &mut self.hurt };
        let told = match error {
            ApiError::Silent if at.starts_with("stream") => {
                format!(
                    "{at} has no leader that answers: most of the servers that keep it are away, or overloaded"
                )
            }
            error => match error.in_general() {
                Some(why) => why.to_owned(),
                None => format!("{at} can't be looked at: {error}"),
            },
        };
        if !told_in.contains(&told) {
            told_in.push(told);
        }
    }

    /// A stream that isn't ours takes what is.
    pub(super) fn foreign(&mut self, name: &str, config: &Value, ours: &str) {
        self.foreign = true;
        let subjects = config["subjects"].as_array().map_or(&[][..], Vec::as_slice);
        let subjects: Vec<_> = subjects.iter().filter_map(Value::as_str).take(3).collect();
        self.hurt.push(format!(
            "stream {name}, which isn't Ringway's, takes {}: right would be subjects outside {ours}",
            subjects.join(", ")
        ));
    }

    /// What should be known of a stream that works.
    pub(super) fn notice(&mut self, plan: &Plan<'_>, name: &str, info: &Value) {
        let (config, state) = (&info["config"], &info["state"]);
        if let Some(mended) = get_note(config, note::MENDED)
            && let Some((ms, what)) = mended.split_once(' ')
            && ms
                .parse()
                .is_ok_and(|ms: u64| epochs::now_ms().saturating_sub(ms) < TELL_MENDED.as_millis() as u64)
        {
            self.warnings.push(format!("stream {name} was changed by hand ({what}), and was put back"));
        }
        if noted_split(config).is_some() {
            self.warnings.push(format!("stream {name} is being split"));
            self.unfinished = true;
        }
        if let Some((_, since)) = noted_left(config)
            && epochs::now_ms().saturating_sub(since) > TELL_LEFT.as_millis() as u64
        {
            self.warnings.push(format!(
                "stream {name} still keeps what moved to others: run `ringway store split` again to the same number"
            ));
        }
        let bytes = state["bytes"].as_u64().unwrap_or(0);
        if let Some(limit) = plan.settings.bytes.filter(|_| plan.settings.refuse_when_full)
            && bytes >= limit - limit / 100
        {
            self.hurt.push(format!(
                "stream {name} is full ({limit} bytes), and by when_full = \"refuse\" nothing more is stored"
            ));
        }
        let rooms = state["num_subjects"].as_u64().unwrap_or(0);
        if rooms >= MANY {
            let what = if plan.settings.latest_per_key { "keys" } else { "rooms" };
            self.warnings.push(format!(
                "stream {name} keeps more than {MANY} {what}: split it (`ringway store split`)"
            ));
        }
        let replicas = info["cluster"]["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        let silent = |replica: &&Value| {
            // Whom a new leader has never heard has no such figure.
            let silence = replica["active"].as_u64().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
            replica["offline"] == true
                || replica["current"] == false && silence.is_none_or(|silence| silence > AWAY_AFTER)
        };
        let away: BTreeSet<_> =
            replicas.iter().filter(silent).filter_map(|replica| replica["name"].as_str()).collect();
        if !away.is_empty() {
            let away = away.into_iter().collect::<Vec<_>>().join(", ");
            self.warnings
                .push(format!("stream {name} is kept on fewer servers than it should be: {away} away"));
        }
    }
}

impl Plan<'_> {
    /// What might help where a stream can't be as it should.
    pub(super) fn advice(&self) -> &'static str {
        if self.settings.replicas > 1 {
            ". Right would be as many NATS servers with JetStream as `replicas` says"
        } else {
            ""
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{StoreKey, StoreSettings};
    use crate::subject::Subjects;

    #[test]
    fn what_only_grows_is_told_in_the_same_words() {
        let subjects = Subjects::new("ringway").expect("a prefix");
        let key =
            StoreKey { group: "shared".parse().expect("a name"), store: "chat".parse().expect("a name") };
        let settings = StoreSettings {
            messages_per_room: None,
            age: None,
            bytes: Some(1_000_000),
            refuse_when_full: true,
            repeat_window: Duration::from_secs(30),
            replicas: 1,
            latest_per_key: false,
            in_memory: false,
        };
        let plan = Plan::new(&subjects, &key, &settings);
        let told = |bytes: u64, rooms: u64| {
            let mut found = Findings::default();
            found.notice(&plan, "S", &json!({ "state": { "bytes": bytes, "num_subjects": rooms } }));
            (found.hurt, found.warnings)
        };
        assert_eq!(told(100, MANY - 1), (Vec::new(), Vec::new()));
        let (hurt, warnings) = told(995_000, MANY);
        assert_eq!((hurt.len(), warnings.len()), (1, 1));
        assert_eq!(told(999_999, MANY + 12_345), (hurt, warnings));
    }
}
