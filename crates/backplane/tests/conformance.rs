//! What a backplane promises, held by each carrier: memory, and a real `nats-server`.

#[path = "conformance/listening.rs"]
mod listening;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use listening::*;
use ringway_backplane::message::{Answer, Ask, ClusterEvent, Direct, Epoch, LiveBody, Question, Request};
use ringway_backplane::{Backplane, Closed, IncomingRequest, Refused, RequestError, Scope};
use ringway_protocol::code::Code;
use ringway_protocol::name::TenantId;
use ringway_protocol::payload::Payload;
use ringway_ring::Slot;
use tokio::sync::mpsc;
use world::*;

over_both_carriers! {
    live_messages_arrive_in_order_at_every_interest
    rooms_that_look_like_wildcards_are_rooms
    other_rooms_slots_tenants_and_groups_are_not_heard
    a_party_does_not_hear_itself
    a_closed_subscription_is_silent
    subscriptions_into_one_sink_end_each_by_itself
    what_waits_behind_a_full_sink_ends_with_its_subscription
    closing_ends_all_that_share_a_full_sink
    each_slot_has_its_sink_and_a_full_one_holds_up_no_other
    nothing_is_lost_when_one_subscription_takes_anothers_place
    what_was_retired_ends_and_what_it_had_comes
    retiring_ends_while_the_carrier_is_away
    questions_are_answered
    a_silent_node_is_a_time_out_and_an_absent_one_is_not
    a_question_to_ones_own_inbox_is_answered
    what_follows_a_subscription_is_heard
    a_large_state_is_cut_and_says_so
    direct_messages_reach_every_node_of_the_group
    the_senders_span_comes_along
    away_is_said_at_once_and_back_everything_goes_on
    a_receiver_that_is_behind_is_told
    too_large_is_refused
    closing_sends_what_was_accepted
    the_cluster_is_heard_by_all_and_by_oneself
}

async fn live_messages_arrive_in_order_at_every_interest(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let slot = slot_of("lobby");
    let mut listeners = Vec::new();
    for interest in [
        room_interest("lobby"),
        interest(Scope::Slot(slot)),
        interest(Scope::TenantSlot { slot, tenant: tenant() }),
        interest(Scope::Tenant(tenant())),
        interest(Scope::Group),
    ] {
        listeners.push(listen(&b, &interest).await);
    }
    for round in 0..50 {
        for count in 1..=20 {
            send(&a, &live("lobby", round * 20 + count));
        }
        for (_, messages) in &mut listeners {
            for count in 1..=20 {
                assert_eq!(next(messages).await, live("lobby", round * 20 + count));
            }
        }
    }
    let mark = LiveBody::Mark { epoch: Epoch { ms: 1, node: 2, random: 3 }, offset: 1_000 };
    let mark = ringway_backplane::message::LiveMessage { body: mark, ..live("lobby", 1_001) };
    send(&a, &mark);
    assert_eq!(next(&mut listeners[0].1).await, mark);
    assert_eq!(a.counters().sent.get(), 1_001);
    assert!(b.counters().received.get() >= 5_001);
}

async fn rooms_that_look_like_wildcards_are_rooms(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let emoji = "😀".repeat(63);
    let rooms = ["a.b", "*", ">", "a b", "a,b;c", "é", "e\u{301}", "$SYS.x", "{}", "{x", "%2A", "_", &emoji];
    let mut listeners = Vec::new();
    for room in rooms {
        listeners.push(listen(&b, &room_interest(room)).await);
    }
    for room in rooms {
        send(&a, &live(room, 1));
    }
    for (room, (_, messages)) in rooms.iter().zip(&mut listeners) {
        assert_eq!(next(messages).await.room.as_str(), *room);
    }
    // All have been sent, and the last has come: what still came would be another room's.
    let _ = b.round_trip(LIMIT).await;
    for (_, messages) in &mut listeners {
        assert!(messages.try_recv().is_err());
    }
}

