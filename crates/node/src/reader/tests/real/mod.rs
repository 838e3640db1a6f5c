//! The reader over a real server.

mod world;

use std::time::Instant;

use futures_util::future::join_all;
use ringway_backplane::message::{Epoch, PageOf};
use ringway_backplane::store::{Newest, ReadError};
use serde_json::json;

use super::fake::{EPOCH, publication};
use crate::reader::{Found, Read};
use world::{LIMIT, World, room};

fn since(at: Newest) -> Read {
    Read::Since { epoch: EPOCH, offset: at.offset, ts: Some(at.ts) }
}

fn offsets(found: &Found) -> Vec<u64> {
    match found {
        Found::Page { kept, .. } => kept.iter().map(|kept| kept.offset).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_has_its_answer() {
    let world = World::with(json!({ "max_msgs_per_subject": 11 })).await;
    let (ours, theirs, empty) = (room(1), room(2), room(3));
    assert_eq!(world.place(&ours).await, Newest { offset: 0, ts: 0 }, "nothing was ever stored");
    let nowhere = world.place(&ours).await;
    let mut places = Vec::new();
    for _ in 0..10 {
        world.publish(&ours, &publication("a")).await;
        places.push(world.place(&ours).await);
        world.publish(&theirs, &publication("b")).await;
    }
    // A room of which nothing is kept is where its stream is.
    let end = world.place(&empty).await;
    assert_eq!(end.offset, 20);
    assert_eq!(places[9].offset, 19);

    let answer = async |read| world.answer(&ours, read).await.expect("read");
    assert_eq!(offsets(&answer(since(places[9])).await), [0_u64; 0]);
    assert_eq!(offsets(&answer(since(places[6])).await), [15, 17, 19]);
    assert_eq!(offsets(&answer(since(nowhere)).await).len(), 10, "since before the first");
    assert_eq!(offsets(&answer(Read::After { offset: 13, upto: 19 }).await), [15, 17, 19]);
    assert_eq!(offsets(&answer(Read::After { offset: 13, upto: 0 }).await), [15, 17, 19]);
    assert_eq!(offsets(&answer(Read::After { offset: 19, upto: 0 }).await), [0_u64; 0]);
    assert_eq!(offsets(&answer(Read::Last { count: 2 }).await), [17, 19]);
    assert_eq!(offsets(&answer(Read::Last { count: 1_000 }).await).len(), 10);
    let check = |at: Newest, later| Read::Check { offset: at.offset, ts: at.ts + later };
    assert!(matches!(answer(check(places[3], 0)).await, Found::Same));
    assert!(matches!(answer(check(places[3], 1)).await, Found::Other));
    assert!(matches!(answer(Read::Check { offset: 99, ts: 1 }).await, Found::Other));
    for refused in [
        since(Newest { offset: 21, ..end }),
        since(Newest { ts: end.ts + 1, ..places[9] }),
        since(Newest { ts: end.ts + 1, ..places[5] }),
        since(Newest { offset: u64::MAX, ..end }),
        Read::Since { epoch: Epoch { ms: 1, ..EPOCH }, offset: 19, ts: None },
    ] {
        match answer(refused).await {
            Found::NotResumed { epoch: EPOCH, newest, oldest: Some(1) } => assert_eq!(newest, places[9]),
            other => panic!("{refused:?}: {other:?}"),
        }
    }

    // An empty room's position holds until its first is dropped.
    for _ in 0..11 {
        world.publish(&empty, &publication("c")).await;
    }
    let whole = world.answer(&empty, since(end)).await.expect("read");
    assert!(
        matches!(whole, Found::NotResumed { oldest: Some(21), .. }),
        "it may have had one more: {whole:?}"
    );
    world.publish(&ours, &publication("a")).await;
    world.publish(&ours, &publication("a")).await;
    assert!(matches!(answer(check(places[0], 0)).await, Found::Gone));
    assert!(matches!(answer(since(places[0])).await, Found::NotResumed { oldest: Some(3), .. }));
    assert_eq!(offsets(&answer(since(places[1])).await).len(), 10, "the oldest position that is kept for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_paged_either_way_and_forgotten() {
    let world = World::with(json!({})).await;
    let at = room(1);
    world.fill((0..100).flat_map(|n| [room(1), room(2 + n % 7)])).await;
    let page = async |page| world.reader.history(&at, page).await.expect("read");
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = page(PageOf { after: Some(after), limit: 7, ..PageOf::default() }).await;
        seen.extend(page.entries.iter().map(|entry| entry.0));
        assert_eq!((page.oldest, page.newest), (Some(1), Some(199)));
        after = seen[seen.len() - 1];
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (0..100).map(|n| 2 * n + 1).collect::<Vec<u64>>());
    let newest = page(PageOf { limit: 3, ..PageOf::default() }).await;
    assert_eq!(newest.entries.iter().map(|entry| entry.0).collect::<Vec<_>>(), [199, 197, 195]);
    let before = page(PageOf { limit: 3, before: Some(5), ..PageOf::default() }).await;
    assert_eq!(before.entries.iter().map(|entry| entry.0).collect::<Vec<_>>(), [3, 1]);
    assert!(newest.more && !before.more);
    let last = world.place(&at).await;
    assert_eq!(world.reader.forget(&at).await, Ok(Some((EPOCH, last))));
    assert_eq!(world.reader.forget(&at).await, Ok(None));
    let nothing = page(PageOf { limit: 3, ..PageOf::default() }).await;
    assert_eq!((nothing.entries.len(), nothing.oldest, nothing.newest), (0, None, None));
    assert!(page(PageOf { limit: 1, ..PageOf::default() }).await.entries.is_empty());
    let other = world.reader.history(&room(2), PageOf { limit: 100, ..PageOf::default() }).await;
    assert_eq!(other.expect("read").entries.len(), 15, "others are as they were");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_in_a_room_is_passed_over() {
    let world = World::with(json!({})).await;
    let at = room(1);
    world.rubbish(&at, 300).await;
    let start = world.place(&at).await;
    world.publish(&at, &publication("a")).await;
    world.rubbish(&at, 600).await;
    world.publish(&at, &publication("b")).await;
    let middle = world.place(&at).await;
    world.rubbish(&at, 300).await;
    let end = world.place(&at).await;
    assert_eq!((start.offset, middle.offset, end.offset), (300, 902, 1_202));
    let answer = async |read| world.answer(&at, read).await.expect("read");
    for read in [Read::After { offset: 0, upto: 0 }, since(start), Read::Last { count: 2 }] {
        match answer(read).await {
            Found::Page { kept, more, newest, .. } => {
                let kept: Vec<_> = kept.iter().map(|kept| kept.offset).collect();
                let whole = (vec![301, 902], false, middle);
                // A page may end in the middle of it.
                let first = kept == [301] && more && answer_after(&world, 301).await == [902];
                assert!(first || (kept, more, newest) == whole, "{read:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    for read in [since(middle), since(end), Read::After { offset: 902, upto: 1_202 }] {
        assert_eq!(offsets(&answer(read).await), [0_u64; 0]);
    }
    let page = world.reader.history(&at, PageOf { limit: 5, ..PageOf::default() }).await.expect("read");
    assert_eq!((page.entries.len(), page.oldest, page.more), (2, Some(301), false));
}

async fn answer_after(world: &World, offset: u64) -> Vec<u64> {
    offsets(&world.answer(&room(1), Read::After { offset, upto: 0 }).await.expect("read"))
}

/// Everything behind a number, however many pages that are. Asks again where the server is too busy.
async fn everything(world: &World, number: usize, offset: u64) -> Vec<u64> {
    let mut read = Read::Since { epoch: EPOCH, offset, ts: None };
    let mut seen = Vec::new();
    let limit = Instant::now() + LIMIT;
    loop {
        match world.answer(&room(number), read).await {
            Ok(found @ Found::Page { more, .. }) => {
                seen.extend(offsets(&found));
                if !more {
                    return seen;
                }
                read = Read::After { offset: seen[seen.len() - 1], upto: 0 };
            }
            Err(ReadError::Busy | ReadError::Timeout) => {
                assert!(Instant::now() < limit, "it is done at last");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_resumes_and_histories_make_no_consumer() {
    const ROOMS: usize = 200;
    let world = World::with(json!({})).await;
    let first = world.fill((0..ROOMS).map(room)).await;
    world.fill((0..4 * ROOMS).map(|n| room(n % ROOMS))).await;
    for round in 0..10 {
        let resumes = first.iter().enumerate().map(|(number, offset)| everything(&world, number, *offset));
        for seen in join_all(resumes).await {
            assert_eq!(seen.len(), 4);
        }
        for number in (round..ROOMS).step_by(10) {
            let asked = PageOf { after: Some(0), limit: 3, ..PageOf::default() };
            let page = world.reader.history(&room(number), asked).await.expect("read");
            assert_eq!((page.entries.len(), page.more), (3, true));
        }
    }
    let info = world.info().await;
    assert_eq!(info["state"]["consumer_count"], 0, "{info}");
}
