//! Publications are delivered in the order sent, and to all members in one order.

use super::*;

/// A member that reads a room while others do something else: all publications until one says `"end"`.
fn member(mut peer: Peer) -> JoinHandle<Vec<Msg>> {
    tokio::spawn(async move {
        let mut heard = Vec::new();
        loop {
            let msg = peer.msg().await;
            if text(&msg.data) == "\"end\"" {
                return heard;
            }
            heard.push(msg);
        }
    })
}

/// What one publisher published, of all that was heard.
fn of<'a>(heard: &'a [Msg], event: &'a str) -> impl Iterator<Item = String> + 'a {
    heard.iter().filter(move |msg| msg.event.as_deref() == Some(event)).map(|msg| text(&msg.data))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o5_a_connections_accepted_publications_to_a_room_are_delivered_in_the_order_sent() {
    const ALL: u64 = 10_000;
    /// How many may wait for their answer: fewer than what a connection's queue about a room takes.
    const UNANSWERED: u64 = 400;
    for (cluster, format, other) in [
        (Cluster::by(Path::Tunnel, 2, 1), Format::Json, Format::Msgpack),
        (Cluster::by(Path::Relay, 2, 1), Format::Json, Format::Msgpack),
        (Cluster::dev(), Format::Msgpack, Format::Json),
    ] {
        let http = cluster.http();
        let home = rooms(&http, "o5.home", 1, |node| node == NODE).await.remove(0);
        let mut all = rooms(&http, "o5.own", 1, |node| node == NODE).await;
        all.extend(rooms(&http, "o5.foreign", 1, |node| node != NODE).await);
        // In each room a member on either node, of either format.
        let mut listening = Vec::new();
        for room in &all {
            for (home, format) in [(&all[0], other), (&all[1], format)] {
                let mut peer = Peer::open(&cluster.options(format, Some(home))).await;
                peer.joined().await;
                if home != room {
                    peer.leave(home).await;
                    peer.join(room).await;
                }
                listening.push((room.clone(), member(peer)));
            }
        }
        let mut interfering = Vec::new();
        for room in &all {
            interfering.push(Flood::start(&cluster.options(other, Some(&all[1])), room).await);
        }
        let mut peer = Peer::open(&cluster.options(format, Some(&home))).await;
        assert_eq!(peer.node(), NODE);
        let (mut sent, mut answered) = (0, 0);
        while answered < ALL {
            let more = (ALL - sent).min(UNANSWERED - (sent - answered));
            let frames: Vec<_> = (sent..sent + more)
                .map(|n| {
                    let room = &all[(n % 2) as usize];
                    let event = Some("numbered".into());
                    ClientFrame::Pub(Pub { id: Some(n), event, ..publication(room, &n.to_string()) })
                })
                .collect();
            peer.send(&frames).await;
            sent += more;
            match peer.next().await {
                ServerFrame::Ok(_) => answered += 1,
                ServerFrame::Joined(_) => {}
                other => panic!("{other:?}"),
            }
        }
        for flood in interfering {
            flood.stop().await;
        }
        for room in &all {
            peer.publish(room, "\"end\"").await;
        }
        for (room, listening) in listening {
            let heard = timeout(SOON, listening).await.expect("everything in time").unwrap();
            let parity = u64::from(room == all[1]);
            let expected = (0..ALL / 2).map(|n| (2 * n + parity).to_string());
            assert!(of(&heard, "numbered").eq(expected), "{room}: {} heard", heard.len());
            assert!(heard.len() as u64 > ALL / 2, "{room}: nobody interfered");
        }
    }
}

/// More at once than a connection may have waiting about a room: some are refused, and told when to try again; what was
/// accepted is delivered, in the order sent.
#[tokio::test]
async fn o5_holds_for_what_was_accepted_of_too_much() {
    everywhere("o5.too_much", async |way| {
        let room = &way.rooms[0];
        let mut listener = way.peer_at_owner().await;
        listener.publish(room, "0").await;
        listener.msg().await;
        let listening = member(listener);
        let mut peer = way.peer().await;
        let frames: Vec<_> = (1..=3_000).map(|n| with_id(publish(room, &n.to_string()), n)).collect();
        peer.send(&frames).await;
        let mut accepted = Vec::new();
        for id in 1..=3_000 {
            match peer.answer(id).await {
                Ok(_) => accepted.push(id.to_string()),
                Err(refusal) => {
                    assert_eq!(refusal.code, Code::LimitRate);
                    assert!(refusal.retry.is_some());
                }
            }
        }
        assert!(accepted.len() >= 1_000, "{}", accepted.len());
        peer.publish(room, "\"end\"").await;
        let heard = timeout(SOON, listening).await.expect("everything in time").unwrap();
        let heard: Vec<_> = heard.iter().map(|msg| text(&msg.data)).collect();
        assert_eq!(heard, accepted);
    })
    .await;
}

#[tokio::test]
async fn o6_every_member_sees_one_order_without_holes() {
    const EACH: u64 = 150;
    everywhere("o6", async |way| {
        let room = &way.rooms[0];
        let mut listening = Vec::new();
        for _ in 0..2 {
            let mut peer = way.peer().await;
            let result = peer.join(room).await;
            listening.push((result.offset, member(peer)));
            let peer = way.peer_at_owner().await;
            listening.push((Some(0), member(peer)));
        }
        // Two on each node, and one over HTTP.
        let mut publishing = Vec::new();
        for n in 0..4 {
            let mut peer = if n % 2 == 0 { way.peer().await } else { way.peer_at_owner().await };
            let room = room.clone();
            publishing.push(tokio::spawn(async move {
                for sent in (0..EACH).step_by(10) {
                    let frames: Vec<_> = (sent..sent + 10)
                        .map(|m| {
                            ClientFrame::Pub(Pub {
                                event: Some(n.to_string().into()),
                                ..publication(&room, &m.to_string())
                            })
                        })
                        .map(|frame| with_id(frame, peer.fresh_id()))
                        .collect();
                    peer.send(&frames).await;
                    peer.answer(sent + 10).await.unwrap();
                }
            }));
        }
        let (http, to) = (way.cluster.http(), To::Room(name(room)));
        for m in 0..EACH / 5 {
            http.publish(&to, json(&m.to_string())).await.unwrap();
        }
        for publishing in publishing {
            publishing.await.unwrap();
        }
        http.publish(&to, json("\"end\"")).await.unwrap();
        let mut first: Option<Vec<(Option<u64>, String)>> = None;
        for (begin, listening) in listening {
            let heard = timeout(SOON, listening).await.expect("everything in time").unwrap();
            let begin = begin.unwrap();
            let order: Vec<_> = heard.iter().map(|msg| (msg.offset, text(&msg.data))).collect();
            let offsets = (begin + 1..).map(Some).take(order.len());
            assert!(order.iter().map(|(offset, _)| *offset).eq(offsets), "no hole, nothing twice");
            for n in 0..4 {
                assert!(of(&heard, &n.to_string()).eq((0..EACH).map(|m| m.to_string())));
            }
            assert_eq!(first.get_or_insert_with(|| order.clone()), &order);
        }
    })
    .await;
}
