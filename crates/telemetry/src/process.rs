//! What the kernel says of this process, read from `/proc` when somebody asks; on other systems only its start.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Clock ticks in a second as `/proc` counts them: 100 on every Linux, whatever the kernel's own rate (`proc(5)`,
/// `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The names and meanings are those of Prometheus' own client libraries, so their dashboards fit.
#[derive(Debug)]
pub(crate) struct Process {
    started: f64,
}

/// What is read at a scrape; None where the system doesn't say.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Reading {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<i64>,
    virtual_bytes: Option<i64>,
    threads: Option<i64>,
    open_fds: Option<i64>,
    max_fds: Option<i64>,
}

impl Process {
    /// For a process that begins about now.
    pub(crate) fn started_now() -> Self {
        Process {
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        }
    }
}

impl Reading {
    fn take() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Reading { open_fds: open_descriptors(), ..Reading::parse(&status, &stat, &limits) }
    }

    fn parse(status: &str, stat: &str, limits: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<i64>().ok()
        };
        let kibibytes = |name| field(name).map(|value| value * 1024);
        // The command's name stands in parentheses and may hold anything; what follows it is numbered from 3.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |number: usize| after_name.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
        let max_fds = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Reading {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            resident_bytes: kibibytes("VmRSS"),
            virtual_bytes: kibibytes("VmSize"),
            threads: field("Threads"),
            open_fds: None,
            max_fds,
        }
    }
}

/// How many descriptors are open. Since Linux 6.2 the size of the directory says so, at once; before, they are listed,
/// which takes some milliseconds where tens of thousands are open.
fn open_descriptors() -> Option<i64> {
    const DESCRIPTORS: &str = "/proc/self/fd";
    let told = i64::try_from(fs::metadata(DESCRIPTORS).ok()?.len()).ok()?;
    if told > 0 {
        return Some(told);
    }
    // The directory that is being read is open itself, and not ours.
    i64::try_from(fs::read_dir(DESCRIPTORS).ok()?.count()).ok().map(|listed| listed - 1)
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let reading = Reading::take();
        let mut show = |name: &str, help: &str, unit: Option<Unit>, metric: &dyn Shown| {
            metric.show(&mut encoder, name, help, unit.as_ref())
        };
        show(
            "process_start_time",
            "When the process started, in seconds since 1970.",
            Some(Unit::Seconds),
            &ConstGauge::new(self.started),
        )?;
        if let Some(seconds) = reading.cpu_seconds {
            show(
                "process_cpu",
                "CPU time, user and system.",
                Some(Unit::Seconds),
                &ConstCounter::new(seconds),
            )?;
        }
        for (name, help, unit, value) in [
            (
                "process_resident_memory",
                "Memory that is resident.",
                Some(Unit::Bytes),
                reading.resident_bytes,
            ),
            ("process_virtual_memory", "Address space.", Some(Unit::Bytes), reading.virtual_bytes),
            ("process_threads", "Threads.", None, reading.threads),
            ("process_open_fds", "Open file descriptors.", None, reading.open_fds),
            ("process_max_fds", "File descriptors that may be open.", None, reading.max_fds),
        ] {
            if let Some(value) = value {
                show(name, help, unit, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

/// A metric with a value of its own, whatever its type.
trait Shown {
    fn show(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
    ) -> Result<(), fmt::Error>;
}

impl<M: EncodeMetric> Shown for M {
    fn show(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
    ) -> Result<(), fmt::Error> {
        self.encode(encoder.encode_descriptor(name, help, unit, self.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_descriptors_are_counted() {
        let most = fs::read_dir("/proc/self/fd").unwrap().count() + 100;
        let held: Vec<_> = (0..100).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let counted = open_descriptors().unwrap();
        // Other tests of this process open and close files meanwhile, a few at a time.
        assert!((100..=i64::try_from(most).unwrap() + 50).contains(&counted), "{counted}, at most {most}");
        drop(held);
    }

    #[test]
    fn what_proc_says_is_read() {
        let reading = Reading::parse(
            "Name:\tringway\nVmSize:\t  2048 kB\nVmRSS:\t    1024 kB\nThreads:\t7\n",
            "1 (odd ) name) S 0 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 100 0 0",
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max open files            20000                20000                files     \n",
        );
        let expected = Reading {
            cpu_seconds: Some(3.0),
            resident_bytes: Some(1_048_576),
            virtual_bytes: Some(2_097_152),
            threads: Some(7),
            open_fds: None,
            max_fds: Some(20_000),
        };
        assert_eq!(reading, expected);
        assert_eq!(Reading::parse("", "", "Max open files  unlimited unlimited files"), Reading::default());
    }
}
