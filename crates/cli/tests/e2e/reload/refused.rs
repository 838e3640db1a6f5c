//! What is wrong is refused whole: what was in force stays, and the reason is told everywhere that somebody may look.

use ringway_testkit::nats::NatsServer;

use super::*;
use crate::call::get;
use crate::cluster::sees;
use crate::support::{OPEN, open_over};

/// The metrics of a process: how many reloads became what, and whether the last was right.
fn counted(process: &Process) -> [f64; 4] {
    let scrape = process.metrics();
    let count = |result: &str| scrape.sum("ringway_config_reloads_total", &[&format!("result=\"{result}\"")]);
    [count("ok"), count("failed"), count("same"), scrape.sum("ringway_config_last_reload_successful", &[])]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_changes_nothing() {
    let key = secret("acme");
    let good = "[tenants.acme]\nkeys = [{ alg = \"HS256\", kid = \"k\", file = \"acme.key\" }]\n";
    let site = Site::start(good, &[("acme.key", &key)]);
    let token = token("acme", "k", &key);
    let mut there = Standing::by(site.at(), &token).await;
    let checksum = site.in_force();
    assert_eq!(counted(&site.serve), [0.0, 0.0, 0.0, 1.0]);
    assert!(record(&site.serve)["last_failure"].is_null());

    for (text, problem) in [
        ("[tenants.acme\n", "ringway.toml:1:14: not TOML"),
        (
            "[tenants.acme]\nkeys = [{ alg = \"HS256\", kid = \"k\", file = \"gone.key\" }]\n",
            "gone.key: No such file",
        ),
        ("gateway.auth = \"jwt\"\n", "needs a tenant with keys"),
        (
            "[tenants.acme]\nlimits = { rooms = -1 }\n",
            "ringway.toml:2:20: tenants.acme.limits.rooms: expected a whole number",
        ),
        ("[[classes]]\nrooms = \"r\"\nstore = \"s\"\n", "classes[0].store: there is no store \"s\""),
    ] {
        site.refuses(text, problem);
        assert_eq!(enters(site.at(), &token, None).0, 101, "{problem}");
        until("it is in the log", TAKEN, || site.serve.log().contains("configuration refused").then_some(()));
    }
    let [ok, failed, _, successful] = counted(&site.serve);
    assert_eq!((ok, successful), (0.0, 0.0));
    assert!(failed >= 5.0, "{failed}");
    let info = http::get(site.serve.admin, "/metrics").unwrap().body;
    assert!(info.contains(&format!("ringway_config_info{{checksum=\"{checksum}\"}} 1")), "{info}");

    // Mended, it is what was in force all along.
    site.configure(good);
    site.hang_up();
    until("it is right again", TAKEN, || (counted(&site.serve)[3] == 1.0).then_some(()));
    let record = record(&site.serve);
    assert_eq!((&record["checksum"], &record["reloads"]["ok"]), (&json!(checksum), &json!(0)));
    there.stands().await;
    // Nothing that was read is a secret that could be seen.
    let everything = format!("{}{info}{record}", site.serve.log());
    assert!(!everything.contains(&key) && !everything.contains("only these tests"));
}

#[tokio::test]
async fn a_tenants_group_stays_and_the_missing_line_is_named() {
    let site = Site::start(&format!("{OPEN}[tenants.acme]\n"), &[]);
    let told = site.refuses(
        &format!("{OPEN}[tenants.acme]\npool = \"acme\"\n"),
        "ringway.toml:4:1: tenants.acme.pool: would change the group of this tenant",
    );
    assert!(told.contains("add group = \"shared\" under [tenants.acme]"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[tokio::test]
async fn a_pool_that_no_node_serves_is_waited_for() {
    let nats = NatsServer::start();
    let config = |more: &str| format!("{}\n[tenants.acme]\n{more}", open_over(&nats.url()));
    let mut launcher = launcher(&config(""));
    let node = launcher.node("node-1", &[]);
    let gateway = launcher.gateway(&[]);
    sees(&gateway, 1);
    let at = gateway.listen;
    let site = Pair { gateway, node, launcher };
    let first = site.in_force();

    let moved = config("pool = \"big\"\ngroup = \"shared\"\n");
    let told = site.refuses(&moved, "no node of the pool \"big\" serves");
    assert!(told.contains("ringway.toml:11:1: tenants.acme.pool: no node"), "{told}");
    assert_eq!(get("/v1/locate?tenant=acme&room=r").ok(at)["node"], "node-1");
    assert_eq!(record(&site.gateway)["checksum"], first);

    let Pair { gateway, node, mut launcher } = site;
    let second = launcher.node("node-2", &[("RINGWAY_NODE__POOL", "big")]);
    let site = Pair { gateway, node, launcher };
    // Nobody has to ask again.
    assert_ne!(site.in_force(), first);
    until("its rooms are there", TAKEN, || {
        (get("/v1/locate?tenant=acme&room=r").ok(at)["node"] == "node-2").then_some(())
    });
    // Who starts with it has nothing to take over.
    assert_eq!(counted(&second)[0], 0.0);
}

/// A gateway and a node of one configuration.
struct Pair {
    gateway: Process,
    node: Process,
    launcher: Launcher,
}

impl Reloads for Pair {
    fn directory(&self) -> &Path {
        self.launcher.directory()
    }

    fn processes(&self) -> Vec<&Process> {
        vec![&self.gateway, &self.node]
    }
}

#[tokio::test]
async fn what_holds_from_the_next_start_is_said_and_the_rest_is_taken_over() {
    let site = Site::start(&format!("{OPEN}[tenants.acme]\n"), &[]);
    let before = site.in_force();
    let after = site.takes_over(&format!(
        "{OPEN}token_in_query = true\n[node]\nweight = 3\n[tenants.acme]\n[tenants.b]\n"
    ));
    assert_ne!(after, before);
    let log = until("it is said", TAKEN, || Some(site.serve.log()).filter(|log| log.contains("node.weight")));
    for line in [
        "ringway.toml:3:1: gateway.token_in_query: changed, and holds from the next start on",
        "ringway.toml:5:1: node.weight: changed, and holds from the next start on",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
}