async fn other_rooms_slots_tenants_and_groups_are_not_heard(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let slot = slot_of("lobby");
    let (_room, mut room) = listen(&b, &room_interest("lobby")).await;
    let (_slot, mut in_slot) = listen(&b, &interest(Scope::TenantSlot { slot, tenant: tenant() })).await;
    let (_tenant, mut of_tenant) = listen(&b, &interest(Scope::Tenant(tenant()))).await;
    let other_tenant: TenantId = name("other");

    let elsewhere = live("elsewhere", 1);
    let foreign = ringway_backplane::message::LiveMessage { tenant: other_tenant, ..live("lobby", 2) };
    a.publish_live(&group(), Slot::new((slot.number() + 1) % 16_384).expect("a slot"), &elsewhere)
        .expect("sent");
    a.publish_live(&group(), slot, &foreign).expect("sent");
    a.publish_live(&name("another"), slot, &live("lobby", 3)).expect("sent");
    a.publish_live(&group(), slot, &live("neighbour", 4)).expect("sent");
    a.publish_live(&group(), slot, &live("lobby", 5)).expect("sent");

    assert_eq!(next(&mut room).await, live("lobby", 5));
    assert_eq!(next(&mut in_slot).await, live("neighbour", 4));
    assert_eq!(next(&mut in_slot).await, live("lobby", 5));
    for message in [live("elsewhere", 1), live("neighbour", 4), live("lobby", 5)] {
        assert_eq!(next(&mut of_tenant).await, message);
    }
}

async fn a_party_does_not_hear_itself(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (_live, mut messages) = listen(&a, &room_interest("lobby")).await;
    send(&a, &live("lobby", 1));
    send(&b, &live("lobby", 2));
    assert_eq!(next(&mut messages).await.count, 2);
    nothing_comes(&mut messages).await;
}

async fn a_closed_subscription_is_silent(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (kept, mut heard) = listen(&b, &room_interest("lobby")).await;
    let (closed, mut silent) = listen(&b, &room_interest("lobby")).await;
    send(&a, &live("lobby", 1));
    assert_eq!(next(&mut silent).await.count, 1);
    closed.close().await;
    assert!(silent.recv().await.is_none(), "the sink was let go");
    send(&a, &live("lobby", 2));
    assert_eq!(next(&mut heard).await.count, 1);
    assert_eq!(next(&mut heard).await.count, 2);
    drop(kept);
    assert!(tokio::time::timeout(LIMIT, heard.recv()).await.expect("in time").is_none());
}

/// As a node has it: one sink for many rooms.
async fn subscriptions_into_one_sink_end_each_by_itself(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (sink, mut messages) = mpsc::channel(16);
    let one = b.subscribe(&room_interest("one"), sink.clone()).await.expect("open");
    let two = b.subscribe(&room_interest("two"), sink.clone()).await.expect("open");
    let again = b.subscribe(&room_interest("two"), sink).await.expect("open");
    let _ = b.round_trip(LIMIT).await;
    send(&a, &live("one", 1));
    send(&a, &live("two", 2));
    let mut heard = [next(&mut messages).await, next(&mut messages).await, next(&mut messages).await];
    heard.sort_by_key(|message| message.count);
    assert_eq!(heard, [live("one", 1), live("two", 2), live("two", 2)], "each of two that overlap hears it");

    one.close().await;
    again.close().await;
    send(&a, &live("one", 3));
    send(&a, &live("two", 4));
    assert_eq!(next(&mut messages).await, live("two", 4));
    nothing_comes(&mut messages).await;
    drop(two);
    assert!(tokio::time::timeout(LIMIT, messages.recv()).await.expect("in time").is_none());
}

async fn what_waits_behind_a_full_sink_ends_with_its_subscription(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (sink, mut messages) = mpsc::channel(2);
    let one = b.subscribe(&room_interest("one"), sink.clone()).await.expect("open");
    let _two = b.subscribe(&room_interest("two"), sink).await.expect("open");
    let _ = b.round_trip(LIMIT).await;
    for count in 1..=10 {
        send(&a, &live("one", count));
    }
    becomes_full(&messages).await;
    tokio::time::timeout(LIMIT, one.close()).await.expect("a stuck reader isn't waited for");
    send(&a, &live("two", 11));
    assert_eq!(next(&mut messages).await, live("one", 1));
    assert_eq!(next(&mut messages).await, live("one", 2));
    assert_eq!(next(&mut messages).await, live("two", 11));
    assert_eq!(b.link().borrow().slow, 0);
}

async fn closing_ends_all_that_share_a_full_sink(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (sink, mut messages) = mpsc::channel(2);
    let _one = b.subscribe(&room_interest("one"), sink.clone()).await.expect("open");
    let _two = b.subscribe(&room_interest("two"), sink).await.expect("open");
    let _ = b.round_trip(LIMIT).await;
    for count in 1..=10 {
        send(&a, &live(if count % 2 == 0 { "one" } else { "two" }, count));
    }
    becomes_full(&messages).await;
    tokio::time::timeout(LIMIT, b.close()).await.expect("a stuck reader isn't waited for");
    let _ = (next(&mut messages).await, next(&mut messages).await);
    assert!(messages.recv().await.is_none(), "nothing came afterwards, and the sink was let go");
}

