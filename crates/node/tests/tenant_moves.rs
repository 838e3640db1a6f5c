//! A tenant moves between pools while its members publish: nothing is lost, no epoch ends, and whoever is where hears all.

#![allow(clippy::unwrap_used)]

mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ringway_backplane::Inbox;
use ringway_backplane::memory::Hub;
use ringway_backplane::message::{Answer, Ask, Direct, Publication, Question, Request};
use ringway_protocol::RoomName;
use ringway_protocol::payload::Payload;
use ringway_ring::{NodeId, Slot};
use ringway_testkit::transcript::{Accepted, Event, Name, Place, Room, Transcript};
use serde_json::Value;
use world::{Client, Here, soon};

const SHARED: &str = "[tenants.acme]\n[tenants.other]\n";
const OWN: &str = "[tenants.acme]\npool = \"own\"\ngroup = \"shared\"\n[tenants.other]\n";

const ROOMS: usize = 6;
const FAR: Duration = Duration::from_secs(30);

/// Nodes of both pools, each of which sees all others.
async fn nodes(hub: &Hub, config: &str, names: &[(&str, &str)]) -> Vec<Here> {
    let mut nodes = Vec::new();
    for (name, pool) in names {
        nodes.push(Here::start_in(pool, hub, config, name).await);
    }
    until_seen(&nodes).await;
    nodes
}

async fn until_seen(nodes: &[Here]) {
    for here in nodes {
        let mut view = here.node.view();
        soon("a whole view", view.wait_for(|view| view.nodes().len() == nodes.len())).await.unwrap();
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("r{number}")).collect()
}

/// The owner of a room in a pool, as all see it.
fn owner(nodes: &[Here], pool: &str, room: &str) -> NodeId {
    let room: RoomName = room.parse().unwrap();
    let slot = Slot::of_room(&"acme".parse().unwrap(), &room);
    let view = nodes[0].node.view().borrow().clone();
    view.owner(&pool.parse().unwrap(), slot).unwrap().clone()
}

