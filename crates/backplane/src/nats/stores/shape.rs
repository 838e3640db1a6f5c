//! What a store's streams should be like: as configuration of JetStream, and how one that is there differs.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::message::Epoch;
use crate::store::{StoreKey, StoreSettings};
use crate::subject::{PARTS, Subjects};

/// What stands in a stream's metadata, so that every process reads the same of it.
pub(super) mod note {
    /// Which store it is of: all that the store's streams may take.
    pub(in super::super) const STORE: &str = "ringway.store";
    /// The epoch that its numbers belong to.
    pub(in super::super) const EPOCH: &str = "ringway.epoch";
    /// The stream's own time of creation when that epoch was written: another one means another stream.
    pub(in super::super) const CREATED: &str = "ringway.created";
    /// Which parts it takes, so that subjects taken away by hand are told from a split.
    pub(in super::super) const PARTS: &str = "ringway.parts";
    /// The settings that it last got from a process of ours: it has others only where a hand has changed them.
    pub(in super::super) const SETTINGS: &str = "ringway.settings";
    /// Whether only the newest of each key is kept.
    pub(in super::super) const KEYED: &str = "ringway.latest_per_key";
    /// What was changed by hand and put back, and when (milliseconds since 1970 before a blank).
    pub(in super::super) const MENDED: &str = "ringway.mended";
    /// A split under way: which parts leave it, and for which stream.
    pub(in super::super) const SPLIT: &str = "ringway.split";
    /// What splits have taken away, and is still to be deleted: which parts, and since when (milliseconds since 1970).
    pub(in super::super) const LEFT: &str = "ringway.left";
}

/// The settings of a stream that come from a store's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    per_subject: i64,
    age: u64,
    bytes: i64,
    discard: &'static str,
    window: u64,
    replicas: u64,
    storage: &'static str,
}

/// Nanoseconds.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(i64::MAX as u64).min(i64::MAX as u64)
}

fn amount(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

impl Shape {
    pub(super) fn of(settings: &StoreSettings) -> Self {
        let age = settings.age.map_or(0, nanos);
        let window = nanos(settings.repeat_window);
        Self {
            // One more than can be had: by it the oldest position is verified.
            per_subject: if settings.latest_per_key {
                1
            } else {
                amount(settings.messages_per_room.map(|messages| messages.saturating_add(1)))
            },
            age,
            bytes: amount(settings.bytes),
            discard: if settings.refuse_when_full { "new" } else { "old" },
            // The server remembers no id for longer than a message.
            window: if age == 0 { window } else { window.min(age) },
            replicas: u64::from(settings.replicas),
            storage: if settings.in_memory { "memory" } else { "file" },
        }
    }

    fn read(config: &Value) -> Self {
        let or_all = |key: &str| match config[key].as_i64() {
            None | Some(0) => -1,
            Some(limit) => limit,
        };
        Self {
            per_subject: or_all("max_msgs_per_subject"),
            age: config["max_age"].as_u64().unwrap_or(0),
            bytes: or_all("max_bytes"),
            discard: if config["discard"] == "new" { "new" } else { "old" },
            window: config["duplicate_window"].as_u64().unwrap_or(0),
            replicas: config["num_replicas"].as_u64().unwrap_or(1),
            storage: if config["storage"] == "memory" { "memory" } else { "file" },
        }
    }

    /// As it is noted.
    fn text(&self) -> String {
        let Self { per_subject, age, bytes, discard, window, replicas, storage } = self;
        format!("{per_subject} {age} {bytes} {discard} {window} {replicas} {storage}")
    }

    fn fields(&self) -> [(&'static str, Value); 7] {
        [
            ("max_msgs_per_subject", json!(self.per_subject)),
            ("max_age", json!(self.age)),
            ("max_bytes", json!(self.bytes)),
            ("discard", json!(self.discard)),
            ("duplicate_window", json!(self.window)),
            ("num_replicas", json!(self.replicas)),
            ("storage", json!(self.storage)),
        ]
    }
}

/// The last words of a subject that no room has: no tenant is called so.
const MARK: &str = ".-.-._";

/// How a store's streams are called, and what they take.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    subjects: &'a Subjects,
    key: &'a StoreKey,
}

impl<'a> Layout<'a> {
    pub(super) fn new(subjects: &'a Subjects, key: &'a StoreKey) -> Self {
        Self { subjects, key }
    }

    /// The name of the nth stream, from 1: `ringway-shared-chat`, `ringway-shared-chat-2` …
    pub(super) fn name(&self, nth: usize) -> String {
        let base = self.subjects.stream(&self.key.group, &self.key.store);
        if nth <= 1 { base } else { format!("{base}-{nth}") }
    }

    /// All that the store's streams may take.
    pub(super) fn everything(&self) -> String {
        self.subjects.stored_all(&self.key.group, &self.key.store)
    }

    /// The subjects of these parts.
    pub(super) fn subjects_of(&self, parts: u64) -> Vec<String> {
        bits(parts).map(|part| self.subjects.stored_part(&self.key.group, &self.key.store, part)).collect()
    }

    /// The parts that a stream takes; none: it takes something else, too.
    pub(super) fn parts_of(&self, config: &Value) -> Option<u64> {
        let all = self.subjects_of(u64::MAX);
        let subjects = config["subjects"].as_array().map_or(&[][..], Vec::as_slice);
        let is_mark = |subject: &Value| subject.as_str().is_some_and(|subject| subject.ends_with(MARK));
        subjects.iter().filter(|subject| !is_mark(subject)).try_fold(0, |parts, subject| {
            let part = all.iter().position(|one| subject == one)?;
            Some(parts | 1 << part)
        })
    }

    /// A subject in the first of these parts that no room has: what a split puts there is seen to come last.
    pub(super) fn mark(&self, parts: u64) -> String {
        let part = bits(parts).next().unwrap_or(0);
        let subject = self.subjects.stored_part(&self.key.group, &self.key.store, part);
        let slot = u16::from(part) * 256;
        format!("{}.{slot}{MARK}", subject.trim_end_matches(".*"))
    }

    /// Whether a stream is one of this store's by what is noted in it.
    pub(super) fn has(&self, config: &Value) -> bool {
        get_note(config, note::STORE) == Some(&*self.everything())
    }

    /// What the server tells everyone who listens to a room.
    pub(super) fn republish(&self) -> Value {
        let (src, dest) = self.subjects.republished(&self.key.group, &self.key.store);
        json!({ "src": src, "dest": dest })
    }

    pub(super) fn description(&self) -> String {
        format!("Ringway: store {} of group {}", self.key.store, self.key.group)
    }
}

/// What a store's streams should be like.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) layout: Layout<'a>,
    pub(super) settings: &'a StoreSettings,
    shape: Shape,
}

