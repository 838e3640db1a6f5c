//! A TOML document as a tree in which every value remembers where it stands, so that files of several tenants and
//! the environment can be laid over each other and a message still names the line. Knows no keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Place, Problem};

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    String(String),
    /// Wider than any key, so that a number out of range is told as such.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// Dates: no key takes one.
    Other,
    Array(Vec<Node>),
    Table(BTreeMap<String, Entry>),
    /// What an environment variable holds, until a key says how to read it.
    Text(String),
}

/// A key's place and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn empty_table() -> Self {
        Node { kind: Kind::Table(BTreeMap::new()), place: Place::Nowhere }
    }

    /// Parses a whole file. `file` is what messages call it.
    ///
    /// The message of a syntax error holds no excerpt of the line: that might be a secret's.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, Problem> {
        let at = Lines { text, file: Arc::new(file.to_path_buf()) };
        match DeTable::parse(text) {
            Ok(table) => {
                let place = at.place(table.span().start);
                Ok(Node { kind: table_kind(table.into_inner(), &at), place })
            }
            Err(error) => Err(Problem {
                place: at.place(error.span().map_or(0, |span| span.start)),
                key: String::new(),
                message: format!("not TOML: {}", error.message().trim().replace('\n', " ")),
            }),
        }
    }

    /// Parses one value, such as an environment variable holds. None where it isn't TOML.
    pub(crate) fn parse_value(text: &str, place: &Place) -> Option<Self> {
        let value = DeValue::parse(text.trim()).ok()?;
        Some(strip(convert(value, &Lines { text, file: Arc::new(PathBuf::new()) }), place))
    }

    /// What kind of value it is, without the value: a secret may stand where a list or a table should.
    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::String(_) | Kind::Text(_) => "a string",
            Kind::Integer(_) | Kind::Float(_) => "a number",
            Kind::Boolean(_) => "true or false",
            Kind::Other => "a date",
            Kind::Array(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }

    /// How a message calls this value.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::String(text) | Kind::Text(text) => format!("{text:?}"),
            Kind::Integer(number) => number.to_string(),
            Kind::Float(number) => format!("{number:?}"),
            Kind::Boolean(value) => value.to_string(),
            Kind::Other | Kind::Array(_) | Kind::Table(_) => self.kind_name().into(),
        }
    }

    /// The place of the key at `path`, or of the deepest table on the way to it that is there.
    pub(crate) fn place_of(&self, path: &[&str]) -> Place {
        let mut place = self.place.clone();
        let mut node = self;
        for segment in path {
            match &node.kind {
                Kind::Table(entries) => match entries.get(*segment) {
                    Some(entry) => {
                        place = entry.place.clone();
                        node = &entry.node;
                    }
                    None => break,
                },
                Kind::Array(items) => {
                    match segment.parse::<usize>().ok().and_then(|index| items.get(index)) {
                        Some(item) => {
                            place = item.place.clone();
                            node = item;
                        }
                        None => break,
                    }
                }
                _ => break,
            }
        }
        place
    }

    /// The value at `path`, if there is one.
    pub(crate) fn get(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, segment| match &node.kind {
            Kind::Table(entries) => entries.get(*segment).map(|entry| &entry.node),
            _ => None,
        })
    }
}

struct Lines<'a> {
    text: &'a str,
    file: Arc<PathBuf>,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            file: self.file.clone(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

fn convert(value: Spanned<DeValue<'_>>, at: &Lines<'_>) -> Node {
    let place = at.place(value.span().start);
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::String(text.into_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Kind::Integer(number),
            Err(_) => Kind::Other,
        },
        DeValue::Float(number) => number.as_str().parse().map_or(Kind::Other, Kind::Float),
        DeValue::Boolean(value) => Kind::Boolean(value),
        DeValue::Datetime(_) => Kind::Other,
        DeValue::Array(items) => Kind::Array(items.into_iter().map(|item| convert(item, at)).collect()),
        DeValue::Table(table) => table_kind(table, at),
    };
    Node { kind, place }
}

fn table_kind(table: DeTable<'_>, at: &Lines<'_>) -> Kind {
    Kind::Table(
        table
            .into_iter()
            .map(|(key, value)| {
                let place = at.place(key.span().start);
                (key.into_inner().into_owned(), Entry { place, node: convert(value, at) })
            })
            .collect(),
    )
}

/// Puts one place on a whole tree.
fn strip(node: Node, place: &Place) -> Node {
    let kind = match node.kind {
        Kind::Array(items) => Kind::Array(items.into_iter().map(|item| strip(item, place)).collect()),
        Kind::Table(entries) => Kind::Table(
            entries
                .into_iter()
                .map(|(key, entry)| (key, Entry { place: place.clone(), node: strip(entry.node, place) }))
                .collect(),
        ),
        scalar => scalar,
    };
    Node { kind, place: place.clone() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_value_knows_its_line_and_column() {
        let tree = Node::parse("[node]\nid = \"é\"\nlist = [1,\n  2]\n", Path::new("x.toml")).unwrap();
        let place = |path: &[&str]| tree.place_of(path).to_string();
        assert_eq!(place(&["node", "id"]), "x.toml:2:1: ");
        assert_eq!(place(&["node", "list", "1"]), "x.toml:4:3: ");
        assert_eq!(place(&["node", "missing"]), "x.toml:1:2: ");
    }

    #[test]
    fn a_syntax_error_names_the_place_and_shows_nothing_of_the_line() {
        let problem = Node::parse("a = 1\nsecret = hunter2 hunter3\n", Path::new("x.toml")).unwrap_err();
        let text = problem.to_string();
        assert!(text.starts_with("x.toml:2:"), "{text}");
        assert!(!text.contains("hunter"), "{text}");
    }
}
