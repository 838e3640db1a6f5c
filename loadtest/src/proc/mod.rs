//! What processes use, read from `/proc`: CPU to the nanosecond, resident memory, open descriptors.

mod machine;

pub(crate) use machine::machine;

use std::collections::BTreeMap;
use std::fs;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::target::Role;

/// What a role's processes have used so far, and hold now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// Seconds of CPU since they started, of the threads that still live.
    pub(crate) cpu: f64,
    /// Bytes.
    pub(crate) rss: u64,
    pub(crate) files: usize,
}

/// Every role now. A process that has ended counts nothing.
pub(crate) fn read(roles: &[Role]) -> BTreeMap<String, Reading> {
    let children = children();
    let mut all = BTreeMap::new();
    for role in roles {
        let reading: &mut Reading = all.entry(role.name.to_owned()).or_default();
        for pid in family(&role.pids, &children) {
            reading.cpu += cpu(pid);
            reading.rss += rss(pid);
            reading.files += files(pid);
        }
    }
    all
}

/// Bytes resident of each role, read so that it costs next to nothing: off by some pages a thread. `pids` is by [`pids`].
pub(crate) fn resident(pids: &BTreeMap<String, Vec<u32>>) -> BTreeMap<String, u64> {
    let page = rustix::param::page_size() as u64;
    let of = |pid: &u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    };
    pids.iter().map(|(role, pids)| (role.clone(), pids.iter().filter_map(of).sum::<u64>() * page)).collect()
}

/// Every role's processes, descendants among them.
pub(crate) fn pids(roles: &[Role]) -> BTreeMap<String, Vec<u32>> {
    let children = children();
    roles.iter().map(|role| (role.name.to_owned(), family(&role.pids, &children))).collect()
}

/// Bytes that the kernel holds for all TCP sockets of the machine: what was sent and isn't acknowledged, what came and isn't
/// read.
pub(crate) fn kernel_buffers() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages = line.and_then(|line| line.split(" mem ").nth(1)?.trim().parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Seconds of CPU that a process's living threads have had: `schedstat` counts nanoseconds, where `stat` counts ticks.
pub(crate) fn cpu(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let nanoseconds: u64 = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    nanoseconds as f64 / 1e9
}

/// Bytes resident. `smaps_rollup` is exact; `statm` lags by some pages a thread.
fn rss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Every process's children.
fn children() -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name, in parentheses, may hold anything; the state and then the parent follow its end.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

fn family(pids: &[u32], children: &BTreeMap<u32, Vec<u32>>) -> Vec<u32> {
    let mut all = pids.to_vec();
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children.get(pid).into_iter().flatten());
        next += 1;
    }
    all
}

/// Holds a process, and all that it starts from now on, to these cores.
pub(crate) fn pin(pid: u32, cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(sched_setaffinity(pid, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let role = Role { name: "me", pids: vec![std::process::id()] };
        let reading = read(&[role])["me"];
        assert!(reading.cpu > 0.0 && reading.rss > 100_000 && reading.files > 2, "{reading:?}");
    }

    #[test]
    fn residence_is_about_the_same_either_way() {
        let roles = [Role { name: "me", pids: vec![std::process::id()] }];
        let (exact, cheap) = (read(&roles)["me"].rss as f64, resident(&pids(&roles))["me"] as f64);
        assert!((exact - cheap).abs() < 2e6, "{exact} {cheap}");
    }

    #[test]
    fn a_family_is_all_descendants() {
        let children = BTreeMap::from([(1, vec![2, 3]), (3, vec![4]), (9, vec![10])]);
        assert_eq!(family(&[1], &children), [1, 2, 3, 4]);
    }
}
