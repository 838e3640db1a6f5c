//! `docs/operations.md` names every metric that a process exposes, and no other.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use ringway_client::Connection;
use ringway_protocol::{CloseCode, Format};
use ringway_testkit::http;
use ringway_testkit::wait::until;

use crate::support::{OPEN, launcher, options};

/// The families that a process exposes, as they are scraped.
fn exposed(admin: SocketAddr) -> BTreeSet<String> {
    let body = http::get(admin, "/metrics").unwrap().body;
    let families = body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let scraped = families.map(|(family, kind)| match kind {
        "counter" => format!("{family}_total"),
        "info" => format!("{family}_info"),
        _ => family.to_owned(),
    });
    scraped.filter(|name| name.starts_with("ringway_")).collect()
}

#[tokio::test]
async fn the_page_names_every_metric_and_no_other() {
    let serve = launcher(OPEN).serve(&[]);
    // A family whose labels come up as things happen is exposed only then.
    let client = Connection::open(&options(serve.listen, Format::Json, Some("lobby"))).await.unwrap();
    client.close(CloseCode::NORMAL, "").await;
    let exposed = until("the connection's end is counted", Duration::from_secs(5), || {
        let exposed = exposed(serve.admin);
        exposed.contains("ringway_connections_closed_total").then_some(exposed)
    });
    let page = include_str!("../../../../docs/operations.md");
    let named: BTreeSet<String> = page
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("ringway_") && *word != "ringway_node")
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = exposed.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&exposed).collect();
    let between_processes_alone = [
        "ringway_gateway_tunnels_ended_total",
        "ringway_gateway_connections_closed_total",
        "ringway_link_cuts_total",
    ];
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    assert!(
        unknown.iter().all(|name| between_processes_alone.contains(&name.as_str())),
        "not exposed: {unknown:?}"
    );
}
