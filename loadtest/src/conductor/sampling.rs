//! Looks at a target's processes: before and after a phase, and while it lasts.

use std::collections::BTreeMap;
use std::time::Instant;

use super::progress::Progress;
use crate::proc::{self, Reading};
use crate::result::{Sample, Use};
use crate::target::Running;

/// Looks at processes during a phase.
pub(crate) struct Sampling {
    since: Instant,
    before: BTreeMap<String, Reading>,
}

impl Sampling {
    pub(crate) fn begin(running: &Running) -> Sampling {
        Sampling { since: Instant::now(), before: proc::read(&running.roles) }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    /// The processes now, and what the workers last said.
    pub(crate) fn sample(&self, running: &Running, progress: &Progress) -> Sample {
        let (connections, deliveries) = progress.now();
        let now = proc::read(&running.roles);
        let cpu_before = |role: &String| self.before.get(role).map_or(0.0, |reading| reading.cpu);
        Sample {
            at: self.since.elapsed().as_secs_f64(),
            connections,
            deliveries,
            rss: now.iter().map(|(role, r)| (role.clone(), r.rss)).collect(),
            files: now.iter().map(|(role, r)| (role.clone(), r.files)).collect(),
            cpu: now.iter().map(|(role, r)| (role.clone(), r.cpu - cpu_before(role))).collect(),
            kernel: 0,
        }
    }
}

/// Looks at memory while something goes on, so lightly that it doesn't disturb it.
pub(super) struct Watch {
    since: Instant,
    pids: BTreeMap<String, Vec<u32>>,
}

impl Watch {
    pub(super) fn begin(running: &Running) -> Watch {
        Watch { since: Instant::now(), pids: proc::pids(&running.roles) }
    }

    pub(super) fn sample(&self) -> Sample {
        Sample {
            at: self.since.elapsed().as_secs_f64(),
            rss: proc::resident(&self.pids),
            kernel: proc::kernel_buffers(),
            ..Sample::default()
        }
    }
}

/// What was used between two readings.
pub(super) fn used(
    before: &BTreeMap<String, Reading>,
    after: &BTreeMap<String, Reading>,
) -> BTreeMap<String, Use> {
    let role = |(name, after): (&String, &Reading)| {
        let before = before.get(name).copied().unwrap_or_default();
        let used = Use {
            cpu: after.cpu - before.cpu,
            rss_before: before.rss,
            rss_after: after.rss,
            files_before: before.files,
            files: after.files,
        };
        (name.clone(), used)
    };
    after.iter().map(role).collect()
}
