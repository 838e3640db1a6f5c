//! Joining with a position: what is resumed, what can't be, and what that is worth over cuts.

use super::*;

/// What a member of a room with 150 publications is told when it comes back.
#[tokio::test]
async fn a_join_says_whether_it_resumed() {
    let cluster = Cluster::over_nats(2, 1);
    let http = cluster.http();
    for format in FORMATS {
        // On its own node, and on the other one: what it knows isn't in this node's memory then.
        let home = rooms(&http, &format!("{format:?}.home"), 1, |node| node == "node-1").await.remove(0);
        for owner in ["node-1", "node-2"] {
            let found = rooms(&http, &format!("resume.{format:?}.{owner}."), 2, |node| node == owner).await;
            let (room, other) = (&found[0], &found[1]);
            let mut publisher = Peer::open(&cluster.options(format, Some(&home))).await;
            publisher.joined().await;
            let mut last = publisher.publish(room, "1").await;
            for n in 2..=150 {
                last = publisher.publish(room, &n.to_string()).await;
            }
            let elsewhere = publisher.publish(other, "0").await;
            let at = |offset| position(last.epoch.as_ref(), Some(offset));
            let foreign = position(elsewhere.epoch.as_ref(), Some(1));
            let unknown =
                Position { epoch: "0195f2c7a1b0-a3f29c51d7e0b684-5be1a07c".parse().unwrap(), ..at(7) };
            let nonsense = Position { epoch: "no-epoch-of-ours".parse().unwrap(), ..at(7) };
            let mut peer = Peer::open(&cluster.options(format, Some(&home))).await;
            peer.joined().await;
            // since, last; then: resumed, where it begins, the oldest that is kept.
            for (since, ask_last, resumed, begins, oldest) in [
                (None, None, None, 150, None),
                (None, Some(0), None, 150, None),
                (None, Some(3), None, 147, None),
                (None, Some(1_000), None, 50, None),
                (Some(at(150)), None, Some(true), 150, None),
                (Some(at(149)), None, Some(true), 149, None),
                (Some(at(120)), Some(3), Some(true), 120, None),
                (Some(at(50)), None, Some(true), 50, None),
                (Some(at(49)), None, Some(false), 150, Some(51)),
                (Some(at(0)), Some(3), Some(false), 147, Some(51)),
                (Some(at(151)), None, Some(false), 150, Some(51)),
                (Some(at(1 << 52)), Some(1), Some(false), 149, Some(51)),
                (Some(foreign.clone()), None, Some(false), 150, Some(51)),
                (Some(foreign.clone()), Some(2), Some(false), 148, Some(51)),
                (Some(unknown.clone()), None, Some(false), 150, Some(51)),
                (Some(nonsense.clone()), Some(2), Some(false), 148, Some(51)),
            ] {
                let asked = format!("{owner}: {since:?} {ask_last:?}");
                let result = peer.join_from(room, since.clone(), ask_last).await;
                assert_eq!(
                    (result.resumed, result.offset, result.oldest),
                    (resumed, Some(begins), oldest),
                    "{asked}"
                );
                assert_eq!(
                    (result.newest, result.durable, &result.epoch),
                    (Some(150), false, &last.epoch),
                    "{asked}"
                );
                for offset in begins + 1..=150 {
                    let msg = peer.msg().await;
                    assert_eq!((msg.offset, text(&msg.data)), (Some(offset), offset.to_string()), "{asked}");
                }
                peer.leave(room).await;
                // The same in the URL, of the home room. (There is no `last` there.)
                if ask_last.is_none() {
                    let mut options = cluster.options(format, Some(room));
                    options.since = since;
                    let mut home = Peer::open(&options).await;
                    let result = home.joined().await.result;
                    assert_eq!(
                        (result.resumed, result.offset, result.oldest),
                        (resumed, Some(begins), oldest),
                        "{asked}"
                    );
                    for offset in begins + 1..=150 {
                        assert_eq!(home.msg().await.offset, Some(offset), "{asked}");
                    }
                }
            }
            // A room where nothing was published yet.
            let empty = format!("{room}.empty");
            let result = peer.join_from(&empty, Some(foreign), Some(10)).await;
            assert_eq!(
                (result.resumed, result.offset, result.newest, result.oldest),
                (Some(false), Some(0), Some(0), None)
            );
            let begin = position(result.epoch.as_ref(), result.offset);
            peer.leave(&empty).await;
            assert_eq!(peer.join_from(&empty, Some(begin), None).await.resumed, Some(true));
        }
    }
}

