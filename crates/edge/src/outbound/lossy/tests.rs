//! What the policies do, case by case.

use std::io::IoSlice;

use super::model::Named;
use super::promises::{messages, saying};
use super::*;
use crate::outbound::queue::{BATCH, Queue};

fn labelled(feed: &Arc<Named>, policy: Policy, offset: u64, key: Option<&str>, len: usize) -> Frame {
    let feed: Arc<dyn Feed> = Arc::<Named>::clone(feed);
    let key = key.map(|key| key.parse().unwrap());
    let label = Label { feed, policy, offset: Some(offset), ts: offset, key };
    saying(&format!("msg {offset}"), len, false).labelled(Arc::new(label))
}

const WIDE: Room = Room { bytes: 1_000_000, frames: 16_384, keys: KEYS_LIMIT };

/// A queue whose socket has taken the first byte of one frame, and no more.
fn stuck() -> Queue {
    let mut queue = Queue::default();
    queue.push_begun(saying("begun", 10, false), 1);
    queue.fall_behind();
    queue
}

/// What it has to say, the begun frame apart.
fn said(queue: &mut Queue) -> Vec<String> {
    let mut wire = vec![0x82];
    while !queue.is_empty() {
        queue.tell_gap();
        let mut slices = [IoSlice::new(&[]); BATCH];
        let (count, offered) = queue.slices(&mut slices);
        slices[..count].iter().for_each(|slice| wire.extend_from_slice(slice));
        queue.advance(offered);
    }
    messages(&wire).iter().skip(1).map(|said| said.trim_end_matches(['x', ' ']).to_owned()).collect()
}

#[test]
fn what_nobody_can_replace_gives_way_from_the_oldest_on() {
    let feed = Arc::new(Named::default());
    let mut queue = stuck();
    let room = Room { frames: 4, ..WIDE };
    for offset in 1..=3 {
        assert!(queue.push_behind(&labelled(&feed, Policy::DropOldest, offset, Some("a"), 0), room));
    }
    assert!(queue.push_behind(&saying("joined", 0, true), room));
    for offset in 4..=6 {
        assert!(queue.push_behind(&labelled(&feed, Policy::DropOldest, offset, Some("a"), 0), room));
    }
    assert_eq!(said(&mut queue), ["joined", "gap 0 4 4 4", "msg 5", "msg 6"]);
    assert_eq!(feed.counted(), (4, 0));
}

#[test]
fn the_newest_of_each_key_stays_where_the_newest_belongs() {
    let feed = Arc::new(Named::default());
    let mut queue = stuck();
    for (offset, key) in
        [(1, Some("a")), (2, None), (3, Some("b")), (4, Some("a")), (5, None), (6, Some("c"))]
    {
        assert!(queue.push_behind(&labelled(&feed, Policy::Conflate, offset, key, 0), WIDE));
    }
    assert_eq!(said(&mut queue), ["msg 3", "msg 4", "msg 5", "msg 6"]);
    assert_eq!(feed.counted(), (0, 2));
}

#[test]
fn keys_of_different_feeds_are_different() {
    let feeds = [Arc::new(Named::default()), Arc::new(Named::default())];
    let mut queue = stuck();
    for offset in 1..=4 {
        let frame = labelled(&feeds[offset as usize % 2], Policy::Conflate, offset, Some("a"), 0);
        assert!(queue.push_behind(&frame, WIDE));
    }
    assert_eq!(said(&mut queue), ["msg 3", "msg 4"]);
}

#[test]
fn over_a_thousand_keys_the_oldest_goes_and_that_is_told() {
    let feed = Arc::new(Named::default());
    let mut queue = stuck();
    for offset in 1..=KEYS_LIMIT as u64 + 2 {
        let key = format!("k{offset}");
        assert!(queue.push_behind(&labelled(&feed, Policy::Conflate, offset, Some(&key), 0), WIDE));
    }
    // One that waits is replaced without a loss.
    assert!(queue.push_behind(&labelled(&feed, Policy::Conflate, 2_000, Some("k3"), 0), WIDE));
    let said = said(&mut queue);
    assert_eq!(said.len(), 1 + KEYS_LIMIT);
    assert_eq!(said[..2], ["gap 0 2 2 2", "msg 4"]);
    assert_eq!(said.last().unwrap(), "msg 2000");
}

