//! What operators, and accidents, do to a stream while members are there.

use ringway_testkit::wait::until;
use serde_json::json;

use super::*;
use crate::cluster::Cluster;

/// How soon a node must have noticed what was done to a stream.
const NOTICED: Duration = Duration::from_secs(15);

struct Site {
    cluster: Cluster,
    api: Api,
    stream: String,
    room: String,
    here: Peer,
    there: Peer,
    one: Kept,
    two: Kept,
}

impl Site {
    /// Two members of a room of ten publications, on two nodes.
    async fn start() -> Self {
        let cluster = nodes(2);
        let room = room_on(&cluster, "node-1", "durable.stream.").await;
        let home = room_on(&cluster, "node-2", "home.").await;
        let mut here = Peer::open(&cluster.options(Format::Json, Some(&room))).await;
        here.joined().await;
        let mut there = Peer::open(&cluster.options(Format::Json, Some(&home))).await;
        there.joined().await;
        let (mut one, mut two) = (Kept::of(&room), Kept::of(&room));
        one.join(&mut here, None).await;
        two.join(&mut there, None).await;
        publish_all(&mut here, &room, 1..=10).await;
        let api = cluster.nats.as_ref().unwrap().api();
        let stream = stream_of(&api, "kept");
        let mut site = Self { cluster, api, stream, room, here, there, one, two };
        site.hear(10).await;
        site
    }

    async fn hear(&mut self, count: usize) {
        self.one.hears(&mut self.here, count).await;
        self.two.hears(&mut self.there, count).await;
    }

