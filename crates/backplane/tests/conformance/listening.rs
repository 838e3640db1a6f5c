//! Subscriptions of many slots, and one in another's place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringway_backplane::message::LiveMessage;
use ringway_backplane::{Backplane, LiveSinks, Scope, Subscription};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::world::*;

/// How many messages may be published and not heard yet.
const WINDOW: u64 = 500;

async fn listen_to(
    party: &Arc<dyn Backplane>,
    scope: Scope,
    sinks: &LiveSinks,
    after: Option<CancellationToken>,
) -> Subscription {
    party.listen(&interest(scope), sinks, after).await.expect("open")
}

fn room(name: &str) -> Scope {
    room_interest(name).scope
}

/// Two rooms, of an even slot and an odd one.
fn even_and_odd() -> [String; 2] {
    [0, 1].map(|rest| {
        let mut names = (0..).map(|number| format!("room-{number}"));
        names.find(|name| slot_of(name).number() % 2 == rest).expect("one of them")
    })
}

pub(crate) async fn each_slot_has_its_sink_and_a_full_one_holds_up_no_other(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let [even, odd] = even_and_odd();
    for scope in [Scope::Group, Scope::Tenant(tenant())] {
        let (full, mut of_even) = mpsc::channel(1);
        let (free, mut of_odd) = mpsc::channel(64);
        let held = listen_to(&b, scope, &LiveSinks::by_slot(vec![full, free]), None).await;
        let _ = b.round_trip(LIMIT).await;
        for count in 1..=20 {
            send(&a, &live(&even, count));
            send(&a, &live(&odd, count));
        }
        for count in 1..=20 {
            assert_eq!(next(&mut of_odd).await, live(&odd, count), "nobody reads the other");
        }
        for count in 1..=20 {
            assert_eq!(next(&mut of_even).await, live(&even, count));
        }
        held.close().await;
        assert!(of_even.recv().await.is_none() && of_odd.recv().await.is_none());
    }
    assert_eq!(b.link().borrow().slow, 0);
}

/// There and back, between all scopes, while somebody publishes as fast as is heard.
pub(crate) async fn nothing_is_lost_when_one_subscription_takes_anothers_place(world: &mut World) {
    let (a, b) = (world.patient_party("a").await, world.patient_party("b").await);
    let slot = slot_of("lobby");
    let heard = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let (even, mut at_even) = mpsc::channel(4_096);
    let (odd, mut at_odd) = mpsc::channel(4_096);
    let sinks = LiveSinks::by_slot(vec![even, odd]);
    let reading = tokio::spawn({
        let heard = heard.clone();
        async move {
            let (mut last, mut twice) = (0, 0_u64);
            loop {
                let message: Option<LiveMessage> = tokio::select! {
                    message = at_even.recv() => message,
                    message = at_odd.recv() => message,
                };
                let Some(LiveMessage { count, .. }) = message else { return (last, twice) };
                assert!(count <= last + 1, "{count} after {last}");
                twice += u64::from(count <= last);
                last = last.max(count);
                heard.store(last, Ordering::Release);
            }
        }
    });

    let scopes = [
        room("lobby"),
        Scope::Group,
        Scope::Slot(slot),
        Scope::Tenant(tenant()),
        room("lobby"),
        Scope::Slot(slot),
    ];
    let mut present = listen_to(&b, scopes[0].clone(), &sinks, None).await;
    let _ = b.round_trip(LIMIT).await;
    let publishing = tokio::spawn({
        let (heard, stop) = (heard.clone(), stop.clone());
        async move {
            let mut count = 0;
            while !stop.is_cancelled() {
                while count < heard.load(Ordering::Acquire) + WINDOW {
                    count += 1;
                    send(&a, &live("lobby", count));
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            // What it accepted goes while it lives.
            (count, a)
        }
    });
    for round in 1..20 {
        let some = heard.load(Ordering::Acquire) + 2 * WINDOW;
        let flowing = async {
            while heard.load(Ordering::Acquire) < some {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, flowing).await.expect("publications go on being heard");
        let after = CancellationToken::new();
        let next = scopes[round % scopes.len()].clone();
        let next = listen_to(&b, next, &sinks, Some(after.clone())).await;
        timeout(LIMIT, b.retire(vec![std::mem::replace(&mut present, next)])).await.expect("in time");
        after.cancel();
    }
    stop.cancel();
    let (sent, _publisher) = publishing.await.expect("it ended");
    let all = async {
        while heard.load(Ordering::Acquire) < sent {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, all).await.expect("all of it");
    present.close().await;
    drop(sinks);
    let (last, twice) = timeout(LIMIT, reading).await.expect("in time").expect("nothing was missed");
    assert_eq!((last, b.link().borrow().slow), (sent, 0), "{twice} came twice");
}

pub(crate) async fn what_was_retired_ends_and_what_it_had_comes(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (sink, mut messages) = mpsc::channel(1);
    let sinks = LiveSinks::from(sink);
    let former = vec![
        listen_to(&b, room("lobby"), &sinks, None).await,
        listen_to(&b, room("other"), &sinks, None).await,
    ];
    let _ = b.round_trip(LIMIT).await;
    for count in 1..=9 {
        send(&a, &live(if count % 3 == 0 { "other" } else { "lobby" }, count));
    }
    let _ = (a.round_trip(LIMIT).await, b.round_trip(LIMIT).await);
    drop(sinks);
    let retiring = tokio::spawn({
        let b = b.clone();
        async move { b.retire(former).await }
    });
    // Nobody reads for a moment: what waits goes on waiting.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut counts = Vec::new();
    while let Some(message) = timeout(LIMIT, messages.recv()).await.expect("in time") {
        counts.push(message.count);
    }
    counts.sort_unstable();
    assert_eq!(counts, Vec::from_iter(1..=9));
    timeout(LIMIT, retiring).await.expect("in time").expect("it ended");
    send(&a, &live("lobby", 10));
    assert_eq!(b.counters().received.get(), 9);
}

pub(crate) async fn retiring_ends_while_the_carrier_is_away(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (sink, mut messages) = mpsc::channel(16);
    let sinks = LiveSinks::from(sink);
    let former = listen_to(&b, room("lobby"), &sinks, None).await;
    let mut link = b.link();
    world.go_away();
    link_becomes(&mut link, |link| !link.up).await;
    let after = CancellationToken::new();
    let present = listen_to(&b, Scope::Slot(slot_of("lobby")), &sinks, Some(after.clone())).await;
    timeout(LIMIT, b.retire(vec![former])).await.expect("in time");
    after.cancel();
    world.come_back();
    let (mut at_a, mut at_b) = (a.link(), b.link());
    link_becomes(&mut at_a, |link| link.up).await;
    link_becomes(&mut at_b, |link| link.up).await;
    let _ = (a.round_trip(LIMIT).await, b.round_trip(LIMIT).await);
    send(&a, &live("lobby", 1));
    assert_eq!(next(&mut messages).await.count, 1, "what takes its place goes on");
    nothing_comes(&mut messages).await;
    drop(present);
}