/// Waits until a node has it that the rooms are that pool's.
async fn until_placed(hub: &Hub, nodes: &[Here], here: &Here, pool: &str, rooms: &[String]) {
    let asker = hub.attach("a test");
    for room in rooms {
        let owner = owner(nodes, pool, room);
        soon("a node that goes by its configuration", async {
            loop {
                let (tenant, room) = ("acme".parse().unwrap(), room.parse().unwrap());
                let body = Question::Room { tenant, room, ask: Ask::Members };
                let request = Request { from: "a-test".parse().unwrap(), body, traceparent: None };
                let to = Inbox { group: "shared".parse().unwrap(), node: here.node.id().clone() };
                match asker.request(&to, &request, FAR).await {
                    Ok(Answer::Redirect { to: Some(to) }) if to == owner => return,
                    Ok(Answer::Members { .. }) if *here.node.id() == owner => return,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await;
    }
}

/// What is told once, however often it has to be said: the answer's result.
async fn publish_for_sure(client: &mut Client, room: &str, by: &str, number: u64) -> Value {
    let frame = format!(
        r#"{{"t":"pub","room":"{room}","id":{number},"mid":"{by}.{number}","data":["{by}",{number}]}}"#
    );
    loop {
        let answer = client.ask(number, &frame).await;
        match (answer["t"].as_str(), answer["code"].as_str()) {
            (Some("ok"), _) => return answer["result"].clone(),
            (_, Some("unavailable" | "outcome_unknown")) => {
                let retry = answer["retry"].as_u64().unwrap_or_else(|| panic!("a retry in {answer}"));
                tokio::time::sleep(Duration::from_millis(retry)).await;
            }
            _ => panic!("{answer}"),
        }
    }
}

fn place(of: &Value) -> Option<Place> {
    Some(Place { epoch: of["epoch"].as_str()?.into(), offset: of["offset"].as_u64()? })
}

/// A member of one room, and what it has heard.
struct Member {
    client: Client,
    transcript: Transcript,
}

impl Member {
    async fn join(here: &Here, room: &str) -> Member {
        let mut client = here.connect(None).await;
        let answer = client.ask(1, &format!(r#"{{"t":"join","room":"{room}","id":1}}"#)).await;
        let joined = Event::Joined { place: place(&answer["result"]), resumed: None };
        let member = format!("{room} at {}", here.node.id());
        Member { client, transcript: Transcript { member, left: false, events: vec![joined] } }
    }

    /// Reads until it has heard so many.
    async fn hear(&mut self, count: usize) {
        let heard = |t: &Transcript| t.events.iter().filter(|e| matches!(e, Event::Heard { .. })).count();
        while heard(&self.transcript) < count {
            let frame = self.client.next().await;
            let event = match frame["t"].as_str() {
                Some("msg") => {
                    let by = frame["data"][0].as_str().unwrap().into();
                    let name = Name { by, number: frame["data"][1].as_u64().unwrap() };
                    Event::Heard { offset: frame["offset"].as_u64(), name }
                }
                Some("gap") => Event::Gap(place(&frame).unwrap()),
                _ => panic!("{frame}"),
            };
            self.transcript.events.push(event);
        }
    }
}

/// Publishes to all rooms in turn until told to stop: what was accepted, room by room.
async fn publish_until(
    mut client: Client,
    by: String,
    rooms: Vec<String>,
    stop: Arc<AtomicBool>,
    told: Arc<AtomicU64>,
) -> Vec<Vec<Accepted>> {
    let mut accepted = vec![Vec::new(); rooms.len()];
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        for (room, accepted) in rooms.iter().zip(&mut accepted) {
            number += 1;
            let result = publish_for_sure(&mut client, room, &by, number).await;
            assert!(result["local"].is_null(), "{result}");
            let name = Name { by: by.as_str().into(), number };
            accepted.push(Accepted { name, place: place(&result) });
            told.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    accepted
}

async fn until_told(told: &AtomicU64, more: u64) {
    let from = told.load(Ordering::Relaxed);
    world::until("more publications", || told.load(Ordering::Relaxed) >= from + more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_no_epoch_ends_when_a_tenant_moves_there_and_back_under_publishing() {
    let hub = Hub::new();
    let all = [("a1", "shared"), ("a2", "shared"), ("b1", "own"), ("b2", "own")];
    let nodes = nodes(&hub, SHARED, &all).await;
    let rooms = names(ROOMS);
    let mut members = Vec::new();
    // At nodes of the other pool too: as where a gateway is ahead, or behind.
    for room in &rooms {
        for here in &nodes {
            members.push(Member::join(here, room).await);
        }
    }
    let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut publishers = Vec::new();
    for here in &nodes {
        let (client, by) = (here.connect(None).await, format!("by-{}", here.node.id()));
        publishers.push(tokio::spawn(publish_until(client, by, rooms.clone(), stop.clone(), told.clone())));
    }
    until_told(&told, 100).await;
    // In another order each time: the new pool's first, then mixed, then the old pool's first.
    for (config, pool, order) in
        [(OWN, "own", [2, 3, 0, 1]), (SHARED, "shared", [1, 2, 0, 3]), (OWN, "own", [0, 1, 2, 3])]
    {
        for at in order {
            nodes[at].configure(config);
            until_placed(&hub, &nodes, &nodes[at], pool, &rooms).await;
        }
        until_told(&told, 200).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut accepted = vec![Vec::new(); ROOMS];
    for publisher in publishers {
        let by_room = soon("the publishers' end", publisher).await.unwrap();
        accepted.iter_mut().zip(by_room).for_each(|(all, some)| all.extend(some));
    }
    for (room, accepted) in accepted.into_iter().enumerate() {
        let mut transcripts = Vec::new();
        for member in &mut members[room * all.len()..][..all.len()] {
            member.hear(accepted.len()).await;
            transcripts.push(member.transcript.clone());
        }
        let sent: BTreeSet<Name> = accepted.iter().map(|accepted| accepted.name.clone()).collect();
        let verdict = Room { transcripts, sent, accepted, ..Room::default() }.assert_kept();
        assert!(verdict.is_whole(), "{verdict}");
        assert!(verdict.heard > 0);
    }
}

#[tokio::test]
async fn a_room_that_nobody_is_in_goes_on_in_its_epoch() {
    let hub = Hub::new();
    let nodes = nodes(&hub, SHARED, &[("a1", "shared"), ("a2", "shared"), ("b1", "own")]).await;
    let rooms = names(10);
    let mut before = Vec::new();
    let mut client = nodes[0].connect(None).await;
    for (number, room) in (1..).zip(&rooms) {
        before.push(place(&publish_for_sure(&mut client, room, "before", number).await).unwrap());
    }
    for here in &nodes {
        here.configure(OWN);
        until_placed(&hub, &nodes, here, "own", &rooms).await;
    }
    let mut client = nodes[2].connect(None).await;
    for (number, (room, before)) in (1..).zip(rooms.iter().zip(&before)) {
        let after = place(&publish_for_sure(&mut client, room, "after", number).await).unwrap();
        assert_eq!((after.epoch, after.offset), (before.epoch.clone(), before.offset + 1), "{room}");
    }
}

#[tokio::test]
async fn who_starts_after_the_move_finds_the_rooms_by_the_groups_name() {
    let hub = Hub::new();
    let mut nodes = nodes(&hub, OWN, &[("a1", "shared"), ("b1", "own")]).await;
    // Held by a node that has been told nothing of the new one: it was alone in its own view of the tenant's pool.
    let rooms = names(5);
    nodes[0].configure(SHARED);
    until_placed(&hub, &nodes, &nodes[0], "shared", &rooms).await;
    let mut client = nodes[0].connect(None).await;
    let mut before = Vec::new();
    for (number, room) in (1..).zip(&rooms) {
        before.push(place(&publish_for_sure(&mut client, room, "before", number).await).unwrap());
    }
    let gone = nodes.remove(1);
    gone.node.shutdown().await;
    nodes.push(Here::start_in("own", &hub, OWN, "b2").await);
    until_seen(&nodes).await;
    let mut client = nodes[1].connect(None).await;
    for (number, (room, before)) in (1..).zip(rooms.iter().zip(&before)) {
        let after = place(&publish_for_sure(&mut client, room, "after", number).await).unwrap();
        assert_eq!((after.epoch, after.offset), (before.epoch.clone(), before.offset + 1), "{room}");
    }
}

#[tokio::test]
async fn until_the_new_pool_reads_of_it_publications_are_refused_for_a_moment_and_members_stay() {
    let hub = Hub::new();
    let nodes = nodes(&hub, SHARED, &[("a1", "shared"), ("b1", "own")]).await;
    let rooms = names(1);
    let mut member = Member::join(&nodes[0], "r0").await;
    let mut client = nodes[0].connect(None).await;
    publish_for_sure(&mut client, "r0", "p", 1).await;
    nodes[0].configure(OWN);
    until_placed(&hub, &nodes, &nodes[0], "own", &rooms).await;
    let refused = client.ask(2, r#"{"t":"pub","room":"r0","id":2,"data":["p",2]}"#).await;
    assert_eq!((&refused["code"], refused["retry"].is_u64()), (&"unavailable".into(), true), "{refused}");
    nodes[1].configure(OWN);
    publish_for_sure(&mut client, "r0", "p", 3).await;
    member.hear(2).await;
    let room = Room { transcripts: vec![member.transcript], ..Room::default() };
    assert_eq!(room.check().losses + room.check().new_epochs, 0);
}

#[tokio::test]
async fn after_a_move_a_tenants_and_its_users_messages_reach_both_pools() {
    let hub = Hub::new();
    let nodes = nodes(&hub, SHARED, &[("a1", "shared"), ("b1", "own")]).await;
    let mut old = nodes[0].connect(Some("ann")).await;
    for here in &nodes {
        here.configure(OWN);
        until_placed(&hub, &nodes, here, "own", &names(1)).await;
    }
    let mut new = nodes[1].connect(Some("ann")).await;
    // Joined, so that the connection is in the node's registry.
    new.join("x").await;
    let gateway = hub.attach("gateway");
    for (user, word) in [(Some("ann"), 1), (None, 2)] {
        let publication = Publication {
            event: Some(format!("{word}").as_str().into()),
            ..Publication::new(1, Payload::null())
        };
        let direct = Direct {
            tenant: "acme".parse().unwrap(),
            user: user.map(|user| user.parse().unwrap()),
            publication: publication.into(),
            traceparent: None,
        };
        gateway.publish_direct(&"shared".parse().unwrap(), &direct).unwrap();
        for client in [&mut old, &mut new] {
            let msg = client.next().await;
            assert_eq!((&msg["t"], &msg["event"]), (&"msg".into(), &format!("{word}").into()), "{msg}");
        }
    }
}
