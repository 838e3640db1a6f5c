//! Members that read too slowly, by the class of their room: what they get, what they are told, and that nobody else
//! notices. Behind a gateway, on the room's own node and on another one over NATS.

mod bytes;
mod conflate;
mod disconnect;
mod drop_oldest;
mod newest;
mod pace;

use ringway_protocol::frame::{Gap, GapReason};
use ringway_protocol::{Format, ServerFrame};
use ringway_testkit::processes::Process;
use ringway_testkit::wait::until;
use serde_json::{Value, json};
use socket2::SockRef;

use crate::bare::{Bare, SMALL, SOON, encoded};
use crate::cluster::Cluster;
use crate::peer;
use crate::support::{Door, node_of, open_over};

/// A class of each policy.
pub const CLASSES: &str = r#"
[[classes]]
rooms = "chat.**"
[[classes]]
rooms = "cursors.**"
slow_consumer = "drop_oldest"
[[classes]]
rooms = "prices.few.**"
slow_consumer = "conflate"
replay = { messages = 3 }
[[classes]]
rooms = "prices.**"
slow_consumer = "conflate"
"#;

/// A room of each class.
pub const ROOMS: [&str; 3] = ["chat.{slow}", "cursors.{slow}", "prices.{slow}"];

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

/// So much that the sockets on the way may hold it, and what a member's queue holds, several times.
const ENOUGH: usize = 40 << 20;

/// A gateway before two nodes, which clients can also reach directly, with a class of each policy.
fn cluster() -> Cluster {
    Cluster::reachable(|nats| open_over(nats) + CLASSES)
}

/// Of whoever has the sockets: nodes, and gateways by the relay.
fn figure(cluster: &Cluster, name: &str, labels: &[&str]) -> f64 {
    let processes = cluster.nodes.iter().chain(&cluster.gateways);
    processes.map(Process::metrics).map(|scrape| scrape.sum(name, labels)).sum()
}

/// A home room on that node, and nothing else in it.
fn home_on(cluster: &Cluster, node: &str) -> String {
    let is_there = |room: &String| node_of(cluster.gateway(), room) == node;
    (0..).map(|n| format!("home {n}")).find(is_there).unwrap()
}

/// The nodes, the room's own first.
fn nodes_of(cluster: &Cluster, room: &str) -> [String; 2] {
    let own = node_of(cluster.gateway(), room);
    let other = if own == "node-1" { "node-2" } else { "node-1" };
    [own, other.to_owned()]
}

/// One member of one room, which it joins itself: wherever it is, and however it reads.
struct Reader {
    bare: Bare,
    format: Format,
    room: String,
    epoch: String,
    /// How far it is.
    at: u64,
    /// It is in other rooms too, which aren't looked at.
    elsewhere: bool,
}

/// What it is told.
#[derive(Debug)]
enum Told {
    Msg { offset: u64, key: Option<String>, data: Value },
    Gap(Gap),
}

impl Reader {
    /// Behind the gateway, on that node.
    fn on(cluster: &Cluster, node: &str, format: Format, room: &str) -> Self {
        Self::joining(cluster, Door::Gateway, node, format, &json!({"room": room}))
    }

    /// Directly at that node, where little can be on its way: it is behind as soon as it stands still.
    fn at(cluster: &Cluster, node: &str, format: Format, room: &str) -> Self {
        Self::joining(cluster, Door::Direct, node, format, &json!({"room": room})).small()
    }

    /// With further fields of the join.
    fn joining(cluster: &Cluster, door: Door, node: &str, format: Format, join: &Value) -> Self {
        let offer = format!("Sec-WebSocket-Protocol: {}", format.subprotocol());
        let query = format!("room={}", encoded(&home_on(cluster, node)));
        let (address, target) = door.way(cluster.gateway(), &query);
        let mut bare = Bare::upgraded(address, &target, &[&offer]);
        while !matches!(bare.hear_as(format), ServerFrame::Joined(_)) {}
        let mut request = json!({"t": "join", "id": 1});
        request.as_object_mut().unwrap().extend(join.as_object().unwrap().clone());
        send(&mut bare, format, &request);
        let ServerFrame::Ok(answer) = bare.hear_as(format) else { panic!("no answer to {join}") };
        let result = answer.result.unwrap().into_join();
        if join.get("since").is_some() {
            assert_eq!(result.resumed, Some(true), "{join}: {result:?}");
        }
        let room = join["room"].as_str().unwrap().to_owned();
        let (epoch, at) = (result.epoch.unwrap().to_string(), result.offset.unwrap());
        Self { bare, format, room, epoch, at, elsewhere: false }
    }

    /// So that little is on its way.
    fn small(self) -> Self {
        SockRef::from(self.bare.socket()).set_recv_buffer_size(SMALL).unwrap();
        self
    }

    /// In another room as well.
    fn and_in(mut self, room: &str) -> Self {
        send(&mut self.bare, self.format, &json!({"t": "join", "id": 2, "room": room}));
        assert!(matches!(self.bare.hear_as(self.format), ServerFrame::Ok(_)));
        self.elsewhere = true;
        self
    }

    /// The next word of the room; none: the connection is over.
    fn next(&mut self) -> Option<Told> {
        let kind = if self.format == Format::Json { 0x81 } else { 0x82 };
        loop {
            let came = self.bare.frame()?;
            if came.first == 0x88 {
                return None;
            }
            assert_eq!(came.first, kind, "{came:?}");
            let frame = ringway_protocol::decode_server(self.format, &came.payload).unwrap().unwrap();
            if peer::room_of(&frame).is_none_or(|room| room.as_str() != self.room) {
                assert!(self.elsewhere, "{frame:?}");
                continue;
            }
            return Some(match frame {
                ServerFrame::Msg(msg) => {
                    let data = serde_json::from_str(&peer::text(&msg.data)).unwrap();
                    let key = msg.key.map(|key| key.to_string());
                    Told::Msg { offset: msg.offset.unwrap(), key, data }
                }
                ServerFrame::Gap(gap) => Told::Gap(gap),
                other => panic!("{other:?}"),
            });
        }
    }

