//! The program is killed and started again, at random: what it has written down is every publication that was accepted
//! since it first came, once and in order.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ringway_testkit::tools::python_with_websockets;
use ringway_testkit::wait::until;
use serde_json::Value;

use super::{PROGRAM, TALK};
use crate::cluster::{self, Cluster};
use crate::member::{Member, Outcome, Way, all_joined};
use crate::support::durable_over;

/// How soon it has written what it missed, on a loaded machine too.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_python_program_that_is_killed_and_started_again_misses_nothing_of_a_durable_room() {
    killed_and_started_again(Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute"]
async fn a_python_program_that_is_killed_and_started_again_for_a_minute_misses_nothing() {
    killed_and_started_again(Duration::from_secs(60)).await;
}

async fn killed_and_started_again(how_long: Duration) {
    let seed: u64 =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let cluster = Cluster::over_jetstream(2, 1, durable_over);
    let room = cluster::rooms(&cluster.http(), "durable.python é", 1, |_| true).await.remove(0);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("transcript");
    let url = format!("ws://{}", cluster.gateway());
    let way = Way {
        gateways: vec![cluster.gateway()],
        format: ringway_protocol::Format::Msgpack,
        tenant: "default",
    };
    let speaker = [Member::start("speaker", &way, &[&room])];
    all_joined(&speaker);

    let mut program = Program::start(&url, &room, &file);
    until("it has joined", CAUGHT_UP_WITHIN, || (!lines(&file).is_empty()).then_some(()));
    let talk = speaker[0].talk(&room, TALK);
    let began = Instant::now();
    let mut kills = 0;
    while began.elapsed() < how_long {
        let millis = dice.random_range(50..1_500);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        drop(program);
        kills += 1;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..400))).await;
        program = Program::start(&url, &room, &file);
    }
    talk.stop().await;

    let accepted: Vec<u64> = {
        let record = speaker[0].record();
        let place = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Accepted { place: Some(place) }) => place.offset,
            other => panic!("the store was there all the time: {other:?}"),
        };
        record.sent.iter().map(|sent| place(&sent.outcome)).collect()
    };
    let newest = accepted.last().copied();
    until("it has written down the newest", CAUGHT_UP_WITHIN, || {
        (lines(&file).last().and_then(|line| line["offset"].as_u64()) == newest).then_some(())
    });
    let lines = lines(&file);
    let heard: Vec<u64> =
        lines.iter().filter(|l| l["t"] == "msg").map(|l| l["offset"].as_u64().unwrap()).collect();
    assert_eq!(heard, accepted, "each once, in order, none missing");
    assert!(lines.iter().all(|line| line["t"] != "gap" && line["resumed"] != false), "nothing was ever lost");
    assert!(lines.iter().all(|line| line["epoch"] == lines[0]["epoch"]));
    println!("{} accepted, each written once, over {kills} kills in {:?}", accepted.len(), began.elapsed());
    assert!(kills >= 3, "{kills}");
}

/// What it has written down.
fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("wrote {line:?}"))).collect()
}

/// Running. Dropped, it is killed.
struct Program(Child);

impl Program {
    fn start(url: &str, room: &str, file: &Path) -> Self {
        let python =
            python_with_websockets().unwrap_or_else(|error| panic!("this test needs Python: {error}"));
        let child = Command::new(python)
            .arg(PROGRAM)
            .args([url, room])
            .arg(file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
