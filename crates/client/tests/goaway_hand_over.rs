//! After `goaway` a client moves to a new connection room by room: it misses nothing, hears nothing
//! twice, and what wasn't answered is asked again with the same `mid`.
#![allow(clippy::unwrap_used)]

mod scripted;

use ringway_client::{Client, JoinOptions};
use ringway_protocol::Format;
use scripted::{Server, offsets, position, room, soon, text};

#[tokio::test]
async fn a_client_moves_over_without_a_loss() {
    for format in [Format::Json, Format::Msgpack] {
        let server = Server::start(format).await;
        let (client, mut events) = Client::start(server.options());
        let joining = {
            let client = client.clone();
            tokio::spawn(async move { client.join(&room("a"), JoinOptions::default()).await })
        };
        let mut old = server.accept().await;
        let join = old.join().await;
        old.hello("s1").await;
        old.joined(&join, 10, 10).await;
        soon("the join", joining).await.unwrap().unwrap();
        let publishing = {
            let client = client.clone();
            tokio::spawn(async move { client.publish(&room("a"), text("kept")).await })
        };
        let unanswered = old.publication().await;
        old.msg("a", 11).await;
        assert_eq!(offsets(&mut events, 1).await, [11]);
        old.goaway(0).await;

        let mut new = server.accept().await;
        assert_eq!(new.header("ringway-session"), Some("s1"));
        let join = new.join().await;
        assert_eq!(join.since, position(11));
        old.msg("a", 12).await;
        old.msg("a", 13).await;
        assert_eq!(offsets(&mut events, 2).await, [12, 13], "the old one delivers until the new one answers");
        new.hello("s2").await;
        new.joined(&join, 11, 14).await;
        for offset in [12, 13, 14, 15] {
            new.msg("a", offset).await;
        }
        assert_eq!(offsets(&mut events, 2).await, [14, 15], "what the old one brought isn't heard again");
        assert_eq!(old.next().await, Err(1000), "the old one is closed when all have moved");
        let again = new.publication().await;
        assert_eq!((again.id, again.mid, again.data), (unanswered.id, unanswered.mid, unanswered.data));
        new.published(&publication_of(again.id), 16).await;
        assert_eq!(soon("the answer", publishing).await.unwrap().unwrap().offset, Some(16));
        client.close().await;
        assert_eq!(new.next().await, Err(1000));
    }
}

fn publication_of(id: Option<u64>) -> ringway_protocol::frame::Pub {
    ringway_protocol::frame::Pub {
        id,
        room: None,
        data: text(""),
        event: None,
        key: None,
        mid: None,
        echo: true,
        store: true,
        trace: None,
    }
}

#[tokio::test]
async fn a_node_that_goes_at_once_is_a_hand_over_too() {
    let server = Server::start(Format::Msgpack).await;
    let (client, mut events) = Client::start(server.options());
    let joining = client.clone();
    let joining = tokio::spawn(async move { joining.join(&room("a"), JoinOptions::default()).await });
    let mut old = server.accept().await;
    let join = old.join().await;
    old.hello("s1").await;
    old.joined(&join, 0, 0).await;
    soon("the join", joining).await.unwrap().unwrap();
    old.msg("a", 1).await;
    old.goaway(0).await;
    old.close(1012, "restart").await;
    let mut new = server.accept().await;
    let join = new.join().await;
    new.hello("s2").await;
    new.joined(&join, join.since.as_ref().unwrap().offset, 2).await;
    new.msg("a", 2).await;
    assert_eq!(offsets(&mut events, 2).await, [1, 2]);
    client.close().await;
}
