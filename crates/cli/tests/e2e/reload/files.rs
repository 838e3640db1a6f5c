//! Files change, in every way in which they are changed, and nobody sends a signal.

use std::os::unix::fs::symlink;

use super::*;
use crate::call::get;
use crate::cluster::Cluster;
use crate::support::{OPEN, open_over};

fn locates(gateway: SocketAddr, tenant: &str) -> bool {
    get(&format!("/v1/locate?tenant={tenant}&room=r")).status(gateway) == 200
}

#[tokio::test]
async fn a_file_that_is_written_over_or_replaced_is_taken_over() {
    let site = Site::start(&format!("{OPEN}[tenants.a]\n"), &[]);
    site.in_force();
    assert!(locates(site.at(), "a") && !locates(site.at(), "b"));
    site.configure(&format!("{OPEN}[tenants.b]\n"));
    site.in_force();
    assert!(!locates(site.at(), "a") && locates(site.at(), "b"));
    // In place, of the same length.
    std::fs::write(site.file(), format!("{OPEN}[tenants.c]\n")).unwrap();
    site.in_force();
    assert!(!locates(site.at(), "b") && locates(site.at(), "c"));
}

#[tokio::test]
async fn a_key_that_is_replaced_is_taken_over() {
    let (old, new) = (secret("old"), secret("new"));
    let config = "[tenants.acme]\nkeys = [{ alg = \"HS256\", kid = \"k\", file = \"acme.key\" }]\n";
    let site = Site::start(config, &[("acme.key", &old)]);
    let first = site.in_force();
    assert_eq!(enters(site.at(), &token("acme", "k", &new), None).0, 401);
    site.put("acme.key", &new);
    assert_ne!(site.in_force(), first);
    assert_eq!(enters(site.at(), &token("acme", "k", &new), None).0, 101);
    assert_eq!(enters(site.at(), &token("acme", "k", &old), None).0, 401);
    // One that is missing is told of, and its coming is seen though the configuration stands still.
    std::fs::remove_file(site.directory().join("acme.key")).unwrap();
    until("it is missing", TAKEN, || {
        problems(&record(&site.serve)).contains("acme.key: No such file").then_some(())
    });
    assert_eq!(enters(site.at(), &token("acme", "k", &new), None).0, 101);
    site.put("acme.key", &old);
    assert_eq!(site.in_force(), first);
    assert_eq!(enters(site.at(), &token("acme", "k", &old), None).0, 101);
}

/// A directory as Kubernetes mounts a ConfigMap: names lead over `..data` to the present version, which is swapped whole.
struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn version(&self, name: &str, text: &str) {
        let version = self.0.join(name);
        std::fs::create_dir_all(&version).unwrap();
        std::fs::write(version.join("tenants.toml"), text).unwrap();
        let new = self.0.join("..data_tmp");
        symlink(name, &new).unwrap();
        std::fs::rename(new, self.0.join("..data")).unwrap();
    }
}

#[tokio::test]
async fn a_mounted_config_map_that_is_swapped_is_taken_over() {
    let mount = tempfile::TempDir::new().unwrap();
    let mounted = Mounted(mount.path());
    mounted.version("..2026_1", "limits = { rooms = 5 }\n");
    symlink("..data/tenants.toml", mount.path().join("acme.toml")).unwrap();
    let site = Site::start(&format!("tenants_dir = \"{}\"\n{OPEN}", mount.path().display()), &[]);
    let first = site.in_force();
    mounted.version("..2026_2", "limits = { rooms = 6 }\n");
    std::fs::remove_dir_all(mount.path().join("..2026_1")).unwrap();
    assert_ne!(site.in_force(), first);
}

#[tokio::test]
async fn every_process_of_an_installation_shows_the_sum_that_check_config_prints() {
    let cluster = Cluster::with(2, 1, |nats| format!("{}\n[tenants.acme]\n", open_over(nats)));
    let checksum = cluster.in_force();
    let output = cluster.launcher.command().arg("check-config").arg(cluster.file()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.lines().any(|line| line.trim() == format!("checksum {checksum}")), "{printed}");
    for process in cluster.processes() {
        assert_eq!(record(process)["checksum"], checksum);
        let info = format!("ringway_config_info{{checksum=\"{checksum}\"}} 1");
        let metrics = http::get(process.admin, "/metrics").unwrap().body;
        assert!(metrics.contains(&info), "{metrics}");
        assert!(process.log().contains(&checksum), "{}", process.log());
    }
}
