//! What a token allows holds on every frame and call, at its beginning and when another one comes.

use super::*;

/// What somebody with some grants may do, in rooms of all kinds.
const ANN: &str = r#"[
    {"rooms": "board.**", "rights": ["join", "publish", "presence"]},
    {"rooms": "board.7", "rights": ["history"]},
    {"rooms": "inbox.$user", "rights": ["join"]},
    {"rooms": "chat.*", "rights": ["publish"]},
    {"rooms": "count.*", "rights": ["presence"]}]"#;

#[tokio::test]
async fn grants_hold_on_every_frame_and_call() {
    let keys = Keys::new();
    let (site, cluster) = (Site::start(), cluster(&keys));
    let token = signed(&claims(Some("ann"), &serde_json::from_str(ANN).unwrap()));
    for gateway in [site.at(), cluster.gateway()] {
        for format in [Format::Json, Format::Msgpack] {
            let mut peer =
                Peer::open(&ConnectOptions { format: Some(format), ..by(gateway, &token, None) }).await;
            // Join, publish, presence.
            for (room, allowed) in [
                ("board.7", [true, true, true]),
                ("board.7.x", [true, true, true]),
                ("board.", [true, true, true]),
                ("board", [false, false, false]),
                ("Board.7", [false, false, false]),
                ("xboard.7", [false, false, false]),
                ("inbox.ann", [true, false, false]),
                ("inbox.bob", [false, false, false]),
                ("inbox.$user", [false, false, false]),
                ("inbox.ann.x", [false, false, false]),
                ("chat.a", [false, true, false]),
                ("chat.a.b", [false, false, false]),
                ("count.a", [false, false, true]),
                ("anything", [false, false, false]),
                ("**", [false, false, false]),
            ] {
                let frames: [fn(&str) -> ClientFrame; 3] = [join, |room| publish(room, "1"), members];
                for (frame, allowed) in frames.into_iter().zip(allowed) {
                    let frame = frame(room);
                    let kind = frame.kind();
                    match peer.ask(frame).await {
                        Ok(_) => assert!(allowed, "{kind} {room}"),
                        Err(no) => {
                            assert_eq!((allowed, no.code), (false, Code::Forbidden), "{kind} {room}");
                            assert_eq!((no.room, no.retry), (Some(name(room)), None));
                        }
                    }
                }
                if allowed[0] && allowed[1] {
                    peer.msg().await;
                }
                if allowed[0] {
                    peer.leave(room).await;
                }
                let room = encoded(room);
                let calls = [
                    post(&format!("/v1/messages?room={room}"), JSON, "1"),
                    get(&format!("/v1/members?room={room}")),
                ];
                for (call, allowed) in calls.into_iter().zip(&allowed[1..]) {
                    let call = call.by(&token);
                    match *allowed {
                        true => drop(call.ok(gateway)),
                        false => assert_eq!(call.refused(gateway), (403, "forbidden".to_owned()), "{room}"),
                    }
                }
            }
            // Of many, those that aren't allowed are refused, and no others.
            let items = json!([{"room": "board.7", "data": 1}, {"room": "x", "data": 1}, {"room": "chat.a", "data": 1}]);
            let answers = post("/v1/publish", JSON, items.to_string()).by(&token).ok(gateway);
            assert!(answers[0]["offset"].is_u64() && answers[2]["offset"].is_u64());
            assert_eq!(answers[1]["code"], "forbidden");
            // Nothing that is about others, whatever the grants.
            for target in ["/v1/messages?user=ann", "/v1/messages?all=true"] {
                for token in [&token, &self::token("ann")] {
                    assert_eq!(
                        post(target, JSON, "1").by(token).refused(gateway),
                        (403, "forbidden".to_owned())
                    );
                }
            }
            // What a member may do there is said when it joins.
            assert_eq!(
                peer.join("board.7").await.rights.unwrap(),
                ["join", "publish", "presence", "history"]
            );
            assert_eq!(peer.join("inbox.ann").await.rights.unwrap(), ["join"]);
            // Where something lives is no secret to who got in.
            let located = get("/v1/locate").by(&token).ok(gateway);
            assert_eq!((&located["tenant"], &located["user"]), (&json!("acme"), &json!("ann")));
            assert_eq!(peer.node(), located["node"].as_str().unwrap());
        }
    }
}

