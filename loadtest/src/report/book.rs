//! The runs of a plan, found again by script, target and repetition.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::spread::Spread;
use crate::result::{Phase, Run};
use crate::target;

/// What everything is measured against.
pub(super) const FLOOR: &str = "floor";

/// The floor itself, or another way to stand on the ground: no alternative to a server.
pub(super) fn is_floor(target: &str) -> bool {
    target.split(' ').next() == Some(FLOOR)
}

/// Scripts in the order of a report; others follow by name.
const SCRIPTS: [&str; 22] = [
    "core",
    "core-10k",
    "window",
    "memory",
    "own-rooms",
    "hop",
    "idle",
    "echo",
    "rooms",
    "hot",
    "many",
    "further",
    "drained",
    "killed",
    "stopped",
    "upgrade",
    "churn",
    "slow",
    "conflate",
    "noisy",
    "storm",
    "soak",
];

/// Which way a message takes through Ringway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    Gateway,
    OneProcess,
}

impl Way {
    /// As headlines name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Gateway => "gateway",
            Self::OneProcess => "one process",
        }
    }

    /// None: not Ringway.
    pub(super) fn of(target: &str) -> Option<Self> {
        let rest = target.strip_prefix("ringway")?;
        Some(if rest.contains("gateway") || rest.contains("tunnel") || rest.contains("relay") {
            Self::Gateway
        } else if rest.contains("serve") || rest.contains("dev") || rest.contains("one") {
            Self::OneProcess
        } else {
            Self::Direct
        })
    }
}

/// All that was measured.
pub(super) struct Book {
    runs: Vec<Run>,
    /// Files that held no run, and why.
    pub(super) unreadable: Vec<String>,
    /// Names of targets in the order of tables.
    order: Vec<&'static str>,
}

