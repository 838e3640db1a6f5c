//! Seeded schedules of a pure machine, many of them: run, summed up, and asked for from outside.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that are shown of each kind of failure.
const SHOWN: usize = 12;

/// What came of schedules.
pub trait Sum: Default + Send {
    /// Takes in what came of others.
    fn merge(&mut self, other: Self);
    /// Seeds that failed, each with what broke.
    fn failures(&self) -> &[(u64, String)];
}

/// Runs these seeds on two threads; ends early after `enough` failures on one. `one` runs a seed and adds what came of it.
///
/// # Panics
/// One of them panics.
pub fn run<S: Sum>(seeds: Range<u64>, enough: usize, one: impl Fn(u64, &mut S) + Sync) -> S {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut sum = S::default();
        while sum.failures().len() < enough {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            one(seed, &mut sum);
        }
        sum
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut sum = work();
        sum.merge(other.join().expect("a schedule doesn't panic"));
        sum
    })
}

/// How often each thing broke, and the first seeds where.
pub fn kinds(failures: &[(u64, String)]) -> BTreeMap<&str, (usize, Vec<u64>)> {
    let mut kinds: BTreeMap<&str, (usize, Vec<u64>)> = BTreeMap::new();
    for (seed, broken) in failures {
        let (count, first) = kinds.entry(broken).or_default();
        *count += 1;
        if first.len() < SHOWN {
            first.push(*seed);
        }
    }
    kinds
}

/// The seed in `RINGWAY_SEED`: one that somebody wants to see.
pub fn asked_seed() -> Option<u64> {
    std::env::var("RINGWAY_SEED").ok()?.parse().ok()
}

/// The seeds in `RINGWAY_SEEDS` (`FROM..TO`): those that somebody wants to run.
///
/// # Panics
/// They aren't that.
pub fn asked_seeds() -> Option<Range<u64>> {
    let seeds = std::env::var("RINGWAY_SEEDS").ok()?;
    let (from, to) = seeds.split_once("..").expect("FROM..TO");
    Some(from.parse().expect("a number")..to.parse().expect("a number"))
}

/// `RINGWAY_VARIANT`: how.
pub fn asked_variant() -> String {
    std::env::var("RINGWAY_VARIANT").unwrap_or_default()
}
