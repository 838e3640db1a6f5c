//! `docs/guarantees.md` names tests that hold its promises: they are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all functions in these sources.
fn functions(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                functions(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split_once('('));
            found.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let page = include_str!("../../../../docs/guarantees.md");
    let mut found = BTreeSet::new();
    functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
    // Tests have long names; keys, codes and fields don't.
    let named = page.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() > 3);
    let named: BTreeSet<&str> = named.collect();
    assert!(named.len() > 15, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
