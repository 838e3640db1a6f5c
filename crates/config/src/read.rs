//! From the tree of values to the structs of the configuration: which keys a table has, which are missing or unknown,
//! and what stands where. What a single value may be is said in `leaf`; what must fit together, in `check`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::Environment;
use crate::error::{Place, Problem};
use crate::exact::Exact;
use crate::files::Files;
use crate::nearest;
use crate::value::{Entry, Kind, Node};

/// Something that stands at a key: a single value, a list, or a table with keys of its own.
pub(crate) trait Field: Sized {
    /// Reads it. What is wrong goes to the reader; None then.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// Adds every value from `path` downwards.
    fn lay_out(&self, path: &str, out: &mut Exact);

    /// Adds every key from `path` downwards. `default` is this key's, where it has one.
    fn keys(path: &str, default: Option<&Self>, out: &mut Vec<Key>);

    /// Whether a table that is absent is read as an empty one, for its own required keys.
    fn absent() -> Option<Self> {
        None
    }
}

/// A single value.
pub(crate) trait Leaf: Sized {
    /// What may stand here, for messages and the reference page: "a duration such as …".
    fn wants() -> String;

    /// The same for one key, where that can be said more exactly.
    fn wants_at(_path: &str) -> String {
        Self::wants()
    }

    /// # Errors
    /// Says why not.
    fn parse(node: &Node, reader: &mut Reader<'_>) -> Result<Self, Refusal>;

    /// The value as TOML, for the reference page. Never a secret.
    fn show(&self) -> String;

    /// What two values have in common only if they are the same: where that isn't what is shown, a digest.
    fn identity(&self) -> String {
        self.show()
    }
}

/// Why a value is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is of the wrong kind.
    Kind,
    /// It is of the right kind, but wrong, as the text says.
    Value(String),
    /// The text is the whole message.
    Whole(String),
}

impl<E: Display> From<E> for Refusal
where
    E: std::error::Error,
{
    fn from(error: E) -> Self {
        Refusal::Value(error.to_string())
    }
}

/// A key that the configuration knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its path: `node.listen`; `*` stands for a name of one's own, `[]` for a list of tables.
    pub path: String,
    /// What may stand there.
    pub wants: String,
    /// The default as TOML. None: required where its table is there, or simply absent.
    pub default: Option<String>,
}

impl<T: Leaf> Field for T {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match T::parse(node, reader) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let wants = T::wants_at(&reader.path);
                let message = match refusal {
                    Refusal::Kind => format!("expected {wants}, found {}", node.describe()),
                    Refusal::Value(why) => format!("expected {wants}: {why}"),
                    Refusal::Whole(message) => message,
                };
                reader.problem(&node.place, message);
                None
            }
        }
    }

    fn lay_out(&self, path: &str, out: &mut Exact) {
        out.put(path, self.identity());
    }

    fn keys(path: &str, default: Option<&Self>, out: &mut Vec<Key>) {
        out.push(Key { path: path.to_owned(), wants: T::wants(), default: default.map(T::show) });
    }
}

impl<T: Field> Field for Option<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(Some)
    }

    fn lay_out(&self, path: &str, out: &mut Exact) {
        if let Some(value) = self {
            value.lay_out(path, out);
        }
    }

    fn keys(path: &str, default: Option<&Self>, out: &mut Vec<Key>) {
        T::keys(path, default.and_then(Option::as_ref), out);
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(items) = items(node) else {
            reader.problem(&node.place, format!("expected a list, found {}", node.kind_name()));
            return None;
        };
        let mut all = Vec::with_capacity(items.len());
        let count = items.len();
        for (index, item) in items.iter().enumerate() {
            all.extend(reader.within(&format!("[{index}]"), |reader| T::read(item, reader)));
        }
        (all.len() == count).then_some(all)
    }

    fn lay_out(&self, path: &str, out: &mut Exact) {
        // That there is a list, even where nothing is in it.
        out.put(path, format!("{} items", self.len()));
        for (index, item) in self.iter().enumerate() {
            item.lay_out(&format!("{path}[{index}]"), out);
        }
    }

    fn keys(path: &str, default: Option<&Self>, out: &mut Vec<Key>) {
        let item = format!("{path}[]");
        let mut below = Vec::new();
        T::keys(&item, None, &mut below);
        for mut key in below {
            // A list of single values is one key; a list of tables has the keys of its tables.
            if key.path == item {
                let mut shown = Vec::new();
                default.into_iter().flatten().for_each(|value| T::keys("", Some(value), &mut shown));
                let shown: Vec<String> = shown.into_iter().filter_map(|key| key.default).collect();
                key.path = path.to_owned();
                key.wants = format!("a list; each {}", key.wants);
                key.default = (!shown.is_empty()).then(|| format!("[{}]", shown.join(", ")));
            }
            out.push(key);
        }
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl<K: FromStr<Err: Display> + Display + Ord, T: Field> Field for BTreeMap<K, T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.entries(node)?;
        let mut all = BTreeMap::new();
        for (name, entry) in &entries {
            reader.within(name, |reader| match K::from_str(name) {
                Ok(key) => {
                    if let Some(value) = T::read(&entry.node, reader) {
                        all.insert(key, value);
                    }
                }
                Err(error) => {
                    reader.problem(&entry.place, format!("not a name that may stand here: {error}"));
                }
            });
        }
        Some(all)
    }

    fn lay_out(&self, path: &str, out: &mut Exact) {
        for (name, value) in self {
            value.lay_out(&format!("{path}.{name}"), out);
        }
    }

    fn keys(path: &str, _: Option<&Self>, out: &mut Vec<Key>) {
        T::keys(&format!("{path}.*"), None, out);
    }

    fn absent() -> Option<Self> {
        Some(BTreeMap::new())
    }
}

