//! Gateways that see another cluster than there is: cut off from NATS, late to hear of a node, or given addresses at
//! which nobody answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ringway_testkit::path::Path;
use ringway_testkit::proxy::Proxy;
use ringway_testkit::wait::until;

use super::{Reach, SETTLED, all_hear, config, members, nothing_strange, room_on, until_accepted, way};
use crate::cluster::{self, Cluster};
use crate::member::{Member, Way, all_joined, settled};
use crate::rebalance::steady::Steady;
use crate::support::path;

/// Two nodes, a gateway with a NATS link that can be broken, and one without.
async fn with_a_gateway_to_be_cut_off(nodes: usize) -> (Cluster, Proxy) {
    let mut cluster = Cluster::with(nodes, 0, config);
    let nats = ([127, 0, 0, 1], cluster.nats.as_ref().unwrap().port()).into();
    let proxy = Proxy::start(nats).await.unwrap();
    let url = format!("nats://{}", proxy.address());
    let cut_off = cluster.launcher.gateway(&[("RINGWAY_NATS__URLS", &url)]);
    let other = cluster.launcher.gateway(&[]);
    cluster.gateways = vec![cut_off, other];
    cluster.gateways.iter().for_each(|gateway| cluster::sees(gateway, nodes));
    (cluster, proxy)
}