#[tokio::test]
async fn a_since_that_cannot_be_read_is_told() {
    let mut launcher = launcher(OPEN);
    let serve = launcher.serve(&[]);
    let mut conn = Connection::open(&options(serve.listen, Format::Json, None)).await.unwrap();
    conn.receive().await.unwrap();
    for (id, since) in [
        r#"{}"#,
        r#"{"epoch":"e"}"#,
        r#"{"offset":1}"#,
        r#"{"epoch":"","offset":1}"#,
        r#"{"epoch":"a b","offset":1}"#,
        r#"{"epoch":"e","offset":-1}"#,
        r#"{"epoch":"e","offset":1.0}"#,
        r#"{"epoch":"e","offset":"1"}"#,
        r#"{"epoch":"e","offset":9007199254740992}"#,
        r#"{"epoch":"e","offset":1,"ts":"x"}"#,
        r#""e:1""#,
        "7",
        "[]",
    ]
    .into_iter()
    .enumerate()
    {
        let frame = format!(r#"{{"t":"join","id":{id},"room":"r","since":{since}}}"#);
        conn.send_raw(ringway_client::Message::Text(frame.clone().into())).await.unwrap();
        match timeout(SOON, conn.receive()).await.unwrap().unwrap() {
            ServerFrame::Err(no) => {
                assert_eq!((no.id, no.code), (Some(id as u64), Code::BadSince), "{frame}");
            }
            other => panic!("{frame}: {other:?}"),
        }
    }
    for since in ["", "e", "e:", ":1", "e:1:", "e:1:2:3", "e:-1", "e:x", "e%20x:1", "e:9007199254740992"] {
        let upgrade = get(&format!("/v1/ws?room=r&since={since}")).upgrade();
        let upgrade = upgrade.with("Sec-WebSocket-Protocol", "ringway.v1.json");
        assert_eq!(upgrade.refused(serve.listen), (400, "bad_since".to_owned()), "{since}");
    }
}

/// A client that is cut off without a word, again and again, by the resume rule and nothing else.
#[tokio::test]
async fn nothing_is_lost_or_doubled_over_cuts() {
    let cluster = Cluster::over_nats(3, 2);
    let http = cluster.http();
    let home = rooms(&http, "cuts.home", 1, |node| node == "node-1").await.remove(0);
    let away = rooms(&http, "cuts.away", 1, |node| node != "node-1").await.remove(0);
    let publishing = tokio::spawn({
        let (options, rooms) = (cluster.options(Format::Json, None), [home.clone(), away.clone()]);
        async move {
            let mut peer = Peer::open(&options).await;
            for n in 1..=600 {
                for room in &rooms {
                    peer.publish(room, &n.to_string()).await;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    let mut tracks = HashMap::from([(name(&home), Track::default()), (name(&away), Track::default())]);
    let mut heard: HashMap<_, Vec<String>> = HashMap::new();
    let mut session = None;
    let mut cuts = 0;
    let done = |heard: &HashMap<_, Vec<String>>| {
        heard.values().filter(|h| h.last().is_some_and(|n| n == "600")).count() == 2
    };
    while !done(&heard) {
        let format = FORMATS[cuts % 2];
        let mut options = options(cluster.gateways[cuts % 2].listen, format, Some(&home));
        options.session = session.take();
        let held: HashMap<_, _> =
            tracks.iter().map(|(room, track)| (room.clone(), track.position().cloned())).collect();
        // Every third time by the URL alone.
        let by_url = cuts % 3 == 2;
        if by_url {
            options.since.clone_from(&held[&name(&home)]);
        }
        let mut peer = Peer::open(&options).await;
        session = Some(peer.hello.session.to_string());
        let mut asked = vec![(1, &away)];
        if !by_url {
            asked.push((2, &home));
        }
        for (id, room) in asked {
            peer.send(&[with_id(join_from(room, held[&name(room)].clone(), None), id)]).await;
        }
        // The rooms whose publications count: `joined` doesn't for who holds a position, unless it resumed.
        let mut settled = HashSet::new();
        // Cut sooner or later: in the middle of a replay, too.
        for _ in 0..(cuts * 7) % 23 + 2 {
            match peer.next().await {
                ServerFrame::Ok(answer) => {
                    let (room, result) = (answer.room.unwrap(), answer.result.unwrap().into_join());
                    assert_eq!(result.resumed, held[&room].is_some().then_some(true), "{result:?}");
                    tracks.get_mut(&room).unwrap().answered(&result);
                    settled.insert(room);
                }
                ServerFrame::Joined(joined) => {
                    if held[&joined.room].is_none() || joined.result.resumed == Some(true) {
                        tracks.get_mut(&joined.room).unwrap().answered(&joined.result);
                        settled.insert(joined.room);
                    }
                }
                ServerFrame::Msg(msg) => {
                    let room = msg.room.clone().unwrap();
                    if settled.contains(&room) {
                        let at = tracks[&room].position().unwrap().offset;
                        assert_eq!(msg.offset, Some(at + 1), "the next, and no other");
                        assert!(tracks.get_mut(&room).unwrap().message(&msg), "nothing twice");
                        heard.entry(room).or_default().push(text(&msg.data));
                    }
                }
                other => panic!("{other:?}"),
            }
            if done(&heard) {
                break;
            }
        }
        cuts += 1;
    }
    publishing.await.unwrap();
    assert!(cuts > 10, "{cuts}");
    for (room, heard) in &heard {
        let first: u64 = heard[0].parse().unwrap();
        assert!(
            heard.iter().eq(&(first..=600).map(|n| n.to_string()).collect::<Vec<_>>()),
            "{room}: {heard:?}"
        );
        assert!(first < 100, "{room}");
    }
}

/// The room's holder is killed: a new epoch, and everybody is told, once.
#[tokio::test]
async fn a_room_whose_holder_died_goes_on_and_its_members_are_told() {
    let mut cluster = Cluster::over_nats(2, 1);
    let http = cluster.http();
    let home = rooms(&http, "gap.home", 1, |node| node == "node-1").await.remove(0);
    let room = rooms(&http, "gap.room", 1, |node| node == "node-2").await.remove(0);
    let mut listening = Vec::new();
    for format in FORMATS {
        let mut peer = Peer::open(&cluster.options(format, Some(&home))).await;
        peer.joined().await;
        peer.join(&room).await;
        listening.push(peer);
    }
    let mut publisher = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
    publisher.joined().await;
    let mut before = publisher.publish(&room, "1").await;
    for n in 2..=5 {
        before = publisher.publish(&room, &n.to_string()).await;
    }
    for peer in &mut listening {
        for offset in 1..=5 {
            assert_eq!(peer.msg().await.offset, Some(offset));
        }
    }
    cluster.nodes[1].kill();
    let deadline = Instant::now() + Duration::from_secs(8);
    let after = loop {
        let frame = ClientFrame::Pub(Pub { mid: Some("again".into()), ..publication(&room, "6") });
        match publisher.ask(frame).await {
            Ok(result) => break result.unwrap().into_pub(),
            Err(refusal) => {
                // Perhaps published, or surely not: with the same `mid` it is asked again in either case.
                assert!(matches!(refusal.code, Code::Unavailable | Code::OutcomeUnknown), "{refusal:?}");
                assert!(refusal.code == Code::OutcomeUnknown || refusal.retry.is_some());
                assert!(Instant::now() < deadline, "{refusal:?}");
                tokio::time::sleep(Duration::from_millis(refusal.retry.unwrap_or(0).min(500))).await;
            }
        }
    };
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.offset, after.duplicate), (Some(1), false));
    for peer in &mut listening {
        let gap = peer.gap().await;
        assert_eq!((gap.room, gap.reason), (name(&room), GapReason::Epoch));
        assert_eq!((Some(gap.epoch), gap.offset), (after.epoch.clone(), 0));
        let msg = peer.msg().await;
        assert_eq!((msg.offset, text(&msg.data).as_str()), (Some(1), "6"));
    }
    let old = position(before.epoch.as_ref(), Some(3));
    let result = publisher.join_from(&room, Some(old), Some(10)).await;
    assert_eq!((result.resumed, result.epoch, result.offset), (Some(false), after.epoch, Some(0)));
    assert_eq!(text(&publisher.msg().await.data), "6");
}