impl Book {
    /// Reads `directory/runs/*.json`. A file that can't be read is named in the report; none at all is an error.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Self> {
        let directory = directory.join("runs");
        let (mut runs, mut unreadable) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
            let path = entry.context("reading a directory's entry")?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let run = fs::read(&path)
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(serde_json::from_slice::<Run>(&bytes)?));
            match run {
                Ok(run) => runs.push(run),
                Err(error) => {
                    unreadable.push(format!("{}: {error}", path.file_name().unwrap_or_default().display()));
                }
            }
        }
        anyhow::ensure!(!runs.is_empty(), "no run in {}", directory.display());
        unreadable.sort();
        Ok(Self { unreadable, ..Self::new(runs) })
    }

    /// Of two runs of the same repetition the later counts.
    pub(super) fn new(runs: Vec<Run>) -> Self {
        let order = target::all().into_iter().map(|target| target.name).collect();
        let mut latest: BTreeMap<(String, String, usize), Run> = BTreeMap::new();
        for run in runs {
            let key = (run.script.clone(), run.target.clone(), run.repetition);
            if latest.get(&key).is_none_or(|earlier| earlier.at <= run.at) {
                latest.insert(key, run);
            }
        }
        Self { runs: latest.into_values().collect(), unreadable: Vec::new(), order }
    }

    pub(super) fn all(&self) -> &[Run] {
        &self.runs
    }

    /// Those that were really measured, in the order of a report.
    pub(super) fn scripts(&self) -> Vec<&str> {
        let mut scripts: Vec<&str> = self.measured().map(|run| run.script.as_str()).collect();
        scripts.sort_by_key(|script| {
            let place = SCRIPTS.iter().rposition(|known| {
                script == known || script.strip_prefix(known).is_some_and(|rest| rest.starts_with('-'))
            });
            (place.unwrap_or(SCRIPTS.len()), *script)
        });
        scripts.dedup();
        scripts
    }

    /// Those that ran at least once in a script, in the order of tables.
    pub(super) fn targets(&self, script: &str) -> Vec<&str> {
        let mut targets: Vec<&str> =
            self.measured().filter(|run| run.script == script).map(|run| run.target.as_str()).collect();
        targets.sort_by_key(|target| (self.place(target), *target));
        targets.dedup();
        targets
    }

    /// Every target there is a word about, absent ones too, in the order of tables.
    pub(super) fn everyone(&self) -> Vec<&str> {
        let mut targets: Vec<&str> = self.runs.iter().map(|run| run.target.as_str()).collect();
        targets.sort_by_key(|target| (self.place(target), *target));
        targets.dedup();
        targets
    }

    /// The phases of a script, in the order in which they came.
    pub(super) fn phases(&self, script: &str) -> Vec<&str> {
        let mut phases: Vec<&str> = Vec::new();
        for run in self.measured().filter(|run| run.script == script) {
            let mut after = 0;
            for phase in &run.phases {
                match phases.iter().position(|known| *known == phase.name) {
                    Some(place) => after = place + 1,
                    None => {
                        phases.insert(after, &phase.name);
                        after += 1;
                    }
                }
            }
        }
        phases
    }

    /// A target's repetitions of a script, those where it was absent left out.
    pub(super) fn of<'a>(&'a self, script: &'a str, target: &'a str) -> impl Iterator<Item = &'a Run> {
        self.measured().filter(move |run| run.script == script && run.target == target)
    }

    /// How often a script was repeated at most.
    pub(super) fn repetitions(&self, script: &str) -> usize {
        let targets = self.targets(script);
        targets.iter().map(|target| self.of(script, target).count()).max().unwrap_or(0)
    }

    /// The spread of a figure over a target's repetitions.
    pub(super) fn figure(
        &self,
        script: &str,
        target: &str,
        figure: impl Fn(&Run) -> Option<f64>,
    ) -> Option<Spread> {
        Spread::of(self.of(script, target).filter_map(figure))
    }

    /// The spread of a figure relative to the floor's own in the same repetition. A repetition without its floor says
    /// nothing, and is left out.
    pub(super) fn relative(
        &self,
        script: &str,
        target: &str,
        figure: impl Fn(&Run) -> Option<f64>,
        base: impl Fn(&Run) -> Option<f64>,
    ) -> Option<Spread> {
        Spread::of(self.of(script, target).filter_map(|run| {
            let floor = self.of(script, FLOOR).find(|floor| floor.repetition == run.repetition)?;
            let base = base(floor).filter(|base| *base > 0.0)?;
            Some(figure(run)? / base)
        }))
    }

    /// The roles of a target's server, over all its runs of a script.
    pub(super) fn roles(&self, script: &str, target: &str) -> Vec<String> {
        let mut roles: Vec<String> = self
            .of(script, target)
            .flat_map(|run| run.phases.iter().flat_map(|phase| run.server(phase)))
            .map(|(role, _)| role.to_owned())
            .collect();
        roles.sort();
        roles.dedup();
        roles
    }

    /// Which way a message takes, for a reader.
    pub(super) fn path(&self, target: &str) -> &str {
        self.runs.iter().find(|run| run.target == target).map_or("", |run| &run.path)
    }

    /// What there is of one way through Ringway: the plainest name, where there are several. The relay has a table of its own.
    pub(super) fn ringway(&self, script: &str, way: Way) -> Option<&str> {
        let ours = self.targets(script).into_iter().filter(|target| Way::of(target) == Some(way));
        ours.min_by_key(|target| (target.contains("relay"), target.len()))
    }

    fn measured(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.absent.is_none())
    }

    /// The floor, Ringway, then the order in which targets are defined.
    fn place(&self, target: &str) -> (usize, usize) {
        let place = self.order.iter().position(|known| *known == target).unwrap_or(self.order.len());
        let kind = if is_floor(target) { 0 } else { 2 - usize::from(Way::of(target).is_some()) };
        (kind, place)
    }
}

/// A run's phase of that name.
pub(super) fn phase<'a>(run: &'a Run, name: &str) -> Option<&'a Phase> {
    run.phases.iter().find(|phase| phase.name == name)
}
