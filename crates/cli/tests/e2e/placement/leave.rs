//! Upgrades while nodes leave as planned: none fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ringway_client::{Connection, ReceiveError};
use ringway_protocol::{Format, ServerFrame};
use ringway_testkit::wait::until;
use tokio::time::timeout;

use super::site::Site;
use crate::support::{open_over, options};

/// How many upgrades are under way at a time.
const AT_A_TIME: usize = 16;

/// How long an upgrade may take until `hello`. Nobody waits so long: a failure is a failure.
const HELLO_WITHIN: Duration = Duration::from_secs(15);

/// How long until so many have been made.
const MADE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_upgrades_while_nodes_leave_none_fails() {
    upgrades_while_nodes_leave(1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make e2e"]
async fn of_ten_thousand_upgrades_while_nodes_leave_none_fails() {
    upgrades_while_nodes_leave(10_000).await;
}

/// What became of an upgrade.
struct Upgrade {
    began: Instant,
    took: Duration,
    outcome: Result<(), String>,
}

async fn upgrades_while_nodes_leave(goal: usize) {
    let mut site = Site::start(3, 2, open_over);
    let (made, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for task in 0..AT_A_TIME {
        let (gateways, made, enough) = (site.gateways(), Arc::clone(&made), Arc::clone(&enough));
        tasks.push(tokio::spawn(async move {
            let mut upgrades = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                let n = task + upgrades.len() * AT_A_TIME;
                let format = if n.is_multiple_of(3) { Format::Json } else { Format::Msgpack };
                let room = format!("room.{}", n % 301);
                let options = options(gateways[upgrades.len() % gateways.len()], format, Some(&room));
                let began = Instant::now();
                let outcome = match timeout(HELLO_WITHIN, upgrade(&options)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err("no hello in time".to_owned()),
                };
                upgrades.push(Upgrade { began, took: began.elapsed(), outcome });
                made.fetch_add(1, Ordering::Relaxed);
            }
            upgrades
        }));
    }
    // One after another, as in a rolling restart, until there were enough upgrades while some node was leaving.
    let (mut leaves, mut during) = (Vec::new(), 0);
    let deadline = Instant::now() + MADE;
    while during < goal {
        let node = format!("node-{}", leaves.len() % 3 + 1);
        let (began, before) = (Instant::now(), made.load(Ordering::Relaxed));
        site.retire(&node);
        during += made.load(Ordering::Relaxed) - before;
        leaves.push((began, Instant::now()));
        assert!(Instant::now() < deadline, "{during} upgrades within {MADE:?}");
        site.add(&node, &[]);
    }
    enough.store(true, Ordering::Relaxed);
    let mut upgrades = Vec::new();
    for task in tasks {
        upgrades.extend(task.await.unwrap());
    }
    let leaving =
        |upgrade: &Upgrade| leaves.iter().any(|(from, to)| *from <= upgrade.began && upgrade.began < *to);
    let mut times: Vec<Duration> = upgrades.iter().filter(|u| leaving(u)).map(|u| u.took).collect();
    times.sort_unstable();
    let failed: Vec<_> =
        upgrades.iter().filter_map(|u| Some((leaving(u), u.outcome.as_ref().err()?))).collect();
    println!(
        "\n{} leaves: {} upgrades while a node was leaving, of {} in all; {} failed; until hello: median {:?}, worst {:?}\n",
        leaves.len(),
        times.len(),
        upgrades.len(),
        failed.len(),
        times[times.len() / 2],
        times[times.len() - 1],
    );
    assert!(failed.is_empty(), "{failed:?}");
    for gateway in &site.cluster.gateways {
        until("nothing is under way any more", Duration::from_secs(10), || {
            (gateway.metrics().sum("ringway_gateway_handshakes", &[]) == 0.0).then_some(())
        });
    }
}

/// An upgrade, up to the `hello`, and a goodbye.
async fn upgrade(options: &ringway_client::ConnectOptions) -> Result<(), String> {
    let mut connection = Connection::open(options).await.map_err(|error| error.to_string())?;
    match connection.receive().await {
        Ok(ServerFrame::Hello(_)) => Ok(()),
        Ok(other) => Err(format!("instead of hello: {other:?}")),
        Err(ReceiveError::Closed(closed)) => Err(format!("instead of hello: {closed:?}")),
        Err(error) => Err(error.to_string()),
    }
}