#[tokio::test]
async fn a_home_room_outside_the_grants_is_left_and_the_connection_stays() {
    let keys = Keys::new();
    let (site, cluster) = (Site::start(), cluster(&keys));
    let token = signed(&with(
        &claims(Some("ann"), &serde_json::from_str(ANN).unwrap()),
        "join",
        json!(["inbox.ann", "board.1", "inbox.bob", "board.1", "board.2", "home.ann"]),
    ));
    for gateway in [site.at(), cluster.gateway()] {
        for (home, allowed) in [("home.ann", false), ("board.1", true)] {
            let mut peer = Peer::open(&by(gateway, &token, Some(home))).await;
            assert_eq!(peer.hello.room, Some(name(home)));
            // The home room and those of the token, each told once; their order is not promised.
            let (mut joined, mut left) = (Vec::new(), Vec::new());
            while joined.len() + left.len() < 5 {
                match peer.next().await {
                    ServerFrame::Joined(frame) => joined.push(frame.room.as_str().to_owned()),
                    ServerFrame::Left(frame) => {
                        assert_eq!((frame.code, frame.retry), (Code::Forbidden, None));
                        left.push(frame.room.as_str().to_owned());
                    }
                    other => panic!("{other:?}"),
                }
            }
            joined.sort();
            left.sort();
            assert_eq!(joined, ["board.1", "board.2", "inbox.ann"]);
            assert_eq!(left, ["home.ann", "inbox.bob"], "{allowed}");
            // It goes on, and is in what it was let into.
            assert_eq!(peer.ask(join("board.2")).await.unwrap().unwrap().into_join().newest, Some(0));
            assert_eq!(peer.ask(join("board.2")).await.unwrap_err().code, Code::AlreadyJoined);
            assert_eq!(peer.ask(join("home.ann")).await.unwrap_err().code, Code::Forbidden);
            assert_eq!(peer.ask(leave("home.ann")).await.unwrap_err().code, Code::NotJoined);
            peer.close().await;
        }
    }
    // More than it may be in: as many as fit, and the others are told.
    let of_globex =
        with(&with(&claims(Some("ann"), &all()), "tenant", "globex"), "join", json!(["a", "b", "c"]));
    let token = signed_by(Algorithm::HS256, None, &EncodingKey::from_secret(GLOBEX.as_bytes()), &of_globex);
    let mut peer = Peer::open(&by(site.at(), &token, Some("home"))).await;
    let (mut joined, mut left) = (0, 0);
    while joined + left < 4 {
        match peer.next().await {
            ServerFrame::Joined(_) => joined += 1,
            ServerFrame::Left(frame) => {
                assert_eq!(frame.code, Code::LimitRooms);
                left += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((joined, left), (2, 2));
}

#[tokio::test]
async fn other_grants_hold_from_then_on_and_end_what_they_do_not_allow() {
    let keys = Keys::new();
    let (site, cluster) = (Site::start(), cluster(&keys));
    let grants = |rooms: &[&str]| {
        let grants = rooms.iter().map(|rooms| json!({"rooms": rooms, "rights": ["join", "publish"]}));
        signed(&claims(Some("ann"), &grants.collect()))
    };
    let wide = grants(&["**"]);
    for gateway in [site.at(), cluster.gateway()] {
        for format in [Format::Json, Format::Msgpack] {
            let mut peer = Peer::open(&ConnectOptions {
                format: Some(format),
                ..by(gateway, &grants(&["keep.*", "home"]), Some("home"))
            })
            .await;
            peer.joined().await;
            peer.join("keep.1").await;
            assert_eq!(peer.ask(join("lose.1")).await.unwrap_err().code, Code::Forbidden);
            // More.
            peer.ask(auth(&wide)).await.unwrap();
            for room in ["lose.1", "lose.2"] {
                peer.join(room).await;
            }
            // Less: who isn't allowed any more is told, room by room, the home room too.
            peer.ask(auth(&grants(&["keep.*"]))).await.unwrap();
            let mut left: Vec<String> = Vec::new();
            while left.len() < 3 {
                match peer.next().await {
                    ServerFrame::Left(frame) => {
                        assert_eq!(frame.code, Code::Forbidden);
                        left.push(frame.room.as_str().to_owned());
                    }
                    other => panic!("{other:?}"),
                }
            }
            left.sort();
            assert_eq!(left, ["home", "lose.1", "lose.2"]);
            // O3: nothing of those rooms comes any more.
            let mut other = Peer::open(&by(gateway, &wide, None)).await;
            for room in ["lose.1", "lose.2", "home", "keep.1"] {
                other.publish(room, "1").await;
            }
            assert_eq!(peer.msg().await.room, Some(name("keep.1")));
            for room in ["lose.1", "home"] {
                assert_eq!(peer.ask(join(room)).await.unwrap_err().code, Code::Forbidden);
                assert_eq!(peer.ask(publish(room, "1")).await.unwrap_err().code, Code::Forbidden);
                assert_eq!(peer.ask(leave(room)).await.unwrap_err().code, Code::NotJoined);
            }
            peer.close().await;
        }
    }
}

/// Narrower grants in the same write as joins: each request is answered, and in the end nobody is where it may not be.
#[tokio::test]
async fn grants_that_change_while_a_join_is_under_way_leave_no_member_behind() {
    let keys = Keys::new();
    let cluster = cluster(&keys);
    let grants = |rooms: &str| {
        signed(&claims(Some("ann"), &json!([{"rooms": rooms, "rights": ["join", "publish", "presence"]}])))
    };
    let (wide, narrow) = (grants("**"), grants("keep"));
    let http = http_to(cluster.gateway(), Some(&wide));
    let home = rooms(&http, "home", 1, |node| node == "node-1").await.remove(0);
    let away = rooms(&http, "away", 20, |node| node == "node-2").await;
    let mut other = Peer::open(&by(cluster.gateway(), &wide, Some(&home))).await;
    other.joined().await;
    for (n, room) in away.iter().enumerate() {
        let mut peer = Peer::open(&by(cluster.gateway(), &wide, Some(&home))).await;
        peer.joined().await;
        let ids: Vec<u64> = (0..6).map(|_| peer.fresh_id()).collect();
        let frames = [
            join(room),
            if n % 2 == 0 { leave(room) } else { publish(room, "0") },
            if n % 4 < 2 { join(room) } else { publish(room, "0") },
            auth(&narrow),
            if n % 3 == 0 { leave(room) } else { ClientFrame::Ping { id: None } },
            join("keep"),
        ];
        let frames: Vec<_> = frames.into_iter().zip(&ids).map(|(frame, id)| with_id(frame, *id)).collect();
        peer.send(&frames).await;
        let mut answers = Vec::new();
        for id in &ids {
            // Which of them were in time is chance; that each is answered is not.
            answers.push(peer.answer(*id).await.map(drop).map_err(|no| no.code));
        }
        assert_eq!((&answers[3], &answers[5]), (&Ok(()), &Ok(())), "{answers:?}");
        let deadline = Instant::now() + Duration::from_secs(5);
        while other.members(room).await.count != Some(0) {
            assert!(Instant::now() < deadline, "{n}: still a member after {answers:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        other.publish(room, "\"late\"").await;
        other.publish("keep", "\"end\"").await;
        let mut left = n % 3 == 0 && answers[4].is_ok();
        loop {
            match peer.next().await {
                ServerFrame::Left(frame) => {
                    assert_eq!(frame.code, Code::Forbidden);
                    left |= frame.room == name(room);
                }
                ServerFrame::Msg(msg) if msg.room == Some(name("keep")) => {
                    assert_eq!(text(&msg.data), "\"end\"");
                    break;
                }
                ServerFrame::Msg(msg) => {
                    assert!(!left && text(&msg.data) == "0", "after it was left: {msg:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        peer.close().await;
    }
}