#[test]
fn what_waited_for_a_flush_is_conflated_once_it_waits_for_the_peer() {
    let feed = Arc::new(Named::default());
    let mut queue = Queue::default();
    for offset in 1..=9 {
        let key = ["a", "b", "c"][offset as usize % 3];
        queue.push(labelled(&feed, Policy::Conflate, offset, Some(key), 0));
    }
    queue.advance(1);
    queue.fall_behind();
    assert_eq!((queue.len(), feed.counted()), (4, (0, 5)), "the begun one stays");
}

#[test]
fn one_that_may_not_be_left_out_drives_out_all_that_may() {
    let feed = Arc::new(Named::default());
    let mut queue = stuck();
    let room = Room { bytes: 1_000, ..WIDE };
    for offset in 1..=5 {
        assert!(queue.push_behind(&labelled(&feed, Policy::DropOldest, offset, None, 100), room));
    }
    assert!(queue.push_behind(&saying("first", 900, true), room));
    assert!(!queue.push_behind(&saying("second", 900, true), room));
    assert!(
        queue.push_behind(&labelled(&feed, Policy::DropOldest, 6, None, 900), room),
        "is itself left out"
    );
    assert_eq!(said(&mut queue), ["first", "gap 0 6 6 6"]);
}

#[test]
fn each_loss_is_told_for_itself_once_it_has_been_written() {
    let feed = Arc::new(Named::default());
    let mut queue = stuck();
    let room = Room { frames: 3, ..WIDE };
    let write = |queue: &mut Queue, bytes: usize| {
        queue.tell_gap();
        queue.advance(bytes);
    };
    for offset in 1..=4 {
        assert!(queue.push_behind(&labelled(&feed, Policy::DropOldest, offset, None, 0), room));
    }
    write(&mut queue, saying("begun", 10, false).len() - 1);
    // The gap up to 2 is begun; what is lost now is told by the next.
    write(&mut queue, 1);
    for offset in 5..=7 {
        assert!(queue.push_behind(&labelled(&feed, Policy::DropOldest, offset, None, 0), room));
    }
    assert_eq!(said(&mut queue), ["gap 0 5 5 3", "msg 6", "msg 7"]);
}

#[test]
fn what_has_no_number_is_counted_and_not_told() {
    let feed = Arc::new(Named::default());
    let mut queue = stuck();
    let label = Label { feed: feed.clone(), policy: Policy::DropOldest, offset: None, ts: 0, key: None };
    let frame = saying("msg", 0, false).labelled(Arc::new(label));
    for _ in 0..5 {
        assert!(queue.push_behind(&frame, Room { frames: 2, ..WIDE }));
    }
    assert_eq!(said(&mut queue), ["msg"]);
    assert_eq!(feed.counted(), (4, 0));
}

#[test]
fn many_replacements_take_no_more_memory_than_a_few() {
    let feed = Arc::new(Named::default());
    let mut queue = stuck();
    let frames: Vec<Frame> =
        (0..10).map(|key| labelled(&feed, Policy::Conflate, 1, Some(&format!("k{key}")), 0)).collect();
    for round in 0..100_000 {
        assert!(queue.push_behind(&frames[round % 10], WIDE));
        assert!(queue.slots() <= 2 * 11 + EMPTY + 1);
    }
    queue.check();
    assert_eq!(queue.len(), 11);
}

#[test]
fn very_many_losses_take_no_longer_than_a_few_each() {
    // Far more than there is room for, of many feeds, behind much that can't be left out: a search from the front for
    // each loss would take minutes.
    let feeds: Vec<Arc<Named>> = (0..200).map(|_| Arc::new(Named::default())).collect();
    let mut queue = stuck();
    for number in 0..8_000 {
        assert!(queue.push_behind(&saying("own", 0, true), WIDE), "{number}");
    }
    for offset in 0..100_000_u64 {
        let key = format!("k{}", offset / 200);
        let frame = labelled(&feeds[offset as usize % 200], Policy::Conflate, offset, Some(&key), 0);
        assert!(queue.push_behind(&frame, WIDE));
    }
    queue.check();
    assert_eq!(queue.len(), WIDE.frames);
}
