//! What comes of links that break, nodes that go, and nodes that break the rules: clients keep their sockets.

mod support;

use std::time::{Duration, Instant};

use ringway_edge::Frame;
use ringway_link::{ConnNo, Down, Exit, OpenAs, RoomNo, hello};
use support::linked::{LinkNode, ROOM, Said, Seated, agreed, at};

#[tokio::test]
async fn a_link_that_breaks_is_made_again_and_nobody_is_told() {
    let (mut seated, link) = Seated::new().await;
    seated.hears(&link, 6).await;
    link.cut().await;
    let mut again = seated.a.link().await;
    seated.is_taken_over(&mut again, Some(seated.position(6))).await;
    seated.enters(&again, 6);
    seated.hears(&again, 7).await;
    assert_eq!(seated.cuts("lost"), 1);
}

#[tokio::test]
async fn a_link_that_comes_back_a_moment_later_goes_to_the_same_node() {
    let (mut seated, link) = Seated::new().await;
    let address = seated.a.address();
    // Nobody listens for a moment.
    drop(std::mem::replace(&mut seated.a, LinkNode::start().await));
    link.cut().await;
    seated.a = LinkNode::at(address).await;
    let mut again = seated.a.link().await;
    seated.is_taken_over(&mut again, Some(seated.position(5))).await;
    seated.enters(&again, 5);
    seated.hears(&again, 6).await;
}

#[tokio::test]
async fn a_node_that_is_gone_is_followed_by_the_next_from_where_the_client_is() {
    let (mut seated, link) = Seated::new().await;
    seated.hears(&link, 6).await;
    drop(std::mem::replace(&mut seated.a, LinkNode::start().await));
    link.cut().await;
    let mut at_b = seated.b.link().await;
    seated.is_taken_over(&mut at_b, Some(seated.position(6))).await;
    seated.enters(&at_b, 6);
    seated.hears(&at_b, 7).await;
}

#[tokio::test]
async fn a_node_that_gives_no_sign_of_life_is_followed_by_the_next() {
    let (mut seated, link) = Seated::new().await;
    let begun = Instant::now();
    link.silent();
    let mut at_b = seated.b.link().await;
    assert!(begun.elapsed() > Duration::from_secs(1), "a node may be slow");
    seated.is_taken_over(&mut at_b, Some(seated.position(5))).await;
    seated.enters(&at_b, 5);
    seated.hears(&at_b, 6).await;
    assert_eq!(seated.cuts("silent"), 1);
}

#[tokio::test]
async fn half_a_frame_is_the_end_of_a_link_and_no_more() {
    let (mut seated, link) = Seated::new().await;
    link.cut().await;
    // The gateway comes again, and gets the first half of a frame.
    let (mut wire, _) = seated.a.knock().await;
    wire.send(agreed()).await;
    wire.send(b"\x82\x7e\x01\x00half").await;
    drop(wire);
    let mut again = seated.a.link().await;
    seated.is_taken_over(&mut again, Some(seated.position(5))).await;
    seated.enters(&again, 5);
    seated.hears(&again, 6).await;
}

#[tokio::test]
async fn a_node_that_breaks_the_rules_is_cut_off_and_the_client_goes_on() {
    let conn = ConnNo(77);
    let wrong: [(&str, Vec<u8>); 8] = [
        (
            "a connection that isn't open",
            record(&Down::Send { conn, at: None, frame: Frame::text(b"x").encoded() }),
        ),
        ("a room that wasn't declared", record(&Down::Lost { room: RoomNo(9), offset: 1, ts: 1, frames: 1 })),
        ("the end of what wasn't closed", record(&Down::Ended { conn })),
        ("an answer that nobody waits for", record(&Down::Opened { conn })),
        ("no record at all", vec![0xC1]),
        ("half a record", record(&Down::Pong { number: u64::MAX })[..3].to_vec()),
        ("more than a record may be", vec![0; hello::RECORD_LIMIT + 1]),
        ("nothing", Vec::new()),
    ];
    for (what, record) in wrong {
        let (mut seated, mut link) = Seated::new().await;
        link.out.send(&Frame::record(&record));
        link.ended().await;
        let mut again = seated.a.link().await;
        seated.is_taken_over(&mut again, Some(seated.position(5))).await;
        seated.enters(&again, 5);
        seated.hears(&again, 6).await;
        assert_eq!(seated.cuts("broken"), 1, "{what}");
    }
}

