use std::time::Duration;

use ringway_ring::Slot;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use super::*;
use crate::message::{Epoch, LiveBody, LiveMessage, Question, Request};
use crate::{Inbox, Interest, Scope, Subscription};

const LIMIT: Duration = Duration::from_secs(20);

fn interest(room: &str) -> Interest {
    let (tenant, room) = ("acme".parse().expect("a name"), room.parse().expect("a name"));
    let scope = Scope::Room { slot: Slot::of_room(&tenant, &room), tenant, room };
    Interest { group: "shared".parse().expect("a name"), scope }
}

fn send(from: &Arc<dyn Backplane>, room: &str, count: u64) {
    let Interest { group, scope: Scope::Room { slot, tenant, room } } = interest(room) else { return };
    let body = LiveBody::Mark { epoch: Epoch { ms: 1, node: 2, random: 3 }, offset: count };
    let message =
        LiveMessage { from: "a".parse().expect("a name"), count, tenant, room, body, traceparent: None };
    from.publish_live(&group, slot, &message).expect("accepted");
}

async fn subscribe(party: &Arc<dyn Backplane>, room: &str, sink: &mpsc::Sender<LiveMessage>) -> Subscription {
    party.subscribe(&interest(room), sink.clone()).await.expect("open")
}

async fn counts(messages: &mut Receiver<LiveMessage>, how_many: usize) -> Vec<u64> {
    let mut counts = Vec::new();
    while counts.len() < how_many {
        counts.push(timeout(LIMIT, messages.recv()).await.expect("in time").expect("an open sink").count);
    }
    counts
}

async fn ends(mut messages: Receiver<LiveMessage>) {
    while timeout(LIMIT, messages.recv()).await.expect("in time").is_some() {}
}

#[tokio::test]
async fn a_dropped_subscription_leaves_nothing_on_the_board() {
    let hub = Hub::new();
    let (a, b) = (hub.attach("a"), hub.attach("b"));
    let (sink, messages) = mpsc::channel(4);
    let mut held = Vec::new();
    for room in 0..1_000 {
        held.push(subscribe(&b, &format!("room-{room}"), &sink).await);
    }
    assert_eq!(hub.exchange.live.lines_and_feeders(), (1_000, 1), "one way into one sink");
    let (another, others) = mpsc::channel(4);
    held.push(subscribe(&b, "room-1", &another).await);
    held.push(subscribe(&a, "room-1", &another).await);
    assert_eq!(hub.exchange.live.lines_and_feeders(), (1_002, 3), "one of each party and sink");

    held.remove(7).close().await;
    assert_eq!(hub.exchange.live.lines_and_feeders(), (1_001, 3));
    drop(held);
    assert_eq!(hub.exchange.live.lines_and_feeders(), (0, 0));
    drop((sink, another));
    ends(messages).await;
    ends(others).await;
}

#[tokio::test]
async fn what_does_not_fit_is_counted_one_by_one() {
    let hub = Hub::with_capacity(8);
    let (a, b) = (hub.attach("a"), hub.attach("b"));
    let (sink, mut messages) = mpsc::channel(4);
    let _held = (subscribe(&b, "one", &sink).await, subscribe(&b, "two", &sink).await);
    for count in 1..=20 {
        send(&a, ["one", "two"][count as usize % 2], count);
    }
    assert_eq!((b.link().borrow().slow, b.counters().slow.get()), (8, 8));
    assert_eq!(counts(&mut messages, 12).await, Vec::from_iter(1..=12));
    send(&a, "one", 21);
    assert_eq!(counts(&mut messages, 1).await, [21]);
    assert_eq!(b.counters().received.get(), 13);
}

#[tokio::test]
async fn what_waits_goes_with_its_subscription_and_makes_room() {
    let hub = Hub::with_capacity(8);
    let (a, b) = (hub.attach("a"), hub.attach("b"));
    let (sink, mut messages) = mpsc::channel(2);
    let (one, _two) = (subscribe(&b, "one", &sink).await, subscribe(&b, "two", &sink).await);
    for count in 1..=10 {
        send(&a, ["one", "two"][count as usize % 2], count);
    }
    // Nobody reads meanwhile: closing doesn't wait for that.
    timeout(LIMIT, one.close()).await.expect("in time");
    for count in 11..=14 {
        send(&a, "two", count);
    }
    assert_eq!(b.link().borrow().slow, 0);
    assert_eq!(counts(&mut messages, 9).await, [1, 2, 3, 5, 7, 9, 11, 12, 13]);
    assert_eq!(counts(&mut messages, 1).await, [14]);
}

