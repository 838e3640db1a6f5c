//! Claims that aren't of this history, and a history that changes while it is read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ringway_backplane::message::Epoch;
use ringway_backplane::store::Newest;

use super::dice::Dice;
use super::fake::{EPOCH, Fake, Manners, PLAIN};
use super::{answer, ask, desk};
use crate::reader::{Found, Read};

fn since(at: Newest) -> Read {
    Read::Since { epoch: EPOCH, offset: at.offset, ts: Some(at.ts) }
}

#[tokio::test(start_paused = true)]
async fn a_claim_from_the_future_or_with_another_time_is_not_resumed() {
    let fake = Fake::new(PLAIN, 2, 1);
    let desk = desk(&fake);
    for _ in 0..10 {
        fake.store(0, 0);
        fake.store(1, 0);
    }
    let (newest, end) = (Newest { offset: 19, ts: fake.kept(0)[9].1 }, fake.end());
    let claims = [
        Newest { offset: end.offset + 1, ts: end.ts },
        Newest { offset: u64::MAX, ts: end.ts },
        Newest { offset: 1, ts: newest.ts },
        Newest { ts: newest.ts + 1, ..newest },
        // Another room's, as an empty room's position would be: at another time.
        Newest { offset: 2, ts: newest.ts },
    ];
    for claim in claims {
        let looks = fake.looks.load(Ordering::SeqCst);
        match answer(&desk, &fake.rooms[0], since(claim)).await {
            Ok(Found::NotResumed { epoch: EPOCH, newest: told, oldest: Some(1) }) => assert_eq!(told, newest),
            other => panic!("{claim:?}: {other:?}"),
        }
        assert_eq!(fake.looks.load(Ordering::SeqCst), looks + 1, "somebody should look");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_another_epoch_is_not_resumed() {
    let fake = Fake::new(PLAIN, 2, 1);
    let desk = desk(&fake);
    let first = fake.store(0, 0);
    let now = fake.bump();
    assert!(matches!(
        answer(&desk, &fake.rooms[0], since(first)).await,
        Ok(Found::NotResumed { epoch, newest, oldest: Some(1) }) if (epoch, newest) == (now, first)
    ));
    let later = Epoch { ms: now.ms + 1, ..now };
    let read = Read::Since { epoch: later, offset: first.offset, ts: Some(first.ts) };
    // Nothing is kept of this one: where its stream is.
    assert!(matches!(
        answer(&desk, &fake.rooms[1], read).await,
        Ok(Found::NotResumed { epoch, newest, oldest: None }) if (epoch, newest) == (now, first)
    ));
}

#[tokio::test(start_paused = true)]
async fn an_epoch_that_changes_while_a_room_is_read_is_the_next_answers() {
    let fake = Fake::new(PLAIN, 1, 1);
    let desk = desk(&fake);
    let first = fake.store(0, 0);
    fake.store(0, 0);
    let waiting = ask(&desk, &fake.rooms[0], since(first));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let now = fake.bump();
    assert!(matches!(
        waiting.await.unwrap(),
        Ok(Found::NotResumed { epoch, .. }) if epoch == now
    ));
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_is_the_same_or_gone_or_other() {
    let fake = Fake::new(PLAIN, 2, 1);
    let desk = desk(&fake);
    let check = async |at: Newest| {
        let read = Read::Check { offset: at.offset, ts: at.ts };
        answer(&desk, &fake.rooms[0], read).await.unwrap()
    };
    let first = fake.store(0, 0);
    let put_back = fake.snapshot();
    let second = fake.store(0, 0);
    assert!(matches!(check(first).await, Found::Same));
    assert!(matches!(check(Newest { ts: first.ts + 1, ..first }).await, Found::Other));
    fake.age();
    assert!(matches!(check(first).await, Found::Gone));
    put_back(&fake);
    // It was delivered, and its number isn't given yet.
    assert!(matches!(check(second).await, Found::Other));
    fake.store(1, 0);
    assert!(matches!(check(second).await, Found::Other));
}

/// A volume that was put back, which changes neither epoch nor anything else.
async fn scene(seed: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let lag = Duration::from_millis(dice.whole(0, 100));
    let rooms = dice.whole(1, 60) as usize;
    let fake = Fake::new(Manners { lag, ..PLAIN }, rooms, seed);
    let desk = desk(&fake);
    let room = |dice: &mut Dice| dice.whole(0, rooms as u64 - 1) as usize;
    for _ in 0..dice.whole(0, 50) {
        fake.store(room(&mut dice), 0);
    }
    let put_back = fake.snapshot();
    let mut lost = Vec::new();
    for _ in 0..dice.whole(1, 50) {
        let room = room(&mut dice);
        lost.push((room, fake.store(room, 0)));
        // What a room is told of which nothing is kept.
        lost.push((rooms - 1, fake.end()));
    }
    put_back(&fake);
    for _ in 0..dice.whole(0, 100) {
        fake.store(room(&mut dice), 0);
    }
    let waiting: Vec<_> = lost
        .into_iter()
        .map(|(room, claim)| (room, claim, ask(&desk, &fake.rooms[room], since(claim))))
        .collect();
    let count = waiting.len() as u64;
    for (room, claim, answer) in waiting {
        let answer = answer.await.unwrap();
        assert!(matches!(answer, Ok(Found::NotResumed { .. })), "seed {seed}: {room} {claim:?}: {answer:?}");
    }
    assert!(fake.looks.load(Ordering::SeqCst) > 0);
    count
}

#[tokio::test(start_paused = true)]
async fn a_position_of_what_a_volume_lost_is_never_resumed() {
    for seed in 0..100 {
        scene(seed).await;
    }
}
