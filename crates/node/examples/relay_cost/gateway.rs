//! A gateway with one link, in a process of its own, that does as it is told over one socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use ringway_auth::{LinkKey, LinkTicket, Mode, TicketKey};
use ringway_edge::Frame;
use ringway_link::codec::{decode_down, encode_up};
use ringway_link::hello::{HOP, HOP_HEADER, PATH, UPGRADE};
use ringway_link::{ConnNo, Down, Open, OpenAs, Up};

use crate::measured::{SECRET, ticket};

/// Bytes of text in a publication.
const PAYLOAD: usize = 128;

/// Words to and from the gateway's process, a line each.
pub(crate) struct Orders {
    out: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Orders {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { lines: BufReader::new(socket.try_clone().unwrap()), out: socket }
    }

    /// Says something, and waits until it is done.
    pub(crate) fn ask(&mut self, words: &str) {
        self.out.write_all(format!("{words}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
    }
}

struct Gateway {
    out: TcpStream,
    records: BufReader<TcpStream>,
    connections: u32,
    /// Rooms that each of the first so many is in.
    joined: Vec<(String, u32)>,
}

pub(crate) fn run(orders: SocketAddr) {
    let mut back = TcpStream::connect(orders).unwrap();
    let lines = BufReader::new(back.try_clone().unwrap());
    let mut gateway = None;
    for line in lines.lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match (&words[..], &mut gateway) {
            (["link", address], none) => *none = Some(Gateway::link(address)),
            (["open", count], Some(gateway)) => gateway.open(count.parse().unwrap()),
            (["join", room], Some(gateway)) => gateway.join(room),
            (["publish", times], Some(gateway)) => gateway.publish(times.parse().unwrap()),
            _ => panic!("{line:?}"),
        }
        back.write_all(b"done\n").unwrap();
    }
}

impl Gateway {
    fn link(address: &str) -> Self {
        let mut out = TcpStream::connect(address).unwrap();
        out.set_nodelay(true).unwrap();
        let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 30;
        let ticket = LinkKey::new(SECRET).seal(&LinkTicket { gateway: "gateway".to_owned(), exp });
        let upgrade = format!(
            "GET {PATH} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE}\r\n{HOP_HEADER}: {HOP}\r\n\
             Ringway-Ticket: {ticket}\r\n\r\n"
        );
        out.write_all(upgrade.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"));
        let records = BufReader::with_capacity(1 << 16, out.try_clone().unwrap());
        let gateway = Gateway { out, records, connections: 0, joined: Vec::new() };
        let out = gateway.out.try_clone().unwrap();
        std::thread::spawn(move || {
            for number in 0.. {
                std::thread::sleep(std::time::Duration::from_millis(500));
                if say(&out, &[Up::Ping { number }]).is_err() {
                    return;
                }
            }
        });
        gateway
    }

    /// The records until this is true so often.
    fn until(&mut self, times: usize, is: impl Fn(&Down<'_>) -> bool) {
        let mut left = times;
        let mut record = Vec::new();
        while left > 0 {
            let mut head = [0; 2];
            self.records.read_exact(&mut head).unwrap();
            let length = match head[1] {
                126 => {
                    let mut long = [0; 2];
                    self.records.read_exact(&mut long).unwrap();
                    usize::from(u16::from_be_bytes(long))
                }
                short => usize::from(short),
            };
            record.resize(length, 0);
            self.records.read_exact(&mut record).unwrap();
            if head[0] == 0x82 && is(&decode_down(&record).unwrap()) {
                left -= 1;
            }
        }
    }

    /// Opens more, so that there are so many.
    fn open(&mut self, count: u32) {
        for number in self.connections..count {
            let ticket = TicketKey::new(SECRET).seal(&ticket(number.into(), Mode::Relay));
            let conn = ConnNo(number);
            let open = Open {
                conn,
                role: OpenAs::Home,
                ticket: &ticket,
                traceparent: None,
                age: 0,
                told_to_go: false,
            };
            say(&self.out, &[Up::Open(open), Up::Begin { conn }]).unwrap();
            self.until(1, |record| matches!(record, Down::Send { .. }));
            credit(&self.out, number);
        }
        self.connections = count;
    }

    /// Has all who aren't join a room.
    fn join(&mut self, room: &str) {
        let known = self.joined.iter().position(|(of, _)| of == room);
        let index = known.unwrap_or_else(|| {
            self.joined.push((room.to_owned(), 0));
            self.joined.len() - 1
        });
        let message = format!(r#"{{"t":"join","room":"{room}"}}"#);
        for number in self.joined[index].1..self.connections {
            let conn = ConnNo(number);
            say(&self.out, &[Up::Frame { conn, text: true, message: message.as_bytes() }]).unwrap();
            self.until(1, |record| matches!(record, Down::Enter { .. }));
        }
        self.joined[index].1 = self.connections;
    }

    fn publish(&mut self, times: usize) {
        let message = format!(r#"{{"t":"pub","room":"r0","data":"{}"}}"#, "x".repeat(PAYLOAD));
        for _ in 0..times {
            say(&self.out, &[Up::Frame { conn: ConnNo(0), text: true, message: message.as_bytes() }])
                .unwrap();
            self.until(1, |record| matches!(record, Down::Cast(_)));
        }
    }
}

fn credit(out: &TcpStream, number: u32) {
    say(out, &[Up::Credit { conn: ConnNo(number), bytes: u32::MAX }]).unwrap();
}

fn say(mut out: &TcpStream, records: &[Up<'_>]) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for record in records {
        let mut encoded = Vec::new();
        encode_up(record, &mut encoded);
        bytes.extend_from_slice(Frame::record(&encoded).encoded());
    }
    out.write_all(&bytes)
}
