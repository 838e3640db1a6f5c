//! A tenant gets nodes of its own, and goes back to those it shares, by nothing but a reload.

use std::time::Duration;

use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;

use super::crowd::{Crowd, Size};
use super::site::{Site, owner};
use super::steps::Steps;
use super::verdicts::Told;
use crate::support::open_over;

const SHARED: [&str; 2] = ["node-1", "node-2"];
const OWN: [&str; 2] = ["own-1", "own-2"];

/// What a tenant's own pool takes: its publications stay in the group that they are in.
const POOL_OF_ITS_OWN: &str = "pool = \"acme\"\ngroup = \"shared\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_moves_to_a_pool_of_its_own_and_nobody_loses_anything() {
    moves(Size::SMALL, &[POOL_OF_ITS_OWN]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make e2e"]
async fn a_tenant_of_two_hundred_clients_moves_to_a_pool_of_its_own_and_back_and_again() {
    moves(Size::LARGE, &[POOL_OF_ITS_OWN, "", POOL_OF_ITS_OWN]).await;
}

/// The tenant's table gets these lines, one text after another.
async fn moves(size: Size, lines: &[&str]) {
    let mut open = String::new();
    let mut site = Site::start(2, 2, |nats| {
        open = open_over(nats);
        config(&open, "")
    });
    for node in OWN {
        site.add(node, &[("RINGWAY_NODE__POOL", "acme")]);
    }
    let mut acme = Crowd::start("acme", &site.gateways(), size);
    let mut globex = Crowd::start("globex", &site.gateways(), Size::SMALL);
    for crowd in [&mut acme, &mut globex] {
        assert_eq!(crowd.misplaced(|room| at_home(&SHARED, crowd, room)), 0, "both begin in the shared pool");
        crowd.speak();
    }
    let mut steps = Steps::new("A tenant moves between pools");
    for (turn, lines) in lines.iter().enumerate() {
        let (to, nodes) = if lines.is_empty() { ("the shared", &SHARED) } else { ("its own", &OWN) };
        site.cluster.launcher.rewrite(&config(&open, lines));
        steps.step(&format!("all reload: to {to} pool"), &acme, || reload(&site, turn));
        steps.step("its clients move there", &acme, || {
            let others = globex.memberships(|room| at_home(&SHARED, &globex, room));
            acme.come_home(&site, others, |room| at_home(nodes, &acme, room));
        });
    }
    acme.fall_silent().await;
    globex.fall_silent().await;
    steps.print(&acme);
    acme.assert_kept(Told::Nothing);
    globex.assert_kept(Told::Nothing);
    for follower in &globex.followers {
        assert_eq!(follower.record().opened.len(), 1, "{} is another's, and stays", follower.name);
    }
}

fn config(open: &str, acme: &str) -> String {
    format!("{open}\n[tenants.acme]\n{acme}\n[tenants.globex]\n")
}

fn at_home(nodes: &[&str], crowd: &Crowd, room: &str) -> String {
    owner(nodes, crowd.followers[0].tenant, room)
}

/// One after another, as no two machines read a file at the same moment: nodes of either pool first, by turns.
fn reload(site: &Site, turn: usize) {
    let mut all: Vec<&Process> = site.cluster.nodes.iter().chain(&site.cluster.gateways).collect();
    let count = all.len();
    all.rotate_left(turn * 2 % count);
    for process in all {
        process.hang_up();
        until(&format!("{} has read it", process.name), Duration::from_secs(10), || {
            let read = process.metrics().sum("ringway_config_reloads_total", &["result=\"ok\""]);
            (read >= (turn + 1) as f64).then_some(())
        });
    }
}
