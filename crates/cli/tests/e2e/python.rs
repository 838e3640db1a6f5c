//! The README's program on the stock `websockets` package, run as it stands: it sees every message once and in order
//! through cuts, and is told of a new epoch; of a durable room it writes down every message once and in order though it
//! is killed again and again.

mod restarted;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringway_testkit::proxy::Proxy;
use ringway_testkit::tools::python_with_websockets;
use ringway_testkit::wait::until;
use serde_json::Value;

use crate::cluster::{self, Cluster};
use crate::member::{Member, Outcome, Way, all_joined};

/// The program, as a file and within the README.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/resume.py");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

/// Cut four times within half a minute, a client waits up to 0.5, 1, 2 and 4 s before it comes back.
const CUTS: usize = 4;
/// How soon it is back then, or after a further cut (8 s), on a loaded machine too.
const BACK_WITHIN: Duration = Duration::from_secs(15);
/// Between two publications: of what it misses in 4 s the room's replay buffer (100) has all.
const TALK: Duration = Duration::from_millis(80);

#[test]
fn the_readme_shows_the_program_that_is_tested() {
    let (readme, program) =
        (std::fs::read_to_string(README).unwrap(), std::fs::read_to_string(PROGRAM).unwrap());
    let blocks =
        readme.split("```python\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    assert!(
        blocks.into_iter().any(|block| block == program),
        "README.md has no block that is docs/examples/resume.py"
    );
    assert!(program.lines().count() <= 45, "about forty lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_program_resumes_after_cuts_and_is_told_of_a_new_epoch() {
    let mut cluster = Cluster::over_nats(3, 2);
    let room = cluster::rooms(&cluster.http(), "{python} room é.", 1, |_| true).await.remove(0);
    let owner = cluster.http().locate(Some(&room.parse().unwrap())).await.unwrap().node;
    let proxy = Proxy::start(cluster.gateways[0].listen).await.unwrap();
    let program = Program::follow(&format!("ws://{}", proxy.address()), &room);
    // Who publishes does so through the other gateway.
    let way = Way {
        gateways: vec![cluster.gateways[1].listen],
        format: ringway_protocol::Format::Msgpack,
        tenant: "default",
    };
    let speaker = [Member::start("speaker", &way, &[&room])];
    all_joined(&speaker);
    let talk = speaker[0].talk(&room, TALK);
    program.hears(10);

    for _ in 0..CUTS {
        proxy.cut();
        program.hears(5);
    }
    let connections = proxy.connections();
    assert!(connections > CUTS, "{connections}");
    talk.stop().await;
    program.in_order_and_once();
    let newest = newest(&speaker[0]);
    until("it has all of it", BACK_WITHIN, || (program.offsets().last() == Some(&newest)).then_some(()));
    program.in_order_and_once();
    assert_eq!(program.new_epochs(), 0, "the holder lives");

    // The holder is killed: it is told, and goes on in the new epoch.
    let node = cluster.nodes.iter_mut().find(|node| node.name == format!("node {owner}")).unwrap();
    node.kill();
    let killed = Instant::now();
    let talk = speaker[0].talk(&room, TALK);
    until("it is told of the new epoch", BACK_WITHIN, || (program.new_epochs() == 1).then_some(()));
    println!("told {:?} after the kill", killed.elapsed());
    program.hears(10);
    talk.stop().await;
    let lines = program.lines();
    let last = lines.last().unwrap()["epoch"].clone();
    let after = lines.iter().filter(|line| line["epoch"] == last && line["t"] == "msg");
    let offsets: Vec<u64> = after.filter_map(|line| line["offset"].as_u64()).collect();
    assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "{offsets:?}");
    assert_eq!(program.new_epochs(), 1);
}

/// The offset of the last that was accepted.
fn newest(speaker: &Member) -> u64 {
    let record = speaker.record();
    let offset = |outcome: &Option<Outcome>| match outcome {
        Some(Outcome::Accepted { place }) => place.as_ref().map(|place| place.offset),
        _ => None,
    };
    record.sent.iter().filter_map(|sent| offset(&sent.outcome)).max().unwrap()
}

/// The running program, and what it has printed.
struct Program {
    child: Child,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Program {
    fn follow(url: &str, room: &str) -> Self {
        let python =
            python_with_websockets().unwrap_or_else(|error| panic!("this test needs Python: {error}"));
        let mut child = Command::new(python)
            .arg(Path::new(PROGRAM))
            .args([url, room])
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (out, lines) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&printed));
        // Ends with the program.
        std::thread::spawn(move || out.lines().for_each(|line| lines.lock().unwrap().push(line.unwrap())));
        Self { child, printed }
    }

    fn lines(&self) -> Vec<Value> {
        let printed = self.printed.lock().unwrap();
        printed
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("printed {line:?}")))
            .collect()
    }

    /// Those that are messages.
    fn messages(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["t"] == "msg").collect()
    }

    fn offsets(&self) -> Vec<u64> {
        self.messages().iter().filter_map(|line| line["offset"].as_u64()).collect()
    }

    fn new_epochs(&self) -> usize {
        let lines = self.lines();
        let epochs: Vec<&Value> = lines.iter().filter_map(|line| line.get("epoch")).collect();
        epochs.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    /// Waits until it has printed so many messages more.
    fn hears(&self, more: usize) {
        let goal = self.messages().len() + more;
        until(&format!("the program prints {goal} messages"), BACK_WITHIN, || {
            (self.messages().len() >= goal).then_some(())
        });
    }

    /// Every number from the first on, and what the speaker said there.
    fn in_order_and_once(&self) {
        let lines = self.messages();
        let offsets: Vec<u64> = lines.iter().map(|line| line["offset"].as_u64().unwrap()).collect();
        assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "{offsets:?}");
        let numbers: Vec<u64> = lines.iter().map(|line| line["data"]["n"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
