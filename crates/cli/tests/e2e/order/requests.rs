//! What somebody asks of a room is done in the order asked.

use super::*;

/// What a connection that asks one thing after another about one room should be told.
#[derive(Default)]
struct Expected {
    joined: bool,
    /// In the order sent: the id, and the code of a refusal.
    answers: VecDeque<(u64, Option<Code>)>,
}

impl Expected {
    fn asked(&mut self, id: u64, frame: &ClientFrame) {
        let refused = match frame {
            ClientFrame::Join(_) => std::mem::replace(&mut self.joined, true).then_some(Code::AlreadyJoined),
            ClientFrame::Leave(_) => (!std::mem::replace(&mut self.joined, false)).then_some(Code::NotJoined),
            _ => None,
        };
        self.answers.push_back((id, refused));
    }
}

/// What it was told of that room so far, held against the promises as it comes.
#[derive(Default)]
struct Told {
    /// Where a member is.
    at: Option<u64>,
    published: BTreeMap<u64, String>,
}

#[tokio::test]
async fn o4_requests_about_one_room_are_done_in_the_order_sent() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    everywhere("o4", async |way| {
        let mut random = Random(seed);
        let mut peer = way.peer().await;
        let (mut frames, mut expected) = (Vec::new(), HashMap::<&str, Expected>::new());
        let mut sent = HashMap::new();
        let mut add = |room, frame: ClientFrame, id| {
            let frame = with_id(frame, id);
            expected.entry(room).or_default().asked(id, &frame);
            sent.insert(id, frame.clone());
            frames.push(frame);
        };
        for id in 0..300 {
            let room = way.rooms[random.below(2)].as_str();
            let frame = match random.below(8) {
                0 => join(room),
                1 => join_from(room, None, Some(random.below(6) as u32)),
                2 => leave(room),
                3 => members(room),
                _ => publish(room, &format!("\"{id}\"")),
            };
            add(room, frame, id);
        }
        // At the end everybody is a member and hears one more.
        for (n, room) in way.rooms.iter().enumerate() {
            let n = n as u64;
            add(room, join(room), 400 + n);
            add(room, publish(room, "\"end\""), 500 + n);
        }
        peer.send(&frames).await;
        let mut told: HashMap<String, Told> = HashMap::new();
        let mut ended = 0;
        while ended < way.rooms.len() || expected.values().any(|room| !room.answers.is_empty()) {
            let frame = peer.next().await;
            let room = room_of(&frame).unwrap_or_else(|| panic!("{frame:?}")).as_str().to_owned();
            let told = told.entry(room.clone()).or_default();
            let id = match &frame {
                ServerFrame::Ok(answer) => answer.id,
                ServerFrame::Err(refusal) => refusal.id,
                ServerFrame::Msg(msg) => {
                    let at = told.at.as_mut().unwrap_or_else(|| panic!("no member: {msg:?}"));
                    *at += 1;
                    assert_eq!(msg.offset, Some(*at), "no hole and nothing twice");
                    ended += usize::from(text(&msg.data) == "\"end\"");
                    continue;
                }
                other => panic!("{other:?}"),
            };
            let (due, refused) = expected.get_mut(room.as_str()).unwrap().answers.pop_front().unwrap();
            assert_eq!(id, Some(due), "{frame:?}");
            match (frame, &sent[&due]) {
                (ServerFrame::Err(refusal), _) => assert_eq!(Some(refusal.code), refused, "{due}"),
                (ServerFrame::Ok(_), _) if refused.is_some() => panic!("{due} should have been {refused:?}"),
                (ServerFrame::Ok(answer), ClientFrame::Join(asked)) => {
                    let result = answer.result.unwrap().into_join();
                    let newest = told.published.last_key_value().map_or(0, |(offset, _)| *offset);
                    assert_eq!(result.newest, Some(newest), "what was published before is there");
                    let last = u64::from(asked.last.unwrap_or(0)).min(newest);
                    assert_eq!(result.offset, Some(newest - last));
                    told.at = result.offset;
                }
                (ServerFrame::Ok(_), ClientFrame::Leave(_)) => {
                    let at = told.at.take().unwrap();
                    let newest = told.published.last_key_value().map_or(at, |(offset, _)| *offset);
                    // Elsewhere what was published last may come too late for who leaves at once.
                    assert!(at == newest || !way.own, "left at {at}, published {newest}");
                }
                (ServerFrame::Ok(answer), ClientFrame::Pub(asked)) => {
                    let offset = answer.result.unwrap().into_pub().offset.unwrap();
                    let before = told.published.last_key_value().map_or(0, |(offset, _)| *offset);
                    assert_eq!(offset, before + 1, "{asked:?}");
                    told.published.insert(offset, text(&asked.data));
                }
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_hundred_joins_in_one_write_are_a_hundred_answers() {
    everywhere("hundred", async |way| {
        let mut peer = way.peer().await;
        let all: Vec<String> = (0..100).map(|n| format!("{}.{n}", way.rooms[0])).collect();
        let frames = |first: u64, frame: fn(&str) -> ClientFrame| -> Vec<_> {
            (first..).zip(&all).map(|(id, room)| with_id(frame(room), id)).collect()
        };
        let joins = frames(1_000, join);
        let publications = frames(2_000, |room| publish(room, "7"));
        let leaves = frames(3_000, leave);
        peer.send(&joins).await;
        for id in 1_000..1_100 {
            peer.answer(id).await.unwrap();
        }
        peer.send(&publications).await;
        let mut heard: Vec<String> = Vec::new();
        for id in 2_000..2_100 {
            peer.answer(id).await.unwrap();
        }
        while heard.len() < 100 {
            heard.push(peer.msg().await.room.unwrap().as_str().to_owned());
        }
        heard.sort();
        let mut sorted = all.clone();
        sorted.sort();
        assert_eq!(heard, sorted, "each its own, once");
        // And once more all at once: joined twice, left, left twice.
        peer.send(&[&*joins, &*leaves, &*leaves].concat()).await;
        let (mut oks, mut refused) = (0, HashMap::new());
        for _ in 0..300 {
            match peer.next().await {
                ServerFrame::Ok(_) => oks += 1,
                ServerFrame::Err(refusal) => *refused.entry(refusal.code).or_insert(0) += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(oks, 100);
        assert_eq!(refused, HashMap::from([(Code::AlreadyJoined, 100), (Code::NotJoined, 100)]));
    })
    .await;
}

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}
