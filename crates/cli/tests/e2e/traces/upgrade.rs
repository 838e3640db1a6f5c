//! An upgrade: from the client's request to the join of its home room.

use std::time::{Duration, Instant};

use ringway_protocol::ClientFrame;
use ringway_testkit::path::Path;

use super::{Traced, traceparent, tree, written};
use crate::peer::Peer;

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_a_tree_across_gateway_and_node() {
    let traced = Traced::start().await;
    let room = traced.room_on("node-2", "traced é.").await;
    let (trace, caller, whole) = traceparent();
    let mut options = traced.options(Some(&room));
    options.headers.insert("traceparent", whole.parse().unwrap());
    let mut peer = Peer::open(&options).await;
    peer.joined().await;
    let spans = traced.trace(&trace, 3).await;
    assert_eq!(written(&tree(&spans, &caller)), "upgrade(route(join))");
    let [upgrade, route, join] = &spans[..] else { panic!("{spans:#?}") };
    let services = [upgrade, route, join].map(|span| (span.service.as_str(), span.instance.as_str()));
    assert_eq!(services, [("ringway-gateway", ""), ("ringway-gateway", ""), ("ringway-node", "node-2")]);
    assert_eq!(peer.hello.trace.as_deref(), Some(&*format!("00-{trace}-{}-01", join.id)));
    let kinds = [upgrade, route, join].map(|span| format!("{:?}", span.kind));
    assert_eq!(kinds, ["Server", "Client", "Server"]);
    for (span, key, value) in [
        (upgrade, "http.request.method", "GET"),
        (upgrade, "http.route", "/v1/ws"),
        (upgrade, "http.response.status_code", "101"),
        (upgrade, "client.address", "127.0.0.1"),
        (upgrade, "ringway.tenant", "default"),
        (upgrade, "ringway.room", &room),
        (route, "server.address", "127.0.0.1"),
        (route, "ringway.node", "node-2"),
        (join, "ringway.tenant", "default"),
        (join, "ringway.room", &room),
    ] {
        assert_eq!(span.attribute(key), value, "{key} of {span:#?}");
    }
    for span in &spans {
        // Names that OpenTelemetry doesn't know come of slips of the pen.
        assert!(span.attributes.keys().all(|key| !key.contains('#') && key != "error.type"), "{span:#?}");
    }

    // Without a caller's trace it is a tree of its own; a refused one says why.
    let mut own = Peer::open(&traced.options(Some(&room))).await;
    own.joined().await;
    let of_hello = own.hello.trace.clone().unwrap();
    let spans = traced.trace(&of_hello[3..35], 3).await;
    assert_eq!(written(&tree(&spans, "")), "upgrade(route(join))");

    let (trace, caller, whole) = traceparent();
    let mut options = traced.options(Some(&room));
    options.tenant = None;
    options.headers.insert("traceparent", whole.parse().unwrap());
    options.subprotocols = Vec::new();
    options.token = Some("of no use".to_owned());
    options.endpoint = format!("ws://{}/v1/ws?tenant=Not+a+tenant", traced.gateway.listen).parse().unwrap();
    assert!(ringway_client::Connection::open(&options).await.is_err());
    let spans = traced.trace(&trace, 1).await;
    assert_eq!((spans[0].name.as_str(), spans[0].parent.as_str()), ("upgrade", caller.as_str()));
    assert_eq!(spans[0].attribute("error.type"), "bad_request", "{spans:#?}");
}

/// Where the gateway has the socket, it is opened at another node when its home is lost.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_link_the_next_home_belongs_to_the_upgrade() {
    let mut traced = Traced::by(Path::Relay).await;
    let room = traced.room_on("node-1", "r.").await;
    let (trace, caller, whole) = traceparent();
    let mut options = traced.options(Some(&room));
    options.headers.insert("traceparent", whole.parse().unwrap());
    let mut peer = Peer::open(&options).await;
    peer.joined().await;
    traced.trace(&trace, 3).await;
    traced.nodes.remove(0).kill();
    // The next home answers, once it has the client.
    let deadline = Instant::now() + Duration::from_secs(30);
    while peer.ask(ClientFrame::Ping { id: None }).await.is_err() {
        assert!(Instant::now() < deadline, "no node is its home");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let spans = traced.trace(&trace, 4).await;
    assert_eq!(written(&tree(&spans, &caller)), "upgrade(route(join open))");
    let open = &spans[3];
    assert_eq!((open.name.as_str(), open.instance.as_str()), ("open", "node-2"));
    assert_eq!(open.attribute("ringway.home"), "true");
}
