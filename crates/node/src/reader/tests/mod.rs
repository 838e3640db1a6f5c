//! The reader over a store that lags and fails.

mod dice;
mod fake;
mod pages;
mod real;
mod resumes;
mod rollback;

use std::sync::Arc;

use ringway_backplane::store::RoomAt;
use tokio::sync::oneshot;

use super::counts::ReadCounts;
use super::desk::Desk;
use super::{Read, ReadResult};
use fake::Fake;

fn desk(fake: &Arc<Fake>) -> Desk<Fake> {
    Desk::new(Arc::clone(fake), ReadCounts::unread())
}

fn ask(desk: &Desk<Fake>, at: &RoomAt, read: Read) -> oneshot::Receiver<ReadResult> {
    let (sender, receiver) = oneshot::channel();
    desk.read(at.clone(), read, move |result| drop(sender.send(result)));
    receiver
}

async fn answer(desk: &Desk<Fake>, at: &RoomAt, read: Read) -> ReadResult {
    ask(desk, at, read).await.expect("answered once")
}

#[tokio::test(start_paused = true)]
async fn who_waits_when_all_ends_is_told() {
    let fake = Fake::new(fake::PLAIN, 40, 1);
    let newest = fake.store(0, 0);
    let desk = desk(&fake);
    let check = Read::Check { offset: newest.offset, ts: newest.ts };
    let asked: Vec<_> =
        fake.rooms.iter().flat_map(|at| [ask(&desk, at, check), ask(&desk, at, Read::Newest)]).collect();
    drop(desk);
    for answer in asked {
        let told = tokio::time::timeout(std::time::Duration::from_secs(60), answer).await;
        assert!(matches!(told, Ok(Ok(_))), "{told:?}");
    }
}
