//! Clients in rooms of all nodes, on one socket each: every room of every client is served by its owner.

use std::time::Duration;

use ringway_client::To;
use ringway_protocol::Format;
use ringway_testkit::wait::until;

use super::SERVED;
use super::site::Site;
use crate::peer::{Peer, json, text};
use crate::support::name;

#[tokio::test(flavor = "multi_thread")]
async fn five_independent_rooms_a_client_and_nothing_crosses_nodes() {
    const CLIENTS: usize = 30;
    const EACH: usize = 5;
    const WORDS: usize = 20;
    let site = Site::start(3, 2).await;
    let mut rooms = Vec::new();
    for node in ["node-1", "node-2", "node-3"] {
        rooms.push(site.rooms_on(node, "of.", 5).await);
    }
    // Of all three nodes by turns: a hash of the name wouldn't spread five rooms so evenly.
    let all: Vec<(usize, String)> =
        (0..5).flat_map(|n| rooms.iter().enumerate().map(move |(node, of)| (node, of[n].clone()))).collect();
    let of_client = |client: usize| (0..EACH).map(move |n| (client + n) % (CLIENTS / 2));
    let mut peers = Vec::new();
    for client in 0..CLIENTS {
        let format = if client.is_multiple_of(2) { Format::Json } else { Format::Msgpack };
        let gateway = site.cluster.gateways[client / 2 % 2].listen;
        let mut mine = of_client(client);
        let (node, home) = &all[mine.next().unwrap()];
        let mut peer = Peer::open(&crate::support::options(gateway, format, Some(home))).await;
        assert_eq!(peer.node(), format!("node-{}", node + 1), "the home room's owner");
        peer.joined().await;
        for room in mine {
            peer.join(&all[room].1).await;
        }
        peers.push(peer);
    }
    assert_eq!(site.of_nodes("ringway_members", &[]), (CLIENTS * EACH) as f64);
    let figures = || {
        [
            site.of_nodes("ringway_deliveries_total", &["place=\"owner\""]),
            site.of_nodes("ringway_deliveries_total", &["place=\"elsewhere\""]),
            site.of_nodes("ringway_backplane_received_total", &["wanted=\"false\""]),
        ]
    };
    let before = figures();
    // A third by HTTP, the others by clients who are in other rooms as well.
    let http = site.cluster.http();
    let mut delivered = 0;
    for word in 0..WORDS {
        for (index, (_, room)) in all.iter().enumerate() {
            if word.is_multiple_of(3) {
                http.publish(&To::Room(name(room)), json(&word.to_string())).await.unwrap();
            } else {
                let speaker = (0..CLIENTS).filter(|client| of_client(*client).any(|of| of == index));
                let speaker = speaker.cycle().nth(word).unwrap();
                peers[speaker].publish(room, &word.to_string()).await;
            }
            delivered += (0..CLIENTS).filter(|client| of_client(*client).any(|of| of == index)).count();
        }
    }
    for (client, peer) in peers.iter_mut().enumerate() {
        let mut heard = vec![0; all.len()];
        for _ in 0..EACH * WORDS {
            let msg = peer.msg().await;
            let room = msg.room.unwrap();
            let index = all.iter().position(|(_, of)| *of == room.as_str()).unwrap();
            assert_eq!(text(&msg.data), heard[index].to_string(), "{room} at {client}");
            heard[index] += 1;
        }
        assert!(of_client(client).all(|room| heard[room] == WORDS), "{client}");
    }
    let grown = until("all are counted", SERVED, || {
        let now = figures();
        let grown: Vec<f64> = now.iter().zip(before).map(|(now, before)| now - before).collect();
        (grown[0] >= delivered as f64).then_some(grown)
    });
    assert_eq!(grown, [delivered as f64, 0.0, 0.0], "at the owner, elsewhere, and what nobody wanted");
    // One connection each, wherever it is a member, and none more at the tenant's count.
    assert_eq!(site.of_nodes("ringway_connections", &[]), CLIENTS as f64);
    assert_eq!(site.of_gateways("ringway_gateway_connections", &[]), CLIENTS as f64);
    for peer in peers {
        peer.close().await;
    }
    until("everybody is forgotten", Duration::from_secs(20), || {
        (site.of_nodes("ringway_members", &[]) == 0.0).then_some(())
    });
}
