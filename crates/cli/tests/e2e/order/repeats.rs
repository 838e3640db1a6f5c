//! What comes back to the publisher, and what was published already.

use super::*;

#[tokio::test]
async fn what_is_not_echoed_comes_with_a_resume() {
    everywhere("echo", async |way| {
        let room = &way.rooms[0];
        let mut peer = way.peer().await;
        let mut other = way.peer_at_owner().await;
        let begin = peer.join(room).await;
        let silent = |data: &str| {
            ClientFrame::Pub(Pub {
                echo: false,
                mid: Some(format!("m{data}").into()),
                ..publication(room, data)
            })
        };
        for data in ["1", "2"] {
            peer.ask(silent(data)).await.unwrap();
        }
        peer.publish(room, "3").await;
        assert_eq!(text(&peer.msg().await.data), "3", "one's own without echo don't come live");
        for data in ["1", "2", "3"] {
            assert_eq!(text(&other.msg().await.data), data);
        }
        // Not to this connection: another one of the same client hears it.
        let mut again = way.peer().await;
        let result = again.join_from(room, Some(position(begin.epoch.as_ref(), begin.offset)), None).await;
        assert_eq!(result.resumed, Some(true));
        for (data, mid) in [("1", Some("m1")), ("2", Some("m2")), ("3", None)] {
            let msg = again.msg().await;
            assert_eq!((text(&msg.data).as_str(), msg.mid.as_deref()), (data, mid));
        }
        // And so does the connection itself, if it asks.
        peer.leave(room).await;
        peer.join_from(room, None, Some(3)).await;
        assert_eq!(text(&peer.msg().await.data), "1");
    })
    .await;
}

#[tokio::test]
async fn a_repeat_is_published_once_and_answered_alike() {
    everywhere("mid", async |way| {
        let room = &way.rooms[0];
        let as_user = async |user: Option<&str>, session: Option<&str>| {
            let mut options = way.options();
            options.user = user.map(|user| user.parse().unwrap());
            options.session = session.map(str::to_owned);
            Peer::open(&options).await
        };
        let mut listener = way.peer_at_owner().await;
        let mid = |mid: &str, data: &str| {
            ClientFrame::Pub(Pub { mid: Some(mid.into()), ..publication(room, data) })
        };
        let pub_of = |answer: Result<Option<OkResult>, Refusal>| answer.unwrap().unwrap().into_pub();

        // A user, over two connections; in one write, too.
        let (mut ann, mut again) = (as_user(Some("ann"), None).await, as_user(Some("ann"), None).await);
        ann.send(&[with_id(mid("m", "1"), 1), with_id(mid("m", "1"), 2), with_id(mid("n", "2"), 3)]).await;
        let first = pub_of(ann.answer(1).await);
        assert!(!first.duplicate);
        let repeat = pub_of(ann.answer(2).await);
        assert!(repeat.duplicate);
        assert_eq!((repeat.offset, &repeat.epoch), (first.offset, &first.epoch));
        assert!(!pub_of(ann.answer(3).await).duplicate);
        assert_eq!(pub_of(again.ask(mid("m", "\"not looked at\"")).await), repeat);
        // Somebody else's is something else, and so is that of another room.
        let mut bob = as_user(Some("bob"), None).await;
        assert!(!pub_of(bob.ask(mid("m", "3")).await).duplicate);
        let elsewhere = Pub { mid: Some("m".into()), ..publication(&way.rooms[1], "0") };
        assert!(!pub_of(ann.ask(ClientFrame::Pub(elsewhere)).await).duplicate);
        // Without a user it is the session that counts.
        let mut nobody = as_user(None, None).await;
        let first = pub_of(nobody.ask(mid("m", "4")).await);
        assert!(!first.duplicate);
        let session = nobody.hello.session.to_string();
        nobody.close().await;
        let mut back = as_user(None, Some(&session)).await;
        let repeat = pub_of(back.ask(mid("m", "4")).await);
        assert_eq!((repeat.duplicate, repeat.offset), (true, first.offset));
        assert!(!pub_of(as_user(None, None).await.ask(mid("m", "5")).await).duplicate);
        for data in ["1", "2", "3", "4", "5"] {
            let msg = listener.msg().await;
            assert_eq!(text(&msg.data), data);
            assert_eq!(msg.mid.as_deref(), Some(if data == "2" { "n" } else { "m" }));
        }
        // Only while the replay buffer holds the first.
        for n in 0..REPLAYED {
            bob.publish(room, &n.to_string()).await;
        }
        assert!(!pub_of(ann.ask(mid("m", "6")).await).duplicate);
    })
    .await;
}
