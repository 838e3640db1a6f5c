//! A node is asked to leave.

use std::time::{Duration, Instant};

use ringway_testkit::processes::ended_well;

use super::crowd::{Crowd, Told};
use super::site::Site;

/// How long a node may take to end by itself.
const END: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_leaves_and_nobody_is_told() {
    let mut site = Site::start(3, 2).await;
    let mut crowd = Crowd::start(&site, 300).await;
    crowd.speak();
    let began = Instant::now();
    let mut leaving = site.cluster.nodes.remove(0);
    leaving.terminate();
    let status = leaving.wait_end(END);
    println!("the node ended within {:?}", began.elapsed());
    assert!(ended_well(status), "{status}\n{}", leaving.log());
    crowd.all_hear(10);
    crowd.silences("drained", (began, Instant::now()));
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Nothing);
    let log = leaving.log();
    assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{log}");
}

/// What it had comes to another node and back again: a rolling restart.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_restarted_one_after_the_other_and_nobody_is_told() {
    let mut site = Site::start(2, 1).await;
    let mut crowd = Crowd::start(&site, 60).await;
    crowd.speak();
    let began = Instant::now();
    for number in 1..=2 {
        let id = format!("node-{number}");
        let at = site.cluster.nodes.iter().position(|node| node.name == format!("node {id}")).unwrap();
        let mut leaving = site.cluster.nodes.remove(at);
        leaving.terminate();
        let status = leaving.wait_end(END);
        assert!(ended_well(status), "{status}\n{}", leaving.log());
        crowd.all_hear(3);
        let next = site.cluster.launcher.node(&id, &[]);
        site.cluster.nodes.push(next);
        site.all_see(2);
        // Its rooms come home.
        crowd.all_hear(3);
    }
    crowd.silences("restarted one by one", (began, Instant::now()));
    crowd.fall_silent().await;
    crowd.stayed();
    crowd.judge(Told::Nothing);
}