    /// Publishes until that is stored again.
    async fn publish(&mut self, n: u64) {
        let deadline = std::time::Instant::now() + SETTLED;
        loop {
            match self.here.ask(crate::peer::publish(&self.room, &n.to_string())).await {
                Ok(_) => return,
                Err(no) => assert!(no.retry.is_some(), "{no:?}"),
            }
            assert!(std::time::Instant::now() < deadline, "nothing is stored any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn readyz(&self, node: usize) -> (u16, String) {
        let answer = ringway_testkit::http::get(self.cluster.nodes[node].admin, "/readyz").unwrap();
        (answer.status, answer.body)
    }

    /// All nodes are ready again.
    fn ready(&self) {
        for node in 0..2 {
            until("the nodes are ready", NOTICED, || (self.readyz(node).0 == 200).then_some(()));
        }
    }

    /// Who comes back with an old position is told that it can't be resumed, and goes on in the new epoch.
    async fn comes_back_to_another_epoch(&mut self, old: Position) {
        let mut peer = Peer::open(&self.cluster.options(Format::Json, None)).await;
        let mut kept = Kept { position: Some(old.clone()), ..Kept::of(&self.room) };
        let result = kept.join(&mut peer, None).await;
        assert_eq!(result.resumed, Some(false));
        assert_ne!(kept.position.unwrap().epoch, old.epoch);
    }
}

#[tokio::test]
async fn a_stream_that_is_deleted_is_made_again_and_members_are_told_once() {
    let site = Site::start().await;
    let old = site.one.position.clone().unwrap();
    site.api.delete(&site.stream).unwrap();
    goes_on_in_another_epoch(site, &old).await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_and_made_by_hand_is_another() {
    let mut site = Site::start().await;
    let old = site.one.position.clone().unwrap();
    let config = site.api.info(&site.stream).unwrap()["config"].clone();
    site.api.delete(&site.stream).unwrap();
    // With the very settings, metadata and all.
    site.api.create(&config).unwrap();
    site.publish(11).await;
    until_epoch_changes(&mut site, &old).await;
    site.publish(12).await;
    site.one.hears(&mut site.here, 11).await;
    site.two.hears(&mut site.there, 11).await;
    assert_eq!((site.one.gaps.len(), site.two.gaps.len()), (1, 1), "told once");
    site.comes_back_to_another_epoch(old).await;
    site.ready();
}

/// Reads until both have been told of another epoch.
async fn until_epoch_changes(site: &mut Site, old: &Position) {
    while site.one.position.as_ref().unwrap().epoch == old.epoch {
        site.one.next(&mut site.here).await;
    }
    while site.two.position.as_ref().unwrap().epoch == old.epoch {
        site.two.next(&mut site.there).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_purged_goes_on() {
    let mut site = Site::start().await;
    let old = site.one.position.clone().unwrap();
    site.api.purge(&site.stream).unwrap();
    for n in 11..=13 {
        site.publish(n).await;
    }
    site.hear(13).await;
    assert_eq!(site.one.take()[10..], numbers(11..=13));
    assert_eq!((site.one.gaps.len(), site.two.gaps.len()), (0, 0), "they had all that was deleted");
    assert_eq!(site.one.position.as_ref().unwrap().epoch, old.epoch);
}

/// An older snapshot by the server's API: the stream is as it was five publications ago.
#[tokio::test]
async fn a_stream_that_is_restored_from_an_older_snapshot_is_another() {
    let mut site = Site::start().await;
    let snapshot = site.api.snapshot(&site.stream).unwrap();
    for n in 11..=15 {
        site.publish(n).await;
    }
    site.hear(15).await;
    let old = site.one.position.clone().unwrap();
    site.api.delete(&site.stream).unwrap();
    // A node may have made it again already.
    let deadline = std::time::Instant::now() + NOTICED;
    while let Err(error) = site.api.restore(&snapshot) {
        assert!(std::time::Instant::now() < deadline, "{error}");
        let _ = site.api.delete(&site.stream);
    }
    goes_on_in_another_epoch(site, &old).await;
}

/// The server's files are put back: the stream is as it was five publications ago, and was made at the same time as ever.
#[tokio::test]
async fn a_volume_that_is_put_back_to_an_older_snapshot_is_another() {
    let mut site = Site::start().await;
    let kept = site.cluster.nats.as_mut().unwrap().keep_store();
    for n in 11..=15 {
        site.publish(n).await;
    }
    site.hear(15).await;
    let old = site.one.position.clone().unwrap();
    site.cluster.nats.as_mut().unwrap().put_store_back(&kept);
    goes_on_in_another_epoch(site, &old).await;
}

/// Case 50: the server comes back, and has lost all that it kept.
#[tokio::test]
async fn a_server_that_lost_its_files_begins_another_epoch() {
    let mut site = Site::start().await;
    let old = site.one.position.clone().unwrap();
    let nats = site.cluster.nats.as_mut().unwrap();
    nats.lose_store();
    nats.restart();
    goes_on_in_another_epoch(site, &old).await;
}

/// Members are told of another epoch, once, and hear what is published then; who comes back with what it had before is told.
async fn goes_on_in_another_epoch(mut site: Site, old: &Position) {
    let mut n = 100;
    let deadline = std::time::Instant::now() + SETTLED;
    // What is published before anybody has noticed may be told as part of the gap.
    while site.one.gaps.is_empty() || site.two.gaps.is_empty() {
        assert!(std::time::Instant::now() < deadline, "nobody is told");
        site.publish(n).await;
        n += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
        for (kept, peer) in [(&mut site.one, &mut site.here), (&mut site.two, &mut site.there)] {
            while let Ok(()) = tokio::time::timeout(Duration::from_millis(50), kept.next(peer)).await {}
        }
    }
    site.publish(9_999).await;
    for (kept, peer) in [(&mut site.one, &mut site.here), (&mut site.two, &mut site.there)] {
        while kept.heard.last().map(String::as_str) != Some("9999") {
            kept.next(peer).await;
        }
        assert_eq!(kept.gaps, ["epoch"], "told once");
        assert_ne!(kept.position.as_ref().unwrap().epoch, old.epoch);
    }
    let (one, two) = (site.one.position.clone().unwrap(), site.two.position.clone().unwrap());
    assert_eq!((one.epoch, one.offset), (two.epoch, two.offset));
    site.comes_back_to_another_epoch(old.clone()).await;
    site.ready();
}

#[tokio::test]
async fn one_message_that_is_deleted_harms_nobody() {
    let mut site = Site::start().await;
    let newest = site.one.position.clone().unwrap().offset;
    site.api.delete_message(&site.stream, newest).unwrap();
    site.publish(11).await;
    site.hear(11).await;
    assert_eq!((site.one.gaps.len(), site.two.gaps.len()), (0, 0));
}

#[tokio::test]
async fn what_somebody_changed_by_hand_is_named_and_put_right() {
    let mut site = Site::start().await;
    site.api.edit(&site.stream, &json!({ "max_msgs_per_subject": 5 })).unwrap();
    for node in 0..2 {
        let said = until("a node names it", NOTICED, || {
            let (_, body) = site.readyz(node);
            body.contains("kept").then_some(body)
        });
        println!("{said}");
    }
    until_put_right(&site, "max_msgs_per_subject", &json!(1_001)).await;
    site.api.edit(&site.stream, &json!({ "allow_direct": false })).unwrap();
    until_put_right(&site, "allow_direct", &json!(true)).await;
    // These were not read meanwhile, and need not be open any more.
    site.here = Peer::open(&site.cluster.options(Format::Json, None)).await;
    assert_eq!(site.one.join(&mut site.here, None).await.resumed, Some(true));
    site.publish(11).await;
    site.one.hears(&mut site.here, 11).await;
}

async fn until_put_right(site: &Site, key: &str, value: &serde_json::Value) {
    let deadline = std::time::Instant::now() + NOTICED;
    while site.api.info(&site.stream).unwrap()["config"][key] != *value {
        assert!(std::time::Instant::now() < deadline, "{key} isn't put right");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A stream that somebody sealed takes nothing more, for ever: that is said, and what it keeps can be had.
#[tokio::test]
async fn a_stream_that_is_sealed_is_named_and_can_be_read() {
    let mut site = Site::start().await;
    let old = site.one.position.clone().unwrap();
    site.api.edit(&site.stream, &json!({ "sealed": true })).unwrap();
    let no = site.here.ask(crate::peer::publish(&site.room, "11")).await.unwrap_err();
    assert_eq!(no.code, ringway_protocol::Code::Unavailable, "{no:?}");
    for node in 0..2 {
        let said = until("a node names it", NOTICED, || {
            let (status, body) = site.readyz(node);
            (status == 503 && body.contains("kept")).then_some(body)
        });
        println!("{said}");
        assert!(said.contains("sealed"), "{said}");
    }
    let mut peer = Peer::open(&site.cluster.options(Format::Json, None)).await;
    let mut kept = Kept { position: Some(old), ..Kept::of(&site.room) };
    assert_eq!(kept.join(&mut peer, None).await.resumed, Some(true));
    let mut kept = Kept::of(&site.room);
    peer.leave(&site.room).await;
    kept.join(&mut peer, Some(4)).await;
    kept.hears(&mut peer, 4).await;
    assert_eq!(kept.take(), numbers(7..=10));
}