async fn becomes_full<T>(messages: &mpsc::Receiver<T>) {
    let full = async {
        while messages.capacity() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LIMIT, full).await.expect("in time");
}

fn ask(from: &str, ask: Ask) -> Request {
    let body = Question::Room { tenant: tenant(), room: name("lobby"), ask };
    Request { from: name(from), body, traceparent: None }
}

fn probe() -> Request {
    Request { from: name("node-a"), body: Question::Probe, traceparent: None }
}

/// Serves an inbox by a function.
async fn serve(
    backplane: &Arc<dyn Backplane>,
    node: &str,
    mut answer: impl FnMut(IncomingRequest) + Send + 'static,
) -> ringway_backplane::Subscription {
    let (sink, mut questions) = mpsc::channel(16);
    let subscription = backplane.serve(&inbox(node), sink).await.expect("open");
    let _ = backplane.round_trip(LIMIT).await;
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            answer(question);
        }
    });
    subscription
}

async fn questions_are_answered(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let publications = vec![publication("one"), publication("two")];
    let asked = ask("node-a", Ask::Publish { publications });
    let expected = asked.clone();
    let _serving = serve(&b, "node.b_1", move |incoming| {
        assert_eq!(incoming.request, expected);
        incoming.reply.send(Answer::Refused { code: Code::Unavailable });
    })
    .await;
    for _ in 0..100 {
        let answer = a.request(&inbox("node.b_1"), &asked, LIMIT).await;
        assert_eq!(answer, Ok(Answer::Refused { code: Code::Unavailable }));
    }
    let to = inbox("node.b_1");
    // All at once, but no more than wait for a slow answerer.
    let many = (0..CAPACITY).map(|_| a.request(&to, &asked, LIMIT));
    for answer in futures_util::future::join_all(many).await {
        assert!(answer.is_ok());
    }
}

async fn a_silent_node_is_a_time_out_and_an_absent_one_is_not(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let _serving = serve(&b, "node-b", drop).await;
    let limit = Duration::from_millis(300);
    let start = Instant::now();
    assert_eq!(a.request(&inbox("node-b"), &probe(), limit).await, Err(RequestError::Timeout));
    assert!(start.elapsed() >= limit);
    assert_eq!(a.request(&inbox("nobody"), &probe(), LIMIT).await, Err(RequestError::NoResponders));
    let other_group = ringway_backplane::Inbox { group: name("another"), ..inbox("node-b") };
    assert_eq!(a.request(&other_group, &probe(), LIMIT).await, Err(RequestError::NoResponders));
    assert!(start.elapsed() < LIMIT);
}

async fn a_question_to_ones_own_inbox_is_answered(world: &mut World) {
    let a = world.party("a").await;
    let serving = serve(&a, "node-a", |incoming| incoming.reply.send(Answer::Done)).await;
    assert_eq!(a.request(&inbox("node-a"), &probe(), LIMIT).await, Ok(Answer::Done));
    serving.close().await;
    assert_eq!(a.request(&inbox("node-a"), &probe(), LIMIT).await, Err(RequestError::NoResponders));
}

/// A room's followers subscribe, then ask for its state: nothing may fall between the two.
async fn what_follows_a_subscription_is_heard(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (sink, mut questions) = mpsc::channel::<IncomingRequest>(16);
    let _serving = b.serve(&inbox("node-b"), sink).await.expect("open");
    let _ = b.round_trip(LIMIT).await;
    let answering = Arc::clone(&b);
    tokio::spawn(async move {
        while let Some(incoming) = questions.recv().await {
            let Question::Room { room, .. } = &incoming.request.body else { panic!("of a room") };
            send(&answering, &live(room.as_str(), 7));
            incoming.reply.send(Answer::Done);
        }
    });
    for round in 0..200 {
        let room = format!("room-{round}");
        let (sink, mut messages) = mpsc::channel(16);
        let _subscription = a.subscribe(&room_interest(&room), sink).await.expect("open");
        let body = Question::Room { tenant: tenant(), room: name(&room), ask: Ask::Sync { known: None } };
        let question = Request { body, ..probe() };
        assert_eq!(a.request(&inbox("node-b"), &question, LIMIT).await, Ok(Answer::Done));
        assert_eq!(next(&mut messages).await, live(&room, 7));
    }
}

