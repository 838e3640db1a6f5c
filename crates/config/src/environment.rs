//! Every key by an environment variable: `RINGWAY_NODE__LISTEN` is `node.listen`, two underscores between levels.
//! Laid over the file's tree before it is read; a variable that names no key is an error, but for those listed here.

use std::collections::{BTreeMap, BTreeSet};

use crate::Environment;
use crate::error::Place;
use crate::nearest;
use crate::read::Key;
use crate::value::{Entry, Kind, Node};

/// What the name of every variable begins with.
pub const PREFIX: &str = "RINGWAY_";

/// Variables of the programme that are not keys of the configuration: what to log, the customary name of the cluster's
/// secret (which the file names by `env:RINGWAY_SECRET`), and the command line's own.
pub const NOT_KEYS: &[&str] =
    &["RINGWAY_LOG", "RINGWAY_SECRET", "RINGWAY_CONFIG", "RINGWAY_URL", "RINGWAY_ADMIN", "RINGWAY_TOKEN"];

/// The process's environment; what isn't UTF-8 is left out.
#[must_use]
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Lays the variables of `env` over `tree`. `named` are those that some `env:` in the file refers to.
pub(crate) fn lay_over(tree: &mut Node, env: &Environment, named: &BTreeSet<String>) {
    // In order of their names: a whole list comes before the variables for its items.
    for (variable, value) in env {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        if rest.is_empty()
            || NOT_KEYS.contains(&variable.as_str())
            || named.contains(variable)
            || service_link(rest)
        {
            continue;
        }
        let place = Place::Environment(variable.as_str().into());
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        insert(tree, &path, Node { kind: Kind::Text(value.clone()), place: place.clone() }, &place);
    }
}

/// What Kubernetes puts into every container for a Service called `ringway…`: not meant for us.
fn service_link(rest: &str) -> bool {
    let numbered = |part: &str| {
        let mut parts = part.splitn(3, '_');
        parts.next().is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"))
    };
    if rest.contains("__") {
        return false;
    }
    let rest = format!("_{rest}");
    rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || rest.ends_with("_PORT")
        || rest.rfind("_PORT_").is_some_and(|at| numbered(&rest[at + 6..]))
        || rest.find("_PORT_").is_some_and(|at| numbered(&rest[at + 6..]))
}

fn insert(node: &mut Node, path: &[String], value: Node, place: &Place) {
    let Some((first, rest)) = path.split_first() else {
        *node = value;
        return;
    };
    if let Kind::Text(text) = &node.kind
        && let Some(parsed) = Node::parse_value(text, &node.place)
        && matches!(parsed.kind, Kind::Array(_) | Kind::Table(_))
    {
        *node = parsed;
    }
    if let Kind::Array(items) = &mut node.kind
        && let Ok(index) = first.parse::<usize>()
        && index <= items.len()
    {
        if index == items.len() {
            items.push(Node { kind: Kind::Table(BTreeMap::new()), place: place.clone() });
        }
        insert(&mut items[index], rest, value, place);
        return;
    }
    if !matches!(node.kind, Kind::Table(_)) {
        // A key below something that has no keys: what reads it will say so.
        *node = Node { kind: Kind::Table(BTreeMap::new()), place: place.clone() };
    }
    if let Kind::Table(entries) = &mut node.kind {
        let entry = entries.entry(first.clone()).or_insert_with(|| Entry {
            place: place.clone(),
            node: Node { kind: Kind::Table(BTreeMap::new()), place: place.clone() },
        });
        if rest.is_empty() {
            entry.place = place.clone();
        }
        insert(&mut entry.node, rest, value, place);
    }
}

/// What to say of a variable that names no key.
pub(crate) fn hint(variable: &str, known: &[Key]) -> String {
    let segments: Vec<&str> = variable.strip_prefix(PREFIX).unwrap_or(variable).split("__").collect();
    let names: Vec<String> = known.iter().map(|key| variable_of(&key.path, &segments)).collect();
    match nearest::best(names.iter().map(String::as_str), variable) {
        Some((name, _)) => format!("the nearest known variable is {name} (two underscores between levels)"),
        None => String::new(),
    }
}

/// The variable for the key at `path`; its wildcards take what `given` has in their place.
fn variable_of(path: &str, given: &[&str]) -> String {
    let path = path.replace("[]", ".*");
    let segments: Vec<String> = path
        .split('.')
        .enumerate()
        .map(|(index, segment)| match segment {
            "*" => given.get(index).copied().unwrap_or("NAME").to_owned(),
            name => name.to_ascii_uppercase(),
        })
        .collect();
    format!("{PREFIX}{}", segments.join("__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_for_a_service_is_left_alone() {
        for name in [
            "SERVICE_HOST",
            "GATEWAY_SERVICE_PORT",
            "GATEWAY_SERVICE_PORT_HTTP",
            "PORT",
            "NODE_PORT",
            "NODE_PORT_7001_TCP",
            "NODE_PORT_7001_TCP_ADDR",
            "PORT_8080_TCP_PROTO",
        ] {
            assert!(service_link(name), "{name}");
        }
        for name in [
            "NODE_LISTEN",
            "NODE__LISTEN",
            "NODE__PORT",
            "TENANTS_DIR",
            "PORTS",
            "NODE_PORT_X",
            "NODE_IMPORT",
        ] {
            assert!(!service_link(name), "{name}");
        }
    }
}
