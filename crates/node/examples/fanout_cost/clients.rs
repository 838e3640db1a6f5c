//! The members and the publisher, in a process of their own that does as it is told over one socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of text in a publication.
const PAYLOAD: usize = 128;

/// A ping of the server's, which has no payload, and the answer: who gives none is cut off.
const PING: [u8; 2] = [0x89, 0];
const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];

/// How often a sleepy reader looks.
const LOOK: Duration = Duration::from_micros(500);

/// One of so many sockets is looked at by a sleepy reader.
const LOOKED_AT: usize = 16;

/// Words to and from the clients' process, a line each.
pub(crate) struct Orders(pub(crate) TcpStream);

impl Orders {
    pub(crate) fn say(&mut self, words: &str) {
        self.0.write_all(format!("{words}\n").as_bytes()).unwrap();
    }

    /// Waits for an answer that begins with this word. What follows it.
    pub(crate) fn expect(&mut self, word: &str) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.0.read(&mut byte).unwrap() > 0 && byte != *b"\n" {
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        line.strip_prefix(word).unwrap_or_else(|| panic!("{line:?} instead of {word:?}")).trim().to_owned()
    }

    pub(crate) fn ask(&mut self, word: &str) -> String {
        self.say(word);
        self.expect(word)
    }
}

struct Clients {
    count: usize,
    runtime: tokio::runtime::Runtime,
    bare: Vec<TcpStream>,
    members: Vec<TcpStream>,
    publisher: Option<TcpStream>,
    room: String,
    frame: usize,
    /// Bytes that woken readers have read.
    read: Arc<AtomicU64>,
    sleepy: bool,
}

pub(crate) fn run(orders: SocketAddr, count: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut clients = Clients {
        count,
        runtime,
        bare: Vec::new(),
        members: Vec::new(),
        publisher: None,
        room: String::new(),
        frame: 0,
        read: Arc::default(),
        sleepy: false,
    };
    let mut back = Orders(TcpStream::connect(orders).unwrap());
    let lines = BufReader::new(back.0.try_clone().unwrap());
    for line in lines.lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["bare", address] => {
                clients.bare = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
                back.say("open");
            }
            ["join", address, room] => {
                clients.join(address, room);
                back.say("joined");
            }
            ["frame"] => {
                let payload = clients.first_frame();
                back.say(&format!("frame {payload}"));
            }
            ["sleepy"] => clients.sleepy = true,
            ["watch", deliveries] => clients.watch(deliveries.parse().unwrap(), &mut back),
            ["publish", times] => clients.publish(times.parse().unwrap(), &mut back),
            ["pace", times] => clients.pace(times.parse().unwrap(), &mut back),
            _ => panic!("{line:?}"),
        }
    }
}

impl Clients {
    fn join(&mut self, address: &str, room: &str) {
        self.room = room.to_owned();
        for _ in 0..self.count {
            let mut socket = TcpStream::connect(address).unwrap();
            next_frame(&mut socket);
            socket.write_all(&masked(&format!(r#"{{"t":"join","room":"{room}","id":1}}"#))).unwrap();
            self.members.push(socket);
        }
        self.members.iter_mut().for_each(|socket| drop(next_frame(socket)));
        let mut publisher = TcpStream::connect(address).unwrap();
        publisher.set_nodelay(true).unwrap();
        next_frame(&mut publisher);
        self.publisher = Some(publisher);
    }

    /// Publishes once: how long the frame's payload is that each member gets. Then the readers are started.
    fn first_frame(&mut self) -> usize {
        self.send(1);
        let lengths: Vec<usize> = self.members.iter_mut().map(|socket| next_frame(socket).len()).collect();
        let payload = lengths[0];
        self.frame = payload + 4;
        for socket in self.members.iter().chain(&self.bare) {
            socket.set_nonblocking(true).unwrap();
        }
        payload
    }

    fn send(&mut self, times: usize) {
        let text = format!(r#"{{"t":"pub","room":"{}","data":"{}"}}"#, self.room, "x".repeat(PAYLOAD));
        self.publisher.as_mut().unwrap().write_all(&masked(&text).repeat(times)).unwrap();
    }

    fn wake(&mut self) {
        for socket in self.members.drain(..).chain(self.bare.drain(..)) {
            self.runtime.spawn(read(socket, self.read.clone()));
        }
    }

    /// Deliveries of the floor are to come: says when all have.
    fn watch(&mut self, deliveries: usize, back: &mut Orders) {
        if self.sleepy {
            back.say("watching");
            let took = look(&self.bare, self.frame, Instant::now());
            return back.say(&format!("all {}", took.as_micros()));
        }
        self.wake();
        self.until(deliveries, back);
    }

    fn publish(&mut self, times: usize, back: &mut Orders) {
        let start = Instant::now();
        self.send(times);
        if self.sleepy {
            let took = look(&self.members, self.frame, start);
            return back.say(&format!("all {}", took.as_micros()));
        }
        self.until(times * self.count, back);
    }

    fn pace(&mut self, times: usize, back: &mut Orders) {
        let start = Instant::now();
        for number in 0..times {
            let due = start + Duration::from_millis(number as u64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.send(1);
        }
        self.until(times * self.count, back);
    }

    /// Waits for all bytes, of which offsets with more digits make a few more than told.
    fn until(&mut self, deliveries: usize, back: &mut Orders) {
        let expected = (deliveries * self.frame) as u64;
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.read.load(Ordering::Relaxed) < expected {
            assert!(Instant::now() < deadline, "{} of {expected}", self.read.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(2));
        }
        // Those few, too.
        std::thread::sleep(Duration::from_millis(10));
        self.read.store(0, Ordering::Relaxed);
        back.say("all");
    }
}

async fn read(socket: TcpStream, read: Arc<AtomicU64>) {
    let mut socket = tokio::net::TcpStream::from_std(socket).unwrap();
    let mut buffer = [0; 8_192];
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        read.fetch_add(count as u64, Ordering::Relaxed);
        if has_ping(&buffer[..count]) {
            socket.write_all(&PONG).await.unwrap();
        }
    }
}

/// No JSON has this byte.
fn has_ping(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == PING)
}

/// Looks now and then until every socket has had a frame: when the last had it. While the time counts only some of them
/// are looked at, since reading all would take as much of the cores as writing does.
fn look(sockets: &[TcpStream], frame: usize, start: Instant) -> Duration {
    let mut buffer = vec![0; 4 * frame];
    for socket in sockets.iter().step_by(LOOKED_AT).chain(sockets.last()) {
        while !socket.peek(&mut buffer).is_ok_and(|count| count >= frame) {
            std::thread::sleep(LOOK);
        }
    }
    let took = start.elapsed();
    for mut socket in sockets {
        let mut left = frame;
        while left > 0 {
            match socket.read(&mut buffer) {
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK),
                Err(error) => panic!("{error}"),
            }
            if has_ping(&buffer) {
                buffer.fill(0);
                socket.write_all(&PONG).unwrap();
            }
        }
    }
    took
}

/// The payload of the next frame from the server.
fn next_frame(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).unwrap();
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        socket.read_exact(&mut long).unwrap();
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).unwrap();
    payload
}

/// A client's text frame; the mask is zero.
fn masked(text: &str) -> Vec<u8> {
    let length = text.len() as u16;
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}
