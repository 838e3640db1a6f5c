//! Durable rooms from a terminal: `sub --since`, `pub --signal`, `store split`, and what is said of wrong use.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc;

use ringway_testkit::nats::NatsServer;
use serde_json::Value;

use super::*;
use crate::support::{OPEN, launcher};

fn ringway(cluster: &Cluster, args: &[&str]) -> Output {
    cluster.launcher.command().args(args).output().unwrap()
}

fn split(cluster: &Cluster, config: &Path, args: &[&str]) -> Output {
    let config = config.display().to_string();
    ringway(cluster, &[&["store", "split", "--config", &config], args].concat())
}

/// It ended with that code, and said that.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A command that runs on, and its lines.
struct Sub {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Sub {
    fn start(cluster: &Cluster, args: &[&str]) -> Self {
        let mut command = cluster.launcher.command();
        command.args(args).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, (sender, lines)) = (BufReader::new(child.stdout.take().unwrap()), mpsc::channel());
        // Ends with the command.
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    #[track_caller]
    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(SETTLED).expect("a line in time");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("printed {line:?}"))
    }
}

impl Drop for Sub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_goes_on_behind_a_position_and_pub_sends_signals() {
    let cluster = nodes(1);
    let url = format!("http://{}", cluster.gateway());
    let publish = |data: &str, more: &[&str]| -> Value {
        let printed = printed(&ringway(&cluster, &[&["pub", &url, "durable.t", data], more].concat()));
        serde_json::from_str(&printed).unwrap()
    };
    let first = publish("1", &[]);
    let place = format!("{}:{}", first["epoch"].as_str().unwrap(), first["offset"]);
    let second = publish("2", &[]);
    assert_eq!(publish("\"psst\"", &["--signal"]), serde_json::json!({}));
    let sub = Sub::start(&cluster, &["sub", &url, "durable.t", "--since", &place]);
    let joined = sub.next();
    assert_eq!((&joined["t"], &joined["result"]["resumed"]), (&"joined".into(), &true.into()), "{joined}");
    assert_eq!(joined["result"]["offset"], first["offset"], "{joined}");
    let msg = sub.next();
    assert_eq!((&msg["data"], &msg["offset"]), (&2.into(), &second["offset"]), "{msg}");
    publish("typing", &["--signal"]);
    let signal = sub.next();
    assert_eq!((&signal["data"], signal.get("offset")), (&"typing".into(), None), "{signal}");
    let third = publish("3", &[]);
    let msg = sub.next();
    assert_eq!((&msg["data"], &msg["offset"]), (&3.into(), &third["offset"]), "{msg}");
    drop(sub);
    // One that can't be gone on behind: that is said, and it goes on from now; or with the newest, where they are asked for.
    let future = format!("{}:{}", first["epoch"].as_str().unwrap(), 1_u64 << 40);
    for more in [&[] as &[&str], &["--last", "1"]] {
        let args = ["sub", &url, "durable.t", "--since", &future];
        let sub = Sub::start(&cluster, &[&args, more].concat());
        let joined = sub.next();
        assert_eq!(
            (&joined["t"], &joined["result"]["resumed"]),
            (&"joined".into(), &false.into()),
            "{joined}"
        );
        if more.is_empty() {
            publish("4", &[]);
        }
        let msg = sub.next();
        assert_eq!(msg["data"], 4, "{msg}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_are_none_are_wrong_use() {
    let cluster = nodes(1);
    let url = format!("http://{}", cluster.gateway());
    for wrong in ["", "7", "e", "e:", "e:x", "e:-1", "e:1:2:3", "e 1:7", "e:99999999999999999999"] {
        let output = ringway(&cluster, &["sub", &url, "durable.t", "--since", wrong]);
        refused(&output, 2, &["EPOCH:OFFSET"]);
    }
    let output = ringway(&cluster, &["sub", &url, "durable.t", "durable.u", "--since", "e:1"]);
    refused(&output, 2, &["--since", "one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_split_is_said() {
    let cluster = nodes(1);
    let config = cluster.launcher.config().to_owned();
    let mut peer = Peer::open(&cluster.options(Format::Json, None)).await;
    peer.publish("durable.a", "1").await;
    let api = cluster.nats.as_ref().unwrap().api();
    let before = api.streams().unwrap();
    for (args, words) in [
        // Wrong use: it is said what would be right.
        (&["shared", "nosuch", "--into", "2"] as &[&str], &["no store nosuch", "kept"] as &[&str]),
        (&["shared", "No such", "--into", "2"], &["No such"]),
        (&["nosuch", "kept", "--into", "2"], &["nosuch", "kept"]),
        (&["shared", "kept", "--into", "0"], &["--into", "64"]),
        (&["shared", "kept", "--into", "65"], &["--into", "64"]),
        (&["shared", "kept", "--into", "1000"], &["--into", "64"]),
        (&["shared", "kept", "--into", "-1"], &["-1"]),
        (&["shared", "kept", "--into", "two"], &["--into", "two"]),
        (&["shared", "kept"], &["--into"]),
        (&["shared", "--into", "2"], &["STORE"]),
    ] {
        refused(&split(&cluster, &config, args), 2, words);
    }
    refused(
        &split(&cluster, Path::new("/nowhere/at.all"), &["shared", "kept", "--into", "2"]),
        2,
        &["/nowhere"],
    );
    assert_eq!(api.streams().unwrap(), before, "nothing was done");
    // One that has as many is left as it is; and it is had by now.
    for into in ["1", "2", "2", "1"] {
        let said = printed(&split(&cluster, &config, &["shared", "kept", "--into", into]));
        println!("{said}");
        let streams =
            if into == "1" && !said.contains("2 streams") { "done: 1 stream" } else { "done: 2 streams" };
        assert!(said.trim_end().ends_with(streams), "{said}");
    }
    // The other wasn't read meanwhile, and need not be open any more.
    let mut peer = Peer::open(&cluster.options(Format::Json, None)).await;
    assert!(peer.publish("durable.a", "2").await.offset > Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_split_it_is_said_in_time() {
    let mut without = launcher(OPEN);
    let serve = without.serve(&[]);
    let bare = Cluster { gateways: vec![serve], nodes: Vec::new(), launcher: without, nats: None };
    let file = |name: &str, text: String| {
        let file = bare.launcher.directory().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let args = ["shared", "kept", "--into", "2"];
    let stores = "[stores.kept]\nage = \"1h\"\n";
    let file_without_nats = file("one.toml", format!("{OPEN}{stores}"));
    refused(&split(&bare, &file_without_nats, &args), 2, &["[nats]"]);
    let no_stores = file("two.toml", crate::support::open_over("nats://127.0.0.1:1"));
    refused(&split(&bare, &no_stores, &args), 2, &["no store kept"]);
    // The world is wrong: NATS isn't there, has no JetStream, or doesn't answer.
    let away = file("three.toml", crate::support::durable_over("nats://127.0.0.1:1"));
    refused(&split(&bare, &away, &args), 1, &["127.0.0.1:1"]);
    let nats = NatsServer::start();
    let plain = file("four.toml", crate::support::durable_over(&nats.url()));
    refused(&split(&bare, &plain, &args), 1, &["JetStream"]);
    nats.pause();
    refused(&split(&bare, &plain, &args), 1, &["NATS"]);
}
