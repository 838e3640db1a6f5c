//! Who takes what comes, but not as fast as it comes.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringway_testkit::processes::Process;
use serde_json::{Value, json};
use socket2::SockRef;

use super::{DOORS, Door, Site};
use crate::bare::{Bare, SMALL, encoded};
use crate::call::get;
use crate::slow::ROOMS;

/// So that little is on its way to who hardly reads.
const TINY: usize = 4_096;

/// What waits for a connection at most, as configured where nothing is.
const QUEUE: f64 = (1 << 20) as f64;

/// Somebody who reads in fits, alone in its tenant with who publishes to it: so what waits in that is what waits for it.
struct Stalling<'a> {
    site: &'a Site,
    door: Door,
    who: String,
    tenant: String,
    room: &'static str,
    bare: Bare,
    speaker: Bare,
    /// What was published to its room, and what it has heard of that.
    newest: u64,
    heard: u64,
}

impl<'a> Stalling<'a> {
    fn enter(site: &'a Site, door: Door, room: &'static str) -> Self {
        let tenant = format!("{door:?}-{}", &room[..4]).to_lowercase();
        let who = format!("{door:?}, {room}");
        let (bare, speaker) =
            (site.enter_as(door, &tenant, room), site.enter_as(Door::Gateway, &tenant, "mute"));
        SockRef::from(bare.socket()).set_recv_buffer_size(SMALL).unwrap();
        Self { site, door, who, tenant, room, bare, speaker, newest: 0, heard: 0 }
    }

    /// Is published to until the sockets on the way take no more, and something waits for it in the server; behind a gateway
    /// more sockets are on the way, and kernels may go on for as long as it stands still.
    fn falls_behind(&mut self) {
        let fill = "x".repeat(10_000);
        let of_tenant = format!("tenant=\"{}\"", self.tenant);
        let waits = || {
            let of = |process: &Process| process.metrics().sum("ringway_queued_bytes", &[&of_tenant]);
            of(&self.site.node) + of(&self.site.gateway)
        };
        // Kernels go on by timers, and take what waited for a moment after all.
        let (mut looks, began) = (0, self.newest);
        while looks < 5 {
            looks += usize::from(waits() > 0.0);
            if self.newest - began > 1_200 {
                assert_eq!(self.door, Door::Gateway, "{}: nothing waits after 12 MB", self.who);
                break;
            }
            for _ in 0..10 {
                self.newest += 1;
                let (data, key) = (json!([self.newest, fill]), format!("k{}", self.newest % 5));
                self.speaker.say(
                    &json!({"t": "pub", "id": self.newest, "room": self.room, "data": data, "key": key}),
                );
            }
            self.speaker.until(|frame| frame["id"] == self.newest);
        }
    }

    /// Reads all there is. False: the connection has ended.
    fn catches_up(&mut self) -> bool {
        while self.heard < self.newest {
            let Some(came) = self.bare.frame().filter(|came| came.first == 0x81) else { return false };
            let frame: Value = serde_json::from_slice(&came.payload).unwrap();
            assert_eq!(frame["t"], "msg", "{}: {frame}", self.who);
            let offset = frame["offset"].as_u64().unwrap();
            assert!(offset > self.heard, "{}: {offset} after {}", self.who, self.heard);
            self.heard = offset;
        }
        true
    }
}

#[test]
fn who_stalls_for_less_than_the_limit_again_and_again_is_not_cut() {
    const STALL: Duration = Duration::from_millis(4_500);
    /// A busy machine may let somebody stand still for longer than is meant: then it is as well to be cut.
    const LIMIT: Duration = Duration::from_secs(5);
    const TIMES: usize = 3;
    const TRIES: usize = 10;
    let site = Site::start();
    std::thread::scope(|scope| {
        for (door, room) in DOORS.into_iter().flat_map(|door| ROOMS.map(|room| (door, room))) {
            let site = &site;
            scope.spawn(move || {
                let mut reader = Stalling::enter(site, door, room);
                let (mut stalls, mut tries) = (0, 0);
                while stalls < TIMES {
                    let stalled = Instant::now();
                    reader.falls_behind();
                    // What is tested is this pause: nothing else can be waited for.
                    std::thread::sleep(STALL.saturating_sub(stalled.elapsed()));
                    if reader.catches_up() {
                        stalls += 1;
                        continue;
                    }
                    // Until it had read what there was: who gets no turn for reading stands still longer than it sleeps.
                    let stood_still = stalled.elapsed();
                    tries += 1;
                    assert!(stood_still >= LIMIT && tries < TRIES, "{} is cut: {stood_still:?}", reader.who);
                    let newest = reader.newest;
                    reader = Stalling { newest, heard: newest, ..Stalling::enter(site, door, room) };
                    stalls = 0;
                }
                reader.bare.is_alive();
            });
        }
    });
    site.all_as_before();
}

/// Says so when it goes, however that comes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_reader_of_one_byte_a_second_has_no_more_than_its_queue() {
    /// Far more than the sockets on the way hold of a room.
    const MOST: u64 = 4_000;
    let site = Site::start();
    let over = AtomicBool::new(false);
    // A tenant for each class, so that it is seen of which class those are that are closed.
    let tenant = |room: &'static str| room.split('.').next().unwrap();
    let readers: Vec<Bare> = DOORS
        .into_iter()
        .flat_map(|door| ROOMS.map(|room| site.enter_as(door, tenant(room), room)))
        .collect();
    let count = readers.len();
    std::thread::scope(|scope| {
        let ending = Over(&over);
        let over = &over;
        for bare in readers {
            scope.spawn(move || {
                SockRef::from(bare.socket()).set_recv_buffer_size(TINY).unwrap();
                bare.socket().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                while !over.load(Ordering::Relaxed) {
                    // Its pace is what is tested. The end of the stream is none to it.
                    let _ = bare.socket().read(&mut [0]);
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
        }
        let mut speakers = ROOMS.map(|room| site.enter_as(Door::Gateway, tenant(room), "mute"));
        let fill = "x".repeat(10_000);
        let (mut most, mut number): (f64, u64) = (0.0, 0);
        // Where nothing may be left out they are closed at the bound. The others go on, until their sockets have taken
        // nothing for 5 s, which a window that opens by a byte comes down to, or until no pong has come for 10 s.
        let chat = format!("/v1/members?tenant={}&room={}", tenant(ROOMS[0]), encoded(ROOMS[0]));
        while get(&chat).ok(site.gateway.listen)["count"] != 0 {
            assert!(number < MOST, "the members of chat aren't closed");
            for _ in 0..20 {
                number += 1;
                let key = format!("k{}", number % 50);
                for (speaker, room) in speakers.iter_mut().zip(ROOMS) {
                    speaker.say(&json!({"t": "pub", "id": 0, "room": room, "data": fill, "key": key}));
                }
                for speaker in &mut speakers {
                    assert_eq!(speaker.until(|frame| frame["id"] == 0)["t"], "ok");
                }
            }
            most = most.max(site.figure("ringway_queued_bytes"));
        }
        assert!(most <= count as f64 * QUEUE, "{most} bytes wait for {count}");
        drop(ending);
    });
    let queues = 2 * count as u64;
    site.memory_rose_by_at_most(
        queues + 24,
        "1 MiB of queue each, and as much again for what is shared or begun",
    );
    site.all_as_before();
}
