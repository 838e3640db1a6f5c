//! What buffers may take where the configuration says nothing: a part of the memory that this process may use.

use std::fs;
use std::path::Path;

/// Of the memory that the process may use, one of so many parts is for buffers: the rest is connections, rooms, the
/// kernel's memory of their sockets, and what else runs here.
const PARTS: u64 = 4;

/// Where the system says nothing.
const UNKNOWN: u64 = 1 << 30;

/// Bytes for frames under way and replay buffers, where nothing else is configured.
pub(crate) fn by_default() -> u64 {
    usable(Path::new("/")).unwrap_or(UNKNOWN) / PARTS
}

/// Bytes that this process may use: the least of what its control groups allow and what the machine has. `root`: of the
/// file system. None: neither says.
fn usable(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| group_limit(root, line));
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok();
    let machine = machine.as_deref().and_then(total);
    limits.chain(machine).min()
}

/// The least limit of a group and those that it is in. `line` of `/proc/self/cgroup`: `0::/a/b` (version 2),
/// `4:cpu,memory:/a/b` (version 1, the controller of memory among others).
fn group_limit(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, group) = (fields.next()?, fields.next()?);
    let (mount, file) = if controllers.is_empty() {
        ("sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    // In a container the group's path may be the host's, while only the group itself is mounted: it is at the top then.
    let groups = Path::new(group).ancestors().filter_map(|group| group.strip_prefix("/").ok());
    let limits = groups.filter_map(|group| {
        let limit = fs::read_to_string(root.join(mount).join(group).join(file)).ok()?;
        // `max`: none.
        limit.trim().parse().ok()
    });
    limits.min()
}

/// `MemTotal` of `/proc/meminfo`, which is in KiB.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       16000 kB\nMemFree:         9000 kB\n");

    fn usable_with(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        usable(root.path())
    }

    #[test]
    fn without_groups_it_is_the_machines() {
        assert_eq!(usable_with(&[MEMINFO]), Some(16_000 << 10));
        assert_eq!(usable_with(&[MEMINFO, ("proc/self/cgroup", "0::/\n")]), Some(16_000 << 10));
        assert_eq!(usable_with(&[]), None);
    }

    #[test]
    fn of_groups_within_groups_the_least_counts() {
        let group = ("proc/self/cgroup", "0::/pods/one\n");
        let of = |pods, one| {
            usable_with(&[
                MEMINFO,
                group,
                ("sys/fs/cgroup/pods/memory.max", pods),
                ("sys/fs/cgroup/pods/one/memory.max", one),
            ])
        };
        assert_eq!(of("max\n", "1048576\n"), Some(1 << 20));
        assert_eq!(of("524288\n", "1048576\n"), Some(1 << 19));
        assert_eq!(of("max\n", "max\n"), Some(16_000 << 10));
        assert_eq!(of("max\n", "99999999999\n"), Some(16_000 << 10), "more than there is");
    }

    #[test]
    fn in_a_container_the_group_is_at_the_top() {
        let files = [MEMINFO, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1048576\n")];
        assert_eq!(usable_with(&files), Some(1 << 20));
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "9:cpu:/docker/1\n4:memory,hugetlb:/docker/1\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2097152\n"),
            ("sys/fs/cgroup/cpu/memory.limit_in_bytes", "1\n"),
        ];
        assert_eq!(usable_with(&files), Some(2 << 20));
    }

    #[test]
    fn the_first_versions_word_for_no_limit_is_more_than_there_is() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(usable_with(&files), Some(16_000 << 10));
    }
}
