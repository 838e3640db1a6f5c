//! `disconnect`: nobody of a chat goes past a hole, so who can't keep up is closed.

use std::time::Duration;

use ringway_testkit::wait::until;

use super::*;
use crate::bare::Came;

#[test]
fn who_is_too_slow_for_a_chat_is_closed_and_told_why_and_nobody_else_notices() {
    let cluster = cluster();
    for (round, format) in FORMATS.into_iter().enumerate() {
        let room = format!("chat.full {round}");
        let nodes = nodes_of(&cluster, &room);
        let mut slow = Reader::on(&cluster, &nodes[round], format, &room).small();
        let others: Vec<_> = nodes
            .iter()
            .flat_map(|node| FORMATS.map(|format| Reader::on(&cluster, node, format, &room)))
            .map(|mut other| {
                std::thread::spawn(move || {
                    let mut all = Vec::new();
                    while !matches!(all.last(), Some(Told::Msg { data, .. }) if data[1] == "xxx") {
                        all.push(other.step());
                    }
                    (other, all)
                })
            })
            .collect();
        let mut speaker = Speaker::on(&cluster, &nodes[0], &room);
        let full = ["reason=\"full\"", "tenant="];
        speaker.say_until("closed", 10_000, no_key, || {
            figure(&cluster, "ringway_slow_closed_total", &full) == (round + 1) as f64
        });
        // The beginning, whole, and then the end, for which there are 2 s: what it says is looked at later.
        let came: Vec<Came> = std::iter::from_fn(|| slow.bare.frame()).collect();
        let (last, all) = came.split_last().unwrap();
        let all: Vec<u64> = all
            .iter()
            .map(|came| match ringway_protocol::decode_server(format, &came.payload).unwrap().unwrap() {
                ServerFrame::Msg(msg) => msg.offset.unwrap(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!((last.first, &last.payload[..]), (0x88, &b"\x03\xf0Slow consumer"[..]), "{format:?}");
        assert!(!all.is_empty() && all.iter().copied().eq(1..=all.len() as u64), "{format:?}: {all:?}");
        assert!((all.len() as u64) < speaker.newest, "{format:?}");
        speaker.say(1, 3, no_key);
        for other in others {
            let (mut other, all) = other.join().unwrap();
            assert_eq!(accounted(0, &all), (speaker.newest, 0), "whoever reads has it all");
            other.has_all();
        }
    }
    nothing_waits(&cluster);
    for none in ["ringway_slow_dropped_total", "ringway_slow_conflated_total", "ringway_slow_gaps_total"] {
        assert_eq!(figure(&cluster, none, &[]), 0.0, "{none}");
    }
}

/// A tenant for each, so that what waits in it is what waits for its only member.
#[test]
fn a_socket_that_takes_nothing_for_five_seconds_is_closed_in_rooms_of_every_class() {
    let cluster = cluster();
    std::thread::scope(|scope| {
        for (room, tenant) in ROOMS.into_iter().zip(["chat", "cursors", "prices"]) {
            let cluster = &cluster;
            scope.spawn(move || {
                let enter = |room: &str| {
                    let query = format!("tenant={tenant}&room={}", encoded(room));
                    let (address, target) = Door::Direct.way(cluster.gateway(), &query);
                    let mut bare = Bare::upgraded(address, &target, &[]);
                    bare.until(|frame| frame["t"] == "joined");
                    bare
                };
                let mut stuck = enter(room);
                SockRef::from(stuck.socket()).set_recv_buffer_size(SMALL).unwrap();
                let mut speaker = Speaker { bare: enter("mute"), room: room.to_owned(), newest: 0 };
                let of_tenant = format!("tenant=\"{tenant}\"");
                let is_behind = || figure(cluster, "ringway_queued_bytes", &[&of_tenant]) > 0.0;
                let mut looks = 0;
                speaker.say_until("something waits", 10_000, no_key, || {
                    looks += usize::from(is_behind());
                    looks == 5
                });
                // 5 s, and as long until it is noticed. Meanwhile kernels go on by timers, and may take what waits after
                // all: there has to be something.
                until(&format!("{tenant}: it is closed"), Duration::from_secs(60), || {
                    // Of chat no more may wait than a queue holds.
                    speaker.say(1, if tenant == "chat" { 3_000 } else { 10_000 }, no_key);
                    std::thread::sleep(Duration::from_millis(100));
                    let timed_out = [of_tenant.as_str(), "reason=\"send_timeout\""];
                    (figure(cluster, "ringway_slow_closed_total", &timed_out) == 1.0).then_some(())
                });
                // All that was on its way comes whole; then the end, in words where the socket still took them.
                let mut at = 0;
                while let Some(came) = stuck.frame() {
                    if came.first == 0x88 {
                        assert_eq!(&came.payload[2..], b"Send timeout", "{tenant}");
                        break;
                    }
                    let frame: Value = serde_json::from_slice(&came.payload).unwrap();
                    let offset = frame["offset"].as_u64().unwrap();
                    match tenant {
                        "chat" => assert_eq!((&frame["t"], offset), (&json!("msg"), at + 1)),
                        // All are of one key; and a queue may have been full.
                        "prices" => assert!(frame["t"] == "msg" && offset > at, "{offset} after {at}"),
                        _ => assert!(frame["t"] == "gap" || offset == at + 1, "{offset} after {at}"),
                    }
                    at = offset;
                }
                assert!(0 < at && at < speaker.newest, "{tenant}: {at} of {}", speaker.newest);
            });
        }
    });
    nothing_waits(&cluster);
}
