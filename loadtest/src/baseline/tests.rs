//! Every baseline, served in this process: what goes to all, what comes back, who reads late, who leaves.

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use ringway_testkit::ports::free_port;
use tokio_tungstenite::tungstenite::{self, Error, HandshakeError, Message, WebSocket};

use super::connection::{Connection, Over, State};
use super::floor::{OneByOne, Outcome, Spread};
use super::{Kind, run, uring};

const SOON: Duration = Duration::from_secs(10);

/// A server that lives as long as the tests.
fn served(kind: Kind) -> SocketAddr {
    let address = free_port();
    std::thread::spawn(move || run(kind, address).expect("a baseline serves"));
    let deadline = Instant::now() + SOON;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "{kind:?} doesn't listen");
        std::thread::yield_now();
    }
    address
}

/// All kinds that serve alone and that this kernel can have.
fn kinds() -> Vec<Kind> {
    let possible = |kind: &Kind| match kind {
        Kind::Uring => super::has_uring().is_ok(),
        Kind::Nats => false,
        _ => true,
    };
    Kind::value_variants().iter().copied().filter(possible).collect()
}

struct Client(WebSocket<TcpStream>);

impl Client {
    fn new(address: SocketAddr, path: &str) -> Client {
        loop {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            match tungstenite::client(format!("ws://{address}{path}"), stream) {
                Ok((socket, _)) => return Client(socket),
                // A read with a deadline isn't taken up again by itself after a signal.
                Err(HandshakeError::Failure(Error::Io(error))) if error.kind() == ErrorKind::Interrupted => {}
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    fn hear(&mut self) -> String {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return text.to_string(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                // A read with a deadline isn't taken up again by itself after a signal.
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Skips everything before `text`.
    fn wait_for(&mut self, text: &str) {
        while self.hear() != text {}
    }
}

/// What every server with `/` and `/echo` must do.
fn broadcasts_and_echoes(address: SocketAddr) {
    let (mut ann, mut ben) = (Client::new(address, "/"), Client::new(address, "/"));
    // Some servers answer the upgrade before they have noted who came: who hears itself is there.
    ben.say("ben is there");
    ben.wait_for("ben is there");
    ann.say("ann is there");
    ann.wait_for("ann is there");
    ben.wait_for("ann is there");
    // In order, whatever their lengths, however they share reads and writes.
    let messages: Vec<String> =
        (0..300).map(|n| format!("{n} {}", "x".repeat([0, 10, 150, 1_000, 70_000][n % 5]))).collect();
    let (all, mut publisher) = (messages.clone(), ann);
    let publishing = std::thread::spawn(move || {
        for message in &all {
            publisher.say(message);
            // Who reads nothing may be closed.
            assert_eq!(publisher.hear(), *message);
        }
        publisher
    });
    for message in &messages {
        assert_eq!(ben.hear(), *message);
    }
    let mut ann = publishing.join().unwrap();
    // Who leaves, in either way, is missed by nobody.
    ann.0.close(None).unwrap();
    while ann.0.read().is_ok() {}
    drop(Client::new(address, "/"));
    let mut echo = Client::new(address, "/echo");
    echo.say("come back");
    assert_eq!(echo.hear(), "come back");
    ben.say("alone");
    ben.wait_for("alone");
    ben.say("still");
    assert_eq!(ben.hear(), "still", "an echo is nobody else's");
}

#[test]
fn every_baseline_broadcasts_and_echoes() {
    for kind in kinds() {
        broadcasts_and_echoes(served(kind));
    }
}

#[test]
fn messages_that_share_a_read_are_sent_one_by_one() {
    let address = served(Kind::Floor);
    let mut publisher = Client::new(address, "/");
    for n in 0..50 {
        publisher.0.write(Message::text(n.to_string())).unwrap();
    }
    publisher.0.flush().unwrap();
    for n in 0..50 {
        assert_eq!(publisher.hear(), n.to_string());
    }
}

/// A connection whose socket takes little, and its other end.
fn narrow() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (own, _) = listener.accept().unwrap();
    own.set_nonblocking(true).unwrap();
    socket2::SockRef::from(&own).set_send_buffer_size(4_096).unwrap();
    let mut connection = Connection::new(mio::net::TcpStream::from_std(own));
    connection.state = State::Broadcast;
    (connection, other)
}

/// Spreads until someone is behind, and then some; the late reader gets all of it, in order.
fn a_late_reader_gets_everything(mut spread: impl Spread) {
    let (late, mut other) = narrow();
    let mut all = [None, Some(late)];
    let mut outcome = Outcome::default();
    let (mut sent, mut after) = (Vec::new(), 0);
    for n in 0_u32.. {
        let frame = vec![n as u8; 10_000];
        spread.spread(&frame, &mut all, &mut outcome);
        assert!(outcome.over.is_empty());
        sent.extend(frame);
        after += usize::from(!outcome.behind.is_empty());
        if after > 10 {
            break;
        }
    }
    assert_eq!(outcome.behind, [1], "told once");
    let length = sent.len();
    let reading = std::thread::spawn(move || {
        let mut received = vec![0; length];
        other.read_exact(&mut received).unwrap();
        received
    });
    let deadline = Instant::now() + SOON;
    while !all[1].as_mut().unwrap().catch_up().unwrap() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert!(reading.join().unwrap() == sent);
    assert_eq!(all[1].as_ref().unwrap().behind.capacity(), 0, "nothing is kept for an idle connection");
}

#[test]
fn a_late_reader_gets_everything_by_send() {
    a_late_reader_gets_everything(OneByOne);
}

#[test]
fn a_late_reader_gets_everything_by_uring() {
    if let Ok(batches) = uring::Batches::new() {
        a_late_reader_gets_everything(batches);
    }
}

#[test]
fn who_never_reads_is_closed() {
    let (mut connection, _other) = narrow();
    let frame = vec![0; 100_000];
    let sent = (0..200).map(|_| connection.send(&frame)).find(Result::is_err);
    assert_eq!(sent, Some(Err(Over)));
}

#[test]
fn more_connections_than_a_batch_all_hear() {
    let Ok(mut batches) = uring::Batches::of(4) else { return };
    let (mut all, others): (Vec<_>, Vec<_>) =
        (0..9).map(|_| narrow()).map(|(own, other)| (Some(own), other)).unzip();
    let mut outcome = Outcome::default();
    batches.spread(b"to all", &mut all, &mut outcome);
    assert!(outcome.over.is_empty() && outcome.behind.is_empty());
    for mut other in others {
        let mut heard = [0; 6];
        other.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"to all");
    }
}