impl<'a> Plan<'a> {
    pub(super) fn new(subjects: &'a Subjects, key: &'a StoreKey, settings: &'a StoreSettings) -> Self {
        Self { layout: Layout::new(subjects, key), settings, shape: Shape::of(settings) }
    }

    /// Settings that no configuration of ours changes.
    fn fixed(&self) -> [(&'static str, Value); 10] {
        [
            ("retention", json!("limits")),
            ("max_msgs", json!(-1)),
            ("max_msg_size", json!(-1)),
            ("discard_new_per_subject", json!(false)),
            ("no_ack", json!(false)),
            ("deny_delete", json!(false)),
            ("deny_purge", json!(false)),
            ("subject_transform", Value::Null),
            ("sources", Value::Null),
            ("republish", self.layout.republish()),
        ]
    }

    /// A stream that isn't there yet.
    pub(super) fn stream(&self, name: &str, parts: u64, epoch: Epoch) -> Value {
        let mut config = Map::new();
        config.insert("name".into(), json!(name));
        config.insert("description".into(), json!(self.layout.description()));
        config.insert("subjects".into(), json!(self.layout.subjects_of(parts)));
        config.insert("allow_direct".into(), json!(true));
        let fixed = self.fixed().into_iter().filter(|(_, value)| !value.is_null());
        for (key, value) in fixed.chain(self.shape.fields()) {
            config.insert(key.into(), value);
        }
        let mut config = Value::Object(config);
        self.note(&mut config, parts);
        set_note(&mut config, note::EPOCH, epoch.to_string());
        config
    }

    /// Notes what a stream has got from us.
    pub(super) fn note(&self, config: &mut Value, parts: u64) {
        set_note(config, note::STORE, self.layout.everything());
        note_parts(config, parts);
        set_note(config, note::SETTINGS, self.shape.text());
        set_note(config, note::KEYED, self.settings.latest_per_key.to_string());
    }

    /// How a stream differs from what it should be.
    pub(super) fn compare(&self, config: &Value) -> Differences {
        let mut found = Differences::default();
        let is = Shape::read(config);
        if is.text() != get_note(config, note::SETTINGS).unwrap_or_default() {
            found.by_hand.extend(self.differing(&is));
            found.unnoted = true;
        } else if is != self.shape {
            found.by_configuration = self.differing(&is);
        }
        for (key, wanted) in self.fixed() {
            if !same(&config[key], &wanted) {
                found.by_hand.push(key);
            }
        }
        // A split switches it off for a moment.
        if config["allow_direct"] != true && get_note(config, note::SPLIT).is_none() {
            found.by_hand.push("allow_direct");
        }
        found.storage = is.storage != self.shape.storage;
        // It can't be changed, so nothing that could be is lost by leaving it out.
        found.by_hand.retain(|key| *key != "storage");
        found.by_configuration.retain(|key| *key != "storage");
        found
    }

    fn differing(&self, is: &Shape) -> Vec<&'static str> {
        let pairs = is.fields().into_iter().zip(self.shape.fields());
        pairs.filter(|(is, wanted)| is != wanted).map(|((key, _), _)| key).collect()
    }

