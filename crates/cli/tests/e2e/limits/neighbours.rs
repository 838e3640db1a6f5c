//! Two tenants on one node, of which one goes far over its limit.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_tenant_far_over_its_limit_takes_nothing_from_another() {
    const CLIENTS: usize = 8;
    let cluster = cluster(&[("loud", "publish_per_second = 50, connections = 20"), ("calm", "")], "");
    let gateway = cluster.gateway();
    let over = AtomicBool::new(false);
    let (accepted, refused) = std::thread::scope(|scope| {
        let over = &over;
        let loud: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let mut bare = enter(gateway, "loud", &format!("u{n}"), "r");
                scope.spawn(move || {
                    let (mut accepted, mut refused) = (0, 0);
                    while !over.load(Ordering::Relaxed) {
                        for answer in publish(&mut bare, "r", 10, 1_000) {
                            match answer {
                                None => accepted += 1,
                                Some(refusal) => {
                                    assert_eq!(refusal, Refused::with_retry("limit_rate"));
                                    refused += 1;
                                }
                            }
                        }
                    }
                    (accepted, refused)
                })
            })
            .collect();
        // In the same room by name, so on the same node and shard or not: every word comes, in order.
        let mut speaker = enter(gateway, "calm", "ann", "r");
        let mut listener = enter(gateway, "calm", "bob", "r");
        for n in 0..300 {
            let answer = speaker.ask(&json!({"t": "pub", "id": n, "data": n, "echo": false}));
            assert_eq!(answer["t"], "ok", "{answer}");
            let msg = listener.hear();
            assert_eq!((&msg["t"], &msg["data"], &msg["offset"]), (&json!("msg"), &json!(n), &json!(n + 1)));
        }
        over.store(true, Ordering::Relaxed);
        loud.into_iter()
            .map(|one| one.join().unwrap())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}
