//! Two nodes are called the same.

use std::time::Duration;

use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;

use crate::cluster::{self, Cluster};
use crate::faults::config;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_name_is_taken_says_where_the_other_is_and_does_not_start() {
    let mut cluster = Cluster::with(2, 1, config);
    // On a machine that is so busy that the elder can't answer in time the newcomer starts, and the elder leaves: there are
    // never two for long.
    for _ in 0..10 {
        let mut newcomer = cluster.launcher.begin_node("node-1", &[]);
        let elder = &mut cluster.nodes[0];
        match one_has_ended(&mut newcomer, elder) {
            Ended::Newcomer(code) => {
                let (log, listen) = (newcomer.log(), elder.listen);
                assert_eq!(code, Some(2), "{log}");
                let told = format!("node.id: another node is called \"node-1\": it is reached at {listen}");
                assert!(log.contains(&told), "{log}");
                assert_eq!(elder.readyz(), Some(200), "{}", elder.log());
                for process in cluster.gateways.iter().chain(&cluster.nodes) {
                    cluster::sees(process, 2);
                }
                return;
            }
            Ended::Elder(code) => {
                assert_eq!(code, Some(1), "{}", elder.log());
                newcomer.wait_ready();
                cluster.nodes[0] = newcomer;
            }
        }
    }
    panic!("no newcomer is ever refused");
}

/// Which of two, and its exit code.
enum Ended {
    Newcomer(Option<i32>),
    Elder(Option<i32>),
}

fn one_has_ended(newcomer: &mut Process, elder: &mut Process) -> Ended {
    until("one of the two ends", Duration::from_secs(20), || {
        if let Some(status) = newcomer.ended() {
            return Some(Ended::Newcomer(status.code()));
        }
        elder.ended().map(|status| Ended::Elder(status.code()))
    })
}
