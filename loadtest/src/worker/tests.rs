//! A worker against small servers, over real sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use mio::{Poll, Waker};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::engine::{self, Engine};
use super::inbox::Line;
use crate::control::{Aim, Collected, Command, Event, Membership, Opened, Published, Standing};
use crate::dialect::Spec;
use crate::histogram;

const DEADLINE: Duration = Duration::from_secs(10);

/// What a server does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// What anyone says goes to everyone.
    Broadcast,
    /// The same, in two fragments, a ping between them.
    Fragments,
    /// Closes with 1008 at the first message.
    Close,
    /// No WebSocket at all.
    Refuse,
}

struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

fn server(manner: Manner) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let (everyone, _) = broadcast::channel(10_000);
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, manner, everyone.clone()));
        }
    });
    Server { address, _runtime: runtime }
}

async fn serve(socket: TcpStream, manner: Manner, everyone: broadcast::Sender<Message>) {
    if manner == Manner::Refuse {
        let refusal = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull";
        return refuse(socket, refusal).await;
    }
    let mut all = everyone.subscribe();
    let Ok(mut socket) = accept_async(socket).await else { return };
    loop {
        tokio::select! {
            said = socket.next() => match said {
                Some(Ok(Message::Text(_))) if manner == Manner::Close => {
                    let frame = CloseFrame { code: CloseCode::Policy, reason: "Slow consumer".into() };
                    _ = socket.close(Some(frame)).await;
                }
                Some(Ok(message @ Message::Text(_))) => _ = everyone.send(message),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            Ok(message) = all.recv() => {
                let sent = match manner {
                    Manner::Fragments => fragments(&mut socket, message.into_data()).await,
                    _ => socket.send(message).await,
                };
                if sent.is_err() {
                    return;
                }
            }
        }
    }
}

async fn fragments(
    socket: &mut WebSocketStream<TcpStream>,
    message: Bytes,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    // Cut within the stamp.
    let (first, last) = (message.slice(..20), message.slice(20..));
    socket.send(Message::Frame(Frame::message(first, OpCode::Data(Data::Text), false))).await?;
    socket.send(Message::Ping(Bytes::from_static(b"between"))).await?;
    socket.send(Message::Frame(Frame::message(last, OpCode::Data(Data::Continue), true))).await
}

async fn refuse(mut socket: TcpStream, answer: &[u8]) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut request = [0; 4096];
    _ = socket.read(&mut request).await;
    _ = socket.write_all(answer).await;
}

/// A worker in a thread of the test.
struct Worker {
    commands: Sender<Line>,
    waker: Waker,
    events: Receiver<Event>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Worker {
    fn of(server: &Server, total: usize) -> Worker {
        let poll = Poll::new().unwrap();
        let waker = engine::waker(&poll).unwrap();
        let (commands, lines) = channel();
        let (sender, events) = channel();
        let sink = Box::new(move |event: &Event| Ok(sender.send(event.clone())?));
        // Boxed things inside of it belong to its thread.
        let thread = Some(thread::spawn(move || Engine::new(poll, lines, sink)?.run()));
        let mut worker = Worker { commands, waker, events, thread };
        let sources = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))];
        let addresses = vec![server.address];
        let configured = worker.ask(Command::Configure {
            dialect: Spec::Plain,
            addresses,
            sources,
            first: 0,
            total,
            spin: 0.0,
        });
        assert!(matches!(configured, Event::Configured), "{configured:?}");
        worker
    }

    fn ask(&mut self, command: Command) -> Event {
        self.commands.send(Ok(command)).unwrap();
        self.waker.wake().unwrap();
        loop {
            match self.events.recv_timeout(DEADLINE).expect("an answer in time") {
                Event::Progress(_) => {}
                event => return event,
            }
        }
    }

    fn open(&mut self, count: usize, rooms: Membership) -> Opened {
        match self.ask(Command::Open { count, in_flight: 16, per_second: None, rooms, receive_buffer: None })
        {
            Event::Opened(opened) => opened,
            other => panic!("{other:?}"),
        }
    }

    fn publish(&mut self, bursts: u32, burst: usize, body: usize, publishers: usize) -> Published {
        let (per_second, seconds) = (1_000.0, f64::from(bursts) / 1_000.0);
        let to = Aim::First;
        match self.ask(Command::Publish {
            per_second,
            burst,
            seconds,
            body,
            publishers,
            to,
            keys: None,
            patience: 10.0,
        }) {
            Event::Published(published) => published,
            other => panic!("{other:?}"),
        }
    }

    fn collect(&mut self, deliveries: u64) -> Collected {
        let within = DEADLINE.as_secs_f64() / 2.0;
        match self.ask(Command::Collect {
            deliveries: Some(deliveries),
            within,
            quiet: None,
            silences: false,
        }) {
            Event::Collected(collected) => collected,
            other => panic!("{other:?}"),
        }
    }

    fn standing(&mut self) -> Standing {
        match self.ask(Command::Stand) {
            Event::Standing(standing) => standing,
            other => panic!("{other:?}"),
        }
    }

    /// Asks how things stand until they stand so.
    fn wait(&mut self, what: &str, is: impl Fn(&Standing) -> bool) {
        let end = std::time::Instant::now() + DEADLINE;
        while !is(&self.standing()) {
            assert!(std::time::Instant::now() < end, "{what}: {:?}", self.standing());
            thread::yield_now();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        _ = self.commands.send(Ok(Command::End));
        _ = self.waker.wake();
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "the worker ended badly: {ended:?}");
        }
    }
}

