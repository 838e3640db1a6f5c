//! Who is in a room, on whichever node: how many they are, and that each hears what is published.

use super::*;

#[tokio::test]
async fn leaving_what_was_never_joined_changes_nothing() {
    let cluster = Cluster::dev();
    for format in FORMATS {
        let room = format!("leave.{format:?}");
        let mut peer = Peer::open(&cluster.options(format, Some(&room))).await;
        peer.joined().await;
        for other in ["never.1", "never.2"] {
            for _ in 0..3 {
                let no = peer.ask(leave(other)).await.unwrap_err();
                assert_eq!((no.code, no.room), (Code::NotJoined, Some(name(other))));
            }
            assert_eq!(peer.members(other).await.count, Some(0));
        }
        peer.leave(&room).await;
        for _ in 0..3 {
            assert_eq!(peer.ask(leave(&room)).await.unwrap_err().code, Code::NotJoined);
        }
        counted(&mut peer, &room, 0, 0).await;
        // Without an id only refusals are told.
        peer.send(&[join(&room), leave(&room), leave(&room)]).await;
        match peer.next().await {
            ServerFrame::Err(no) => {
                assert_eq!((no.id, no.code, no.room), (None, Code::NotJoined, Some(name(&room))));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Asks until the count is right: a second is what is promised, five what a machine gets that does something else.
async fn counted(peer: &mut Peer, room: &str, count: u64, users: u64) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let told = peer.members(room).await;
        if (told.count, told.users) == (Some(count), Some(users)) {
            assert_eq!((told.members, told.next), (None, None), "no lists yet");
            return;
        }
        assert!(Instant::now() < deadline, "{room}: {told:?} in place of {count} connections, {users} users");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn members_are_counted_over_all_nodes_and_users_once() {
    let cluster = Cluster::over_nats(3, 2);
    let http = cluster.http();
    let mut homes = Vec::new();
    for node in ["node-1", "node-2", "node-3"] {
        homes.push(rooms(&http, "count.home", 1, |at| at == node).await.remove(0));
    }
    for format in FORMATS {
        let room = format!("count.{format:?}");
        // Somebody on each node asks, and none of them is a member.
        let mut asking = Vec::new();
        for home in &homes {
            let mut peer = Peer::open(&cluster.options(format, Some(home))).await;
            peer.joined().await;
            asking.push(peer);
        }
        let mut present = Vec::new();
        // Two of ann's and one of bob's on each node, and one nobody.
        for home in &homes {
            for user in [Some("ann"), Some("ann"), Some("bob"), None] {
                let mut options = cluster.options(format, Some(home));
                options.user = user.map(|user| user.parse().unwrap());
                let mut peer = Peer::open(&options).await;
                peer.joined().await;
                peer.join(&room).await;
                present.push((user, peer));
            }
        }
        for peer in &mut asking {
            counted(peer, &room, 12, 2).await;
        }
        for gateway in &cluster.gateways {
            let told = get(&format!("/v1/members?room={room}")).ok(gateway.listen);
            assert_eq!(told, json!({"count": 12, "users": 2}));
        }
        // Bob goes: by leaving, by a goodbye, and without one.
        for (at, (user, mut peer)) in std::mem::take(&mut present).into_iter().enumerate() {
            match (user, at / 4) {
                (Some("bob"), 0) => peer.leave(&room).await,
                (Some("bob"), 1) => peer.close().await,
                (Some("bob"), _) => drop(peer),
                _ => present.push((user, peer)),
            }
        }
        for peer in &mut asking {
            counted(peer, &room, 9, 1).await;
        }
        for (_, peer) in present {
            peer.close().await;
        }
        for peer in &mut asking {
            counted(peer, &room, 0, 0).await;
            assert_eq!(peer.ask(leave(&room)).await.unwrap_err().code, Code::NotJoined);
        }
    }
    let gateway = cluster.gateway();
    assert_eq!(get("/v1/members").refused(gateway), (400, "bad_request".to_owned()));
    assert_eq!(get("/v1/members?room=").refused(gateway), (400, "bad_room".to_owned()));
    assert_eq!(get("/v1/members?room=a&room=b").refused(gateway), (400, "bad_request".to_owned()));
    assert_eq!(get("/v1/members?room=nobody.there").ok(gateway), json!({"count": 0, "users": 0}));
}

#[tokio::test]
async fn a_connection_is_in_so_many_rooms_and_no_more() {
    let mut launcher = launcher(&format!("{OPEN}[tenant_defaults]\nlimits = {{ rooms = 3 }}\n"));
    let serve = launcher.serve(&[]);
    for format in FORMATS {
        let mut peer = Peer::open(&options(serve.listen, format, Some("home"))).await;
        assert_eq!(peer.hello.limits.rooms, Some(3));
        peer.joined().await;
        peer.join("home").await;
        peer.join("a").await;
        peer.join("b").await;
        for _ in 0..3 {
            let no = peer.ask(join("c")).await.unwrap_err();
            assert_eq!((no.code, no.room), (Code::LimitRooms, Some(name("c"))));
        }
        assert_eq!(peer.ask(join("a")).await.unwrap_err().code, Code::AlreadyJoined, "it says what is so");
        // Publishing needs no place.
        assert!(peer.publish("c", "1").await.offset.is_some());
        peer.leave("home").await;
        peer.join("c").await;
        assert_eq!(peer.ask(join("d")).await.unwrap_err().code, Code::LimitRooms);
        // All in one write: as many as there are places, whichever.
        for room in ["a", "b", "c"] {
            peer.leave(room).await;
        }
        let ids: Vec<_> = (0..10).map(|_| peer.fresh_id()).collect();
        let frames: Vec<_> = ids.iter().map(|id| with_id(join(&format!("many.{id}")), *id)).collect();
        peer.send(&frames).await;
        let mut taken = 0;
        for id in ids {
            taken += usize::from(peer.answer(id).await.is_ok());
        }
        assert_eq!(taken, 3);
    }
}

/// Every node's members hear what is published on any, in either format, and who isn't a member hears nothing.
#[tokio::test]
async fn publications_reach_every_node_with_members_and_nobody_else() {
    let cluster = Cluster::over_nats(3, 2);
    let http = cluster.http();
    for owner in ["node-1", "node-2", "node-3"] {
        let found = rooms(&http, &format!("deliver.{owner}."), 2, |node| node == owner).await;
        let (room, other) = (&found[0], &found[1]);
        let mut there = Vec::new();
        for (n, at) in ["node-1", "node-2", "node-3"].into_iter().enumerate() {
            for format in FORMATS {
                let home = rooms(&http, "deliver.home", 1, |node| node == at).await.remove(0);
                for room in [room, other] {
                    let mut peer =
                        Peer::open(&options(cluster.gateways[n % 2].listen, format, Some(&home))).await;
                    peer.joined().await;
                    peer.leave(&home).await;
                    peer.join(room).await;
                    there.push((room, peer));
                }
            }
        }
        let value = r#"{"text":"hi","list":[1,2.5,null,true,"é"],"big":18446744073709551615}"#;
        for n in 0..there.len() {
            let (room, publisher) = &mut there[n];
            let room = (*room).clone();
            let place = publisher.publish(&room, value).await;
            let bytes = ClientFrame::Pub(Pub {
                data: Payload::from_bytes(vec![0, 255, 16]),
                ..publication(&room, "0")
            });
            publisher.ask(bytes).await.unwrap();
            for (_, peer) in there.iter_mut().filter(|(joined, _)| **joined == room) {
                let msg = peer.msg().await;
                assert_eq!((msg.room.as_ref(), msg.offset), (Some(&name(&room)), place.offset));
                assert_eq!(text(&msg.data), value);
                let msg = peer.msg().await;
                assert_eq!(msg.data.bytes().map(|bytes| bytes.to_vec()), Some(vec![0, 255, 16]));
            }
        }
        // Who isn't a member may publish, and hears nothing of it.
        let mut stranger = Peer::open(&cluster.options(Format::Json, None)).await;
        let last = stranger.publish(room, "\"from outside\"").await;
        assert!(last.offset.is_some() && last.epoch.is_some() && !last.duplicate && !last.local);
        for (_, peer) in there.iter_mut().filter(|(joined, _)| *joined == room) {
            assert_eq!(peer.msg().await.offset, last.offset);
        }
        stranger.join_from(room, None, Some(1)).await;
        assert_eq!(stranger.msg().await.offset, last.offset, "only what it asked for when it joined");
    }
}