#[tokio::test]
async fn a_join_under_way_is_asked_again_and_answered_once() {
    let (mut seated, mut link) = Seated::new().await;
    let join = r#"{"t":"join","id":7,"room":"other"}"#;
    let owner = "a".parse().expect("a node");
    let other = seated.world.room_of("default", &owner);
    let join = join.replace("other", other.as_str());
    assert_eq!(other, seated.room, "the first of that node");
    // Left and joined again, so that it is asked for by the client.
    seated.client.say(&format!(r#"{{"t":"leave","id":6,"room":"{other}"}}"#)).await;
    let Said::Frame { conn, .. } = link.next().await else { panic!("no leave") };
    link.exit(conn, &other, Exit::Left);
    link.send(conn, None, r#"{"t":"ok","id":6}"#);
    assert_eq!(seated.client.hear_text().await, r#"{"t":"ok","id":6}"#);
    seated.client.say(&join).await;
    assert_eq!(link.next().await, Said::Frame { conn, message: join.clone() });
    link.cut().await;
    let mut again = seated.a.link().await;
    again.take(OpenAs::HomeAgain).await;
    assert_eq!(again.next().await, Said::Frame { conn, message: join });
    again.declare(ROOM, &other, "e1");
    again.send(conn, Some(at(ROOM, 8)), r#"{"t":"ok","id":7}"#);
    again.say(&Down::Enter { conn, room: ROOM, at: Some(at(ROOM, 8)), by_server: false });
    assert_eq!(seated.client.hear_text().await, r#"{"t":"ok","id":7}"#);
    seated.hears(&again, 9).await;
}

#[tokio::test]
async fn a_replay_that_breaks_off_goes_on_where_it_was() {
    let (mut seated, link) = Seated::new().await;
    for offset in 6..=8 {
        let payload = format!(r#"{{"t":"msg","offset":{offset}}}"#);
        link.send(seated.conn, Some(at(ROOM, offset)), &payload);
        assert_eq!(seated.client.hear_text().await, payload);
    }
    link.cut().await;
    let mut again = seated.a.link().await;
    seated.is_taken_over(&mut again, Some(seated.position(8))).await;
    seated.enters(&again, 8);
    seated.hears(&again, 9).await;
}

#[tokio::test]
async fn a_cut_right_behind_a_join_resumes_where_that_left_the_client() {
    let (mut seated, link) = Seated::new().await;
    link.cut().await;
    let mut again = seated.a.link().await;
    seated.is_taken_over(&mut again, Some(seated.position(5))).await;
    // It enters, and the link is cut before the first cast.
    seated.enters(&again, 7);
    again.send(seated.conn, None, r#"{"t":"pong"}"#);
    assert_eq!(seated.client.hear_text().await, r#"{"t":"pong"}"#);
    again.cut().await;
    let mut third = seated.a.link().await;
    seated.is_taken_over(&mut third, Some(seated.position(7))).await;
    seated.enters(&third, 7);
    seated.hears(&third, 8).await;
}

#[tokio::test]
async fn a_publication_whose_fate_is_unknown_is_answered_so() {
    let (mut seated, mut link) = Seated::new().await;
    seated.client.say(r#"{"t":"pub","id":3,"data":1}"#).await;
    link.next().await;
    seated.client.say(r#"{"t":"members","id":4}"#).await;
    link.next().await;
    link.cut().await;
    for (id, code) in [(3, "outcome_unknown"), (4, "unavailable")] {
        let told = seated.client.hear().await;
        assert_eq!(
            (&told["t"], &told["id"], &told["code"]),
            (&"err".into(), &id.into(), &code.into()),
            "{told}"
        );
    }
    let mut again = seated.a.link().await;
    seated.is_taken_over(&mut again, Some(seated.position(5))).await;
}

#[tokio::test]
async fn a_node_that_takes_links_and_drops_them_is_passed_over() {
    let (seated, link) = Seated::new().await;
    link.cut().await;
    for _ in 0..2 {
        seated.a.link().await.cut().await;
    }
    let mut at_b = seated.b.link().await;
    seated.is_taken_over(&mut at_b, Some(seated.position(5))).await;
}

fn record(down: &Down<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    ringway_link::codec::encode_down(down, &mut bytes);
    bytes
}