#[tokio::test]
async fn order_holds_while_a_sink_fills_and_empties() {
    let hub = Hub::new();
    let (a, b) = (hub.attach("a"), hub.attach("b"));
    let (sink, mut messages) = mpsc::channel(3);
    let _held = (subscribe(&b, "one", &sink).await, subscribe(&b, "two", &sink).await);
    let mut next = 1;
    for burst in 1..400_u64 {
        for count in 0..burst % 11 {
            send(&a, ["one", "two"][count as usize % 2], next + count);
        }
        let sent = next + burst % 11;
        // Now and then some are left to wait for the next burst.
        let read = if burst % 3 == 0 { sent - next } else { (sent - next) / 2 };
        let first = counts(&mut messages, read as usize).await;
        assert!(first.is_sorted_by(|a, b| a + 1 == *b), "{first:?}");
        let left = sent - next - read;
        let rest = counts(&mut messages, left as usize).await;
        assert_eq!([first, rest].concat(), Vec::from_iter(next..sent));
        next = sent;
    }
    assert_eq!(b.link().borrow().slow, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_publisher_is_heard_in_order_by_a_slow_reader() {
    let hub = Hub::new();
    let reader = hub.attach("reader");
    let (sink, mut messages) = mpsc::channel(1);
    let _held = (subscribe(&reader, "0", &sink).await, subscribe(&reader, "1", &sink).await);
    for room in ["0", "1"] {
        let publisher = hub.attach(room);
        tokio::task::spawn_blocking(move || (1..=5_000).for_each(|count| send(&publisher, room, count)));
    }
    let mut last = [0, 0];
    for _ in 0..10_000 {
        let message = timeout(LIMIT, messages.recv()).await.expect("in time").expect("an open sink");
        let last = &mut last[usize::from(message.room.as_str() == "1")];
        assert_eq!(message.count, *last + 1);
        *last = message.count;
    }
    assert_eq!(reader.link().borrow().slow, 0);
}

#[tokio::test]
async fn closing_a_party_ends_all_of_its_subscriptions_and_no_others() {
    let hub = Hub::new();
    let (a, b, c) = (hub.attach("a"), hub.attach("b"), hub.attach("c"));
    let (sink, messages) = mpsc::channel(1);
    let (kept, mut others) = mpsc::channel(4);
    let held = (subscribe(&b, "one", &sink).await, subscribe(&b, "two", &sink).await);
    let _kept = subscribe(&c, "one", &kept).await;
    drop(sink);
    // Its reader is stuck: that isn't waited for.
    (1..=3).for_each(|count| send(&a, "one", count));
    timeout(LIMIT, b.close()).await.expect("in time");
    assert_eq!(hub.exchange.live.lines_and_feeders(), (1, 1));
    assert_eq!(messages.len(), 1, "nothing comes afterwards");
    ends(messages).await;
    assert!(b.subscribe(&interest("one"), kept.clone()).await.is_err());
    assert_eq!(counts(&mut others, 3).await, [1, 2, 3]);
    drop(held);
    drop(c);
    assert_eq!(hub.exchange.live.lines_and_feeders(), (0, 0), "dropped, a party ends as if closed");
}

#[tokio::test]
async fn a_sink_that_nobody_reads_is_let_go() {
    let hub = Hub::with_capacity(8);
    let (a, b) = (hub.attach("a"), hub.attach("b"));
    let (sink, messages) = mpsc::channel(2);
    let held = (subscribe(&b, "one", &sink).await, subscribe(&b, "two", &sink).await);
    for count in 1..=5 {
        send(&a, "one", count);
    }
    drop(messages);
    let gone = async {
        while hub.exchange.live.lines_and_feeders().0 > 1 {
            send(&a, "one", 6);
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, gone).await.expect("in time");
    assert_eq!(b.link().borrow().slow, 0);
    drop(held);
    assert_eq!(hub.exchange.live.lines_and_feeders(), (0, 0));
}

#[tokio::test]
async fn an_inbox_served_anew_is_the_newest_readers() {
    let hub = Hub::new();
    let a = hub.attach("a");
    let inbox = Inbox { group: "shared".parse().expect("a name"), node: "node-a".parse().expect("a name") };
    let (old, mut at_old) = mpsc::channel(1);
    let (new, mut at_new) = mpsc::channel(1);
    let _old = a.serve(&inbox, old).await.expect("open");
    let new = a.serve(&inbox, new).await.expect("open");
    let request = Request { from: "a".parse().expect("a name"), body: Question::Probe, traceparent: None };
    // Its first look puts the question where it belongs; the answer is of no interest.
    let ask = || timeout(Duration::ZERO, a.request(&inbox, &request, LIMIT));
    assert!(ask().await.is_err());
    assert!(at_new.try_recv().is_ok());
    new.close().await;
    assert!(ask().await.is_err());
    assert!(at_old.try_recv().is_ok());
}
