//! The key that somebody probably meant.

use strsim::{damerau_levenshtein, normalized_damerau_levenshtein};

use crate::environment;
use crate::error::Place;
use crate::read::Key;

/// How alike two keys of one table must be (1 is equal) before a key of the same name elsewhere is out of the question.
const A_SLIP: f64 = 0.7;

/// What to say of the unknown key `name` in the table at `path`, whose keys are `siblings`.
pub(crate) fn key(path: &str, name: &str, siblings: &[&str], known: &[Key], place: &Place) -> String {
    if let Place::Environment(variable) = place {
        return environment::hint(variable, known);
    }
    let sibling = best(siblings.iter().copied(), name);
    let elsewhere: Vec<&str> = known
        .iter()
        .map(|key| key.path.as_str())
        .filter(|path| path.rsplit('.').next() == Some(name))
        .collect();
    match sibling {
        Some((sibling, score)) if score >= A_SLIP || elsewhere.is_empty() => {
            let whole = if path.is_empty() { sibling.to_owned() } else { format!("{path}.{sibling}") };
            format!("the nearest known key is `{whole}`")
        }
        _ => format!("`{name}` belongs elsewhere: {}", quoted(&elsewhere)),
    }
}

/// What to say of a word that isn't one of `choices`, if one of them is close.
pub(crate) fn word(choices: &[&str], found: &str) -> String {
    match best(choices.iter().copied(), found) {
        Some((choice, _)) if damerau_levenshtein(choice, found) <= 2 => format!("; did you mean {choice:?}?"),
        _ => String::new(),
    }
}

/// The nearest of `candidates` and how alike it is.
pub(crate) fn best<'a>(candidates: impl Iterator<Item = &'a str>, name: &str) -> Option<(&'a str, f64)> {
    candidates
        .map(|candidate| (candidate, normalized_damerau_levenshtein(candidate, name)))
        .max_by(|(_, left), (_, right)| left.total_cmp(right))
}

fn quoted(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}
