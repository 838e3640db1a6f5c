//! A node is taken away under its connections while they are published to: what closes, how long each hears nothing, and how
//! long it takes from the moment when the gateway's ring says who follows.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use ringway_protocol::{RoomName, TenantId};
use ringway_ring::{NodeId, Slot, SlotTable};
use rustix::process::{Pid, Signal, kill_process};

use super::outcome::{note_published, take};
use super::script::connect;
use super::stage::{PATIENCE, PATIENCE_OF_SOCKETS, Publishing, Stage};
use crate::control::{Aim, Command, Event, Membership, Silence};
use crate::histogram;
use crate::plan::Fault;
use crate::result;
use crate::target::TENANT;
use crate::worker::clock;

/// Members of a room, and what is published to each room in a second.
const MEMBERS: usize = 50;
const RATE: f64 = 20.0;

/// Seconds: all of the publishing, and when in it the node goes.
const LASTING: f64 = 12.0;
const GOES_AT: f64 = 3.0;

/// How often the gateway is asked what it knows, and for how long after the signal.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOK_FOR: u64 = 8 * clock::SECOND;

/// The node that goes, and those that stay.
const GOES: &str = "node-0";
const NODES: [&str; 3] = [GOES, "node-1", "node-2"];

/// All rooms are the one node's.
pub(super) fn run(stage: &mut Stage<'_>, connections: usize, fault: Fault) -> anyhow::Result<()> {
    let rooms = connections / MEMBERS;
    connect(stage, connections, &Membership::Listed { numbers: owned(rooms)? })?;
    let publishing = Publishing {
        per_second: RATE * rooms as f64,
        burst: 1,
        seconds: 1.0,
        data: 128,
        publishers: rooms,
        to: Aim::Own,
        members: None,
        keys: None,
        patience: PATIENCE_OF_SOCKETS,
    };
    stage.phase("warm", |stage, phase| stage.publish(phase, publishing))?;
    stage.phase("fault", |stage, phase| {
        let what = Publishing { seconds: LASTING, ..publishing };
        let watch = goes(stage, fault)?;
        let command = stage.command(what);
        let within = PATIENCE + Duration::from_secs_f64(LASTING);
        let event = stage.workers.ask(0, command, within, stage.progress)?;
        let (_, due) = note_published(phase, event, what)?;
        let seen = watch.join().map_err(|_| anyhow!("whoever watched the gateway has panicked"))??;
        let collect = Command::Collect {
            deliveries: due,
            within: PATIENCE.as_secs_f64(),
            quiet: Some(2.0),
            silences: true,
        };
        let event = stage.workers.ask(0, collect, PATIENCE * 2, stage.progress)?;
        let silences = match &event {
            Event::Collected(collected) => collected.silences.clone(),
            other => bail!("collecting was answered by {other:?}"),
        };
        take(phase, [(event, due)])?;
        phase.fault = Some(told(&seen, &silences));
        Ok(())
    })
}

/// The first rooms that are at home on the node that goes.
fn owned(count: usize) -> anyhow::Result<Vec<u32>> {
    let nodes = NODES.iter().map(|node| Ok((node.parse::<NodeId>()?, 1)));
    let table = SlotTable::build(&nodes.collect::<anyhow::Result<Vec<_>>>()?);
    let tenant: TenantId = TENANT.parse()?;
    let own = |number: &u32| {
        let room: RoomName = format!("room-{number}").parse().expect("short text without control characters");
        table.owner(Slot::of_room(&tenant, &room)).is_some_and(|node| node.as_str() == GOES)
    };
    Ok((0..).filter(own).take(count).collect())
}

/// When the node went, and when its gateway knew.
struct Seen {
    at: u64,
    known: Option<u64>,
}

/// Takes the node away once it is time, and watches the gateway.
fn goes(stage: &Stage<'_>, fault: Fault) -> anyhow::Result<JoinHandle<anyhow::Result<Seen>>> {
    let running = stage.running;
    let node = running.roles.iter().find(|role| role.name == "node").context("a target without nodes")?;
    let pid = node.pids.first().and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
    let pid = pid.context("a node without a process")?;
    let gateway = running.admin.iter().find(|(role, _)| *role == "gateway");
    let gateway = gateway.map(|(_, admin)| *admin).context("a target without a gateway")?;
    let signal = match fault {
        Fault::Drain => Signal::TERM,
        Fault::Kill => Signal::KILL,
        Fault::Stop => Signal::STOP,
    };
    Ok(thread::spawn(move || {
        thread::sleep(Duration::from_secs_f64(GOES_AT));
        let at = clock::now();
        kill_process(pid, signal).context("the node can't be signalled")?;
        while clock::now() < at + LOOK_FOR {
            if !knows(gateway)? {
                return Ok(Seen { at, known: Some(clock::now()) });
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(Seen { at, known: None })
    }))
}

/// Whether the node still has slots there.
fn knows(gateway: SocketAddr) -> anyhow::Result<bool> {
    let answer = ringway_testkit::http::get(gateway, "/debug/ring").context("no ring")?;
    let ring: serde_json::Value = serde_json::from_str(&answer.body).context("a ring")?;
    Ok(ring["nodes"]
        .as_array()
        .is_some_and(|nodes| nodes.iter().any(|node| node["id"] == GOES && node["slots"] != 0)))
}

fn told(seen: &Seen, silences: &[Silence]) -> result::Fault {
    let (mut lengths, mut flowing) = (histogram::empty(), histogram::empty());
    for silence in silences {
        lengths.saturating_record(silence.length.max(1));
        let from = silence.until.saturating_sub(silence.length * 1_000);
        if let Some(known) = seen.known.filter(|known| from <= *known && *known <= silence.until) {
            flowing.saturating_record(((silence.until - known) / 1_000).max(1));
        }
    }
    result::Fault {
        known: seen.known.map(|known| clock::seconds(known - seen.at)),
        open: silences.len(),
        silences: histogram::pack(&lengths),
        flowing: histogram::pack(&flowing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_of_the_node_that_goes_are_a_third_of_all() {
        let rooms = owned(60).unwrap();
        assert_eq!(rooms.len(), 60);
        assert!((100..300).contains(rooms.last().unwrap()), "{rooms:?}");
    }

    #[test]
    fn only_who_was_silent_then_began_to_hear_again() {
        let seen = Seen { at: clock::SECOND, known: Some(2 * clock::SECOND) };
        let silences = [
            Silence { until: 2_300_000_000, length: 1_400_000 },
            Silence { until: 9_000_000_000, length: 60_000 },
        ];
        let told = told(&seen, &silences);
        let flowing = histogram::unpack(&told.flowing).unwrap();
        assert_eq!((told.known, told.open, flowing.len()), (Some(1.0), 2, 1));
        assert!((299_000..=301_000).contains(&flowing.max()), "{}", flowing.max());
    }
}