/// The items of a list: written as one, or, from the environment, as a table of the numbers from 0, or as text with commas.
fn items(node: &Node) -> Option<Vec<Node>> {
    match &node.kind {
        Kind::Array(items) => Some(items.clone()),
        Kind::Table(entries) => {
            let mut numbered = BTreeMap::new();
            for (name, entry) in entries {
                numbered.insert(name.parse::<usize>().ok()?, entry.node.clone());
            }
            let from_zero = numbered.keys().enumerate().all(|(position, index)| position == *index);
            (from_zero && !numbered.is_empty()).then(|| numbered.into_values().collect())
        }
        Kind::Text(text) => match Node::parse_value(text, &node.place) {
            Some(Node { kind: Kind::Array(items), .. }) => Some(items),
            _ if text.trim_start().starts_with('[') => None,
            _ => Some(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Node { kind: Kind::Text(item.to_owned()), place: node.place.clone() })
                    .collect(),
            ),
        },
        _ => None,
    }
}

/// Where reading has come to, and what it found wrong on the way.
pub(crate) struct Reader<'a> {
    /// What `env:` may name.
    pub(crate) env: &'a Environment,
    pub(crate) problems: Vec<Problem>,
    /// What was read besides.
    pub(crate) files: &'a mut Files,
    /// Every key there is, to look for the nearest one.
    known: &'a [Key],
    path: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(env: &'a Environment, known: &'a [Key], files: &'a mut Files) -> Self {
        Reader { env, problems: Vec::new(), files, known, path: String::new() }
    }

    pub(crate) fn problem(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.push(Problem { place: place.clone(), key: self.path.clone(), message: message.into() });
    }

    fn within<T>(&mut self, segment: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 && !segment.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(segment);
        let value = read(self);
        self.path.truncate(length);
        value
    }

    fn entries(&mut self, node: &Node) -> Option<BTreeMap<String, Entry>> {
        let parsed = match &node.kind {
            Kind::Text(text) => Node::parse_value(text, &node.place),
            _ => None,
        };
        match &parsed.as_ref().unwrap_or(node).kind {
            Kind::Table(entries) => Some(entries.clone()),
            _ => {
                self.problem(&node.place, format!("expected a table, found {}", node.kind_name()));
                None
            }
        }
    }

    /// The table at `node`, whose keys are `known` and no others.
    pub(crate) fn table(&mut self, node: &Node, known: &[&str]) -> Option<Table> {
        let entries = self.entries(node)?;
        let unknown = entries.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        for (name, entry) in unknown {
            let hint = nearest::key(&self.path, name, known, self.known, &entry.place);
            self.within(name, |reader| reader.problem(&entry.place, format!("unknown key; {hint}")));
        }
        Some(Table { entries, place: node.place.clone() })
    }
}

/// A table that is being read.
pub(crate) struct Table {
    entries: BTreeMap<String, Entry>,
    place: Place,
}

impl Table {
    /// The key's value. `Ok(None)`: it isn't there; `Err`: it is wrong, and that was told.
    fn look<T: Field>(&self, reader: &mut Reader<'_>, name: &str) -> Result<Option<T>, Wrong> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        reader.within(name, |reader| T::read(&entry.node, reader)).map(Some).ok_or(Wrong)
    }

    /// A key that may be absent.
    pub(crate) fn or<T: Field>(&self, reader: &mut Reader<'_>, name: &str, default: T) -> T {
        self.look(reader, name).ok().flatten().unwrap_or(default)
    }

    /// A key that has to be there, unless its type says what its absence means.
    pub(crate) fn required<T: Field>(&self, reader: &mut Reader<'_>, name: &str) -> Option<T> {
        match self.look(reader, name) {
            Ok(Some(value)) => Some(value),
            Ok(None) => T::absent().or_else(|| {
                reader.within(name, |reader| reader.problem(&self.place, "missing"));
                None
            }),
            Err(Wrong) => None,
        }
    }
}

struct Wrong;
