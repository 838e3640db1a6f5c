//! `docs/configuration.md` names every key there is, no other, and each with its default; its examples are right.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringway_config::{Config, Environment, keys};

fn page() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the page's tables of keys: key, then the default's cell.
fn rows(page: &str) -> BTreeMap<String, String> {
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.strip_suffix('`')?;
        Some((key.to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

#[test]
fn every_key_is_there_with_its_default_and_no_other() {
    let page = page();
    let mut rows = rows(&page);
    let mut wrong = Vec::new();
    for key in keys() {
        let default = key.default.map(|default| format!("`{default}`"));
        match (rows.remove(&key.path), default) {
            (None, default) => {
                wrong.push(format!("missing: {} (default {default:?}; {})", key.path, key.wants));
            }
            (Some(cell), Some(default)) if cell != default => {
                wrong.push(format!("{}: {cell}, not {default}", key.path));
            }
            (Some(cell), None) if cell.starts_with('`') => {
                wrong.push(format!("{}: {cell}, but it has no default", key.path));
            }
            _ => {}
        }
    }
    wrong.extend(
        rows.into_keys().filter(|key| !key.starts_with("RINGWAY_")).map(|key| format!("no such key: {key}")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn variables_that_are_no_keys_are_named() {
    let page = page();
    for variable in ringway_config::NOT_KEYS {
        assert!(page.contains(&format!("`{variable}`")), "{variable}");
    }
}

#[test]
fn the_examples_are_right() {
    let page = page();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("tenants")).unwrap();
    let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    std::fs::write(directory.path().join("acme.pem"), pem).unwrap();
    let mut env = Environment::new();
    env.insert("RINGWAY_SECRET".into(), "0123456789abcdef0123456789abcdef".into());
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        if let Err(error) =
            Config::from_text(example, &directory.path().join(Path::new("ringway.toml")), &env)
        {
            panic!("{error}\n{example}");
        }
    }
}
