//! How much somebody may do: connections, connects, publications and bytes, of a tenant, a user, a connection and a room.
//! Over a limit there is an error that says when to try again, never silence; and whoever is under theirs notices nothing.

mod alone;
mod connections;
mod neighbours;
mod publications;
mod rooms;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use ringway_testkit::http::Answer;
use ringway_testkit::wait::until;
use serde_json::{Value, json};

use crate::bare::{Bare, SOON, encoded, text, upgrade};
use crate::call::post;
use crate::cluster::Cluster;
use crate::support::{documented, open_over};

/// A gateway before two nodes. The tenants, by name and limits; and further lines.
fn cluster(tenants: &[(&str, &str)], more: &str) -> Cluster {
    Cluster::with(2, 1, |nats| {
        let mut config = open_over(nats);
        for (name, limits) in tenants {
            write!(config, "\n[tenants.{name}]\nlimits = {{ {limits} }}\n").unwrap();
        }
        config + more
    })
}

/// What somebody of a tenant upgrades at.
fn way(tenant: &str, user: &str, room: &str) -> String {
    format!("/v1/ws?tenant={tenant}&user={user}&room={}", encoded(room))
}

/// In that room: hello and the join's answer are read.
fn enter(gateway: SocketAddr, tenant: &str, user: &str, room: &str) -> Bare {
    let mut bare = Bare::upgraded(gateway, &way(tenant, user, room), &[]);
    bare.until(|frame| frame["t"] == "joined" && frame["room"] == room);
    bare
}

/// Whether it is let in: the connection, hello read, or the refusal.
fn try_enter(gateway: SocketAddr, target: &str) -> Result<Bare, Answer> {
    let mut bare = Bare::open(gateway);
    bare.send(upgrade(target, &[]));
    let answer = bare.answer();
    if answer.status != 101 {
        return Err(answer);
    }
    assert_eq!(bare.hear()["t"], "hello");
    Ok(bare)
}

/// How somebody is refused.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    code: String,
    /// Whether they are told when to try again.
    retry: bool,
}

impl Refused {
    fn with_retry(code: &str) -> Self {
        Self { code: code.to_owned(), retry: true }
    }

    fn for_ever(code: &str) -> Self {
        Self { code: code.to_owned(), retry: false }
    }

    /// Of a problem document, whose status has to be the code's.
    fn of(answer: &Answer) -> Self {
        let problem: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(documented(&code), Some(answer.status), "{answer:?}");
        let retry = answer.header("retry-after").map(|seconds| seconds.parse::<u64>().unwrap());
        assert!(retry.is_none_or(|seconds| (1..=60).contains(&seconds)), "{answer:?}");
        Self { code, retry: retry.is_some() }
    }

    /// Of an `err`.
    fn of_frame(frame: &Value) -> Self {
        assert_eq!(frame["t"], "err", "{frame}");
        let code = frame["code"].as_str().unwrap().to_owned();
        assert!(frame["retry"].as_u64().is_none_or(|retry| (1..=60_000).contains(&retry)), "{frame}");
        Self { code, retry: frame.get("retry").is_some() }
    }
}

/// How an upgrade is refused, the same to a page and to everybody else.
fn refused(gateway: SocketAddr, target: &str) -> Refused {
    let answer = try_enter(gateway, target).expect_err("let in");
    let refused = Refused::of(&answer);
    let mut page = Bare::upgraded(gateway, target, &["Sec-WebSocket-Protocol: ringway.v1.json"]);
    let (close, reason) = page.close_frame();
    assert_eq!(close, 1013, "{reason}");
    let (code, retry) = reason.split_once(' ').map_or((&*reason, None), |(code, retry)| (code, Some(retry)));
    assert!(retry.is_none_or(|retry| retry.starts_with("retry=")), "{reason}");
    assert_eq!((code, retry.is_some()), (&*refused.code, refused.retry), "{reason}");
    refused
}

/// Publishes so often in one write, and takes the answers: what was refused, and None where it was accepted. A refusal may
/// overtake the answer to what was accepted before it.
fn publish(bare: &mut Bare, room: &str, count: u64, size: usize) -> Vec<Option<Refused>> {
    let fill = "x".repeat(size);
    let frame =
        |id| text(&json!({"t": "pub", "id": id, "room": room, "data": fill, "echo": false}).to_string());
    bare.send((0..count).flat_map(frame).collect::<Vec<u8>>());
    let answers: BTreeMap<u64, Option<Refused>> = (0..count)
        .map(|_| {
            let answer = bare.until(|frame| frame.get("id").is_some());
            assert_eq!(answer["room"], room, "{answer}");
            (answer["id"].as_u64().unwrap(), (answer["t"] != "ok").then(|| Refused::of_frame(&answer)))
        })
        .collect();
    assert!(answers.keys().copied().eq(0..count), "an answer to each: {answers:?}");
    answers.into_values().collect()
}

/// How many of the first were accepted before one was refused; and that one.
fn until_refused(answers: Vec<Option<Refused>>) -> (usize, Refused) {
    let accepted = answers.iter().take_while(|answer| answer.is_none()).count();
    let refusal = answers.into_iter().flatten().next();
    (accepted, refusal.unwrap_or_else(|| panic!("all {accepted} were accepted")))
}

/// That is let through before long, as its refusal said.
fn is_let_through(bare: &mut Bare, room: &str) {
    until("a publication is accepted again", SOON, || {
        let answer = bare.ask(&json!({"t": "pub", "id": 7, "room": room, "data": "again", "echo": false}));
        match answer["t"].as_str() {
            Some("ok") => Some(()),
            _ => {
                let retry = answer["retry"].as_u64().unwrap_or_else(|| panic!("never: {answer}"));
                std::thread::sleep(Duration::from_millis(retry));
                None
            }
        }
    });
}

/// A room of each node.
fn rooms(gateway: SocketAddr, tenant: &str, prefix: &str) -> [String; 2] {
    let of = |node: &str| {
        let target = |room: &str| format!("{}&tenant={tenant}", encoded(room));
        let is_there = |room: &String| {
            let answer =
                ringway_testkit::http::get(gateway, &format!("/v1/locate?room={}", target(room))).unwrap();
            let place: Value = serde_json::from_str(&answer.body).unwrap();
            place["node"] == node
        };
        (0..).map(|n| format!("{prefix} {n}")).find(is_there).unwrap()
    };
    ["node-1", "node-2"].map(of)
}

/// Publishes over HTTP.
fn call(gateway: SocketAddr, tenant: &str, room: &str, size: usize) -> Answer {
    let target = format!("/v1/messages?tenant={tenant}&room={}", encoded(room));
    post(&target, "application/json", json!("x".repeat(size)).to_string()).send(gateway)
}
