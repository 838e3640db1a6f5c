//! From the file, the tenants' files and the environment to a checked [`Config`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::check::{Checker, UsableKey};
use crate::environment::{self, PREFIX};
use crate::error::{ConfigError, Place, Problem};
use crate::files::{Files, tenants_files};
use crate::read::{Field, Key, Reader};
use crate::reload::Reading;
use crate::secret::beside;
use crate::tree::{Config, LATER, is_given};
use crate::value::{Entry, Kind, Node};
use crate::{Environment, leaf};

/// Every key that the configuration knows, in the order of the file.
#[must_use]
pub fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    Config::keys("", None, &mut keys);
    keys
}

impl Config {
    /// Reads `file`, lays `env` over it (see [`crate::environment()`]), and checks the whole.
    ///
    /// Also reads what the file names: key files, secrets, the files of `tenants_dir`. Blocks for as long as that takes.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place. Nothing of a wrong configuration is used.
    pub fn load(file: &Path, env: &Environment) -> Result<Config, ConfigError> {
        Config::load_with(file, env, &|_, _| Ok(()))
    }

    /// As [`Config::load`], where somebody at hand knows keys: `usable` says of each key that signs tokens what is wrong
    /// with it, if anything is.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(file: &Path, env: &Environment, usable: &UsableKey) -> Result<Config, ConfigError> {
        Config::load_noting(file, env, usable).outcome
    }

    /// As [`Config::load_with`], and says which files it was read from.
    #[must_use]
    pub fn load_noting(file: &Path, env: &Environment, usable: &UsableKey) -> Reading<Config> {
        let mut files = Files::default();
        let outcome = read_file(file, env, usable, &mut files).map(|(config, _)| config);
        Reading { files, outcome }
    }

    /// As [`Config::load`], with the file's text at hand; `file` is what messages call it, and where relative paths
    /// begin.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_text(text: &str, file: &Path, env: &Environment) -> Result<Config, ConfigError> {
        let files = &mut Files::default();
        read_text(text, file, env, &|_, _| Ok(()), files).map(|(config, _)| config)
    }

    /// A configuration from the environment alone, for a command without a file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_environment(env: &Environment) -> Result<Config, ConfigError> {
        let files = &mut Files::default();
        read(Node::empty_table(), env, &|_, _| Ok(()), files).map(|(config, _)| config)
    }
}

/// A configuration that is right by itself, and the tree that it stands in.
pub(crate) fn read_file(
    file: &Path,
    env: &Environment,
    usable: &UsableKey,
    files: &mut Files,
) -> Result<(Config, Node), ConfigError> {
    files.note(file);
    let text = std::fs::read_to_string(file).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::InvalidData => "not UTF-8, so not TOML".to_owned(),
            _ => format!("can't be read: {error}"),
        };
        ConfigError::one("", format!("{}: {message}", file.display()))
    })?;
    read_text(&text, file, env, usable, files)
}

fn read_text(
    text: &str,
    file: &Path,
    env: &Environment,
    usable: &UsableKey,
    files: &mut Files,
) -> Result<(Config, Node), ConfigError> {
    let tree = Node::parse(text, file).map_err(|problem| ConfigError { problems: vec![problem] })?;
    read(tree, env, usable, files)
}

fn read(
    mut tree: Node,
    env: &Environment,
    usable: &UsableKey,
    files: &mut Files,
) -> Result<(Config, Node), ConfigError> {
    let known = keys();
    let mut problems = Vec::new();
    if let Some(directory) = tenants_directory(&tree, env) {
        add_tenants(&mut tree, &directory, files, &mut problems);
    }
    let named = variables_named(&tree, env);
    environment::lay_over(&mut tree, env, &named);
    refuse_later(&mut tree, &mut problems);

    let mut reader = Reader::new(env, &known, files);
    let config = Config::read(&tree, &mut reader);
    problems.append(&mut reader.problems);
    // Defaults stand in for values that were wrong, so what must fit together is looked at only where none was.
    if problems.is_empty()
        && let Some(config) = config
    {
        problems = Checker::new(Some(&tree), usable).check(&config);
        if problems.is_empty() {
            return Ok((config, tree));
        }
    }
    Err(ConfigError { problems })
}

