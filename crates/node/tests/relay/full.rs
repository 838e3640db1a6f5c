//! A link that is full: its gateway reads, but by far not as fast as its clients' rooms speak. What may be left out is, oldest
//! first, and told; nothing else gives way.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use ringway_auth::Ticket;
use ringway_edge::Frame;
use ringway_link::codec::{decode_down, encode_up};
use ringway_link::{ConnNo, Down, Exit, Open, OpenAs, Up};
use ringway_protocol::EpochName;
use ringway_protocol::frame::Position;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::gateway::{Gateway, Said, payload, relayed, seal, upgraded};
use crate::world::{Here, World, soon, until};

/// A class of each policy.
const CLASSES: &str = r#"
[[classes]]
rooms = "cursors"
slow_consumer = "drop_oldest"
[[classes]]
rooms = "prices"
slow_consumer = "conflate"
"#;

/// The most that waits for a link, in bytes.
const BOUND: i64 = 16 << 20;

/// Bytes of a publication.
const SIZE: usize = 60_000;

/// And how many are read meanwhile.
const READ: usize = 16 * 1024;

/// So many publications fill the link several times over.
const ENOUGH: u64 = 3_000;

const CONN: ConnNo = ConnNo(1);

/// What the gateway heard of one room.
#[derive(Debug, PartialEq)]
enum Heard {
    Word {
        offset: u64,
        key: Option<String>,
    },
    /// The last of so many that were left out.
    Lost {
        offset: u64,
        frames: u64,
    },
}

/// A gateway that reads when the test says so, and only then looks at what it has read.
#[derive(Default)]
struct Slow {
    socket: Option<TcpStream>,
    bytes: Vec<u8>,
    /// Of what was read, so much was looked at.
    seen: usize,
    names: BTreeMap<u32, String>,
    epochs: BTreeMap<String, EpochName>,
    rooms: BTreeMap<String, Vec<Heard>>,
    answers: Vec<Value>,
    /// In and out, of rooms.
    ways: Vec<(String, bool)>,
    pongs: Vec<u64>,
}

