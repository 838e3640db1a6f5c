//! Pages of history, by frame and by HTTP; and a room that is forgotten.

use ringway_protocol::frame::{Answer, History, HistoryResult, Refusal};
use ringway_protocol::{ClientFrame, Code};
use serde_json::Value;

use super::*;
use crate::call::{call, encoded, get};
use crate::support::name;

fn history(room: &str) -> History {
    History { id: None, room: Some(name(room)), after: None, before: None, limit: None, epoch: None }
}

/// A page: its lines, and its result.
async fn page(peer: &mut Peer, ask: History) -> Result<(Vec<(u64, String)>, HistoryResult), Refusal> {
    let id = peer.fresh_id();
    peer.send(&[ClientFrame::History(History { id: Some(id), ..ask })]).await;
    let mut lines = Vec::new();
    loop {
        match peer.next().await {
            ServerFrame::Msg(msg) if msg.id == Some(id) => {
                lines.push((msg.offset.expect("kept"), text(&msg.data)));
            }
            ServerFrame::Ok(Answer { id: Some(of), result: Some(result), .. }) if of == id => {
                return Ok((lines, result.into_history()));
            }
            ServerFrame::Err(no) if no.id == Some(id) => return Err(no),
            other => panic!("within a page: {other:?}"),
        }
    }
}

/// Case 38: pages to the end, each once, and it ends by itself, with other rooms in between.
#[tokio::test]
async fn pages_have_each_publication_once_and_end() {
    let cluster = nodes(2);
    let home = room_on(&cluster, "node-1", "home.").await;
    for owner in ["node-1", "node-2"] {
        let room = room_on(&cluster, owner, "durable.pages.").await;
        let mut peer = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
        peer.joined().await;
        let mut offsets = Vec::new();
        for n in 1..=100 {
            offsets.extend(publish_all(&mut peer, &room, [n]).await);
            publish_all(&mut peer, "durable.between", [n]).await;
        }
        let all: Vec<(u64, String)> = offsets.iter().copied().zip(numbers(1..=100)).collect();
        // Forward.
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let ask = History { after: Some(after), limit: Some(7), ..history(&room) };
            let (lines, result) = page(&mut peer, ask).await.unwrap();
            assert_eq!((result.oldest, result.newest), (Some(offsets[0]), Some(offsets[99])));
            assert!(result.epoch.is_some());
            seen.extend(lines.iter().cloned());
            assert_eq!(result.more, seen.len() < 100);
            match lines.last() {
                Some((offset, _)) if result.more => after = *offset,
                _ => break,
            }
        }
        assert_eq!(seen, all);
        // Back.
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let (lines, result) =
                page(&mut peer, History { before, limit: Some(7), ..history(&room) }).await.unwrap();
            seen.extend(lines.iter().cloned());
            match lines.last() {
                Some((offset, _)) if result.more => before = Some(*offset),
                _ => break,
            }
        }
        let backwards: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(seen, backwards);
        // By HTTP the same.
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let target = format!("/v1/messages?room={}&after={after}&limit=33", encoded(&room));
            let answer: Value = get(&target).ok(cluster.gateway());
            let lines = answer["messages"].as_array().unwrap();
            seen.extend(
                lines.iter().map(|line| (line["offset"].as_u64().unwrap(), line["data"].to_string())),
            );
            if answer["more"] != true {
                break;
            }
            after = seen.last().unwrap().0;
        }
        assert_eq!(seen, all);
        // Behind the end, before the beginning, and more than a page may have.
        let (lines, result) =
            page(&mut peer, History { after: Some(offsets[99]), ..history(&room) }).await.unwrap();
        assert_eq!((lines.len(), result.more), (0, false));
        let (lines, result) =
            page(&mut peer, History { before: Some(offsets[0]), ..history(&room) }).await.unwrap();
        assert_eq!((lines.len(), result.more), (0, false));
        let (lines, _) = page(&mut peer, History { limit: Some(1_000), ..history(&room) }).await.unwrap();
        assert_eq!(lines, backwards);
    }
}

#[tokio::test]
async fn a_page_is_refused_where_there_is_no_history() {
    let cluster = nodes(1);
    let mut peer = Peer::open(&cluster.options(Format::Json, None)).await;
    assert_eq!(page(&mut peer, history("lobby")).await.unwrap_err().code, Code::NoHistory);
    let (status, code) = get("/v1/messages?room=lobby").refused(cluster.gateway());
    assert_eq!((status, &*code), (crate::support::documented("no_history").unwrap(), "no_history"));
    for wrong in ["limit=0", "limit=1000000000", "limit=x", "after=-1", "after=1&before=2", "after=1&after=2"]
    {
        let (status, code) = get(&format!("/v1/messages?room=durable.a&{wrong}")).refused(cluster.gateway());
        assert_eq!((status, &*code), (400, "bad_request"), "{wrong}");
    }
    // A room where nothing was published yet.
    let (lines, result) = page(&mut peer, history("durable.empty")).await.unwrap();
    assert_eq!((lines.len(), result.more, result.oldest, result.newest), (0, false, None, None));
}

