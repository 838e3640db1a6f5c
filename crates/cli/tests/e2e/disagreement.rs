//! Parts of a cluster that disagree about who is in it: cut off, stopped, replaced, called the same, coming and going.
//! Whatever they believe, members hear each other, in one order.

mod flapping;
mod names;
mod stopped;
mod views;

use std::time::Duration;

use ringway_testkit::http;
use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::member::{Member, Way};

/// A node as a process sees it (`/debug/ring`); none: it doesn't.
fn seen(process: &Process, node: &str) -> Option<Value> {
    let answer = http::get(process.admin, "/debug/ring").ok()?;
    let ring: Value = serde_json::from_str(&answer.body).ok()?;
    ring["nodes"].as_array()?.iter().find(|seen| seen["id"] == node).cloned()
}

/// Through this gateway and no other.
fn only_through(cluster: &Cluster, gateway: usize) -> Way {
    let all = crate::faults::way(cluster, gateway);
    Way { gateways: all.gateways[..1].to_vec(), ..all }
}

/// Waits until each is in its rooms, where that may take the time until others give a node up.
fn served(members: &[Member]) {
    for member in members {
        until(&format!("{} is served", member.name), Duration::from_secs(30), || {
            member.record().rooms.values().all(|room| room.position.is_some()).then_some(())
        });
    }
}
