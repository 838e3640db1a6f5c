//! Publishing over HTTP while a room's owner stands still, or is killed: an answer comes in time and says what is known, and what
//! is repeated with its id is stored once.

use std::time::Instant;

use serde_json::Value;

use super::*;
use crate::call::{Call, encoded, get, post};
use crate::rebalance::steady::Steady;
use crate::support::documented;

/// How long a publication to a durable room may wait for its answer, with what the call itself takes; on a busy machine more.
const ANSWERED: Duration = Duration::from_secs(6);

/// How a call was answered: its offset, or the code why not; and how long that took.
fn told(call: &Call, gateway: std::net::SocketAddr) -> (Result<u64, String>, Duration) {
    let began = Instant::now();
    let answer = call.send(gateway);
    let took = began.elapsed();
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    if answer.status == 200 {
        return (Ok(body["offset"].as_u64().unwrap_or_else(|| panic!("not stored: {body}"))), took);
    }
    let code = body["code"].as_str().unwrap().to_owned();
    assert!(matches!(&*code, "unavailable" | "outcome_unknown"), "{answer:?}");
    assert_eq!(Some(answer.status), documented(&code), "{answer:?}");
    assert_eq!(answer.header("retry-after").is_some(), code == "unavailable", "{answer:?}");
    (Err(code), took)
}

