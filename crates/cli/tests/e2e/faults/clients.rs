//! The network between clients and gateways breaks.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{SETTLED, all_hear, example, members, nothing_strange, room_on};
use crate::member::{all_joined, settled};

#[tokio::test(flavor = "multi_thread")]
async fn clients_whose_connections_are_cut_lose_nothing_while_the_holder_lives() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let cluster = example(3, 2);
    let (here, there) =
        (room_on(&cluster, "node-1", "here.").await, room_on(&cluster, "node-2", "there.").await);
    // Some are where the room's holder is, some elsewhere.
    let mut all = members(&cluster, "local", 4, &[&here, &there]);
    all.extend(members(&cluster, "guest", 4, &[&there, &here]));
    all_joined(&all);
    let talks =
        [all[0].talk(&here, Duration::from_millis(10)), all[7].talk(&here, Duration::from_millis(10))];
    for _ in 0..40 {
        // Those who talk are left alone: what becomes of a word that is cut off nobody knows.
        all[random.random_range(1..7)].cut();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
    }
    all_hear(&all, &here, 10);
    for talk in talks {
        talk.stop().await;
    }
    let verdict = settled(&here, &all, SETTLED).assert_kept();
    assert!(verdict.is_whole(), "one epoch, nothing lost: {verdict}");
    nothing_strange(&all);
    let cuts: usize = all.iter().map(|member| member.record().closes.len()).sum();
    assert!(cuts >= 20, "{cuts}");
}
