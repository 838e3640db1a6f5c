//! The arrows between the crates point one way, as `ARCHITECTURE.md` draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What nodes and gateways stand on. Not on each other.
const BELOW_THE_TWO: &[&str] = &[
    "ringway-edge",
    "ringway-link",
    "ringway-limits",
    "ringway-names",
    "ringway-backplane",
    "ringway-auth",
    "ringway-config",
    "ringway-limits",
    "ringway-ring",
    "ringway-protocol",
    "ringway-telemetry",
];

/// What each crate may use of the others when it ships. Telemetry stands beside; testkit ships in nothing.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ringway-protocol", &[]),
    ("ringway-ring", &["ringway-protocol"]),
    ("ringway-config", &["ringway-protocol"]),
    ("ringway-auth", &["ringway-protocol"]),
    ("ringway-limits", &["ringway-config"]),
    ("ringway-link", &["ringway-protocol"]),
    ("ringway-names", &[]),
    ("ringway-telemetry", &[]),
    ("ringway-backplane", &["ringway-auth", "ringway-config", "ringway-ring", "ringway-protocol"]),
    ("ringway-edge", &["ringway-auth", "ringway-config", "ringway-ring", "ringway-protocol"]),
    ("ringway-limits", &["ringway-config"]),
    ("ringway-node", BELOW_THE_TWO),
    ("ringway-gateway", BELOW_THE_TWO),
    ("ringway-client", &["ringway-protocol"]),
    (
        "ringway",
        &[
            "ringway-gateway",
            "ringway-node",
            "ringway-edge",
            "ringway-backplane",
            "ringway-auth",
            "ringway-config",
            "ringway-ring",
            "ringway-protocol",
            "ringway-telemetry",
            "ringway-client",
        ],
    ),
];

/// On top of everything, in nothing that ships.
const ON_TOP: &[&str] = &["ringway-testkit", "ringway-loadtest"];

/// No sockets, no runtime, no clock: values and functions.
const PURE: &[&str] = &["ringway-protocol", "ringway-ring", "ringway-auth", "ringway-link", "ringway-names"];

fn shipped_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut all = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let uses = package["dependencies"].as_array().unwrap().iter();
        let shipped = uses.filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap().to_owned());
        all.insert(package["name"].as_str().unwrap().to_owned(), shipped.collect());
    }
    all
}

#[test]
fn every_crate_uses_only_what_is_below_it() {
    for (name, uses) in shipped_dependencies() {
        if ON_TOP.contains(&name.as_str()) {
            continue;
        }
        let (_, may) =
            MAY_USE.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name} isn't on the map"));
        for used in uses.iter().filter(|u| *u == "ringway" || u.starts_with("ringway-")) {
            assert!(may.contains(&used.as_str()), "{name} mustn't use {used}");
        }
    }
}

#[test]
fn pure_crates_have_no_runtime() {
    let all = shipped_dependencies();
    for name in PURE {
        for io in ["tokio", "async-nats", "hyper", "axum", "reqwest"] {
            assert!(!all[*name].contains(io), "{name} mustn't use {io}");
        }
    }
}
