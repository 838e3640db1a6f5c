//! What processes take of their machine while a test is at them.

use ringway_testkit::path::Path;
use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;

use crate::bare::SOON;
use crate::support::path;

/// What jemalloc and tokio may go on holding of a flood once it is over, in an unoptimised process that had nothing to do
/// before: arenas, thread caches, tables as large as they once were.
const KEPT: u64 = 12 * 1024;

/// What a process had when it began, to be held against later.
#[derive(Debug)]
pub struct Footprint {
    /// Resident memory, in KiB.
    memory: u64,
    descriptors: usize,
}

impl Footprint {
    /// From now on, the peak too.
    pub fn of(process: &Process) -> Self {
        // Documented in proc(5): the peak of the resident memory begins anew.
        std::fs::write(format!("/proc/{}/clear_refs", process.pid()), "5").unwrap();
        Self { memory: status(process, "VmRSS:"), descriptors: descriptors(process) }
    }

    /// The resident memory never rose by more than that.
    pub fn rose_by_at_most(&self, process: &Process, mib: u64, why: &str) {
        let risen = status(process, "VmHWM:").saturating_sub(self.memory);
        println!("{}: {} KiB at first, {risen} more at most", process.name, self.memory);
        assert!(risen <= mib * 1024, "{}: {risen} KiB more than at first, {mib} MiB for {why}", process.name);
    }

    /// Every client's socket is closed.
    pub fn no_socket_is_left(&self, process: &Process) {
        no_socket_is_left(process, self.descriptors, 1);
    }

    /// Memory is given back, but for what an allocator keeps.
    pub fn memory_is_back(&self, process: &Process) {
        let bound = self.memory + self.memory / 10 + KEPT;
        until(&format!("{}: memory is given back", process.name), SOON, || {
            (status(process, "VmRSS:") <= bound).then_some(())
        });
    }
}

/// A process that had so many descriptors open before has no more, but for links between gateways and nodes, of which it may
/// have some to so many others.
pub fn no_socket_is_left(process: &Process, before: usize, others: usize) {
    let bound = before + others * links();
    until(&format!("{}: no socket is left", process.name), SOON, || {
        (descriptors(process) <= bound).then_some(())
    });
}

/// Links that a gateway may have to one node, and keep for a while when its last client has gone: none over the tunnel.
fn links() -> usize {
    match path() {
        Path::Tunnel => 0,
        Path::Relay => 8,
    }
}

/// How many descriptors a process has open.
pub fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count()
}

/// A figure of `/proc/PID/status`, in KiB.
fn status(process: &Process, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A process's resident memory in KiB.
pub fn memory(process: &Process) -> u64 {
    status(process, "VmRSS:")
}

/// How many threads a process has.
pub fn threads(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap().count()
}
