//! What a view costs the process that has it, measured here and now: time on a processor, so that it doesn't matter who else is
//! on the machine.

use std::collections::HashMap;
use std::hint::black_box;

use ringway_ring::{Announcement, KeyHash, Membership, Slot, TENANTS_TOLD, TenantUse};
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::cluster::{Cluster, announcement};

/// Views in memory at a time, so that one can be told from the noise of the allocator.
const HELD: usize = 32;
const LOOK_UPS: u32 = 2_000_000;
const ROUNDS: usize = 7;

#[derive(Debug, Clone)]
pub(super) struct Cost {
    pub(super) nodes: u16,
    /// Milliseconds (median) from all announcements to the first view.
    pub(super) first_ms: f64,
    /// And after one node more.
    pub(super) change_ms: f64,
    /// Microseconds where nothing but loads changed, all nodes having spoken.
    pub(super) loads_us: f64,
    /// Bytes of a membership and its view.
    pub(super) bytes: f64,
    /// Nanoseconds from a key to its home.
    pub(super) look_up_ns: f64,
    /// And where the key is spread over three nodes.
    pub(super) spread_ns: f64,
    /// Bytes of one announcement that tells of no tenants.
    pub(super) announcement_bytes: usize,
    /// And of one that tells of as many as it may.
    pub(super) longest_bytes: usize,
}

pub(super) fn cost(nodes: u16) -> anyhow::Result<Cost> {
    let said = (0..nodes).map(announcement).collect::<anyhow::Result<Vec<_>>>()?;
    let one_more = announcement(nodes)?;
    let (mut first, mut change, mut loads) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        let mut membership = Membership::new();
        for said in said.clone() {
            membership.heard(said, 0);
        }
        let start = Cpu::now();
        black_box(membership.view());
        first.push(start.seconds() * 1e3);
        let louder = said.iter().cloned().map(|mut said| {
            said.connections += 1 + round;
            said
        });
        for said in louder {
            membership.heard(said, 1);
        }
        let start = Cpu::now();
        black_box(membership.view());
        loads.push(start.seconds() * 1e6);
        membership.heard(one_more.clone(), 2);
        let start = Cpu::now();
        black_box(membership.view());
        change.push(start.seconds() * 1e3);
    }
    let before = resident();
    let held: Vec<_> = (0..HELD)
        .map(|_| {
            let mut membership = Membership::new();
            for said in said.clone() {
                membership.heard(said, 0);
            }
            let view = membership.view();
            (membership, view)
        })
        .collect();
    let bytes = resident().saturating_sub(before) as f64 / HELD as f64;
    drop(held);
    let tenant = "tenant-0".parse()?;
    let keys: Vec<KeyHash> = (0..1_024).map(|n| KeyHash::of(&tenant, &format!("room.{n}"))).collect();
    let numbers: Vec<u16> = (0..nodes).collect();
    let look_up = |cluster: &Cluster, count: u32| {
        let start = Cpu::now();
        for (key, _) in keys.iter().cycle().zip(0..count) {
            black_box(cluster.view.home(&cluster.pool, black_box(*key), 1, "session-1234567"));
        }
        start.seconds() * 1e9 / f64::from(count)
    };
    let plain = Cluster::new(&numbers, &HashMap::new())?;
    let spread = Cluster::new(&numbers, &keys.iter().map(|&key| (key, 3)).collect())?;
    debug_assert!(Slot::all().all(|slot| plain.owner(slot) < nodes));
    Ok(Cost {
        nodes,
        first_ms: median(first),
        change_ms: median(change),
        loads_us: median(loads),
        bytes,
        look_up_ns: look_up(&plain, LOOK_UPS),
        spread_ns: look_up(&spread, LOOK_UPS / 10),
        announcement_bytes: rmp_serde::to_vec_named(&announcement(7)?)?.len(),
        longest_bytes: rmp_serde::to_vec_named(&longest(7)?)?.len(),
    })
}

/// Of a node whose tenants all have limits.
fn longest(number: u16) -> anyhow::Result<Announcement> {
    let mut said = announcement(number)?;
    for tenant in 0..TENANTS_TOLD {
        let tenant = format!("tenant-{tenant}").parse()?;
        said.tenants.push(TenantUse { tenant, connections: 1_000, publications: 100 });
    }
    Ok(said)
}

/// A moment of this thread's time on a processor.
struct Cpu(Timespec);

impl Cpu {
    fn now() -> Self {
        Self(clock_gettime(ClockId::ThreadCPUTime))
    }

    /// Spent since.
    fn seconds(&self) -> f64 {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        (now.tv_sec - self.0.tv_sec) as f64 + (now.tv_nsec - self.0.tv_nsec) as f64 / 1e9
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// What this process has in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
