//! A configuration that is read while another is in force: what it may change, what waits for the next start, and what is
//! refused.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use ringway_config::{Changes, Config, Environment, Reading};
use tempfile::TempDir;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A directory with a configuration and what it names.
struct Site {
    directory: TempDir,
    env: Environment,
}

impl Site {
    fn new(text: &str) -> Self {
        let site = Self { directory: TempDir::new().unwrap(), env: Environment::new() };
        site.write("ringway.toml", text);
        site.write("acme.key", KEY);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn load(&self) -> Config {
        Config::load(&self.path("ringway.toml"), &self.env).unwrap_or_else(|error| panic!("{error}"))
    }

    fn next(&self, present: &Config) -> Reading<(Config, Changes)> {
        present.load_after(&self.path("ringway.toml"), &self.env, &|_, _| Ok(()))
    }

    #[track_caller]
    fn taken(&self, present: &Config) -> (Config, Changes) {
        self.next(present).outcome.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is told of it, without the directory's name.
    #[track_caller]
    fn refused(&self, present: &Config) -> String {
        let error = self.next(present).outcome.expect_err("taken over").to_string();
        error.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

#[test]
fn what_may_change_is_taken_over_and_named() {
    let site =
        Site::new("gateway.auth = \"off\"\n[tenants.acme]\nlimits = { connections = 5 }\n[tenants.old]\n");
    let present = site.load();
    let same = site.taken(&present);
    assert_eq!((same.1.keys.len(), same.0.checksum()), (0, present.checksum()));

    site.write(
        "ringway.toml",
        "gateway.auth = \"off\"\n[tenants.acme]\nlimits = { connections = 6 }\norigins = []\n[tenants.new]\n\
         [[classes]]\nrooms = \"a\"\n[placement]\nmoves_per_second = 7\n",
    );
    let (next, changes) = site.taken(&present);
    let keys = changes.keys.join(" ");
    for key in [
        "tenants.acme.limits.connections",
        "tenants.acme.origins",
        "tenants.old.keys",
        "tenants.new.keys",
        "classes[0].rooms",
        "placement.moves_per_second",
    ] {
        assert!(changes.keys.iter().any(|changed| changed == key), "{key} in {keys}");
    }
    assert!(changes.at_next_start.is_empty());
    let homed: Vec<&str> = changes.homed.iter().map(|homed| homed.tenant.as_str()).collect();
    assert_eq!(homed, ["new"]);
    assert_eq!(next.placement.moves_per_second, 7);
    assert_ne!(next.checksum(), present.checksum());
    assert_eq!(next.checksum(), site.load().checksum(), "the same as of who starts with it");
}

#[test]
fn what_holds_from_the_next_start_is_named_and_the_rest_taken_over() {
    let site = Site::new("gateway.auth = \"off\"\n[node]\nweight = 1\n[tenants.acme]\n");
    let present = site.load();
    site.write(
        "ringway.toml",
        "gateway.auth = \"off\"\ngateway.token_in_query = true\n[node]\nweight = 3\n[nats]\nprefix = \"x\"\n\
         [telemetry]\nsample = 1.0\n[cluster]\nsecret = \"0123456789abcdef\"\n[tenants.acme]\nlimits = { rooms = 7 }\n",
    );
    let (next, changes) = site.taken(&present);
    let told: Vec<String> = changes.at_next_start.iter().map(ToString::to_string).collect();
    let at = site.path("ringway.toml").display().to_string();
    for (place, key) in [
        ("2:9", "gateway.token_in_query"),
        ("4:1", "node.weight"),
        ("6:1", "nats.prefix"),
        ("8:1", "telemetry.sample"),
        ("10:1", "cluster.secret"),
    ] {
        let line = format!("{at}:{place}: {key}: changed, and holds from the next start on");
        assert!(told.contains(&line), "{line} in {told:?}");
    }
    assert_eq!(changes.keys, ["tenants.acme.limits.rooms"]);
    assert_eq!((next.node.weight, next.nats.is_none(), next.cluster.secret.is_none()), (1, true, true));
    assert_eq!(next.tenants.values().next().unwrap().limits.rooms, Some(7));
    // And once more, over what is now in force.
    let (_, changes) = site.taken(&next);
    assert_eq!((changes.keys.len(), changes.at_next_start.len()), (0, told.len()));
}

#[test]
fn a_tenants_group_stays() {
    let open = "gateway.auth = \"off\"\n";
    for (before, after, told) in [
        (
            "[tenants.acme]\n",
            "[tenants.acme]\npool = \"acme\"\n",
            "ringway.toml:3:1: tenants.acme.pool: would change the group of this tenant from \"shared\" to \"acme\", which \
             stays while processes run: add group = \"shared\" under [tenants.acme]",
        ),
        (
            "[tenants.acme]\npool = \"acme\"\n",
            "[tenants.acme]\n",
            "ringway.toml:2:10: tenants.acme: would change the group of this tenant from \"acme\" to \"shared\", which stays \
             while processes run: add group = \"acme\" under [tenants.acme]",
        ),
        (
            "[tenants.acme]\ngroup = \"a\"\n",
            "\n[tenants.acme]\ngroup = \"b\"\n",
            "ringway.toml:4:1: tenants.acme.group: would change the group of this tenant from \"a\" to \"b\", which stays \
             while processes run: say group = \"a\" here",
        ),
        (
            "[tenants.a]\n[tenants.b]\n[tenants.c]\n[tenants.d]\n[tenants.own]\ngroup = \"own\"\n",
            "[tenant_defaults]\npool = \"big\"\n[tenants.a]\n[tenants.b]\n[tenants.c]\n[tenants.d]\n[tenants.own]\n\
             group = \"own\"\n",
            "ringway.toml:3:1: tenant_defaults.pool: would change the group of a, b, c and 1 more from \"shared\" to \
             \"big\", which stays while processes run: say group = \"shared\" under [tenant_defaults]",
        ),
        (
            "",
            "[tenant_defaults]\npool = \"big\"\n",
            "ringway.toml:3:1: tenant_defaults.pool: would change the group of default from \"shared\" to \"big\", \
             which stays while processes run: say group = \"shared\" under [tenant_defaults]",
        ),
        (
            "",
            "[tenants.acme]\ngroup = \"acme\"\n",
            "ringway.toml:3:1: tenants.acme.group: would change the group of this tenant from \"shared\" to \"acme\", which \
             stays while processes run: say group = \"shared\" here",
        ),
    ] {
        let site = Site::new(&format!("{open}{before}"));
        let present = site.load();
        site.write("ringway.toml", &format!("{open}{after}"));
        assert_eq!(site.refused(&present), told, "{before} → {after}");
    }
}

#[test]
fn with_its_group_kept_a_tenant_moves_to_another_pool() {
    let site = Site::new("gateway.auth = \"off\"\n[tenants.acme]\n[tenants.b]\n");
    let present = site.load();
    site.write(
        "ringway.toml",
        "gateway.auth = \"off\"\n[tenants.acme]\npool = \"acme\"\ngroup = \"shared\"\n[tenants.b]\n",
    );
    let (next, changes) = site.taken(&present);
    let [acme] = &changes.homed[..] else { panic!("{changes:?}") };
    assert_eq!((acme.tenant.as_str(), acme.pool.as_str()), ("acme", "acme"));
    let problem = acme.problem("wrong").to_string();
    assert!(problem.ends_with("ringway.toml:3:1: tenants.acme.pool: wrong"), "{problem}");
    // Who was removed begins anew, wherever it likes.
    site.write("ringway.toml", "gateway.auth = \"off\"\n[tenants.b]\n");
    let (next, _) = site.taken(&next);
    site.write("ringway.toml", "gateway.auth = \"off\"\n[tenants.b]\n[tenants.acme]\ngroup = \"new\"\n");
    site.taken(&next);
}

#[test]
fn a_tenants_own_file_is_named_and_mended_there() {
    let site = Site::new("gateway.auth = \"off\"\ntenants_dir = \"tenants\"\n");
    site.write("tenants/acme.toml", "limits = { rooms = 1 }\n");
    let present = site.load();
    site.write("tenants/acme.toml", "limits = { rooms = 1 }\npool = \"acme\"\n");
    assert_eq!(
        site.refused(&present),
        "tenants/acme.toml:2:1: tenants.acme.pool: would change the group of this tenant from \"shared\" to \"acme\", \
         which stays while processes run: add group = \"shared\" to this file"
    );
}

#[test]
fn authentication_stays_and_what_goes_only_with_the_other_is_refused() {
    let site = Site::new("[tenants.acme]\nkeys = [{ alg = \"HS256\", file = \"acme.key\" }]\n");
    let present = site.load();
    site.write("ringway.toml", "gateway.auth = \"off\"\n[tenants.acme]\n");
    assert_eq!(
        site.refused(&present),
        "ringway.toml:2:10: tenants.acme: has neither `keys` nor `api_keys`, so nobody could use it (gateway.auth is \
         \"jwt\"); gateway.auth stays \"jwt\" until the next start"
    );
}

#[test]
fn what_is_wrong_is_refused_whole_and_the_files_are_known_all_the_same() {
    let site = Site::new("[tenants.acme]\nkeys = [{ alg = \"HS256\", file = \"acme.key\" }]\n");
    let reading = Config::load_noting(&site.path("ringway.toml"), &site.env, &|_, _| Ok(()));
    let present = reading.outcome.unwrap();
    let names = |files: &ringway_config::Files| -> Vec<String> {
        files.paths().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names(&reading.files), ["acme.key", "ringway.toml"]);
    let filler = "# A line that says nothing.\n".repeat(37);
    site.write(
        "ringway.toml",
        &format!("{filler}[tenants.acme]\nlimits = {{ rooms = -1 }}\nkeys = [{{ alg = \"HS256\", file = \"new.key\" }}]\n"),
    );
    let told = site.refused(&present);
    assert!(
        told.contains("ringway.toml:39:20: tenants.acme.limits.rooms: expected a whole number"),
        "{told}"
    );
    assert!(told.contains("ringway.toml:40:33: tenants.acme.keys[0].file: can't read new.key"), "{told}");
    let reading = site.next(&present);
    assert_eq!(names(&reading.files), ["new.key", "ringway.toml"]);
    site.write("new.key", KEY);
    assert_ne!(reading.files.now(), reading.files, "the file that was missing is there");
}

#[test]
fn the_checksum_is_of_all_that_may_change_and_of_nothing_else() {
    let text = "[tenants.acme]\nkeys = [{ alg = \"HS256\", file = \"acme.key\" }]\ncluster.secret = 1\n";
    let text = text.replace("cluster.secret = 1\n", "[cluster]\nsecret = \"0123456789abcdef\"\n");
    let mut site = Site::new(&text);
    let first = site.load().checksum();
    assert_eq!(first.len(), 16);
    assert_eq!(site.load().checksum(), first);
    // A process's own keys, an order, a comment, a default that is written out: nothing changes.
    site.env.insert("RINGWAY_NODE__ID".into(), "another".into());
    site.write("ringway.toml", &format!("# Hello.\n[tenant_defaults]\npool = \"shared\"\n{text}"));
    assert_eq!(site.load().checksum(), first);
    let mut seen = vec![first];
    let mut another = |site: &Site| {
        let sum = site.load().checksum();
        assert!(!seen.contains(&sum), "{sum} in {seen:?}");
        seen.push(sum);
    };
    site.write("acme.key", "another key, of which nothing is shown");
    another(&site);
    site.write("ringway.toml", &format!("{text}[tenants.acme.limits]\nconnections = 1\n"));
    another(&site);
    site.write("ringway.toml", &format!("{text}[[classes]]\nrooms = \"a\"\n"));
    another(&site);
    site.write("ringway.toml", &format!("{text}[[classes]]\nrooms = \"b\"\n"));
    another(&site);
    site.write("ringway.toml", &text.replace("0123456789abcdef", "0123456789abcdeg"));
    another(&site);
}

#[test]
fn a_class_gets_no_store_in_a_process_that_has_no_nats() {
    let open = "gateway.auth = \"off\"\n";
    let durable = "[stores.s]\nage = \"1h\"\n[[classes]]\nrooms = \"a\"\nstore = \"s\"\n";
    let site = Site::new(open);
    let present = site.load();
    // It would have one from the next start.
    site.write("ringway.toml", &format!("{open}{durable}[nats]\n"));
    assert_eq!(
        site.refused(&present),
        "ringway.toml:6:1: classes[0].store: needs [nats]: durable rooms are kept by the JetStream of a NATS server"
    );
    let site = Site::new(&format!("{open}[nats]\n"));
    let present = site.load();
    site.write("ringway.toml", &format!("{open}{durable}"));
    let (next, changes) = site.taken(&present);
    assert!(next.tenants().stores().count() == 1 && next.nats.is_some());
    assert!(changes.keys.iter().any(|key| key == "classes[0].store"), "{:?}", changes.keys);
}