/// Variables that some `env:` refers to: whatever they are called, they aren't keys.
fn variables_named(tree: &Node, env: &Environment) -> BTreeSet<String> {
    fn look(node: &Node, named: &mut BTreeSet<String>) {
        match &node.kind {
            Kind::String(text) => named.extend(text.strip_prefix("env:").map(str::to_owned)),
            Kind::Array(items) => items.iter().for_each(|item| look(item, named)),
            Kind::Table(entries) => entries.values().for_each(|entry| look(&entry.node, named)),
            _ => {}
        }
    }
    let mut named = BTreeSet::new();
    look(tree, &mut named);
    let ours = env.iter().filter(|(name, _)| name.starts_with(PREFIX));
    let values = ours.flat_map(|(_, value)| value.split(','));
    named.extend(values.filter_map(|value| value.trim().strip_prefix("env:")).map(str::to_owned));
    named
}

fn refuse_later(tree: &mut Node, problems: &mut Vec<Problem>) {
    let Kind::Table(entries) = &mut tree.kind else { return };
    for (key, what) in LATER {
        if let Some(entry) = entries.remove(key)
            && is_given(Some(&entry.node))
        {
            problems.push(Problem {
                place: entry.place,
                key: key.to_owned(),
                message: format!("not built yet: {what}"),
            });
        }
    }
}

fn tenants_directory(tree: &Node, env: &Environment) -> Option<(PathBuf, Place)> {
    const VARIABLE: &str = "RINGWAY_TENANTS_DIR";
    if let Some(directory) = env.get(VARIABLE) {
        return Some((PathBuf::from(directory), Place::Environment(VARIABLE.into())));
    }
    let node = tree.get(&["tenants_dir"])?;
    let path = leaf::text(node).ok()?; // of the wrong kind: reading will say so
    Some((beside(&path, &node.place), node.place.clone()))
}

/// Puts each file of the directory where `[tenants.NAME]` would stand.
fn add_tenants(
    tree: &mut Node,
    (directory, place): &(PathBuf, Place),
    noted: &mut Files,
    problems: &mut Vec<Problem>,
) {
    let mut problem = |place: &Place, key: String, message: String| {
        problems.push(Problem { place: place.clone(), key, message });
    };
    noted.note(directory);
    let files = match tenants_files(directory) {
        Ok(files) => files,
        Err(error) => {
            problem(place, "tenants_dir".into(), format!("can't read {}: {error}", directory.display()));
            return;
        }
    };
    for file in files {
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let start = Place::File { file: std::sync::Arc::new(file.clone()), line: 1, column: 1 };
        noted.note(&file);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => {
                problem(&start, format!("tenants.{name}"), format!("can't be read: {error}"));
                continue;
            }
        };
        let mut node = match Node::parse(&text, &file) {
            Ok(node) => node,
            Err(wrong) => {
                problem(&wrong.place, format!("tenants.{name}"), wrong.message);
                continue;
            }
        };
        node.place = start.clone();
        let Kind::Table(root) = &mut tree.kind else { return };
        let tenants = root.entry("tenants".to_owned()).or_insert_with(|| Entry {
            place: place.clone(),
            node: Node { kind: Kind::Table(BTreeMap::new()), place: place.clone() },
        });
        let Kind::Table(tenants) = &mut tenants.node.kind else { return };
        if let Some(other) = tenants.get(&name) {
            let other = other.place.to_string();
            let other = other.trim_end_matches([':', ' ']);
            problem(&start, format!("tenants.{name}"), format!("this tenant is also at {other}"));
            continue;
        }
        tenants.insert(name, Entry { place: start, node });
    }
}

pub(crate) fn is_tenant_file(path: &Path) -> bool {
    // Names with a dot in front are an editor's, or what Kubernetes keeps beside a mounted volume's files.
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|ending| ending == "toml") && !path.is_dir()
}
