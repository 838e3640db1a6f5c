//! What machine this is.

use std::fs;

use crate::result::Machine;

/// This machine, now.
pub(crate) fn machine(servers_on: &[usize], generator_on: &[usize]) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1))
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned());
    let kib = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<f64>().ok())
        .unwrap_or(0.0);
    Machine {
        cpu,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        memory_gib: (kib / 1024.0 / 1024.0 * 10.0).round() / 10.0,
        servers_on: servers_on.to_vec(),
        generator_on: generator_on.to_vec(),
        load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
    }
}
