//! The vectors under `docs/protocol/vectors`, which every client is tested against: that they are
//! what this crate reads and writes, and that others read the same in them.
//!
//! `UPDATE_VECTORS=1 cargo test -p ringway-protocol --test vectors` writes them anew. `slot.json`
//! belongs to the ring.

#![allow(clippy::unwrap_used)]

#[path = "vectors/frames.rs"]
mod frames;
#[path = "vectors/payloads.rs"]
mod payloads;
#[path = "vectors/refused.rs"]
mod refused;
mod samples;
#[path = "vectors/words.rs"]
mod words;

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol/vectors").join(file)
}

/// Holds the file to what it should say, or writes it.
fn hold(file: &str, about: &str, lists: &[(&str, Vec<String>)]) {
    let mut text = format!("{{\n\"about\": {}", serde_json::to_string(about).unwrap());
    for (name, lines) in lists {
        text += &format!(",\n\"{name}\": [\n{}\n]", lines.join(",\n"));
    }
    text += "\n}\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path(file), &text).unwrap();
    }
    let there = std::fs::read_to_string(path(file)).unwrap();
    assert!(there == text, "{file} isn't what the crate says; UPDATE_VECTORS=1 writes it anew");
}

fn lines<T: Serialize>(items: &[T]) -> Vec<String> {
    items.iter().map(|item| serde_json::to_string(item).unwrap()).collect()
}

/// A list of a file, as somebody else reads it.
fn read<T: DeserializeOwned>(file: &str, list: &str) -> Vec<T> {
    let text = std::fs::read_to_string(path(file)).unwrap();
    let mut all: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(all[list].take()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
