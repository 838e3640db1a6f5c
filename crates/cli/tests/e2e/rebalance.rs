//! Connections come home: when a node is added, those whose rooms it has now follow, paced and without losing anything;
//! and where connections have a lifetime, each moves at its end.

pub(crate) mod steady;
mod traveller;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringway_client::{Connection, ReceiveError};
use ringway_protocol::{CloseCode, Format, ServerFrame};
use ringway_testkit::metrics::Scrape;
use ringway_testkit::path::Path;
use ringway_testkit::transcript::Room;
use ringway_testkit::wait::until;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, sees};
use crate::support::{node_of, open_over, path};
use steady::Steady;
use traveller::Traveller;

const ROOMS: usize = 50;
const CONNECTIONS: usize = 200;

/// Connections that are told to move a second, in the whole pool.
const RATE: f64 = 20.0;

/// How long anything may take in the end.
const WITHIN: Duration = Duration::from_secs(60);

/// Two nodes and a gateway, with that in `[placement]`.
fn two_nodes(path: Path, placement: &str) -> Cluster {
    Cluster::by_with(path, 2, 1, |nats| format!("{}\n[placement]\n{placement}\n", open_over(nats)))
}

fn metric(scrapes: &[Scrape], family: &str, labels: &[&str]) -> f64 {
    scrapes.iter().map(|scrape| scrape.sum(family, labels)).sum()
}

fn scrapes(cluster: &Cluster) -> Vec<Scrape> {
    cluster.nodes.iter().map(|node| node.metrics()).collect()
}

/// Where gateways have the sockets nobody has to move: see the tests of the relay.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_node_owns_moves_there_paced_and_nothing_is_lost() {
    let mut cluster = two_nodes(Path::Tunnel, &format!("moves_per_second = {RATE}"));
    let all = travellers(&cluster);
    let before = homes(&cluster);
    // On a busy machine the gateway may have passed over a node: whom it sent to the other moves by the same rule.
    all_at_home(&cluster, &all, &before);
    let steady = Steady::watch();
    let end = CancellationToken::new();
    let talks: Vec<_> =
        all.iter().take(ROOMS).map(|t| t.talk(Duration::from_millis(250), end.clone())).collect();
    all_hear(&all, 2);
    let told_before = told(&cluster);

    let third = cluster.launcher.node("node-3", &[]);
    cluster.nodes.push(third);
    cluster.nodes.iter().chain(&cluster.gateways).for_each(|process| sees(process, 3));
    let after = homes(&cluster);
    let moved: Vec<&String> =
        after.iter().filter(|(_, node)| *node == "node-3").map(|(room, _)| room).collect();
    assert!((5..40).contains(&moved.len()), "{} of {ROOMS} rooms are the new node's", moved.len());
    assert!(after.iter().all(|(room, node)| node == "node-3" || *node == before[room]), "no others move");
    let misplaced = moved.len() * CONNECTIONS / ROOMS;
    let faster = faster_than_allowed(&cluster, told_before + misplaced as f64);

    all_at_home(&cluster, &all, &after);
    nothing_crosses_nodes(&cluster);
    all_hear(&all, 2);

    end.cancel();
    for talk in talks {
        talk.await.unwrap();
    }
    let steady = steady.was() && cluster.nodes.iter().all(|node| !node.log().contains("stood still"));
    println!("the machine was steady: {steady}");
    // Who hasn't heard the others for seconds takes itself for the only one.
    assert!(faster.is_none() || !steady, "{RATE} a second are allowed: {faster:?}");
    for room in after.keys() {
        let members: Vec<&Traveller> = all.iter().filter(|t| t.room.as_str() == room).collect();
        let verdict = settled(&members).assert_kept();
        // Who doesn't answer for a second counts as gone, and then a new epoch is what is promised.
        assert!(
            verdict.is_whole() || !steady,
            "{room} keeps its epoch, and nobody loses anything: {verdict}"
        );
    }
    for traveller in &all {
        let diary = traveller.diary();
        assert!(diary.strange.is_empty(), "{}: {:?}", traveller.name, diary.strange);
    }
}

/// All in their rooms, four to a room.
fn travellers(cluster: &Cluster) -> Vec<Traveller> {
    let start = |n: usize| Traveller::start(format!("t{n}"), cluster, &format!("r{}", n % ROOMS));
    let mut all = Vec::new();
    for number in 0..CONNECTIONS {
        all.push(start(number));
        if number % 10 == 9 {
            // No herd: handshakes are others' business.
            let last = &all[number];
            until("it is in its room", WITHIN, || last.diary().place.is_some().then_some(()));
        }
    }
    all
}

/// Waits until each is on its room's node, and in its room, by its own word and by the nodes'.
fn all_at_home(cluster: &Cluster, all: &[Traveller], homes: &BTreeMap<String, String>) {
    for traveller in all {
        let home = &homes[traveller.room.as_str()];
        until(&format!("{} is at home on {home}", traveller.name), WITHIN, || {
            let diary = traveller.diary();
            (diary.nodes.last() == Some(home) && diary.place.is_some()).then_some(())
        });
    }
    until("nobody is misplaced, by what the nodes say", WITHIN, || {
        (metric(&scrapes(cluster), "ringway_misplaced", &[]) == 0.0).then_some(())
    });
}