#[test]
fn every_message_is_counted_at_every_connection() {
    let server = server(Manner::Broadcast);
    let mut worker = Worker::of(&server, 40);
    let opened = worker.open(40, Membership::One);
    assert_eq!((opened.opened, opened.failed), (40, 0), "{opened:?}");
    assert_eq!(histogram::unpack(&opened.latency).unwrap().len(), 40);

    let published = worker.publish(20, 5, 200, 1);
    assert_eq!((published.sent, published.due, published.payload_bytes), (100, Some(4_000), 200));
    assert_eq!(histogram::unpack(&published.lateness).unwrap().len(), 100);
    let collected = worker.collect(4_000);
    assert_eq!(collected.deliveries, 4_000);
    assert_eq!(collected.delivered_bytes, 4_000 * 200);
    assert!((1..=4_000).contains(&collected.reads), "{}", collected.reads);
    assert_eq!((collected.out_of_order, collected.closed, collected.refused), (0, 0, 0));
    assert_eq!(histogram::unpack(&collected.latency).unwrap().len(), 4_000);
    assert_eq!(histogram::unpack(&collected.last).unwrap().len(), 100);

    assert!(matches!(worker.ask(Command::Reset), Event::Done));
    assert_eq!(worker.collect(0).deliveries, 0);
    worker.publish(1, 1, 32, 1);
    let collected = worker.collect(40);
    assert_eq!((collected.deliveries, collected.delivered_bytes), (40, 40 * 32));
}

#[test]
fn fragments_and_big_messages_are_put_together_and_pings_answered() {
    for (manner, body) in [(Manner::Fragments, 300), (Manner::Broadcast, 700_000)] {
        let server = server(manner);
        let mut worker = Worker::of(&server, 3);
        worker.open(3, Membership::One);
        worker.publish(4, 2, body, 2);
        let collected = worker.collect(24);
        assert_eq!(collected.deliveries, 24, "{manner:?}");
        assert_eq!(collected.delivered_bytes, 24 * body as u64, "{manner:?}");
        assert_eq!((collected.out_of_order, collected.closed), (0, 0), "{manner:?}");
    }
}

#[test]
fn a_close_is_told_with_its_reason_and_its_publisher_misses() {
    let server = server(Manner::Close);
    let mut worker = Worker::of(&server, 2);
    worker.open(2, Membership::One);
    worker.publish(1, 1, 64, 1);
    worker.wait("closed", |standing| standing.closed == 1);
    let collected = worker.collect(0);
    assert_eq!(collected.closes, BTreeMap::from([("1008 Slow consumer".to_owned(), 1)]));
    let published = worker.publish(2, 3, 64, 1);
    assert_eq!((published.sent, published.unsent), (0, 6));
    assert_eq!(worker.standing().connections, 1);
}

#[test]
fn refused_connections_say_why() {
    let server = server(Manner::Refuse);
    let mut worker = Worker::of(&server, 3);
    let opened = worker.open(3, Membership::One);
    assert_eq!((opened.opened, opened.failed), (0, 3));
    assert_eq!(opened.first_failure.as_deref(), Some("status 503: full"));
    assert_eq!(worker.standing().opening, 0);
}

#[test]
fn nobody_there_is_a_failure_too() {
    let server = server(Manner::Broadcast);
    let mut worker = Worker::of(&server, 1);
    drop(server);
    let opened = worker.open(2, Membership::One);
    assert_eq!((opened.opened, opened.failed), (0, 2), "{opened:?}");
    assert!(opened.first_failure.is_some_and(|why| why.contains("refused")));
}

