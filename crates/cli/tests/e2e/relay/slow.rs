//! Who reads too slowly is behind at the gateway, and is treated there as its rooms' class has it; nobody else notices.
//! More of it, over either path, in the tests of slow members.

use std::collections::BTreeMap;

use ringway_testkit::wait::until;
use serde_json::{Value, json};
use socket2::SockRef;

use super::SERVED;
use super::site::Site;
use crate::alive::Alive;
use crate::bare::{Bare, SMALL};
use crate::slow::CLASSES;
use crate::support::durable_over;

/// Far more than the sockets on the way hold.
const ENOUGH: u64 = 4_000;

const SIZE: usize = 10_000;

struct Slow {
    site: Site,
    room: String,
    slow: Bare,
    quick: Bare,
    speaker: Bare,
    newest: u64,
    others: Alive,
}

impl Slow {
    /// A room of a node that isn't the home of any of those who are in it.
    async fn of(prefix: &str) -> Self {
        let site = Site::with(2, 1, |nats| durable_over(nats) + CLASSES).await;
        let (home, room) = (site.room_on("node-1", "home.").await, site.room_on("node-2", prefix).await);
        let enter = |room: &str| {
            let mut bare = Bare::in_room(site.gateway(), &home);
            let answer = bare.ask(&json!({"t": "join", "id": 1, "room": room}));
            assert_eq!(answer["t"], "ok", "{answer}");
            bare
        };
        let (slow, quick, speaker) = (enter(&room), enter(&room), Bare::in_room(site.gateway(), &home));
        SockRef::from(slow.socket()).set_recv_buffer_size(SMALL).unwrap();
        let others = Alive::watch(site.gateway(), "others");
        Self { site, room, slow, quick, speaker, newest: 0, others }
    }

    /// Publishes until that metric of the gateway is there, by turns with one of ten keys; the quick one hears it all.
    fn until_counted(&mut self, metric: &str) -> f64 {
        let fill = "x".repeat(SIZE);
        loop {
            let counted = self.site.of_gateways(metric, &["tenant=\"default\""]);
            if counted > 20.0 || (counted > 0.0 && metric.contains("closed")) {
                return counted;
            }
            assert!(self.newest < ENOUGH, "{metric} is {counted}");
            for _ in 0..10 {
                self.newest += 1;
                let (data, key) = (json!([self.newest, fill]), format!("k{}", self.newest % 10));
                self.speaker.say(
                    &json!({"t": "pub", "id": self.newest, "room": self.room, "data": data, "key": key}),
                );
            }
            let newest = self.newest;
            self.speaker.until(|frame| frame["id"] == newest);
            for number in self.newest - 9..=self.newest {
                let heard = self.quick.until(|frame| frame["t"] != "gap");
                assert_eq!((&heard["t"], &heard["offset"]), (&json!("msg"), &json!(number)));
            }
        }
    }

    /// All that the slow one is told, up to the newest.
    fn told(&mut self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        while all.last().is_none_or(|last| last["offset"].as_u64() < Some(self.newest)) {
            let frame = self.slow.hear();
            assert_eq!(frame["room"], *self.room, "{frame}");
            let at = all.last().and_then(|last| last["offset"].as_u64());
            assert!(frame["offset"].as_u64() > at, "{} after {at:?}", frame["offset"]);
            all.push(frame);
        }
        self.slow.is_alive();
        all
    }

    fn ends(self) {
        let Self { site, others, slow, quick, speaker, .. } = self;
        // What is left out is the gateway's to count, not the nodes'.
        for metric in
            ["ringway_slow_dropped_total", "ringway_slow_conflated_total", "ringway_slow_closed_total"]
        {
            assert_eq!(site.of_nodes(metric, &[]), 0.0, "{metric}");
        }
        drop((slow, quick, speaker));
        let processes: Vec<_> = site.cluster.nodes.iter().chain(&site.cluster.gateways).collect();
        others.undisturbed(&processes);
        until("nothing waits", SERVED, || {
            let waits =
                site.of_gateways("ringway_queued_bytes", &[]) + site.of_nodes("ringway_queued_bytes", &[]);
            (waits == 0.0).then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_are_left_out_and_the_member_is_told_how_many() {
    let mut slow = Slow::of("cursors.").await;
    slow.until_counted("ringway_slow_dropped_total");
    let (mut at, mut lost) = (0, 0.0);
    for frame in slow.told() {
        let offset = frame["offset"].as_u64().unwrap();
        match frame["t"].as_str() {
            Some("msg") => {
                assert_eq!((offset, &frame["data"][0]), (at + 1, &json!(offset)), "a hole without a word");
            }
            Some("gap") => {
                assert_eq!(
                    (&frame["reason"], &frame["lost"]),
                    (&json!("slow"), &json!(offset - at)),
                    "{frame}"
                );
                assert!(frame["epoch"].is_string() && frame["ts"].is_u64(), "{frame}");
                lost += (offset - at) as f64;
            }
            _ => panic!("{frame}"),
        }
        at = offset;
    }
    assert_eq!(slow.site.of_gateways("ringway_slow_dropped_total", &[]), lost);
    slow.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_of_each_key_waits() {
    let mut slow = Slow::of("prices.").await;
    slow.until_counted("ringway_slow_conflated_total");
    let mut newest = BTreeMap::new();
    let mut heard = 0;
    for frame in slow.told() {
        assert_eq!(frame["t"], "msg", "what a newer value replaced is no loss: {frame}");
        newest.insert(frame["key"].as_str().unwrap().to_owned(), frame["offset"].as_u64().unwrap());
        heard += 1;
    }
    let expected: BTreeMap<_, _> =
        (slow.newest - 9..=slow.newest).map(|number| (format!("k{}", number % 10), number)).collect();
    assert_eq!(newest, expected);
    let missing = (slow.newest - heard) as f64;
    assert_eq!(slow.site.of_gateways("ringway_slow_conflated_total", &[]), missing);
    slow.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_lose_nothing_is_closed_and_told_why() {
    let mut slow = Slow::of("chat.").await;
    slow.until_counted("ringway_slow_closed_total");
    // The beginning, whole, and then the end.
    let mut at = 0;
    loop {
        let came = slow.slow.frame().expect("a close frame before the end");
        if came.first == 0x88 {
            assert_eq!(came.payload, b"\x03\xf0Slow consumer");
            break;
        }
        let frame: Value = serde_json::from_slice(&came.payload).unwrap();
        assert_eq!((&frame["t"], &frame["offset"]), (&json!("msg"), &json!(at + 1)));
        at += 1;
    }
    assert!(at > 0 && at < slow.newest, "{at} of {}", slow.newest);
    slow.ends();
}
