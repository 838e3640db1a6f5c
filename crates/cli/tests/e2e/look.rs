//! Looking at a cluster: `ringway top`, `ringway ring plan`.

use std::process::Output;
use std::time::Duration;

use ringway_protocol::Format;
use ringway_ring::SLOTS;
use ringway_testkit::wait::until;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::peer::Peer;

fn ringway(cluster: &Cluster, args: &[&str]) -> Output {
    cluster.launcher.command().args(args).output().unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn top_shows_each_node_once_and_what_is_on_it() {
    let cluster = Cluster::over_nats(2, 1);
    let mut peers = Vec::new();
    for room in ["a", "b", "c"] {
        peers.push(Peer::open(&cluster.options(Format::Json, Some(room))).await);
    }
    for process in [&cluster.gateways[0], &cluster.nodes[0]] {
        let admin = format!("http://{}", process.admin);
        // Loads are told twice a second.
        let screen = until("all connections are shown", Duration::from_secs(10), || {
            let screen = printed(&ringway(&cluster, &["top", "--once", "--url", &admin]));
            screen.contains("3 connections").then_some(screen)
        });
        assert!(screen.starts_with("2 nodes in 1 pool"), "{screen}");
        let slots: Vec<u16> = screen
            .lines()
            .filter(|line| line.starts_with("node-"))
            .map(|line| line.split_whitespace().nth(3).unwrap().parse().unwrap())
            .collect();
        assert_eq!((slots.len(), slots.iter().sum()), (2, SLOTS), "{screen}");
    }
}

#[tokio::test]
async fn a_plan_is_what_comes_true() {
    let mut cluster = Cluster::over_nats(2, 1);
    let admin = format!("http://{}", cluster.gateways[0].admin);
    let output = ringway(&cluster, &["ring", "plan", "--add", "node-3", "--json", "--url", &admin]);
    let plan: Value = serde_json::from_str(&printed(&output)).unwrap();
    let told = plan["slots"].as_u64().unwrap();
    let third = cluster.launcher.node("node-3", &[]);
    cluster.nodes.push(third);
    crate::cluster::sees(&cluster.gateways[0], 3);
    let screen = printed(&ringway(&cluster, &["top", "--once", "--url", &admin]));
    let line = screen.lines().find(|line| line.starts_with("node-3")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some(&*told.to_string()), "{screen}\n{plan}");
    let wrong: [(&[&str], &str); 4] = [
        (&["--add", "node-1"], "it is there already"),
        (&["--remove", "node-9"], "no such node among node-1, node-2, node-3"),
        (&["--weigh", "node-1"], "--weigh node-1=2"),
        (&[], "nothing to plan"),
    ];
    for (args, why) in wrong {
        let output = ringway(&cluster, &[&["ring", "plan", "--url", &admin], args].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
