//! One publisher, 10,000 numbered messages, a receiver that is slow and fast in turn: whether a
//! frame was written directly, queued, or sent with others, none overtakes another.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringway_edge::{Frame, Limits};
use support::{Server, collect, soon};

const MESSAGES: u32 = 10_000;
const TOGGLE: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_while_the_receiver_toggles() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start_tight(Limits { queue: 16 * 1024 * 1024, ..Limits::default() }).await;
    let (mut client, out, reader) = server.connect().await;
    let session = tokio::spawn(collect(reader));

    let publisher = {
        let out = out.clone();
        tokio::task::spawn_blocking(move || {
            let (mut number, mut direct, mut queued) = (0, 0, 0);
            while number < MESSAGES {
                let batch: Vec<Frame> = (number..MESSAGES.min(number + random.random_range(1..20)))
                    .map(|number| {
                        let mut payload = number.to_be_bytes().to_vec();
                        payload.resize(random.random_range(4..2_000), b'x');
                        Frame::binary(&payload)
                    })
                    .collect();
                number += batch.len() as u32;
                if out.stalled_since().is_some() {
                    queued += 1;
                } else {
                    direct += 1;
                }
                match random.random_range(0..3) {
                    0 => assert!(out.send_all(&batch)),
                    1 => batch.iter().for_each(|frame| assert!(out.send(frame))),
                    _ => {
                        batch.iter().for_each(|frame| assert!(out.push(frame)));
                        out.flush();
                    }
                }
                std::thread::sleep(Duration::from_micros(random.random_range(0..2_000)));
            }
            (direct, queued)
        })
    };

    let mut expected = 0_u32;
    let mut toggled = Instant::now();
    let mut slow = true;
    while expected < MESSAGES {
        if toggled.elapsed() > TOGGLE {
            (slow, toggled) = (!slow, Instant::now());
            if slow {
                tokio::time::sleep(TOGGLE).await;
            }
        }
        let (first, payload) = client.frame().await.unwrap();
        assert_eq!((first, &payload[..4]), (0x82, &expected.to_be_bytes()[..]));
        assert!(payload[4..].iter().all(|&byte| byte == b'x'));
        expected += 1;
    }
    let (direct, queued) = publisher.await.unwrap();
    println!("batches sent to a socket that kept up: {direct}, that was behind: {queued}");
    assert!(direct > 50 && queued > 50, "both ways were gone");
    client.hang_up().await;
    soon("the session's end", session).await.unwrap();
}
