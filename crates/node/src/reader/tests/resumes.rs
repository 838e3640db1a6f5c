//! A resume that says so brings exactly what was stored since; else it says that it doesn't.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ringway_backplane::store::{Kept, Newest, ReadError};

use super::dice::Dice;
use super::fake::{EPOCH, Fake, Manners};
use super::{ask, desk};
use crate::reader::{Found, Read};

/// Somebody who comes back.
#[derive(Debug, Clone, Copy)]
struct Client {
    room: usize,
    at: Newest,
    says_ts: bool,
    /// The newest of the room when it asked.
    stored: u64,
}

/// What a page may look like, of all that was stored in the room behind the client's place.
fn check(fake: &Fake, client: Client, kept: &[Kept], more: bool, newest: Newest, by_key: bool) {
    let kept_now = fake.kept(client.room);
    let state = fake.state.lock();
    let forgotten =
        |offset: u64| state.forgotten.iter().any(|(room, upto)| *room == client.room && offset <= *upto);
    let after: Vec<_> =
        state.ever.iter().filter(|(offset, m)| m.room == client.room && *offset > client.at.offset).collect();
    let mut expected = after.iter();
    for one in kept {
        loop {
            let (offset, message) = expected.next().expect("nothing from nowhere");
            if *offset == one.offset {
                assert_eq!((one.ts, &one.publication), (message.ts, &message.publication), "{client:?}");
                break;
            }
            // A newer one of its key is behind it, or it is too old.
            let overwritten = by_key && !kept_now.contains(&(*offset, message.ts));
            assert!(forgotten(*offset) || overwritten, "{client:?} lacks {offset}, and got {}", one.offset);
        }
    }
    let last = kept.last().map_or(client.at.offset, |last| last.offset);
    assert!(newest.offset >= last, "{client:?}: {newest:?}");
    // Where the leader didn't answer, a follower's word is taken for what is newest.
    if !more && fake.manners.lock().faults == 0 {
        let gone = by_key && kept_now.iter().all(|(offset, _)| *offset != client.stored);
        assert!(
            last >= client.stored || forgotten(client.stored) || gone,
            "{client:?} got {last} at last {newest:?}; {kept_now:?}, {:?}",
            state.forgotten
        );
    }
}

async fn scene(seed: u64) {
    let mut dice = Dice::new(seed);
    let by_key = dice.percent(20);
    let manners = Manners {
        most: if by_key { Some(1) } else { dice.percent(60).then(|| dice.whole(2, 20)) },
        total: dice.percent(40).then(|| dice.whole(20, 300)),
        lag: Duration::from_millis(dice.whole(0, 1) * dice.whole(0, 300)),
        faults: dice.whole(0, 1) * dice.whole(0, 10),
        says_upto: true,
        by_key,
    };
    let rooms = if dice.percent(50) { dice.whole(1, 8) } else { dice.whole(40, 120) } as usize;
    let told = format!("{manners:?}, {rooms} rooms");
    let fake = Fake::new(manners, rooms, seed);
    let desk = desk(&fake);
    let mut places: Vec<Vec<Newest>> = vec![Vec::new(); rooms];
    let some = |dice: &mut Dice| dice.whole(0, rooms as u64 - 1) as usize;
    for _round in 0..dice.whole(2, 6) {
        for _ in 0..dice.whole(0, 150) {
            let room = some(&mut dice);
            if dice.percent(3) {
                fake.age();
            } else if dice.percent(1) {
                fake.forget_now(room, fake.end().offset);
            } else {
                let place = fake.store(room, dice.whole(0, 3) as usize);
                places[room].push(place);
            }
            let empty = some(&mut dice);
            if fake.kept(empty).is_empty() && fake.end().offset > 0 {
                places[empty].push(fake.end());
            }
        }
        let mut waiting = Vec::new();
        for _ in 0..dice.whole(1, 150) {
            let room = some(&mut dice);
            let Some(at) = places[room].get(dice.whole(0, 200) as usize % places[room].len().max(1)) else {
                continue;
            };
            let stored = fake.kept(room).last().map_or(0, |last| last.0);
            let client = Client { room, at: *at, says_ts: dice.percent(80), stored };
            let ts = client.says_ts.then_some(at.ts);
            let read = Read::Since { epoch: EPOCH, offset: at.offset, ts };
            waiting.push((client, ask(&desk, &fake.rooms[room], read)));
            if dice.percent(5) {
                tokio::time::sleep(Duration::from_millis(dice.whole(0, 20))).await;
            }
            if dice.percent(10) {
                let place = fake.store(room, 0);
                places[room].push(place);
            }
        }
        for (client, answer) in waiting {
            match answer.await.expect("answered once") {
                Ok(Found::Page { epoch, kept, more, newest }) => {
                    assert_eq!(epoch, EPOCH);
                    check(&fake, client, &kept, more, newest, by_key);
                }
                Ok(Found::NotResumed { epoch, .. }) => {
                    assert_eq!(epoch, EPOCH);
                    let held = fake.kept(client.room).contains(&(client.at.offset, client.at.ts));
                    assert!(!held, "{client:?}: its place is still held");
                    assert!(!by_key, "{client:?}: the newest of every key is held");
                    let end = fake.kept(client.room).len() as u64;
                    let dropped =
                        fake.first() > client.at.offset + 1 || manners.most.is_some_and(|most| end >= most);
                    // What was at its place may have been the room's own, and gone with others.
                    let gone = client.says_ts && !fake.holds(client.at.offset);
                    assert!(dropped || gone, "{client:?}: nothing was dropped since");
                }
                Ok(other) => panic!("{client:?}: {other:?}"),
                Err(ReadError::Busy | ReadError::Timeout) if manners.faults > 0 => {}
                Err(error) => panic!("{client:?}, {told}: {error}"),
            }
        }
    }
    assert!(fake.most_under_way.load(Ordering::SeqCst) <= 2 * 16, "bounded");
}

#[tokio::test(start_paused = true)]
async fn what_is_resumed_is_exactly_what_was_stored_since() {
    let seeds: Vec<u64> = match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..80).collect(),
    };
    for seed in seeds {
        let run = tokio::spawn(scene(seed));
        if let Err(error) = run.await {
            panic!("seed {seed}: {error}");
        }
    }
}