    /// The next word of the room, which has to be of a later number than all before.
    fn step(&mut self) -> Told {
        let told = self.next().unwrap_or_else(|| panic!("{}: closed at {}", self.room, self.at));
        let offset = match &told {
            Told::Msg { offset, .. } => *offset,
            Told::Gap(gap) => {
                assert_eq!((gap.reason.clone(), gap.epoch.as_str()), (GapReason::Slow, &*self.epoch));
                assert!(gap.ts.is_some() && gap.lost > Some(0), "{gap:?}");
                gap.offset
            }
        };
        assert!(offset > self.at, "{}: {told:?} after {}", self.room, self.at);
        self.at = offset;
        told
    }

    /// All up to that number.
    fn until(&mut self, newest: u64) -> Vec<Told> {
        let mut all = Vec::new();
        while self.at < newest {
            all.push(self.step());
        }
        all
    }

    /// Nothing is on its way to it, and it isn't closed.
    fn has_all(&mut self) {
        send(&mut self.bare, self.format, &json!({"t": "ping", "id": 4242}));
        match self.bare.hear_as(self.format) {
            ServerFrame::Ok(answer) => assert_eq!(answer.id, Some(4242)),
            other => panic!("{}: {other:?}", self.room),
        }
    }
}

/// Publications, and how many of them were left out and told so: every number from `begin` on is the one or the other.
fn accounted(begin: u64, all: &[Told]) -> (u64, u64) {
    let (mut at, mut heard, mut lost) = (begin, 0, 0);
    for told in all {
        match told {
            Told::Msg { offset, .. } => {
                assert_eq!(*offset, at + 1, "a hole without a word");
                (at, heard) = (*offset, heard + 1);
            }
            Told::Gap(gap) => {
                assert_eq!(gap.lost, Some(gap.offset - at), "{gap:?} at {at}");
                (at, lost) = (gap.offset, lost + gap.offset - at);
            }
        }
    }
    (heard, lost)
}

/// Somebody who publishes to one room, of which it is the only publisher.
struct Speaker {
    bare: Bare,
    room: String,
    /// So many were published.
    newest: u64,
}

impl Speaker {
    fn on(cluster: &Cluster, node: &str, room: &str) -> Self {
        let bare = Bare::in_room(cluster.gateway(), &home_on(cluster, node));
        Self { bare, room: room.to_owned(), newest: 0 }
    }

    /// Publishes so many more, of that size, each with the key that belongs to its number, and waits for the answers.
    fn say(&mut self, count: u64, size: usize, key: impl Fn(u64) -> Option<String>) {
        const AT_ONCE: u64 = 40;
        let fill = "x".repeat(size);
        let end = self.newest + count;
        while self.newest < end {
            let last = end.min(self.newest + AT_ONCE);
            for number in self.newest + 1..=last {
                let mut frame = json!({"t": "pub", "id": number, "room": self.room, "data": [number, fill]});
                if let Some(key) = key(number) {
                    frame["key"] = key.into();
                }
                self.bare.say(&frame);
            }
            for number in self.newest + 1..=last {
                let answer = self.bare.until(|frame| frame.get("id").is_some());
                assert_eq!(
                    (&answer["t"], &answer["id"], &answer["result"]["offset"]),
                    (&json!("ok"), &json!(number), &json!(number)),
                    "{answer}"
                );
            }
            self.newest = last;
        }
    }

    /// Publishes until that is so.
    fn say_until(
        &mut self,
        what: &str,
        size: usize,
        key: impl Fn(u64) -> Option<String>,
        mut is_so: impl FnMut() -> bool,
    ) {
        let begin = self.newest;
        while !is_so() {
            let said = (self.newest - begin) as usize * size;
            assert!(said < ENOUGH, "{said} bytes were published, and still not: {what}");
            self.say(10, size, &key);
        }
    }
}

/// Publishes until the sockets on the way take no more for a while, so that something waits in the queue of the room's only
/// member, the only one who is behind. The room has to be one that may lose what waits.
fn until_stuck(cluster: &Cluster, speaker: &mut Speaker, key: impl Fn(u64) -> Option<String>) {
    /// Between two looks more is published, and what waited for a moment only has left: kernels go on by timers.
    const LOOKS: usize = 30;
    let mut looks = 0;
    speaker.say_until("something waits", 10_000, key, || {
        let waits = figure(cluster, "ringway_queued_bytes", &[]) > 0.0;
        looks = if waits { looks + 1 } else { 0 };
        looks == LOOKS
    });
}

/// Nothing waits for anybody any more.
fn nothing_waits(cluster: &Cluster) {
    until("nothing waits", SOON, || (figure(cluster, "ringway_queued_bytes", &[]) == 0.0).then_some(()));
}

fn send(bare: &mut Bare, format: Format, request: &Value) {
    match format {
        Format::Json => bare.say(request),
        Format::Msgpack => {
            let frame = ringway_protocol::decode_client(Format::Json, request.to_string().as_bytes());
            let mut packed = Vec::new();
            ringway_protocol::encode_client(Format::Msgpack, &frame.unwrap(), &mut packed);
            bare.send(crate::bare::binary(&packed));
        }
    }
}

fn no_key(_: u64) -> Option<String> {
    None
}