#[tokio::test]
async fn a_room_that_is_forgotten_is_empty_and_its_members_are_told() {
    let cluster = nodes(2);
    for owner in ["node-1", "node-2"] {
        let room = room_on(&cluster, owner, "durable.forgotten.").await;
        let home = room_on(&cluster, "node-1", "home.").await;
        let mut here = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
        here.joined().await;
        let mut there = Peer::open(&cluster.options(Format::Json, Some(&room))).await;
        there.joined().await;
        let (mut one, mut two) = (Kept::of(&room), Kept::of(&room));
        one.join(&mut here, None).await;
        two.join(&mut there, None).await;
        let offsets = publish_all(&mut here, &room, 1..=5).await;
        one.hears(&mut here, 3).await;
        let early = one.position.clone();
        one.hears(&mut here, 5).await;
        two.hears(&mut there, 5).await;
        let old = one.position.clone();
        let neighbour = publish_all(&mut here, "durable.neighbour", [1]).await;
        call("DELETE", &format!("/v1/messages?room={}", encoded(&room))).ok(cluster.gateway());
        one.next(&mut here).await;
        two.next(&mut there).await;
        assert_eq!((&*one.gaps, &*two.gaps), (&["truncated".to_owned()][..], &["truncated".to_owned()][..]));
        assert!(one.position.as_ref().unwrap().offset >= offsets[4]);
        let (lines, result) = page(&mut here, history(&room)).await.unwrap();
        assert_eq!((lines.len(), result.newest), (0, None));
        // It goes on, in the same epoch; and who comes back with what it had before gets what is new, or is told.
        let six = publish_all(&mut here, &room, [6]).await;
        one.hears(&mut here, 6).await;
        two.hears(&mut there, 6).await;
        assert_eq!(
            one.position.as_ref().map(|p| (p.epoch.clone(), p.offset)),
            old.as_ref().map(|p| (p.epoch.clone(), six[0]))
        );
        let mut back = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
        back.joined().await;
        let mut late = Kept { position: early, ..Kept::of(&room) };
        assert_eq!(late.join(&mut back, None).await.resumed, Some(false));
        let (lines, _) = page(&mut here, history("durable.neighbour")).await.unwrap();
        assert_eq!(
            lines.first().map(|line| line.0),
            neighbour.last().copied(),
            "its neighbour isn't touched"
        );
    }
}

/// More than may wait for a connection is asked for in one write: each is answered, a page at a time, and nobody is closed
/// for it.
#[tokio::test]
async fn many_pages_at_once_come_as_they_are_taken() {
    let cluster = nodes(2);
    let mut peer = Peer::open(&cluster.options(Format::Json, None)).await;
    let rooms: Vec<String> = (0..8).map(|n| format!("durable.big.{n}")).collect();
    let big = format!("\"{}\"", "x".repeat(50_000));
    for room in &rooms {
        for _ in 0..10 {
            peer.publish(room, &big).await.offset.expect("stored");
        }
    }
    let asks: Vec<ClientFrame> = (1..)
        .zip(rooms.iter().chain(&rooms))
        .map(|(id, room)| {
            ClientFrame::History(History { id: Some(1_000 + id), after: Some(0), ..history(room) })
        })
        .collect();
    peer.send(&asks).await;
    // So long nothing is taken that all of them would wait, if they could.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut answered = 0;
    let mut lines = std::collections::BTreeMap::<u64, usize>::new();
    while answered < asks.len() {
        match peer.next().await {
            ServerFrame::Msg(msg) => *lines.entry(msg.id.expect("a line")).or_default() += 1,
            ServerFrame::Ok(Answer { id: Some(id), result: Some(result), .. }) => {
                let (came, more) = (lines.get(&id).copied().unwrap_or(0), result.into_history().more);
                assert!(came > 0 && more == (came < 10), "{id}: {came} {more}");
                answered += 1;
            }
            other => panic!("within pages: {other:?}"),
        }
    }
    assert_eq!(page(&mut peer, history("durable.empty")).await.unwrap().0.len(), 0, "it stands");
}