/// How many were told to move home so far.
fn told(cluster: &Cluster) -> f64 {
    metric(&scrapes(cluster), "ringway_goaways_total", &["reason=\"moved\""])
}

/// Each room's node, by the gateway.
fn homes(cluster: &Cluster) -> BTreeMap<String, String> {
    let rooms = (0..ROOMS).map(|n| format!("r{n}"));
    rooms.map(|room| (room.clone(), node_of(cluster.gateway(), &room))).collect()
}

/// Waits until each has heard so much more.
fn all_hear(all: &[Traveller], more: usize) {
    let goals: Vec<usize> = all.iter().map(|t| t.diary().events.len() + more).collect();
    until(&format!("everybody hears {more} more"), WITHIN, || {
        all.iter().zip(&goals).all(|(t, goal)| t.diary().events.len() >= *goal).then_some(())
    });
}

/// Waits until so many were told, and sees whether it is ever faster than they may be.
fn faster_than_allowed(cluster: &Cluster, all: f64) -> Option<String> {
    let start = Instant::now();
    let mut looks = Vec::new();
    loop {
        let since = Instant::now();
        let told = told(cluster);
        looks.push((since, told, Instant::now()));
        if told >= all {
            break;
        }
        assert!(start.elapsed() < WITHIN, "{told} of {all} were told");
        std::thread::sleep(Duration::from_millis(100));
    }
    for (first, (since, before, _)) in looks.iter().enumerate() {
        for (_, told, until) in &looks[first..] {
            // Each node may be one ahead, and what it tells at first it has earned a moment before.
            let most = RATE * ((*until - *since).as_secs_f64() + 0.25) + cluster.nodes.len() as f64;
            if told - before > most {
                return Some(format!("{} within {:?}", told - before, *until - *since));
            }
        }
    }
    None
}

/// Waits until all that is delivered is delivered at the rooms' owners.
fn nothing_crosses_nodes(cluster: &Cluster) {
    let look = || {
        let scrapes = scrapes(cluster);
        let of = |place| metric(&scrapes, "ringway_deliveries_total", &[place]);
        (of("place=\"owner\""), of("place=\"elsewhere\""))
    };
    let (mut owner, mut elsewhere) = look();
    until("nothing crosses nodes any more", WITHIN, || {
        let (now, crossed) = look();
        if crossed > elsewhere {
            (owner, elsewhere) = (now, crossed);
        }
        (now - owner >= 400.0).then_some(())
    });
}

/// Waits until all members of a room are in one place, to which nothing that was accepted is missing; then gives all that
/// they know.
fn settled(members: &[&Traveller]) -> Room {
    let newest = || {
        let accepted = members.iter().flat_map(|t| t.diary().accepted.clone());
        accepted.filter_map(|accepted| accepted.place).map(|place| place.offset).max()
    };
    until(&format!("{} is settled", members[0].room), WITHIN, || {
        let places: Vec<_> = members.iter().map(|t| t.diary().place.clone()).collect();
        let first = places[0].as_ref()?;
        (places.iter().all(|place| place.as_ref() == Some(first)) && Some(first.offset) >= newest())
            .then_some(())
    });
    Room {
        transcripts: members.iter().map(|t| t.transcript()).collect(),
        sent: members.iter().flat_map(|t| t.diary().sent.clone()).collect(),
        accepted: members.iter().flat_map(|t| t.diary().accepted.clone()).collect(),
        ..Room::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and a half: `make e2e`"]
async fn at_the_end_of_its_life_a_connection_is_exchanged_and_who_stays_is_closed() {
    let cluster = two_nodes(path(), "connection_lifetime = \"1m\"");
    let opened = Instant::now();
    let all: Vec<Traveller> =
        (0..20).map(|n| Traveller::start(format!("t{n}"), &cluster, &format!("r{n}"))).collect();
    // This one hears that its time is over, and stays.
    let mut stubborn = Connection::open(&cluster.options(Format::Json, Some("stays"))).await.unwrap();
    let mut told = None;
    let closed = loop {
        match stubborn.receive().await {
            Ok(ServerFrame::Goaway(goaway)) => {
                assert_eq!(goaway.after, 0);
                told = Some(opened.elapsed());
            }
            Ok(_) => {}
            Err(ReceiveError::Closed(closed)) => break closed,
            Err(error) => panic!("{error}"),
        }
    };
    let (told, stood) = (told.expect("it was told before"), opened.elapsed());
    println!("told after {told:?}, closed after {stood:?}");
    assert_eq!(closed.code, CloseCode::RESTART, "{closed:?}");
    assert!(told >= Duration::from_secs(53) && stood - told >= Duration::from_secs(29));
    for traveller in &all {
        until(&format!("{} has a new connection", traveller.name), WITHIN, || {
            (traveller.diary().nodes.len() >= 2).then_some(())
        });
        let diary = traveller.diary();
        assert!(diary.strange.is_empty(), "{}: {:?}", traveller.name, diary.strange);
        assert_eq!(diary.nodes[0], diary.nodes[1], "its home is where it was");
    }
    let told = metric(&scrapes(&cluster), "ringway_goaways_total", &["reason=\"lifetime\""]);
    assert!(told >= 21.0, "{told}");
}
