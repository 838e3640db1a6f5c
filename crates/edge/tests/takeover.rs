//! A socket is handed on by the task that spoke HTTP on it, with what came early; or not at all.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use ringway_edge::serve::{self, Settings, Takeover};
use ringway_edge::upgrade;
use support::{Client, frame, soon, upgrade_request};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[tokio::test]
async fn a_socket_is_handed_on_after_a_101_and_dropped_after_anything_else() {
    let (taken, mut sockets) = mpsc::unbounded_channel::<(TcpStream, Bytes)>();
    let taken = Arc::new(taken);
    let handler = move |mut request: Request<Incoming>, _| {
        let taken = taken.clone();
        let takeover = Takeover::new(&mut request, move |socket, early| drop(taken.send((socket, early))));
        let answer = upgrade::check(&request.into_parts().0);
        async move {
            let mut response: Response<Empty<Bytes>> = match answer {
                Ok(upgrade) => upgrade.response(),
                Err(_) => {
                    let mut response = Response::new(Empty::new());
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                    response
                }
            };
            response.extensions_mut().insert(takeover);
            response
        }
    };
    let listener = serve::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let served =
        tokio::spawn(serve::serve(listener, handler, Settings::default(), stop.clone(), tasks.clone()));

    let mut early = upgrade_request("");
    early.extend(frame(0x81, b"early"));
    let mut client = Client::plain(address).await;
    client.say(&early).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    let (_socket, early) = soon("the socket", sockets.recv()).await.unwrap();
    assert_eq!(early, frame(0x81, b"early"));

    let mut plain = Client::plain(address).await;
    plain.say(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert!(plain.head().await.starts_with("HTTP/1.1 400 "));
    plain.rest().await;

    stop.cancel();
    soon("the listener's end", served).await.unwrap();
    tasks.close();
    soon("the tasks' end", tasks.wait()).await;
    assert!(sockets.try_recv().is_err(), "only one was upgraded");
}