impl Slow {
    async fn link(to: &Here) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // So that what isn't read waits at the node.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut stream = socket.connect(to.address()).await.unwrap();
        let bytes = upgraded(&mut stream).await.to_vec();
        Self { socket: Some(stream), bytes, ..Self::default() }
    }

    fn socket(&mut self) -> &mut TcpStream {
        self.socket.as_mut().unwrap()
    }

    async fn client(&mut self, ticket: &Ticket) {
        let ticket = &*seal(ticket);
        let role = OpenAs::Home;
        let open = Open { conn: CONN, role, ticket, traceparent: None, age: 0, told_to_go: false };
        self.say(&Up::Open(open)).await;
        self.say(&Up::Begin { conn: CONN }).await;
    }

    async fn say(&mut self, record: &Up<'_>) {
        let mut bytes = Vec::new();
        encode_up(record, &mut bytes);
        self.socket().write_all(Frame::record(&bytes).encoded()).await.unwrap();
    }

    async fn frame(&mut self, frame: &str) {
        self.say(&Up::Frame { conn: CONN, text: true, message: frame.as_bytes() }).await;
    }

    /// Reads no more than that, if it is there.
    fn read_some(&mut self, most: usize) {
        let mut some = vec![0; most];
        match self.socket().try_read(&mut some) {
            Ok(0) => panic!("the link has ended"),
            Ok(read) => self.bytes.extend_from_slice(&some[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }

    /// Reads all that was said so far.
    async fn catch_up(&mut self) {
        let number = self.pongs.last().copied().unwrap_or_default().max(1 << 32) + 1;
        self.say(&Up::Ping { number }).await;
        loop {
            self.look();
            if self.pongs.last() == Some(&number) {
                return;
            }
            let mut some = vec![0; 256 * 1024];
            let read = soon("more of the link", self.socket().read(&mut some)).await.unwrap();
            assert!(read > 0, "the link has ended");
            self.bytes.extend_from_slice(&some[..read]);
        }
    }

    /// Reads to the end of the link: the code with which the node closes it. None: it was read so late that nobody was there.
    async fn ended(&mut self) -> Option<u16> {
        let bytes = &mut self.bytes;
        let _ = soon("the end", self.socket.as_mut().unwrap().read_to_end(bytes)).await;
        self.look();
        match self.bytes[..] {
            [0x88, _, high, low, ..] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }

    /// Looks at what was read.
    fn look(&mut self) {
        while let Some((record, used)) = record(&self.bytes[self.seen..]) {
            let record = record.to_vec();
            self.seen += used;
            self.take(decode_down(&record).unwrap());
        }
        self.bytes.drain(..std::mem::take(&mut self.seen));
    }

    fn take(&mut self, record: Down<'_>) {
        match record {
            Down::Room(room) => {
                self.names.insert(room.number.0, room.room.to_string());
                self.epochs.extend(room.epoch.map(|epoch| (room.room.to_string(), epoch)));
            }
            Down::Cast(cast) => {
                let word = Heard::Word {
                    offset: cast.offset.unwrap(),
                    key: cast.key.map(|key| key.as_str().to_owned()),
                };
                self.of(cast.room.0).push(word);
            }
            Down::Lost { room, offset, frames, .. } => self.of(room.0).push(Heard::Lost { offset, frames }),
            Down::Send { frame, .. } => self.answers.push(payload(frame)),
            Down::Enter { room, .. } => self.ways.push((self.names[&room.0].clone(), true)),
            Down::Exit { room, why, .. } => {
                assert_eq!(why, Exit::Left);
                self.ways.push((room.to_string(), false));
            }
            Down::Pong { number } => self.pongs.push(number),
            Down::Opened { .. } | Down::Credit { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn of(&mut self, room: u32) -> &mut Vec<Heard> {
        self.rooms.entry(self.names[&room].clone()).or_default()
    }

    fn in_room(&self, room: &str) -> &[Heard] {
        self.rooms.get(room).map_or(&[], Vec::as_slice)
    }
}

/// The first record of these bytes, if it is whole, and how many it takes.
fn record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (head, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(short)),
    };
    match bytes[0] {
        0x82 => Some((bytes.get(head..head + length)?, head + length)),
        0x88 => None,
        first => panic!("not a record: {first:#x}"),
    }
}

/// Publishes by a gateway that keeps up, and waits until it has its answer and the cast.
async fn publish(gateway: &mut Gateway, room: &str, id: u64, key: Option<&str>, size: usize) {
    let data = "x".repeat(size);
    let key = key.map(|key| format!(r#""key":"{key}","#)).unwrap_or_default();
    gateway.frame(1, &format!(r#"{{"t":"pub","room":"{room}","id":{id},{key}"data":"{data}"}}"#));
    let (mut answered, mut cast) = (false, false);
    while !(answered && cast) {
        match gateway.next().await {
            Said::Cast { .. } => cast = true,
            Said::Send { frame, .. } => {
                assert_eq!((&frame["t"], &frame["id"]), (&"ok".into(), &id.into()), "{frame}");
                answered = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_link_leaves_out_what_may_be_tells_so_and_loses_nothing_else() {
    let world = World::start(CLASSES).await;
    let node = world.node();
    let mut slow = Slow::link(node).await;
    slow.client(&relayed(None)).await;
    let mut quick = Gateway::link(node).await;
    quick.client(1, &relayed(None)).await;
    for (id, room) in (1..).zip(["cursors", "prices", "chat"]) {
        slow.frame(&format!(r#"{{"t":"join","room":"{room}","id":{id}}}"#)).await;
        quick.join(1, room).await;
        quick.until(|said| matches!(said, Said::Enter { .. })).await;
    }
    slow.catch_up().await;
    assert_eq!(slow.ways.len(), 3);
    let (answers, ways, pongs) = (slow.answers.len(), slow.ways.len(), slow.pongs.len());

    // Much is said, and of what concerns its client alone a little of each kind, until a good part was left out.
    let (mut most, mut said) = (0, 0_u64);
    let (mut asked, mut pinged, mut moved) = (Vec::new(), Vec::new(), Vec::new());
    // The newest of each key, and how many there were.
    let (mut newest, mut priced) = (BTreeMap::new(), 0);
    while node.metric("ringway_slow_dropped_total{tenant=\"acme\"}") < 200 {
        said += 1;
        assert!(said < ENOUGH, "nothing is left out");
        publish(&mut quick, "cursors", said, None, SIZE).await;
        slow.read_some(READ);
        most = most.max(node.metric("ringway_node_link_queue_bytes"));
        let id = 1_000 * said;
        match said % 10 {
            0 => publish(&mut quick, "chat", id, None, 10).await,
            1 | 2 => {
                let key = format!("k{}", said % 4);
                publish(&mut quick, "prices", id, Some(&key), 1_000).await;
                priced += 1;
                newest.insert(key, priced);
            }
            3 => {
                slow.frame(&format!(r#"{{"t":"ping","id":{id}}}"#)).await;
                asked.push(id);
            }
            4 => {
                slow.say(&Up::Ping { number: said }).await;
                pinged.push(said);
            }
            5 | 6 => {
                let (what, is_in) = if said % 10 == 5 { ("join", true) } else { ("leave", false) };
                let room = format!("of-{}", said / 10);
                slow.frame(&format!(r#"{{"t":"{what}","room":"{room}","id":{id}}}"#)).await;
                moved.push((room, is_in));
                asked.push(id);
            }
            _ => {}
        }
    }
    println!("{said} publications, at most {most} bytes waited");
    // The one that keeps up has next to nothing waiting.
    assert!((BOUND * 3 / 4..=BOUND + (1 << 20)).contains(&most), "{most}");

    slow.catch_up().await;
    // Word for word, in order, and once.
    let ids: Vec<u64> = slow.answers[answers..].iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, asked, "answers");
    assert!(slow.answers.iter().all(|answer| answer["t"] != "err"), "{:?}", slow.answers);
    assert_eq!(slow.ways[ways..], moved, "who is where");
    assert_eq!(slow.pongs[pongs..slow.pongs.len() - 1], pinged, "pongs");
    let chat = (1..=said / 10).map(|offset| Heard::Word { offset, key: None });
    assert_eq!(slow.in_room("chat"), chat.collect::<Vec<_>>(), "what may not be left out");
    // The oldest went first, and each hole is told, in its place.
    let (mut at, mut lost) = (0, 0);
    for heard in slow.in_room("cursors") {
        match heard {
            Heard::Word { offset, .. } => assert_eq!(*offset, at + 1, "a hole without a word"),
            Heard::Lost { offset, frames } => {
                assert_eq!(*offset, at + frames, "no more and no less than was left out");
                lost += frames;
            }
        }
        at = match heard {
            Heard::Word { offset, .. } | Heard::Lost { offset, .. } => *offset,
        };
    }
    assert_eq!(at, said);
    assert!(lost > 0);
    let prices = slow.in_room("prices");
    let offsets = prices.iter().map(|heard| match heard {
        Heard::Word { offset, .. } | Heard::Lost { offset, .. } => *offset,
    });
    assert!(offsets.is_sorted_by(|a, b| a < b), "no older value after a newer one: {prices:?}");
    for (of, newest) in newest {
        // What was left out is told up to its offset.
        let is_had = prices.iter().any(|heard| match heard {
            Heard::Word { offset, key } => *offset == newest && key.as_ref() == Some(&of),
            Heard::Lost { offset, .. } => *offset >= newest,
        });
        assert!(is_had, "{of}, {newest}: {prices:?}");
    }
    println!("{lost} of {at} were left out; of {priced} prices {} came", prices.len());

    // It reads as before, and nothing is missing.
    let before = slow.in_room("cursors").len();
    for _ in 0..50 {
        said += 1;
        publish(&mut quick, "cursors", said, None, SIZE).await;
        slow.catch_up().await;
    }
    let after = (said - 49..=said).map(|offset| Heard::Word { offset, key: None });
    assert_eq!(slow.in_room("cursors")[before..], after.collect::<Vec<_>>());
    until("nothing waits", || node.metric("ringway_node_link_queue_bytes") == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_full_of_what_may_not_be_left_out_is_cut_and_begun_anew_from_where_each_was() {
    let world = World::start(CLASSES).await;
    let node = world.node();
    let (mut slow, ticket) = (Slow::link(node).await, relayed(None));
    slow.client(&ticket).await;
    let mut quick = Gateway::link(node).await;
    quick.client(1, &relayed(None)).await;
    for (id, room) in (1..).zip(["cursors", "chat"]) {
        slow.frame(&format!(r#"{{"t":"join","room":"{room}","id":{id}}}"#)).await;
        quick.join(1, room).await;
        quick.until(|said| matches!(said, Said::Enter { .. })).await;
    }
    slow.catch_up().await;

    let mut said = 0;
    while node.metric("ringway_node_links") > 1 {
        said += 1;
        assert!(said < ENOUGH, "its link is still there");
        publish(&mut quick, "chat", said, None, SIZE).await;
        publish(&mut quick, "cursors", 1_000_000 + said, None, 1_000).await;
        if node.metric("ringway_node_links") > 1 {
            slow.read_some(READ);
        }
    }
    // What gives way gave way first.
    let left_out = node.metric("ringway_slow_dropped_total{tenant=\"acme\"}");
    println!("cut after {said} publications; {left_out} were left out before");
    assert!(left_out > 0);
    assert!(matches!(slow.ended().await, Some(1008) | None));
    let Some(&Heard::Word { offset: mut at, .. }) = slow.in_room("chat").last() else {
        panic!("nothing came")
    };
    let whole = (1..=at).map(|offset| Heard::Word { offset, key: None });
    assert_eq!(slow.in_room("chat"), whole.collect::<Vec<_>>());

    let mut again = Gateway::link(node).await;
    again.open(1, OpenAs::HomeAgain, &ticket);
    again.rejoin(1, "chat", Some(Position { epoch: slow.epochs["chat"].clone(), offset: at, ts: None }));
    let mut gaps = 0;
    while at <= said {
        let (offset, is_gap) = match again.next().await {
            Said::Send { frame, .. } => (frame["offset"].as_u64().unwrap(), frame["t"] == "gap"),
            Said::Cast { offset, .. } => (offset.unwrap(), false),
            Said::Opened { .. } | Said::Room(_) => continue,
            Said::Enter { .. } => {
                publish(&mut quick, "chat", said + 1, None, 10).await;
                continue;
            }
            other => panic!("{other:?}"),
        };
        gaps += u32::from(is_gap);
        assert!(is_gap || offset == at + 1, "{offset} after {at}");
        at = offset;
    }
    assert_eq!(gaps, 1, "the buffer is shorter than what was missed");
}
