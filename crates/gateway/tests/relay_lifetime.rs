//! A client's connection is as old as its socket, whichever nodes it has had, and who was told to go is closed here.

mod support;

use std::time::Instant;

use ringway_link::{ConnNo, Down, OpenAs};
use support::linked::{Link, ROOM, Said, Seated};

/// The next record opens the client at a node that takes over from another: how old it is, and whether it was told to go.
async fn taken_over(link: &mut Link) -> (u64, bool) {
    let said = link.next().await;
    let Said::Open { conn, role: OpenAs::HomeAgain, age, told_to_go, .. } = said else { panic!("{said:?}") };
    link.say(&Down::Opened { conn });
    (age, told_to_go)
}

fn told_to_go(conn: ConnNo, after: u32) -> Down<'static> {
    Down::CloseLater { conn, after, code: 1012, reason: "lifetime".into() }
}

#[tokio::test]
async fn a_connection_is_as_old_at_its_next_home_as_it_was_at_the_first() {
    let (seated, link) = Seated::new().await;
    let begun = Instant::now();
    link.cut().await;
    let mut link = seated.a.link().await;
    let (age, told) = taken_over(&mut link).await;
    assert!(!told && u128::from(age) < begun.elapsed().as_millis() + 30_000, "{age}");
    let stood = begun.elapsed();
    link.cut().await;
    let mut link = seated.a.link().await;
    let (again, told) = taken_over(&mut link).await;
    assert!(
        !told && again >= age && u128::from(again) + 1 >= stood.as_millis(),
        "{age} and {again}, {stood:?}"
    );
}

#[tokio::test]
async fn who_was_told_to_go_is_not_told_again_by_its_next_home() {
    let (mut seated, link) = Seated::new().await;
    link.say(&told_to_go(seated.conn, u32::MAX));
    // It has heard that once it hears this.
    seated.hears(&link, 6).await;
    link.cut().await;
    let mut link = seated.a.link().await;
    assert!(taken_over(&mut link).await.1);
}

#[tokio::test]
async fn who_was_told_to_go_and_stays_is_closed_though_its_home_is_gone() {
    let (mut seated, link) = Seated::new().await;
    link.say(&told_to_go(seated.conn, 500));
    // The first word counts.
    link.say(&told_to_go(seated.conn, u32::MAX));
    link.cast(ROOM, 6, "{}");
    let (mut first, mut payload) = seated.client.frame().await;
    if first == 0x81 {
        // Its gateway has heard the word, and its time isn't over yet.
        link.cut().await;
        (first, payload) = seated.client.frame().await;
    }
    assert_eq!((first, &payload[..2], &payload[2..]), (0x88, &1012_u16.to_be_bytes()[..], &b"lifetime"[..]));
}
