//! The floor, by `send(2)` and by io_uring.

use super::process::Program;
use super::{Ground, Running, Started, Target, too_many};
use crate::baseline;
use crate::dialect::Spec;

pub(super) fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "floor",
            path: "server alone",
            beside: &[],
            rooms: false,
            start: |ground| start(ground, "floor", "one thread, epoll, one send(2) a delivery"),
        },
        Target {
            name: "floor io_uring",
            path: "server alone",
            beside: &[],
            rooms: false,
            start: |ground| match baseline::has_uring() {
                Ok(()) => start(ground, "uring", "one thread, epoll, sends by io_uring in batches of 512"),
                Err(error) => Ok(Started::Absent(format!("{error:#}"))),
            },
        },
    ]
}

/// A baseline server of this program; `kind` as on its command line.
pub(super) fn start(ground: &Ground, kind: &str, versions: &str) -> anyhow::Result<Started> {
    if let Some(why) = too_many(ground, 1) {
        return Ok(Started::Absent(why));
    }
    let address = ringway_testkit::ports::free_port();
    let program = Program::new(kind, std::env::current_exe()?, &ground.servers_on, &ground.scratch);
    let process = program.args(["baseline", kind, "--listen", &address.to_string()]).start()?;
    process.wait_for(address)?;
    Ok(Running::of_one(Spec::Plain, address, versions.to_owned(), process))
}