    /// A stream's settings made right; what isn't ours stays as it is, and so does where it keeps.
    pub(super) fn mend(&self, config: &mut Value, parts: u64) {
        for (key, value) in self.fixed().into_iter().chain(self.shape.fields()) {
            if key != "storage" && !same(&config[key], &value) {
                config[key] = value;
            }
        }
        if get_note(config, note::SPLIT).is_none() {
            config["allow_direct"] = json!(true);
        }
        config["subjects"] = json!(self.layout.subjects_of(parts));
        let shape = Shape { storage: Shape::read(config).storage, ..self.shape.clone() };
        self.note(config, parts);
        set_note(config, note::SETTINGS, shape.text());
    }
}

/// How a stream differs from what it should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// Settings that aren't as a process of ours left them.
    pub(super) by_hand: Vec<&'static str>,
    /// Settings that a process of ours left, by another configuration than this one's.
    pub(super) by_configuration: Vec<&'static str>,
    /// Where it keeps can't be changed, and is another.
    pub(super) storage: bool,
    /// What it has from us isn't noted, or not truly.
    pub(super) unnoted: bool,
}

/// Servers leave out what has its default, and write some defaults in two ways.
fn same(is: &Value, wanted: &Value) -> bool {
    let empty = |value: &Value| {
        value.is_null()
            || *value == json!(false)
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_i64().is_some_and(|number| number == 0 || number == -1)
    };
    match (is, wanted) {
        (Value::Object(is), Value::Object(wanted)) => {
            is.iter().all(|(key, value)| empty(value) || wanted.get(key) == Some(value))
                && wanted.iter().all(|(key, value)| is.get(key) == Some(value))
        }
        _ => is == wanted || (empty(is) && empty(wanted)),
    }
}

/// The parts that are noted in a stream.
pub(super) fn noted_parts(config: &Value) -> Option<u64> {
    u64::from_str_radix(get_note(config, note::PARTS)?, 16).ok()
}

pub(super) fn note_parts(config: &mut Value, parts: u64) {
    set_note(config, note::PARTS, format!("{parts:016x}"));
}

/// The parts that a split is taking from a stream, and the name of the stream that gets them.
pub(super) fn noted_split(config: &Value) -> Option<(u64, &str)> {
    let (parts, to) = get_note(config, note::SPLIT)?.split_once(' ')?;
    Some((u64::from_str_radix(parts, 16).ok()?, to))
}

/// The parts that have left a stream, whose messages are still in it, and since when, in milliseconds since 1970.
pub(super) fn noted_left(config: &Value) -> Option<(u64, u64)> {
    let (parts, since) = get_note(config, note::LEFT)?.split_once(' ')?;
    Some((u64::from_str_radix(parts, 16).ok()?, since.parse().ok()?))
}

pub(super) fn note_left(config: &mut Value, parts: u64, since: u64) {
    set_note(config, note::LEFT, format!("{parts:016x} {since}"));
}

pub(super) fn note_split(config: &mut Value, parts: u64, to: &str) {
    set_note(config, note::SPLIT, format!("{parts:016x} {to}"));
}

/// The numbers of the bits that are set.
pub(super) fn bits(parts: u64) -> impl Iterator<Item = u8> {
    (0..PARTS).filter(move |part| parts & 1 << part != 0)
}

pub(super) fn get_note<'a>(config: &'a Value, note: &str) -> Option<&'a str> {
    config["metadata"].get(note)?.as_str()
}

pub(super) fn set_note(config: &mut Value, note: &str, text: String) {
    if !config["metadata"].is_object() {
        config["metadata"] = json!({});
    }
    config["metadata"][note] = text.into();
}

pub(super) fn drop_note(config: &mut Value, note: &str) {
    if let Some(notes) = config["metadata"].as_object_mut() {
        notes.remove(note);
    }
}
