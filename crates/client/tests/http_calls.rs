//! The HTTP calls say what they should, and understand what they are told.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::time::Duration;

use ringway_client::{Http, HttpError, PageHttp, PublishHttp, To};
use ringway_protocol::{Code, Format, Payload};
use scripted::{Server, room, soon, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Answers one request with this; gives the request.
async fn one(server: &Server, answer: &str) -> String {
    let mut tcp = server.tcp().await;
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let read = soon("a request", tcp.read(&mut part)).await.unwrap();
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let body = text
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.split('\r').next().unwrap().parse().unwrap());
        if text.split_once("\r\n\r\n").is_some_and(|(_, rest)| rest.len() >= body) {
            break;
        }
    }
    tcp.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&request).into_owned()
}

fn answer(status: &str, extra: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{extra}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn publish_locate_and_members() {
    let server = Server::start(Format::Json).await;
    let http = Http::new(server.options().connect.endpoint, Some("rk_app_secret".into()))
        .unwrap()
        .on_behalf_of(Some("acme".parse().unwrap()), Some("u1".parse().unwrap()));

    let ok = answer("200 OK", "", r#"{"offset":5,"epoch":"e-1","later":true}"#);
    let publish = PublishHttp {
        mid: Some("m-1".into()),
        key: Some("k".parse().unwrap()),
        store: false,
        ..text("hi").into()
    };
    let to = To::Room(room("a b"));
    let (request, result) = tokio::join!(one(&server, &ok), http.publish(&to, publish));
    let result = result.unwrap();
    assert_eq!((result.offset, result.epoch.unwrap().as_str(), result.duplicate), (Some(5), "e-1", false));
    let request = request.to_lowercase();
    assert!(request.starts_with("post /v1/messages?room=a+b&tenant=acme&user=u1 http/1.1\r\n"), "{request}");
    for line in [
        "authorization: bearer rk_app_secret\r\n",
        "content-type: application/msgpack\r\n",
        "ringway-message-id: m-1\r\n",
        "ringway-key: k\r\n",
        "ringway-store: false\r\n",
    ] {
        assert!(request.contains(line), "{line} in {request}");
    }
    let to = To::User("u2".parse().unwrap());
    let (request, result) =
        tokio::join!(one(&server, &ok), http.publish(&to, Payload::from_bytes(b"raw".as_slice())));
    result.unwrap();
    assert!(request.starts_with("POST /v1/messages?user=u2&tenant=acme HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("content-type: application/octet-stream\r\n"));

    let place = r#"{"tenant":"acme","room":"a","slot":7,"pool":"shared","node":"n1","url":"wss://n1/v1/ws?ticket=t"}"#;
    let place = answer("200 OK", "", place);
    let (room, url) = (room("a"), Some("wss://n1/v1/ws?ticket=t".to_owned()));
    let (request, located) = tokio::join!(one(&server, &place), http.locate(Some(&room)));
    let located = located.unwrap();
    assert_eq!((located.slot, located.node.as_str(), located.url), (7, "n1", url));
    assert!(request.starts_with("GET /v1/locate?room=a&tenant=acme&user=u1 "), "{request}");

    let counts = answer("200 OK", "", r#"{"count":3,"users":2}"#);
    let (_, members) = tokio::join!(one(&server, &counts), http.members(&room));
    let members = members.unwrap();
    assert_eq!((members.count, members.users), (Some(3), Some(2)));
}

#[tokio::test]
async fn a_page_of_history_and_a_room_that_forgets() {
    let server = Server::start(Format::Json).await;
    let http = Http::new(server.options().connect.endpoint, None).unwrap();
    let page = r#"{"epoch":"e-1","messages":[
        {"offset":9,"ts":99,"user":"u1","key":"k","mid":"m","data":{"x":1.0}}, { "offset":4,"ts":44,"b64":"AP8=" }
    ],"more":true,"oldest":2,"newest":9}"#;
    let page = answer("200 OK", "", page);
    let wanted = PageHttp {
        before: Some(10),
        limit: Some(2),
        epoch: Some("e-1".parse().unwrap()),
        ..PageHttp::default()
    };
    let (a, any) = (room("a"), PageHttp::default());
    let (request, told) = tokio::join!(one(&server, &page), http.history(&a, &wanted));
    assert!(request.starts_with("GET /v1/messages?room=a&before=10&limit=2&epoch=e-1 "), "{request}");
    let (lines, result) = told.unwrap();
    assert_eq!((result.more, result.oldest, result.newest), (true, Some(2), Some(9)));
    assert_eq!(
        lines.iter().map(|line| (line.offset, line.ts)).collect::<Vec<_>>(),
        [(Some(9), Some(99)), (Some(4), Some(44))]
    );
    assert_eq!(lines[0].data, Payload::from_json(br#"{"x":1.0}"#).unwrap());
    assert_eq!(lines[1].data.bytes().unwrap()[..], [0, 255]);
    assert!(lines.iter().all(|line| line.room.as_ref() == Some(&a) && line.id.is_none()));
    let empty = answer("200 OK", "", r#"{"epoch":"e-1","messages":[],"more":false}"#);
    let (_, told) = tokio::join!(one(&server, &empty), http.history(&a, &any));
    assert!(told.unwrap().0.is_empty());
    let odd = answer("200 OK", "", r#"{"epoch":"e-1","messages":[{"offset":-1}]}"#);
    let (_, told) = tokio::join!(one(&server, &odd), http.history(&a, &any));
    assert!(matches!(told, Err(HttpError::Transport(_))));
    let done = answer("200 OK", "", "{}");
    let (request, told) = tokio::join!(one(&server, &done), http.forget(&a));
    told.unwrap();
    assert!(request.starts_with("DELETE /v1/messages?room=a "), "{request}");
}

#[tokio::test]
async fn refusals_carry_their_code_and_hint() {
    let server = Server::start(Format::Json).await;
    let http = Http::new(server.options().connect.endpoint, None).unwrap();
    let problem = r#"{"type":"about:blank","status":503,"code":"unavailable","detail":"no node"}"#;
    let problem = answer("503 Service Unavailable", "Retry-After: 2\r\n", problem);
    let (_, refused) = tokio::join!(one(&server, &problem), http.locate(None));
    match refused {
        Err(HttpError::Refused {
            status: 503,
            code: Code::Unavailable,
            detail: Some(detail),
            retry: Some(retry),
        }) => {
            assert_eq!((detail.as_str(), retry), ("no node", Duration::from_secs(2)));
        }
        other => panic!("{other:?}"),
    }
    let bare = answer("502 Bad Gateway", "", "<html>");
    let (_, refused) = tokio::join!(one(&server, &bare), http.locate(None));
    assert!(matches!(refused, Err(HttpError::Refused { status: 502, code: Code::Internal, .. })));
    let bad = PublishHttp { mid: Some("line\nbreak".into()), ..text("x").into() };
    assert!(matches!(http.publish(&To::All, bad).await, Err(HttpError::Header(_))));
    drop(server);
    assert!(matches!(http.locate(None).await, Err(HttpError::Transport(_))));
}
