//! What it costs to look whether the configuration's files have changed, and to read them again:
//! `cargo run --release -p ringway-config --example reload_cost -- 300`, where 300 tenants have a file each, and a key each.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use ringway_config::{Config, Environment};

const TIMES: usize = 21;

fn main() {
    let tenants: usize = std::env::args().nth(1).map_or(300, |count| count.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("tenants")).unwrap();
    for n in 0..tenants {
        let key = format!(
            "keys = [{{ alg = \"HS256\", file = \"{n}.key\" }}]\nlimits = {{ connections = {} }}\n",
            n + 1
        );
        std::fs::write(at(&format!("tenants/t{n}.toml")), key).unwrap();
        std::fs::write(at(&format!("tenants/{n}.key")), format!("{n:064}")).unwrap();
    }
    std::fs::write(at("ringway.toml"), "tenants_dir = \"tenants\"\n").unwrap();
    let (file, env) = (at("ringway.toml"), Environment::new());
    let first = Config::load_noting(&file, &env, &|_, _| Ok(()));
    let (files, present) = (first.files, first.outcome.unwrap());
    println!("{tenants} tenants, {} files, median of {TIMES}", files.paths().len());
    println!("a look      {:?}", median(|| assert_eq!(files.now(), files)));
    println!(
        "a reading   {:?}",
        median(|| drop(present.load_after(&file, &env, &|_, _| Ok(())).outcome.unwrap()))
    );
    println!("a checksum  {:?}", median(|| drop(present.checksum())));
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    took.sort();
    took[TIMES / 2]
}
