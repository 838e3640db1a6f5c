//! Centrifugo, in one process, with its own broker in memory.

use std::fs;

use ringway_testkit::ports::free_port;

use super::process::Program;
use super::{Ground, Running, Started, Target, too_many, tools};
use crate::dialect::Spec;

pub(super) fn targets() -> Vec<Target> {
    vec![Target { name: "centrifugo", path: "server alone", beside: &[], rooms: true, start }]
}

fn start(ground: &Ground) -> anyhow::Result<Started> {
    if let Some(why) = too_many(ground, 1) {
        return Ok(Started::Absent(why));
    }
    let binary = match tools::go(ground, "centrifugo") {
        Ok(binary) => binary,
        Err(why) => return Ok(Started::Absent(why)),
    };
    let address = free_port();
    let config = tools::baselines(ground).join("config/centrifugo.json");
    let process = Program::new("server", &binary, &ground.servers_on, &ground.scratch)
        .args(["--config"])
        .args([config])
        .env("CENTRIFUGO_HTTP_SERVER_PORT", address.port().to_string())
        .start()?;
    process.wait_for(address)?;
    // The binary knows its own version only where it came from a release.
    let pinned = fs::read_to_string(tools::baselines(ground).join("go/centrifugo.txt"))?;
    let version = pinned.trim().rsplit('@').next().unwrap_or_default();
    let versions = format!("Centrifugo {version}, JSON, no history");
    Ok(Running::of_one(Spec::Centrifugo, address, versions, process))
}
