//! A publication: from who publishes, by NATS, to those who hear it.

use std::collections::BTreeMap;

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use ringway_protocol::ClientFrame;
use ringway_testkit::otlp::Span;
use ringway_testkit::path::Path;

use super::{Traced, traceparent, tree, written};
use crate::call;
use crate::peer::{self, Peer};
use crate::support::name;

impl Traced {
    /// What other processes see of all rooms' live messages.
    async fn live(&self) -> Subscriber {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        let subscriber = client.subscribe("ringway.g.*.live.>").await.unwrap();
        client.flush().await.unwrap();
        subscriber
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_is_a_tree_across_nats_and_two_nodes() {
    // Who is on one node, in a room of another.
    let traced = Traced::by(Path::Tunnel).await;
    let (home, foreign) =
        (traced.room_on("node-1", "home.").await, traced.room_on("node-2", "foreign.").await);
    let mut speaker = Peer::open(&traced.options(Some(&home))).await;
    speaker.joined().await;
    speaker.join(&foreign).await;
    let mut listener = Peer::open(&traced.options(Some(&foreign))).await;
    listener.joined().await;
    let mut live = traced.live().await;

    // Of a foreign room: it goes to the owner, and comes back by NATS.
    let (trace, caller, whole) = traceparent();
    let mut publication = peer::publication(&foreign, "\"hi\"");
    publication.trace = Some(whole.as_str().into());
    speaker.ask(ClientFrame::Pub(publication)).await.unwrap();
    for member in [&mut speaker, &mut listener] {
        assert_eq!(
            member.msg().await.trace.as_deref(),
            Some(whole.as_str()),
            "it comes back as it was given"
        );
    }
    let spans = traced.trace(&trace, 6).await;
    assert_eq!(written(&tree(&spans, &caller)), "publish(number(fanout send(receive(fanout))))");
    let carried = live.next().await.unwrap().headers.unwrap();
    let sent = named(&spans, "send")[0];
    assert_eq!(carried.get("traceparent").unwrap().as_str(), format!("00-{trace}-{}-01", sent.id));
    let nodes: BTreeMap<&str, Vec<&str>> = ["publish", "number", "send", "receive", "fanout"]
        .map(|step| (step, named(&spans, step).iter().map(|span| span.instance.as_str()).collect()))
        .into();
    assert_eq!((&nodes["publish"], &nodes["receive"]), (&vec!["node-1"], &vec!["node-1"]));
    assert_eq!((&nodes["number"], &nodes["send"]), (&vec!["node-2"], &vec!["node-2"]));
    for (step, kind) in
        [("publish", "Producer"), ("number", "Server"), ("send", "Producer"), ("receive", "Consumer")]
    {
        let span = named(&spans, step)[0];
        assert_eq!(format!("{:?}", span.kind), kind, "{span:#?}");
        assert_eq!(span.attribute("messaging.destination.name"), foreign, "{span:#?}");
        assert_eq!(span.attribute("ringway.tenant"), "default", "{span:#?}");
    }
    assert!(spans.iter().all(|span| span.attributes.keys().all(|key| !key.contains('#'))), "{spans:#?}");
    // Whoever waits for an answer is at work until it is there.
    let (publish, number) = (named(&spans, "publish")[0], named(&spans, "number")[0]);
    assert!(publish.start <= number.start && number.end <= publish.end, "{publish:#?} {number:#?}");

    // Of its own room: it is numbered where it enters, and is nobody else's business.
    let (trace, caller, whole) = traceparent();
    let mut publication = peer::publication(&home, "\"hi\"");
    publication.trace = Some(whole.as_str().into());
    speaker.ask(ClientFrame::Pub(publication)).await.unwrap();
    let spans = traced.trace(&trace, 3).await;
    assert_eq!(written(&tree(&spans, &caller)), "publish(fanout send)");

    // By HTTP: the same, from the gateway.
    let (trace, caller, whole) = traceparent();
    let target = format!("/v1/messages?room={}", call::encoded(&foreign));
    let post = call::post(&target, "application/json", "\"hi\"").with("traceparent", &whole);
    assert_eq!(post.send(traced.gateway.listen).status, 200);
    for member in [&mut speaker, &mut listener] {
        let msg = loop {
            let msg = member.msg().await;
            if msg.room == Some(name(&foreign)) {
                break msg;
            }
        };
        assert_eq!(msg.trace.as_deref(), Some(whole.as_str()));
    }
    let spans = traced.trace(&trace, 6).await;
    assert_eq!(written(&tree(&spans, &caller)), "publish(number(fanout send(receive(fanout))))");
    assert_eq!(named(&spans, "publish")[0].service, "ringway-gateway");

    // To a user, of whom nobody knows where they are.
    let (trace, caller, whole) = traceparent();
    let post = call::post("/v1/messages?user=ann", "application/json", "1").with("traceparent", &whole);
    assert_eq!(post.send(traced.gateway.listen).status, 200);
    let spans = traced.trace(&trace, 3).await;
    assert_eq!(written(&tree(&spans, &caller)), "publish(receive receive)");

    // Who gave a trace that isn't kept gets it back all the same, and nothing of it is exported.
    let (trace, _, whole) = traceparent();
    let mut publication = peer::publication(&foreign, "\"hi\"");
    let unsampled = format!("{}00", &whole[..53]);
    publication.trace = Some(unsampled.as_str().into());
    speaker.ask(ClientFrame::Pub(publication)).await.unwrap();
    assert_eq!(speaker.msg().await.trace.as_deref(), Some(unsampled.as_str()));
    traced.trace(&trace, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_that_travel_together_have_each_its_own_tree() {
    const MANY: usize = 20;
    let traced = Traced::by(Path::Tunnel).await;
    let (home, foreign) = (traced.room_on("node-1", "home.").await, traced.room_on("node-2", "fresh.").await);
    let mut speaker = Peer::open(&traced.options(Some(&home))).await;
    speaker.joined().await;
    // Into a room that nobody has held yet, all at once: the first waits until the owner has taken it, the others for
    // the first.
    let all: Vec<_> = (0..MANY).map(|_| traceparent()).collect();
    let frames: Vec<ClientFrame> = all
        .iter()
        .enumerate()
        .map(|(n, (_, _, whole))| {
            let mut publication = peer::publication(&foreign, &n.to_string());
            publication.trace = Some(whole.as_str().into());
            peer::with_id(ClientFrame::Pub(publication), 1_000 + n as u64)
        })
        .collect();
    speaker.send(&frames).await;
    for n in 0..MANY {
        speaker.answer(1_000 + n as u64).await.unwrap();
    }
    let traces: Vec<&str> = all.iter().map(|(trace, ..)| trace.as_str()).collect();
    for (spans, (_, caller, _)) in traced.traces(&traces, 3).await.iter().zip(&all) {
        assert_eq!(written(&tree(spans, caller)), "publish(number(send))");
    }
}

/// Where the gateway has the sockets, a publication is at its room's owner at once.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_link_a_publication_is_a_tree_at_the_owner() {
    let traced = Traced::by(Path::Relay).await;
    let (home, other) = (traced.room_on("node-1", "home.").await, traced.room_on("node-2", "other.").await);
    let (joining, mut options) = (traceparent(), traced.options(Some(&home)));
    options.headers.insert("traceparent", joining.2.parse().unwrap());
    let mut speaker = Peer::open(&options).await;
    speaker.joined().await;
    speaker.join(&other).await;
    // Its upgrade goes by the link to its home, and what it opens at another node is part of it.
    let spans = traced.trace(&joining.0, 4).await;
    assert_eq!(written(&tree(&spans, &joining.1)), "upgrade(route(join open))");
    let (join, open) = (named(&spans, "join")[0], named(&spans, "open")[0]);
    assert_eq!((join.instance.as_str(), open.instance.as_str()), ("node-1", "node-2"));
    assert_eq!((open.attribute("ringway.tenant"), open.attribute("ringway.home")), ("default", "false"));
    for (room, node) in [(&home, "node-1"), (&other, "node-2")] {
        let (trace, caller, whole) = traceparent();
        let mut publication = peer::publication(room, "\"hi\"");
        publication.trace = Some(whole.as_str().into());
        speaker.ask(ClientFrame::Pub(publication)).await.unwrap();
        assert_eq!(speaker.msg().await.trace.as_deref(), Some(whole.as_str()));
        let spans = traced.trace(&trace, 3).await;
        assert_eq!(written(&tree(&spans, &caller)), "publish(fanout send)");
        assert!(spans.iter().all(|span| span.instance == node), "{spans:#?}");
    }
}