fn only_through(cluster: &Cluster, gateway: usize) -> Way {
    let all = way(cluster, gateway);
    Way { gateways: all.gateways[..1].to_vec(), ..all }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_loses_nats_goes_on_by_its_last_view_and_by_what_tcp_tells_it() {
    let (mut cluster, proxy) = with_a_gateway_to_be_cut_off(3).await;
    let mut rooms = Vec::new();
    for node in ["node-1", "node-2", "node-3"] {
        rooms.push((node, room_on(&cluster, node, "seen.").await));
    }
    proxy.shut();
    let blind = &cluster.gateways[0];
    until("the gateway says that it is cut off", Duration::from_secs(5), || {
        (blind.readyz() == Some(503)).then_some(())
    });
    let through = only_through(&cluster, 0);
    let all: Vec<Member> = rooms.iter().map(|(_, room)| Member::start(room, &through, &[room])).collect();
    all_joined(&all);
    for (member, (owner, _)) in all.iter().zip(&rooms) {
        assert_eq!(member.node(), *owner);
    }
    // Nobody tells it that a node has died, but the node's port.
    cluster.nodes[0].kill();
    let killed = Instant::now();
    match path() {
        Path::Tunnel => until("the member of the dead node is on another", Duration::from_secs(5), || {
            (all[0].node() != "node-1" && all[0].record().hellos.len() == 2).then_some(())
        }),
        // It has noticed nothing, but that nobody answered for a while.
        Path::Relay => {
            until_accepted(&all[0], &rooms[0].1, Reach::All).await;
            assert_eq!(all[0].record().hellos.len(), 1);
        }
    }
    println!("on another node {:?} after the kill", killed.elapsed());
    proxy.open();
    until("the gateway is back", Duration::from_secs(5), || {
        (cluster.gateways[0].readyz() == Some(200)).then_some(())
    });
    cluster::sees(&cluster.gateways[0], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_who_came_by_different_views_hear_each_other_throughout() {
    let (mut cluster, proxy) = with_a_gateway_to_be_cut_off(2).await;
    // From now on the first gateway hears of nothing, and the third node starts.
    proxy.silence();
    // A room that is node-3's once that is there, and has members before.
    let ring = |nodes: &[&str]| {
        let nodes: Vec<_> = nodes.iter().map(|node| (node.parse().unwrap(), 1)).collect();
        ringway_ring::SlotTable::build(&nodes)
    };
    let (before, after) = (ring(&["node-1", "node-2"]), ring(&["node-1", "node-2", "node-3"]));
    let owner = |ring: &ringway_ring::SlotTable, room: &str| {
        let slot = ringway_ring::Slot::of_room(&"default".parse().unwrap(), &crate::support::name(room));
        ring.owner(slot).unwrap().to_string()
    };
    let room = (0..).map(|n| format!("moves.{n}")).find(|room| owner(&after, room) == "node-3").unwrap();
    let old_owner = owner(&before, &room);
    let mut all: Vec<Member> =
        (0..3).map(|n| Member::start(format!("early-{n}"), &only_through(&cluster, 0), &[&room])).collect();
    all_joined(&all);
    let mut talks = vec![all[0].talk(&room, Duration::from_millis(20))];
    let third = cluster.launcher.node("node-3", &[]);
    cluster.nodes.push(third);
    cluster.nodes.iter().chain(&cluster.gateways[1..]).for_each(|process| cluster::sees(process, 3));

    all.extend((0..3).map(|n| Member::start(format!("old-view-{n}"), &only_through(&cluster, 0), &[&room])));
    all.extend((0..3).map(|n| Member::start(format!("new-view-{n}"), &only_through(&cluster, 1), &[&room])));
    all_joined(&all);
    assert!(
        all[..6].iter().all(|member| member.node() == old_owner),
        "the first gateway's view is the old one"
    );
    assert!(all[6..].iter().all(|member| member.node() == "node-3"), "the other's is the new one");
    talks.extend([
        all[4].talk(&room, Duration::from_millis(20)),
        all[7].talk(&room, Duration::from_millis(20)),
    ]);
    all_hear(&all, &room, 60);
    proxy.open();
    cluster::sees(&cluster.gateways[0], 3);
    all_hear(&all, &room, 30);
    for talk in talks {
        talk.stop().await;
    }
    let verdict = settled(&room, &all, SETTLED).assert_kept();
    assert!(verdict.is_whole(), "the room moved between two living nodes: {verdict}");
    nothing_strange(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_at_which_nobody_answers_cost_one_client_a_second_and_others_nothing() {
    let mut cluster = Cluster::with(2, 0, config);
    let deaf = Deaf::listen();
    let deaf_address = deaf.address.to_string();
    let third = cluster.launcher.node("node-3", &[("RINGWAY_NODE__ADVERTISE", &deaf_address)]);
    let fourth = cluster.launcher.node("node-4", &[("RINGWAY_NODE__ADVERTISE", "no-such-host.invalid:7001")]);
    cluster.nodes.extend([third, fourth]);
    cluster.gateways = (0..2).map(|_| cluster.launcher.gateway(&[])).collect();
    cluster.nodes.iter().chain(&cluster.gateways).for_each(|process| cluster::sees(process, 4));
    for (node, deaf) in [("node-3", true), ("node-4", false)] {
        let room = room_on(&cluster, node, "nobody.").await;
        let well = room_on(&cluster, "node-1", "well.").await;
        let (steady, began) = (Steady::watch(), Instant::now());
        let first = members(&cluster, node, 1, &[&room]);
        // Meanwhile others come in as ever.
        let others = members(&cluster, "other", 10, &[&well]);
        all_joined(&others);
        let others_took = began.elapsed();
        all_joined(&first);
        let first_took = began.elapsed();
        let began = Instant::now();
        let more = [Member::start("next", &only_through(&cluster, 0), &[&room])];
        all_joined(&more);
        let next_took = began.elapsed();
        println!("{node}: {first_took:?}, others meanwhile {others_took:?}, the next {next_took:?}");
        let steady = steady.was();
        assert!(!steady || first_took < Duration::from_millis(2_500), "the first took {first_took:?}");
        // Who waits for the deaf address waits for nine tenths of a second: nobody else does, nor anybody twice.
        assert!(!steady || !deaf || others_took < first_took, "others took {others_took:?}");
        assert!(!steady || !deaf || next_took < first_took, "the next took {next_took:?}");
        let all: Vec<Member> = first.into_iter().chain(more).collect();
        all[0].tell(&room, "are you there?").await;
        all_hear(&all, &room, 0);
        settled(&room, &all, SETTLED).assert_kept();
    }
}

/// An address where no SYN is answered: a listener whose queue is full.
struct Deaf {
    address: SocketAddr,
    _listener: tokio::net::TcpListener,
    _queue: Vec<std::net::TcpStream>,
}

impl Deaf {
    fn listen() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        // Until one isn't answered any more.
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(stream);
            assert!(queue.len() < 100, "the queue of {address} never fills");
        }
        Self { address, _listener: listener, _queue: queue }
    }
}
