//! Reloads without end: nobody is refused for one, and nothing stays behind of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::footprint::{Footprint, descriptors, memory, threads};
use crate::support::OPEN;

#[tokio::test]
async fn keys_are_rotated_under_handshakes_and_nobody_with_a_good_one_is_refused() {
    const WITHIN: Duration = Duration::from_secs(5);
    const HANDSHAKES_PER_SECOND: u32 = 500;
    const DOORS: u32 = 4;
    let config = |second: bool| {
        let second =
            if second { ", { alg = \"HS256\", kid = \"second\", file = \"second.key\" }" } else { "" };
        format!(
            "[tenants.acme]\nkeys = [{{ alg = \"HS256\", kid = \"first\", file = \"first.key\" }}{second}]\n"
        )
    };
    let keys = [("first.key", &*secret("first")), ("second.key", &*secret("second"))];
    let site = Site::start(&config(true), &keys);
    let first = token("acme", "first", &secret("first"));
    let second = token("acme", "second", &secret("second"));
    let (end, let_in, turned_away) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let reloads = std::thread::scope(|scope| {
        for door in 0..DOORS {
            let (first, second, site, end) = (&first, &second, &site, &end);
            let (let_in, turned_away) = (&let_in, &turned_away);
            scope.spawn(move || {
                let (began, mut done) = (Instant::now(), 0);
                while !end.load(Ordering::Relaxed) {
                    let is_first = done % 2 == 0;
                    match enters(site.at(), if is_first { first } else { second }, None) {
                        (101, _) => let_in.fetch_add(1, Ordering::Relaxed),
                        (401, code) if !is_first && code == "token_invalid" => {
                            turned_away.fetch_add(1, Ordering::Relaxed)
                        }
                        other => panic!("door {door}: {other:?} at {done}, the first key's: {is_first}"),
                    };
                    done += 1;
                    let due = Duration::from_secs(1) * done * DOORS / HANDSHAKES_PER_SECOND;
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                }
            });
        }
        let began = Instant::now();
        let mut reloads = 0;
        while began.elapsed() < WITHIN {
            reloads += 1;
            site.configure(&config(reloads % 2 == 0));
            site.serve.hang_up();
            std::thread::sleep(Duration::from_millis(50));
        }
        end.store(true, Ordering::Relaxed);
        reloads
    });
    println!("{reloads} reloads, {let_in:?} let in, {turned_away:?} by the other key turned away");
    site.takes_over(&config(false));
    assert_eq!(enters(site.at(), &second, None), (401, "token_invalid".to_owned()));
    assert_eq!(enters(site.at(), &first, None).0, 101);
    assert_eq!(record(&site.serve)["reloads"]["failed"], 0);
    assert!(let_in.into_inner() > 0);
    assert!(!site.serve.log().contains("panicked"), "{}", site.serve.log());
}

/// So many reloads, every fifth of them of something broken, one after the other.
fn reloads(site: &Site, count: usize, from: usize) {
    let mut good = String::new();
    for n in from..from + count {
        let tenants: String =
            (0..50).map(|t| format!("[tenants.t{t}]\nlimits = {{ rooms = {} }}\n", n % 1_000 + t)).collect();
        if n % 5 == 4 {
            site.refuses(&format!("{OPEN}{tenants}[broken{n}]\n"), &format!("broken{n}: unknown key"));
            site.configure(&good);
        } else {
            good = format!("{OPEN}{tenants}");
            site.takes_over(&good);
        }
    }
}

/// Threads that may have read files lately, and wait for more: one look a second is enough to keep them all.
const READERS: usize = 2;

fn nothing_stays(count: usize) {
    let site = Site::start(OPEN, &[]);
    reloads(&site, 20, 0);
    let (before, memory_before) = (Footprint::of(&site.serve), memory(&site.serve));
    let (threads_before, descriptors_before) = (threads(&site.serve), descriptors(&site.serve));
    reloads(&site, count, 20);
    before.memory_is_back(&site.serve);
    before.no_socket_is_left(&site.serve);
    println!(
        "{count} reloads: {memory_before} KiB, {threads_before} threads, {descriptors_before} descriptors before; {} KiB, {} \
         threads, {} descriptors after",
        memory(&site.serve),
        threads(&site.serve),
        descriptors(&site.serve)
    );
    assert!(threads(&site.serve) <= threads_before + READERS);
}

#[tokio::test]
async fn nothing_stays_of_sixty_reloads() {
    nothing_stays(60);
}

#[tokio::test]
#[ignore = "long"]
async fn nothing_stays_of_five_hundred_reloads() {
    nothing_stays(500);
}