/// Publishes until it is stored: its offset, the answers before that, and the longest that one took.
fn insist(call: &Call, gateway: std::net::SocketAddr) -> (u64, Vec<String>, Duration) {
    let (deadline, mut codes, mut longest) = (Instant::now() + 2 * SETTLED, Vec::new(), Duration::ZERO);
    loop {
        let (result, took) = told(call, gateway);
        longest = longest.max(took);
        match result {
            Ok(offset) => return (offset, codes, longest),
            Err(code) => codes.push(code),
        }
        assert!(Instant::now() < deadline, "never stored: {codes:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_owner_stands_still_or_is_killed_what_is_posted_is_answered_and_stored_once() {
    const AT_ONCE: u64 = 8;
    let steady = Steady::watch();
    let mut cluster = nodes(2);
    let gateway = cluster.gateway();
    let home = room_on(&cluster, "node-2", "home.").await;
    let room = room_on(&cluster, "node-1", "durable.posted.").await;
    let mut peer = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
    peer.joined().await;
    let mut kept = Kept::of(&room);
    kept.join(&mut peer, None).await;
    let target = format!("/v1/messages?room={}", encoded(&room));
    let call = |n: u64| {
        post(&target, "application/json", n.to_string()).with("Ringway-Message-Id", &format!("m{n}"))
    };
    let stored = |n: u64| insist(&call(n), gateway).0;
    let mut offsets = vec![stored(1), stored(2)];
    kept.hears(&mut peer, 2).await;
    let owner = |cluster: &Cluster| cluster.nodes.iter().position(|node| node.name == "node node-1").unwrap();
    for killed in [false, true] {
        let at = owner(&cluster);
        if killed {
            cluster.nodes[at].kill();
        } else {
            cluster.nodes[at].pause();
        }
        // All at once: each waits for itself.
        let first = offsets.len() as u64 + 1;
        let posting: Vec<_> = (first..first + AT_ONCE)
            .map(|n| (n, call(n)))
            .map(|(n, call)| (n, std::thread::spawn(move || insist(&call, gateway))))
            .collect();
        let mut of_these = Vec::new();
        for (n, posting) in posting {
            let (offset, codes, longest) = posting.join().unwrap();
            println!("{n}, killed {killed}: {offset} after {codes:?}, at most {longest:?} for an answer");
            assert!(longest < ANSWERED || !steady.was(), "{longest:?}");
            of_these.push((offset, n));
        }
        if !killed {
            cluster.nodes[at].resume();
        }
        // Where it was stored by an earlier attempt, which nobody knew of, a repeat says the same.
        for (offset, n) in &of_these {
            assert_eq!(stored(*n), *offset, "{n}");
        }
        of_these.sort_unstable();
        kept.hears(&mut peer, offsets.len() + of_these.len()).await;
        let heard: Vec<u64> = kept.heard[offsets.len()..].iter().map(|n| n.parse().unwrap()).collect();
        assert_eq!(heard, of_these.iter().map(|(_, n)| *n).collect::<Vec<_>>(), "each once, in one order");
        offsets.extend(of_these.iter().map(|(offset, _)| *offset));
        assert_eq!((&kept.offsets, &kept.gaps), (&offsets, &Vec::new()));
    }
    // So it is in the store, and nothing else.
    let page: Value = get(&format!("{target}&after=0&limit=100")).ok(gateway);
    let lines = page["messages"].as_array().unwrap().iter();
    assert_eq!(lines.map(|line| line["offset"].as_u64().unwrap()).collect::<Vec<_>>(), offsets);
}

/// A batch is answered item by item.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_time_while_an_owner_stands_still() {
    let steady = Steady::watch();
    let cluster = nodes(2);
    let (dead, alive) =
        (room_on(&cluster, "node-1", "durable.a.").await, room_on(&cluster, "node-2", "durable.b.").await);
    let batch = |mids: &str| {
        let item = |room: &str, n: u64| format!("{{\"room\":{:?},\"data\":{n},\"mid\":\"{mids}{n}\"}}", room);
        let items: Vec<String> = (1..=6).map(|n| item(if n % 2 == 0 { &dead } else { &alive }, n)).collect();
        post("/v1/publish", "application/json", format!("[{}]", items.join(",")))
    };
    batch("warm").ok(cluster.gateway());
    let node = cluster.nodes.iter().find(|node| node.name == "node node-1").unwrap();
    node.pause();
    let (began, deadline) = (Instant::now(), Instant::now() + SETTLED);
    let mut first = None;
    let results = loop {
        let asked = Instant::now();
        let answer = batch("m").send(cluster.gateway());
        assert!(asked.elapsed() < ANSWERED || !steady.was(), "{:?}", asked.elapsed());
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        let results = answer.as_array().cloned().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(results.len(), 6, "{answer}");
        let is_stored = |result: &&Value| result["offset"].is_u64();
        // Those of the other node are stored at once, and keep their places.
        let there: Vec<Value> = results.iter().step_by(2).map(|result| result["offset"].clone()).collect();
        assert!(there.iter().all(Value::is_u64), "{answer}");
        assert_eq!(*first.get_or_insert(there.clone()), there, "a repeat is stored once");
        if results.iter().filter(is_stored).count() == 6 {
            break results;
        }
        let codes = results.iter().filter_map(|result| result["code"].as_str());
        assert!(codes.clone().all(|code| matches!(code, "unavailable" | "outcome_unknown")), "{answer}");
        assert!(Instant::now() < deadline, "never stored: {answer}");
    };
    println!("stored after {:?}: {results:?}", began.elapsed());
    node.resume();
    let page: Value =
        get(&format!("/v1/messages?room={}&after=0&limit=100", encoded(&dead))).ok(cluster.gateway());
    assert_eq!(page["messages"].as_array().unwrap().len(), 6, "each once: {page}");
}

/// Signals, pages of history, and forgetting: each is done, or it is said that it wasn't, in time.
#[tokio::test(flavor = "multi_thread")]
async fn while_an_owner_stands_still_all_other_calls_are_answered_in_time() {
    let steady = &Steady::watch();
    let cluster = nodes(2);
    let gateway = cluster.gateway();
    let room = room_on(&cluster, "node-1", "durable.calls.").await;
    let target = format!("/v1/messages?room={}", encoded(&room));
    for n in 1..=3 {
        post(&target, "application/json", n.to_string()).ok(gateway);
    }
    let node = cluster.nodes.iter().find(|node| node.name == "node node-1").unwrap();
    node.pause();
    let calls = [
        ("a signal", post(&target, "application/json", "0").with("Ringway-Store", "false")),
        ("a page", get(&target)),
        ("forgetting", crate::call::call("DELETE", &target)),
    ];
    std::thread::scope(|scope| {
        for (what, call) in &calls {
            scope.spawn(move || {
                let deadline = Instant::now() + SETTLED;
                loop {
                    let began = Instant::now();
                    let answer = call.send(gateway);
                    println!("{what}: {} after {:?}", answer.status, began.elapsed());
                    assert!(began.elapsed() < ANSWERED || !steady.was(), "{what}: {:?}", began.elapsed());
                    if answer.status == 200 {
                        return;
                    }
                    let body: Value = serde_json::from_str(&answer.body).unwrap();
                    let code = body["code"].as_str().unwrap();
                    assert!(matches!(code, "unavailable" | "outcome_unknown"), "{what}: {answer:?}");
                    assert_eq!(Some(answer.status), documented(code), "{what}: {answer:?}");
                    assert!(Instant::now() < deadline, "{what}: never done");
                }
            });
        }
    });
    node.resume();
    // It is forgotten, and stays so.
    let page: Value = get(&target).ok(gateway);
    assert_eq!(page["messages"].as_array().unwrap().len(), 0, "{page}");
}
