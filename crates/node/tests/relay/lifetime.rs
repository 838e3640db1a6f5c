//! How long a connection may stand is counted from when its client's was opened, whichever nodes it has had since.

use std::sync::Arc;
use std::time::Duration;

use ringway_link::OpenAs;

use crate::gateway::{Gateway, Said, relayed};
use crate::world::World;

/// Everybody is looked at within a fiftieth of it.
const LIFETIME: Duration = Duration::from_secs(100);

/// Longer than anybody may.
const OLD: u64 = 200_000;

async fn world() -> World {
    let world = World::start("").await;
    world.node().configured.send_modify(|configured| {
        Arc::make_mut(configured).placement.connection_lifetime = Some(LIFETIME);
    });
    world
}

/// The connection is told to go, and its gateway when to close it.
async fn is_told_to_go(gateway: &mut Gateway, conn: u32) {
    let is_goaway = |said: &Said| matches!(said, Said::Send { frame, .. } if frame["t"] == "goaway");
    let Said::Send { conn: of, .. } = gateway.until(is_goaway).await else { unreachable!() };
    assert_eq!(of, conn, "nobody else's time is over");
    let later = gateway.until(|said| matches!(said, Said::CloseLater { .. })).await;
    assert_eq!(later, Said::CloseLater { conn, after: 30_000, code: 1012, reason: "lifetime".into() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_time_is_over_is_told_to_go_by_its_new_home_once() {
    let world = world().await;
    let mut gateway = Gateway::link(world.node()).await;
    let (young, told) = (relayed(None), relayed(None));
    gateway.open_aged(1, OpenAs::HomeAgain, &young, 1_000, false);
    gateway.open_aged(2, OpenAs::HomeAgain, &told, OLD, true);
    // Not while another is its home; then at once, though it has only just come home.
    let further = relayed(None);
    gateway.open_aged(3, OpenAs::Further, &further, OLD, false);
    for conn in 4..7 {
        gateway.open_aged(conn, OpenAs::HomeAgain, &relayed(None), OLD, false);
        is_told_to_go(&mut gateway, conn).await;
    }
    gateway.open_aged(3, OpenAs::HomeAgain, &further, OLD, false);
    is_told_to_go(&mut gateway, 3).await;
    // One whose other node told it, while this one had some of its rooms.
    let elsewhere = relayed(None);
    gateway.open_aged(10, OpenAs::Further, &elsewhere, OLD, false);
    gateway.open_aged(10, OpenAs::HomeAgain, &elsewhere, OLD, true);
    for conn in 11..13 {
        gateway.open_aged(conn, OpenAs::HomeAgain, &relayed(None), OLD, false);
        is_told_to_go(&mut gateway, conn).await;
    }
    // Its link is made again: it is as old by the new one, and was told.
    gateway.cut();
    let mut gateway = Gateway::link(world.node()).await;
    gateway.open_aged(3, OpenAs::HomeAgain, &further, OLD + 5_000, true);
    gateway.open_aged(1, OpenAs::HomeAgain, &young, OLD, false);
    is_told_to_go(&mut gateway, 1).await;
    assert_eq!(world.node().metric("ringway_goaways_total{reason=\"lifetime\"}"), 7);
}
