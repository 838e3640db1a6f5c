//! Frames that cost the sender next to nothing.

use socket2::SockRef;

use super::{DOORS, Site};
use crate::bare::{SMALL, frame};

/// How many do it at a time, at each door.
const EACH: usize = 8;

#[test]
fn fragments_without_end_are_cut_short() {
    let site = Site::start();
    for door in DOORS {
        for (what, crumb) in [("of one byte", &b"x"[..]), ("of nothing", b"")] {
            // All together, and each a piece at a time: what is kept of a message that never ends.
            let mut all: Vec<_> = (0..EACH).map(|_| site.enter(door, "{crumbs}")).collect();
            let crumbs = frame(0x00, crumb).repeat(500);
            for bare in &mut all {
                bare.send(frame(0x01, b""));
            }
            for _ in 0..200 {
                for bare in &mut all {
                    // Closed long before the last.
                    let _ = bare.try_send(&crumbs);
                }
            }
            for bare in &mut all {
                let (code, reason) = bare.close_frame();
                // Who goes on sending may have the word of it cut off by a reset.
                assert!([1006, 1008, 1009].contains(&code), "{door:?}: {what}: {code} {reason}");
            }
            // Somebody who stops in time hears why.
            let mut bare = site.enter(door, "{crumbs}");
            bare.send([frame(0x01, b""), frame(0x00, crumb).repeat(1_100)].concat());
            let (code, reason) = bare.close_frame();
            assert_eq!((code, reason.as_str()), (1008, "Too many fragments"), "{door:?}: {what}");
        }
    }
    site.memory_rose_by_at_most(16, "64 KiB a message under way, of 8 at a time");
    site.all_as_before();
}

#[test]
fn pings_whose_answers_nobody_reads_wait_as_one() {
    const PINGS: u32 = 40_000;
    let site = Site::start();
    for door in DOORS {
        let mut all: Vec<_> = (0..EACH).map(|_| site.enter(door, "{pings}")).collect();
        for bare in &all {
            SockRef::from(bare.socket()).set_recv_buffer_size(SMALL).unwrap();
        }
        let ping = |n: u32| frame(0x89, &[&n.to_be_bytes()[..], &[0; 121]].concat());
        for first in (0..PINGS).step_by(1_000) {
            let pings: Vec<u8> = (first..first + 1_000).flat_map(ping).collect();
            for bare in &mut all {
                // It may be cut for not taking anything.
                let _ = bare.try_send(&pings);
            }
        }
        // Who reads in the end has the last of them answered, whichever others were.
        for bare in &mut all {
            while let Some(came) = bare.frame() {
                match came.first {
                    0x8A if came.payload[..4] == (PINGS - 1).to_be_bytes() => break,
                    0x8A => {}
                    0x88 => {
                        assert_eq!(came.payload[2..], *b"Send timeout", "{door:?}");
                        break;
                    }
                    other => panic!("{door:?}: {other:x}"),
                }
            }
        }
    }
    site.memory_rose_by_at_most(16, "a few pongs a connection: 5 MB of pings came in of each");
    site.all_as_before();
}