async fn a_large_state_is_cut_and_says_so(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let large = Arc::new(publication(&"x".repeat(60_000)));
    let _serving = serve(&b, "node-b", move |incoming| {
        let entries = (1..=100).map(|offset| (offset, Arc::clone(&large))).collect();
        let epoch = Epoch { ms: 1, node: 2, random: 3 };
        incoming.reply.send(Answer::State { epoch, offset: 100, base: 0, entries });
    })
    .await;
    let answer = a.request(&inbox("node-b"), &ask("node-a", Ask::Take { known: None }), LIMIT).await;
    let Ok(Answer::State { offset: 100, base, entries, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(entries.len(), 8, "as many of 60,000 bytes as fit in 512 KiB");
    assert_eq!(base, 92);
    assert!(entries.iter().map(|(offset, _)| *offset).eq(93..=100));
}

async fn direct_messages_reach_every_node_of_the_group(world: &mut World) {
    let a = world.party("a").await;
    let (sink_b, mut at_b) = mpsc::channel(16);
    let (sink_c, mut at_c) = mpsc::channel(16);
    let (sink_d, mut at_d) = mpsc::channel(16);
    let (b, c) = (world.party("b").await, world.party("c").await);
    let _b = b.subscribe_direct(&group(), sink_b).await.expect("open");
    let _c = c.subscribe_direct(&group(), sink_c).await.expect("open");
    let _d = c.subscribe_direct(&name("another"), sink_d).await.expect("open");
    let _ = (b.round_trip(LIMIT).await, c.round_trip(LIMIT).await);
    let to_user = Direct {
        tenant: tenant(),
        user: Some(name("Zoë")),
        publication: Arc::new(publication("hello")),
        traceparent: None,
    };
    let to_all = Direct { user: None, tenant: name("other"), ..to_user.clone() };
    for direct in [&to_user, &to_all] {
        a.publish_direct(&group(), direct).expect("sent");
        assert_eq!(next(&mut at_b).await, *direct);
        assert_eq!(next(&mut at_c).await, *direct);
    }
    assert!(at_d.try_recv().is_err());
}

async fn the_senders_span_comes_along(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let span: Arc<str> = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into();
    let (_live, mut messages) = listen(&b, &room_interest("lobby")).await;
    let (spans, mut asked) = mpsc::channel(16);
    let _serving = serve(&b, "node-b", move |incoming| {
        spans.try_send(incoming.request.traceparent).expect("room");
        incoming.reply.send(Answer::Done);
    })
    .await;
    let message =
        ringway_backplane::message::LiveMessage { traceparent: Some(Arc::clone(&span)), ..live("lobby", 1) };
    send(&a, &message);
    assert_eq!(next(&mut messages).await.traceparent.as_deref(), Some(&*span));
    let question = Request { traceparent: Some(Arc::clone(&span)), ..probe() };
    assert_eq!(a.request(&inbox("node-b"), &question, LIMIT).await, Ok(Answer::Done));
    assert_eq!(next(&mut asked).await.as_deref(), Some(&*span));
}

async fn away_is_said_at_once_and_back_everything_goes_on(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (_before, mut before) = listen(&b, &room_interest("before")).await;
    let _serving = serve(&b, "node-b", |incoming| incoming.reply.send(Answer::Done)).await;
    let (mut link_a, mut link_b) = (a.link(), b.link());
    assert_eq!((link_a.borrow().up, link_a.borrow().generation), (true, 1));

    world.go_away();
    link_becomes(&mut link_a, |link| !link.up).await;
    link_becomes(&mut link_b, |link| !link.up).await;
    assert_eq!(a.publish_live(&group(), slot_of("before"), &live("before", 1)), Err(Refused::Away));
    let start = Instant::now();
    assert_eq!(a.request(&inbox("node-b"), &probe(), LIMIT).await, Err(RequestError::Away));
    assert_eq!(a.round_trip(LIMIT).await, Err(RequestError::Away));
    // More than any queue of the client's holds: none of these may wait for the server.
    let (sink, mut during) = mpsc::channel(16);
    let mut subscriptions = Vec::new();
    for room in 0..3_000 {
        let interest = room_interest(&format!("during-{room}"));
        subscriptions.push(b.subscribe(&interest, sink.clone()).await.expect("open"));
    }
    assert!(start.elapsed() < LIMIT / 2, "nothing of this waits");
    assert!(a.counters().refused.get() >= 2);

    world.come_back();
    let link = link_becomes(&mut link_a, |link| link.up).await;
    assert_eq!(link.generation, 2);
    link_becomes(&mut link_b, |link| link.up).await;
    b.round_trip(LIMIT).await.expect("back");
    assert_eq!(a.request(&inbox("node-b"), &probe(), LIMIT).await, Ok(Answer::Done));
    for room in ["before", "during-0", "during-2999"] {
        send(&a, &live(room, 2));
    }
    assert_eq!(next(&mut before).await, live("before", 2));
    let mut heard = [next(&mut during).await.room, next(&mut during).await.room];
    heard.sort();
    assert_eq!(heard, [name("during-0"), name("during-2999")]);
    assert_eq!(a.counters().reconnects.get(), 1);
}

async fn a_receiver_that_is_behind_is_told(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (_slow, mut behind) = listen(&b, &room_interest("behind")).await;
    let (_quick, mut quick) = listen(&b, &room_interest("quick")).await;
    let mut link = b.link();
    let sent = 4 * CAPACITY as u64;
    for count in 1..=sent {
        send(&a, &live("behind", count));
    }
    let told = link_becomes(&mut link, |link| link.slow > 0).await;
    assert!(told.up);
    // One receiver's trouble is not another's.
    send(&a, &live("quick", 1));
    assert_eq!(next(&mut quick).await.count, 1);

    let mut counts = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(QUIET, behind.recv()).await {
        counts.push(message.count);
    }
    assert!(counts.len() >= CAPACITY && (counts.len() as u64) < sent, "{}", counts.len());
    assert!(counts.is_sorted_by(|a, b| a < b), "what comes is in order, once");
    send(&a, &live("behind", sent + 1));
    assert_eq!(next(&mut behind).await.count, sent + 1);
    assert!(b.counters().slow.get() >= 1);
}

async fn too_large_is_refused(world: &mut World) {
    let a = world.party("a").await;
    let mut message = live("lobby", 1);
    let mut large = publication("");
    large.data = Payload::from_bytes(vec![0; 1024 * 1024]);
    message.body = LiveBody::Publication {
        epoch: Epoch { ms: 1, node: 1, random: 1 },
        offset: 1,
        publication: Arc::new(large.clone()),
    };
    assert_eq!(a.publish_live(&group(), slot_of("lobby"), &message), Err(Refused::TooLarge));
    let question = ask("node-a", Ask::Publish { publications: vec![large] });
    assert_eq!(a.request(&inbox("node-b"), &question, LIMIT).await, Err(RequestError::TooLarge));
    assert!(a.link().borrow().up);
}

async fn closing_sends_what_was_accepted(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (_subscription, mut messages) = listen(&b, &room_interest("lobby")).await;
    let (sink, mut own) = mpsc::channel(16);
    let _own = a.subscribe(&room_interest("other"), sink).await.expect("open");
    for count in 1..=40 {
        send(&a, &live("lobby", count));
    }
    a.close().await;
    for count in 1..=40 {
        assert_eq!(next(&mut messages).await.count, count);
    }
    assert!(own.recv().await.is_none(), "its subscriptions have ended");
    assert!(!a.link().borrow().up);
    assert_eq!(a.publish_live(&group(), slot_of("lobby"), &live("lobby", 41)), Err(Refused::Away));
    assert_eq!(a.request(&inbox("node-b"), &probe(), LIMIT).await, Err(RequestError::Away));
    let (sink, _) = mpsc::channel(16);
    assert_eq!(a.subscribe(&room_interest("lobby"), sink).await.map(drop), Err(Closed));
    a.close().await;
}

async fn the_cluster_is_heard_by_all_and_by_oneself(world: &mut World) {
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (sink_a, mut at_a) = mpsc::channel(16);
    let (sink_b, mut at_b) = mpsc::channel(16);
    let _a = a.watch_cluster(sink_a).await.expect("open");
    let _b = b.watch_cluster(sink_b).await.expect("open");
    let _ = (a.round_trip(LIMIT).await, b.round_trip(LIMIT).await);
    let said = [
        ClusterEvent::Announced(Box::new(announcement("node-a"))),
        ClusterEvent::Hello,
        ClusterEvent::Departed { id: name("node-a"), incarnation: 1 },
    ];
    a.announce(&announcement("node-a")).expect("sent");
    a.hello().expect("sent");
    a.depart(&name("node-a"), 1).await.expect("sent");
    for event in said {
        assert_eq!(next(&mut at_a).await, event);
        assert_eq!(next(&mut at_b).await, event);
    }
}
