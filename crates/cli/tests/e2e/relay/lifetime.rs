//! How long a connection may stand is counted from when it was opened, whichever nodes its home has been since.

use std::time::{Duration, Instant};

use ringway_client::{Connection, ReceiveError};
use ringway_protocol::{CloseCode, Format, ServerFrame};

use super::site::Site;
use crate::support::open_over;

/// As short as it may be. A connection's own is up to a tenth less.
const LIFETIME: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and a half: `make e2e`"]
async fn a_connection_whose_home_moved_is_told_to_go_when_it_would_have_been() {
    let config = |nats: &str| format!("{}\n[placement]\nconnection_lifetime = \"1m\"\n", open_over(nats));
    let mut site = Site::with(3, 1, config).await;
    let room = site.room_on("node-1", "r").await;
    let opened = Instant::now();
    let mut stays = Connection::open(&site.cluster.options(Format::Json, Some(&room))).await.unwrap();
    let (mut moves, mut told, mut times) = (Vec::new(), None, 0);
    // Its home is lost in the middle of its life, and again after it was told.
    let mut due = Some(opened + LIFETIME / 2);
    let closed = loop {
        let next = due.unwrap_or(opened + 10 * LIFETIME);
        match tokio::time::timeout_at(next.into(), stays.receive()).await {
            Err(_) => {
                assert!(due.take().is_some(), "it was never closed");
                site.cluster.nodes.remove(0).kill();
                moves.push(opened.elapsed());
            }
            Ok(Ok(ServerFrame::Goaway(_))) => {
                told.get_or_insert(opened.elapsed());
                times += 1;
                due.get_or_insert(Instant::now() + Duration::from_secs(5));
            }
            Ok(Ok(_)) => {}
            Ok(Err(ReceiveError::Closed(closed))) => break closed,
            Ok(Err(error)) => panic!("{error}"),
        }
    };
    let (told, stood) = (told.expect("it was told before"), opened.elapsed());
    println!("moved after {moves:?}, told after {told:?}, closed after {stood:?}");
    assert_eq!((closed.code, closed.reason.as_ref()), (CloseCode::RESTART, "lifetime"));
    assert_eq!(times, 1, "once, by whichever node");
    assert!(told >= Duration::from_secs(53) && stood - told >= Duration::from_secs(29));
    // Counted from the move, that would be the earliest.
    assert!(told < moves[0] + LIFETIME * 9 / 10, "it began anew");
}
