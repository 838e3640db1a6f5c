//! The configuration changes while durable rooms have members: a tenant gets nodes of its own, a class gets a store or loses it, a
//! store keeps less or more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ringway_config::{Config, Environment};
use ringway_testkit::path::Path;
use ringway_testkit::processes::Process;
use ringway_testkit::transcript::{Accepted, Kind, Name, Place, Room, Transcript};
use ringway_testkit::wait::until;
use serde_json::{Value, json};

use super::*;
use crate::call::{encoded, get, post};
use crate::placement::follower::{self, Follower};
use crate::support::{open_over, path};

/// This is the configuration from now on, everywhere.
fn take_over(cluster: &Cluster, text: &str) {
    take_over_by_turns(cluster, text, None);
}

/// As [`take_over`], one process after another, that node first; each looks by itself once a second, so it may be the other way
/// round.
fn take_over_by_turns(cluster: &Cluster, text: &str, first: Option<usize>) {
    cluster.launcher.rewrite(text);
    let config = Config::load(cluster.launcher.config(), &Environment::new());
    let checksum = config.unwrap_or_else(|error| panic!("{error}")).checksum();
    let (before, from) = cluster.nodes.split_at(first.unwrap_or(0));
    for process in from.iter().chain(before).chain(&cluster.gateways) {
        process.hang_up();
        if first.is_some() {
            in_force(process, &checksum);
            // The others go by what they went by, for long enough that they are asked.
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    cluster.nodes.iter().chain(&cluster.gateways).for_each(|process| in_force(process, &checksum));
}

fn in_force(process: &Process, checksum: &str) {
    until(&format!("{} has read it", process.name), SETTLED, || {
        let answer = ringway_testkit::http::get(process.admin, "/debug/config").ok()?;
        let record: Value = serde_json::from_str(&answer.body).ok()?;
        (record["checksum"] == checksum).then_some(())
    });
}

/// Over this cluster's NATS.
fn over(cluster: &Cluster) -> String {
    open_over(&cluster.nats.as_ref().unwrap().url())
}

/// Publishes by HTTP one after another, each until it is stored, until it is told to stop.
struct Poster {
    end: Arc<AtomicBool>,
    task: std::thread::JoinHandle<(Vec<Accepted>, Duration)>,
}

impl Poster {
    fn start(gateway: std::net::SocketAddr, tenant: &'static str, room: String) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let task = std::thread::spawn(move || {
            let target = format!("/v1/messages?tenant={tenant}&room={}", encoded(&room));
            let (mut accepted, mut longest) = (Vec::new(), Duration::ZERO);
            for number in 1.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let body = json!({"tenant": tenant, "room": room, "by": "http", "n": number}).to_string();
                let call = post(&target, "application/json", body)
                    .with("Ringway-Message-Id", &format!("{room}-{number}"));
                let began = Instant::now();
                let place = loop {
                    let answer = call.send(gateway);
                    let body: Value = serde_json::from_str(&answer.body).unwrap();
                    if let (200, Some(offset)) = (answer.status, body["offset"].as_u64()) {
                        break Place { epoch: body["epoch"].as_str().unwrap().into(), offset };
                    }
                    assert!(matches!(answer.status, 503 | 504), "{answer:?}");
                    assert!(began.elapsed() < SETTLED, "never stored: {answer:?}");
                    std::thread::sleep(Duration::from_millis(20));
                };
                longest = longest.max(began.elapsed());
                let name = Name { by: "http".into(), number };
                accepted.push(Accepted { name, place: Some(place) });
                std::thread::sleep(Duration::from_millis(20));
            }
            (accepted, longest)
        });
        Self { end, task }
    }

    /// All that was stored, and the longest that one took.
    fn stop(self) -> (Vec<Accepted>, Duration) {
        self.end.store(true, Ordering::Relaxed);
        self.task.join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_moves_to_a_pool_of_its_own_and_its_durable_rooms_go_on() {
    let config = |nats: &str, acme: &str| durable_over(nats) + &format!("\n[tenants.acme]\n{acme}\n");
    let mut cluster = Cluster::over_jetstream(1, 1, |nats| config(nats, ""));
    let own = cluster.launcher.node("own-1", &[("RINGWAY_NODE__POOL", "acme")]);
    cluster.nodes.push(own);
    cluster.gateways.iter().chain(&cluster.nodes).for_each(|process| cluster::sees(process, 2));
    let rooms: Vec<String> = (0..3).map(|n| format!("durable.{n}")).collect();
    let start = |n: usize| {
        let way = follower::Way { gateway: cluster.gateway(), format: FORMATS[n % 2], tenant: "acme" };
        Follower::start(format!("f{n}"), way, &[rooms[n % 3].clone(), rooms[(n + 1) % 3].clone()])
    };
    let all: Vec<Follower> = (0..6).map(start).collect();
    let heard =
        |follower: &Follower| follower.record().rooms.values().map(|room| room.count()).min().unwrap();
    let posters: Vec<Poster> =
        rooms.iter().map(|room| Poster::start(cluster.gateway(), "acme", room.clone())).collect();
    for follower in &all {
        until(&format!("{} hears", follower.name), SETTLED, || (heard(follower) >= 3).then_some(()));
        assert_eq!(follower.node(), "node-1");
    }
    let nats = cluster.nats.as_ref().unwrap().url();
    take_over(&cluster, &config(&nats, "pool = \"acme\"\ngroup = \"shared\""));
    // Where gateways have the sockets, only what is behind them moves.
    until("all memberships are at home", 2 * SETTLED, || {
        let there = cluster.nodes[1].metrics().sum("ringway_members", &[]);
        (there == (2 * all.len()) as f64).then_some(())
    });
    for follower in &all {
        until(&format!("{} is at home", follower.name), 2 * SETTLED, || {
            (path() == Path::Relay || follower.node() == "own-1").then_some(())
        });
        let before = heard(follower);
        until(&format!("{} hears", follower.name), SETTLED, || (heard(follower) >= before + 3).then_some(()));
    }
    let stored: Vec<_> = posters.into_iter().map(Poster::stop).collect();
    for (room, (accepted, longest)) in rooms.iter().zip(stored) {
        let room = crate::support::name(room);
        let newest = accepted.last().unwrap().place.clone();
        let members: Vec<&Follower> = all.iter().filter(|f| f.rooms.contains(&room)).collect();
        for follower in &members {
            until(&format!("{} has all", follower.name), SETTLED, || {
                (follower.record().rooms[&room].place == newest).then_some(())
            });
        }
        let transcript = |follower: &&Follower| {
            let record = follower.record();
            assert!(record.strange.is_empty(), "{:?}", record.strange);
            record.rooms[&room].assert_told_nothing(&follower.name);
            let events = record.rooms[&room].events.iter().map(|(_, event)| event.clone()).collect();
            Transcript { member: follower.name.clone(), left: false, events }
        };
        let known = Room {
            kind: Kind::Durable,
            transcripts: members.iter().map(transcript).collect(),
            sent: accepted.iter().map(|accepted| accepted.name.clone()).collect(),
            accepted,
            ..Room::default()
        };
        let count = known.accepted.len();
        let verdict = known.assert_kept();
        assert!(verdict.is_whole(), "{room}: {verdict}");
        println!("{room}: {count} stored, none took longer than {longest:?}: {verdict}");
    }
}

/// Members of one room, on two nodes.
struct Pair {
    room: String,
    members: Vec<(Peer, Kept)>,
}

impl Pair {
    async fn join(cluster: &Cluster, prefix: &str) -> Self {
        let room = room_on(cluster, "node-1", prefix).await;
        let mut members = Vec::new();
        for (n, node) in ["node-1", "node-2"].into_iter().enumerate() {
            let home = room_on(cluster, node, "home.").await;
            let mut peer = Peer::open(&cluster.options(FORMATS[n], Some(&home))).await;
            peer.joined().await;
            let mut kept = Kept::of(&room);
            kept.join(&mut peer, None).await;
            members.push((peer, kept));
        }
        Self { room, members }
    }

    /// Each says that number and more, by turns, and both hear it all.
    async fn say(&mut self, range: impl IntoIterator<Item = u64> + Clone) {
        for n in range.clone() {
            let (peer, _) = &mut self.members[n as usize % 2];
            let deadline = Instant::now() + SETTLED;
            while let Err(no) = peer.ask(crate::peer::publish(&self.room, &n.to_string())).await {
                assert!(no.retry.is_some() && Instant::now() < deadline, "{no:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let all = numbers(range);
        for (peer, kept) in &mut self.members {
            kept.hears(peer, all.len()).await;
            assert_eq!(kept.take(), all);
        }
    }

    /// Both are told of another epoch, and publish in it. Where one node had read of it before the other, there may be one
    /// between. Gives the position from before.
    async fn is_another(&mut self) -> Position {
        let before = self.members[0].1.position.clone().unwrap();
        let deadline = Instant::now() + SETTLED;
        for (peer, kept) in &mut self.members {
            while kept.gaps.is_empty() {
                kept.next(peer).await;
            }
        }
        loop {
            let mut epochs = Vec::new();
            for (peer, kept) in &mut self.members {
                let answer = peer.ask(crate::peer::publish(&self.room, "0")).await;
                epochs.push(answer.ok().flatten().and_then(|result| result.into_pub().epoch));
                while let Ok(()) = tokio::time::timeout(Duration::from_millis(50), kept.next(peer)).await {}
                epochs.push(kept.position.as_ref().map(|position| position.epoch.clone()));
            }
            epochs.dedup();
            if let [Some(epoch)] = &epochs[..]
                && *epoch != before.epoch
            {
                break;
            }
            assert!(Instant::now() < deadline, "{epochs:?}");
        }
        for (peer, kept) in &mut self.members {
            // What the other said last.
            while let Ok(()) = tokio::time::timeout(Duration::from_millis(200), kept.next(peer)).await {}
            assert!(kept.gaps.iter().all(|reason| reason == "epoch"), "{:?}", kept.gaps);
            println!("told {} times", kept.gaps.len());
            kept.gaps.clear();
            kept.heard.clear();
        }
        before
    }

    fn nothing_was_told(&self) {
        for (_, kept) in &self.members {
            assert_eq!(kept.gaps, [""; 0]);
        }
    }

    /// What somebody is told who comes with that position, and how much follows.
    async fn comes_back(&self, cluster: &Cluster, position: &Position, heard: &[String]) -> JoinResult {
        let mut peer = Peer::open(&cluster.options(Format::Json, None)).await;
        let mut kept = Kept { position: Some(position.clone()), ..Kept::of(&self.room) };
        let result = kept.join(&mut peer, None).await;
        kept.hears(&mut peer, heard.len()).await;
        assert_eq!(kept.take(), heard);
        result
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_gets_a_store_and_loses_it_and_its_members_stay() {
    let text = |open: &str, class: &str| {
        let stores = "[stores.kept]\nage = \"1h\"\n[stores.newest]\nage = \"1h\"\nlatest_per_key = true\n";
        format!("{open}\n{stores}\n[[classes]]\nrooms = \"swap.**\"\n{class}\n")
    };
    let cluster = Cluster::over_jetstream(2, 1, |nats| text(&open_over(nats), ""));
    let mut pair = Pair::join(&cluster, "swap.").await;
    pair.say(1..=4).await;
    let kept = "store = \"kept\"";
    for (round, node) in [(0, 0), (1, 1)] {
        let first = 10 + 20 * round;
        take_over_by_turns(&cluster, &text(&over(&cluster), kept), Some(node));
        let fleeting = pair.is_another().await;
        let begin = pair.members[0].1.position.clone().unwrap();
        pair.say(first..first + 4).await;
        pair.nothing_was_told();
        let result = pair.comes_back(&cluster, &begin, &numbers(first..first + 4)).await;
        assert_eq!((result.durable, result.resumed), (true, Some(true)), "{round}");
        let result = pair.comes_back(&cluster, &fleeting, &[]).await;
        assert_eq!((result.durable, result.resumed), (true, Some(false)), "{round}");

        // Another store is another history.
        take_over_by_turns(&cluster, &text(&over(&cluster), "store = \"newest\""), Some(1 - node));
        let other = pair.is_another().await;
        pair.say(first + 5..first + 9).await;
        pair.nothing_was_told();
        let result = pair.comes_back(&cluster, &other, &[]).await;
        assert_eq!((result.durable, result.resumed), (true, Some(false)), "{round}");

        take_over_by_turns(&cluster, &text(&over(&cluster), ""), Some(node));
        let durable = pair.is_another().await;
        pair.say(first + 10..first + 14).await;
        pair.nothing_was_told();
        let result = pair.comes_back(&cluster, &durable, &[]).await;
        assert_eq!((result.durable, result.resumed), (false, Some(false)), "{round}");
        let (status, code) =
            get(&format!("/v1/messages?room={}", encoded(&pair.room))).refused(cluster.gateway());
        assert_eq!((status, &*code), (404, "no_history"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_keeps_less_and_more_and_its_members_hear_all() {
    let text = |open: &str, store: &str| {
        format!("{open}\n[stores.kept]\n{store}\n\n[[classes]]\nrooms = \"durable.**\"\nstore = \"kept\"\n")
    };
    let wide = "messages_per_room = 1_000\nage = \"1h\"";
    let cluster = Cluster::over_jetstream(2, 1, |nats| text(&open_over(nats), wide));
    let mut pair = Pair::join(&cluster, "durable.").await;
    let begin = pair.members[0].1.position.clone().unwrap();
    pair.say(1..=20).await;
    let api = cluster.nats.as_ref().unwrap().api();
    let stream = stream_of(&api, "kept");
    let is = |messages: u64, hours: u64| {
        until("the stream is as the store says", SETTLED, || {
            // On a busy machine an answer may be late.
            let config = &api.info(&stream).ok()?["config"];
            let age = hours * 3_600 * 1_000_000_000;
            (config["max_msgs_per_subject"] == messages && config["max_age"] == age).then_some(())
        });
    };
    let kept = || -> usize {
        let target = format!("/v1/messages?room={}&limit=1000", encoded(&pair.room));
        let page = until("the history is read", SETTLED, || {
            let answer = get(&target).send(cluster.gateway());
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
            (answer.status == 200).then_some(answer.body)
        });
        serde_json::from_str::<Value>(&page).unwrap()["messages"].as_array().unwrap().len()
    };
    is(1_001, 1);
    assert_eq!(kept(), 20);
    take_over(&cluster, &text(&over(&cluster), "messages_per_room = 5\nage = \"2h\""));
    is(6, 2);
    // One more than is promised: by it an older position is known.
    assert!((5..=6).contains(&kept()), "{}", kept());
    pair.say(21..=40).await;
    // A node may have it all yet, and another where nobody is hasn't.
    let mut peer = Peer::open(&cluster.options(Format::Json, None)).await;
    let mut old = Kept { position: Some(begin.clone()), ..Kept::of(&pair.room) };
    if old.join(&mut peer, None).await.resumed == Some(true) {
        old.hears(&mut peer, 40).await;
        assert_eq!(old.take(), numbers(1..=40));
    }
    let epoch = pair.members[0].1.position.as_ref().unwrap().epoch.clone();
    assert_eq!(epoch, begin.epoch, "the stream is the same");
    take_over(&cluster, &text(&over(&cluster), wide));
    is(1_001, 1);
    let before = pair.members[0].1.position.clone().unwrap();
    pair.say(41..=60).await;
    let result = pair.comes_back(&cluster, &before, &numbers(41..=60)).await;
    assert_eq!(result.resumed, Some(true));
    pair.nothing_was_told();
    for node in &cluster.nodes {
        until(&format!("{} is ready", node.name), SETTLED, || (node.readyz() == Some(200)).then_some(()));
    }
}
