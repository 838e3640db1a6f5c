//! Plans that can fail: a soak after which something has stayed.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::Plan;
use crate::report::slope_a_minute;
use crate::result::{Phase, Run};

/// Memory that grows by less than this share of itself a minute is flat: what the allocator moves about.
const FLAT: f64 = 0.005;

/// Descriptors beyond those before the first connection that may still be open: links that come and go by themselves.
const FILES: usize = 2;

/// Fails if the plan promises something that its results don't show.
pub(crate) fn judge(plan: &Plan, directory: &Path) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory.join("runs"))? {
        let run: Run = serde_json::from_slice(&std::fs::read(entry?.path())?).context("a result")?;
        if run.script == "soak" {
            found.extend(wrong(&run));
        }
    }
    if !found.is_empty() {
        bail!("{} failed:\n  {}", plan.name, found.join("\n  "));
    }
    Ok(())
}

/// What a soak shows that it shouldn't.
fn wrong(run: &Run) -> Vec<String> {
    if let Some(why) = &run.absent {
        return vec![format!("{} didn't run: {why}", run.target)];
    }
    let phase = |name: &str| run.phases.iter().find(|phase| phase.name == name);
    let (Some(connect), Some(soak), Some(left)) = (phase("connect"), phase("soak"), phase("left")) else {
        return vec![format!("{}: the soak didn't come to its end", run.target)];
    };
    let mut wrong = left.left_over.clone();
    for (role, used) in &left.roles {
        let before = connect.roles.get(role).map_or(0, |before| before.files_before);
        if used.files > before + FILES {
            wrong.push(format!(
                "{role}: {} descriptors open, {before} before the first connection",
                used.files
            ));
        }
        if let Some(slope) = slope(soak, role)
            && slope > FLAT
        {
            wrong.push(format!("{role}: memory grows by {:.2} % a minute", slope * 100.0));
        }
    }
    for phase in [connect, soak] {
        if phase.failed > 0 || phase.lost > 0 || phase.out_of_order > 0 {
            let Phase { name, failed, lost, out_of_order, .. } = phase;
            wrong.push(format!("{name}: {failed} failed, {lost} lost, {out_of_order} out of order"));
        }
    }
    wrong
}

/// Growth of a role's memory, a minute, as a share of what it is.
fn slope(phase: &Phase, role: &str) -> Option<f64> {
    let resident: Vec<(f64, f64)> =
        phase.samples.iter().filter_map(|sample| Some((sample.at, *sample.rss.get(role)? as f64))).collect();
    let now = resident.last()?.1;
    Some(slope_a_minute(&resident)? / now)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::result::{Sample, Use};

    fn soak(files: usize, growth: f64, left_over: &[&str]) -> Run {
        let role = |used| BTreeMap::from([("node".to_owned(), used)]);
        let connect = Phase {
            name: "connect".into(),
            roles: role(Use { files_before: 9, ..Use::default() }),
            ..Phase::default()
        };
        let at = |second: i32| Sample {
            at: f64::from(second),
            rss: BTreeMap::from([("node".to_owned(), (1e8 + growth * f64::from(second) / 60.0) as u64)]),
            ..Sample::default()
        };
        let soak = Phase { name: "soak".into(), samples: (0..120).map(at).collect(), ..Phase::default() };
        let left = Phase {
            name: "left".into(),
            roles: role(Use { files, ..Use::default() }),
            left_over: left_over.iter().map(ToString::to_string).collect(),
            ..Phase::default()
        };
        Run { script: "soak".into(), phases: vec![connect, soak, left], ..Run::default() }
    }

    #[test]
    fn what_stays_is_told() {
        assert_eq!(wrong(&soak(10, 1e5, &[])), Vec::<String>::new());
        assert_eq!(wrong(&soak(30, 2e6, &["a gauge is 1, and was 0"])).len(), 3);
        assert_eq!(wrong(&Run { absent: Some("no".into()), ..Run::default() }).len(), 1);
        assert_eq!(wrong(&Run::default()).len(), 1);
    }
}
