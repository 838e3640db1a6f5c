//! Pages of history, and the newest so many.

use std::time::Duration;

use ringway_backplane::message::{Epoch, HistoryPage, PageOf};

use super::dice::Dice;
use super::fake::{EPOCH, Fake, Manners, PLAIN};
use super::{answer, desk};
use crate::reader::{Found, Read};

fn offsets(page: &HistoryPage) -> Vec<u64> {
    page.entries.iter().map(|(offset, _, _)| *offset).collect()
}

/// A store in which a room has bursts among others' publications.
fn filled(seed: u64, manners: Manners) -> (std::sync::Arc<Fake>, Dice) {
    let mut dice = Dice::new(seed);
    let rooms = dice.whole(1, 5) as usize;
    let fake = Fake::new(manners, rooms, seed);
    for _ in 0..dice.whole(0, 12) {
        let (room, burst) = (dice.whole(0, rooms as u64 - 1) as usize, dice.whole(1, 60));
        for _ in 0..burst {
            fake.store(room, dice.whole(0, 9) as usize);
        }
    }
    (fake, dice)
}

#[tokio::test(start_paused = true)]
async fn paging_either_way_gives_each_once_and_ends() {
    for seed in 0..150 {
        // A follower that is behind has older ones still.
        let (most, lag) = if seed % 3 == 0 { (Some(50), 0) } else { (None, seed % 2 * 100) };
        let lag = Duration::from_millis(lag);
        let (fake, mut dice) = filled(seed, Manners { most, lag, ..PLAIN });
        let desk = desk(&fake);
        let limit = u32::try_from(dice.whole(1, 40)).unwrap();
        let kept: Vec<u64> = fake.kept(0).into_iter().map(|(offset, _)| offset).collect();
        let ends = |page: &HistoryPage| (page.oldest, page.newest);
        let told = (kept.first().copied(), kept.last().copied());

        let mut forwards = Vec::new();
        let mut after = 0;
        loop {
            let asked = PageOf { after: Some(after), limit, ..PageOf::default() };
            let page = desk.history(&fake.rooms[0], asked).await.unwrap();
            assert_eq!((page.epoch, ends(&page)), (EPOCH, told), "seed {seed}");
            assert!(page.entries.len() <= limit as usize);
            forwards.extend(offsets(&page));
            assert_eq!(page.more, forwards.len() < kept.len(), "seed {seed}: no page for nothing");
            if !page.more {
                break;
            }
            after = *forwards.last().unwrap();
        }
        assert_eq!(forwards, kept, "seed {seed}");

        let mut backwards = Vec::new();
        let mut before = None;
        loop {
            let page =
                desk.history(&fake.rooms[0], PageOf { before, limit, ..PageOf::default() }).await.unwrap();
            assert!(page.entries.len() <= limit as usize);
            backwards.extend(offsets(&page));
            assert_eq!(page.more, backwards.len() < kept.len(), "seed {seed}");
            if !page.more {
                break;
            }
            before = backwards.last().copied();
        }
        backwards.reverse();
        assert_eq!(backwards, kept, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_newest_so_many_are_the_newest() {
    for seed in 0..150 {
        let by_key = seed % 4 == 0;
        let most = by_key.then_some(1);
        let (fake, mut dice) = filled(seed, Manners { by_key, most, ..PLAIN });
        let desk = desk(&fake);
        let count = dice.whole(0, 300);
        let all = fake.kept(0);
        // Where keys are kept, of every key.
        let wanted = if by_key && count > 0 { all.len() } else { all.len().min(count as usize) };
        let wanted = &all[all.len() - wanted..];
        let read = Read::Last { count: u32::try_from(count).unwrap() };
        let Ok(Found::Page { epoch, kept, more, newest }) = answer(&desk, &fake.rooms[0], read).await else {
            panic!("seed {seed}")
        };
        let kept: Vec<_> = kept.iter().map(|kept| (kept.offset, kept.ts)).collect();
        assert_eq!(epoch, EPOCH);
        // As much as a replay sends at a time; the rest is read on from there.
        assert_eq!(kept, wanted[..wanted.len().min(256)], "seed {seed}");
        assert_eq!(more, wanted.len() > 256, "seed {seed}");
        let last = all.last().map_or(fake.end().offset, |last| last.0);
        assert_eq!(newest.offset, last, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_end_at_what_they_may_weigh_and_stop_at_no_number_of_the_askers() {
    let fake = Fake::new(PLAIN, 2, 7);
    let desk = desk(&fake);
    let at = &fake.rooms[0];
    let empty = desk.history(at, PageOf { limit: 5, ..PageOf::default() }).await.unwrap();
    let nothing = HistoryPage { epoch: EPOCH, entries: Vec::new(), more: false, oldest: None, newest: None };
    assert_eq!(empty, nothing);
    // 100 of about 64 KiB.
    for _ in 0..100 {
        fake.store_heavy(0, 64 * 1024);
        fake.store(1, 0);
    }
    let ask = async |page: PageOf| desk.history(at, page).await.unwrap();
    let page = ask(PageOf { limit: 1_000_000_000, ..PageOf::default() }).await;
    assert_eq!(offsets(&page), [199, 197, 195, 193, 191, 189, 187]);
    assert!(page.more);
    let page = ask(PageOf { limit: u32::MAX, after: Some(0), ..PageOf::default() }).await;
    assert_eq!(offsets(&page), [1, 3, 5, 7, 9, 11, 13]);
    assert!(page.more);
    let page = ask(PageOf { limit: 0, after: Some(2), ..PageOf::default() }).await;
    assert_eq!(offsets(&page), [3]);
    let page = ask(PageOf { limit: 5, after: Some(2), before: Some(7), ..PageOf::default() }).await;
    assert_eq!((offsets(&page), page.more), (vec![3, 5], false));
    for page in [
        PageOf { limit: 5, after: Some(u64::MAX), ..PageOf::default() },
        PageOf { limit: 5, after: Some(199), ..PageOf::default() },
        PageOf { limit: 5, before: Some(0), ..PageOf::default() },
        PageOf { limit: 5, before: Some(1), ..PageOf::default() },
        PageOf { limit: 5, after: Some(0), epoch: Some(Epoch { ms: 1, ..EPOCH }), ..PageOf::default() },
    ] {
        let answer = ask(page).await;
        assert_eq!((offsets(&answer), answer.more), (vec![], false), "{page:?}");
        assert_eq!((answer.epoch, answer.oldest, answer.newest), (EPOCH, Some(1), Some(199)), "{page:?}");
    }
    // The newest 100 are more than is held in memory: a page from the oldest of them.
    let Ok(Found::Page { kept, more: true, .. }) = answer(&desk, at, Read::Last { count: 90 }).await else {
        panic!()
    };
    assert_eq!(kept[0].offset, 21);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_told_up_to_its_last() {
    let fake = Fake::new(PLAIN, 2, 3);
    let desk = desk(&fake);
    assert_eq!(desk.forget(&fake.rooms[0]).await, Ok(None));
    fake.store(0, 0);
    let last = fake.store(0, 0);
    fake.store(1, 0);
    assert_eq!(desk.forget(&fake.rooms[0]).await, Ok(Some((EPOCH, last))));
    assert_eq!((fake.kept(0).len(), fake.kept(1).len()), (0, 1));
}