#[test]
fn closing_takes_the_newest_and_the_rest_goes_on() {
    for abruptly in [false, true] {
        let server = server(Manner::Broadcast);
        let mut worker = Worker::of(&server, 10);
        worker.open(10, Membership::One);
        assert!(matches!(worker.ask(Command::Close { count: Some(4), abruptly }), Event::Done));
        assert_eq!(worker.standing().connections, 6);
        worker.publish(1, 1, 64, 1);
        assert_eq!(worker.collect(6).deliveries, 6);
        assert_eq!(worker.open(2, Membership::One).opened, 2);
        assert!(matches!(worker.ask(Command::Close { count: None, abruptly }), Event::Done));
        let standing = worker.standing();
        assert_eq!((standing.connections, standing.closed), (0, 0));
    }
}

#[test]
fn churn_replaces_and_keeps_the_number() {
    let server = server(Manner::Broadcast);
    let mut worker = Worker::of(&server, 5);
    worker.open(5, Membership::One);
    let churned = worker.ask(Command::Churn { per_second: 100.0, seconds: 0.12, rooms: Membership::One });
    let Event::Opened(opened) = churned else { panic!("{churned:?}") };
    assert_eq!((opened.opened, opened.failed), (12, 0), "{opened:?}");
    assert_eq!(worker.standing().connections, 5);
    worker.publish(1, 1, 64, 1);
    assert_eq!(worker.collect(5).deliveries, 5);
}

#[test]
fn the_stalled_read_nothing_until_they_read_again() {
    let server = server(Manner::Broadcast);
    let mut worker = Worker::of(&server, 4);
    worker.open(4, Membership::One);
    assert!(matches!(worker.ask(Command::Stall { count: 3 }), Event::Done));
    worker.publish(1, 2, 64, 1);
    // The publisher stalls as well; the fourth alone reads.
    assert_eq!(worker.collect(2).deliveries, 2);
    assert!(matches!(worker.ask(Command::Stall { count: 0 }), Event::Done));
    assert_eq!(worker.collect(8).deliveries, 8);
}

#[test]
fn those_that_take_little_fall_behind_and_catch_up() {
    let server = server(Manner::Broadcast);
    let mut worker = Worker::of(&server, 4);
    worker.open(4, Membership::One);
    let trickle = |count| Command::Trickle { count, bytes: 100, every: 0.02, keys: 10 };
    assert!(matches!(worker.ask(trickle(1)), Event::Done));
    worker.publish(100, 1, 64, 1);
    // Three read as ever; of the fourth's 6,400 bytes at most a few thousand have been taken meanwhile.
    let collected = worker.collect(300);
    assert_eq!(collected.deliveries, 300);
    let [lag] = &collected.lags[..] else { panic!("{:?}", collected.lags) };
    assert!((1..100).contains(&lag.messages) && lag.backwards == 0, "{lag:?}");
    let behind = histogram::unpack(&lag.at_read).unwrap().max();
    assert!((1..=10).contains(&behind), "{behind} of ten values of a key");
    assert!(lag.held_most > 1_000, "{lag:?}");
    assert!(matches!(worker.ask(trickle(0)), Event::Done));
    // It takes the rest at once, and nothing that it had is counted again.
    worker.publish(1, 1, 64, 1);
    worker.wait("caught up", |standing| standing.deliveries > 300 + 4);
    assert!(worker.standing().deliveries <= 404 - lag.messages);
}

#[test]
fn a_steady_pace_opens_as_many() {
    let server = server(Manner::Broadcast);
    let mut worker = Worker::of(&server, 20);
    let opened = worker.ask(Command::Open {
        count: 20,
        in_flight: 1,
        per_second: Some(200.0),
        rooms: Membership::One,
        receive_buffer: None,
    });
    let Event::Opened(opened) = opened else { panic!("{opened:?}") };
    assert_eq!((opened.opened, opened.failed), (20, 0), "{opened:?}");
}

#[test]
fn what_cant_be_done_is_told() {
    let server = server(Manner::Broadcast);
    let mut worker = Worker::of(&server, 1);
    let publish = |body, publishers| Command::Publish {
        per_second: 1.0,
        burst: 1,
        seconds: 1.0,
        body,
        publishers,
        to: Aim::First,
        keys: None,
        patience: 1.0,
    };
    for command in [publish(64, 1), publish(1, 1)] {
        let answer = worker.ask(command);
        assert!(matches!(answer, Event::Failed { .. }), "{answer:?}");
    }
}
