//! A server asked as bare as a test needs it: blocking, one connection a question, no reconnects that would hide a fault.
//!
//! [`Api`] speaks JetStream's management of streams in JSON, by the server's own field names.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long an answer may take before it counts as none.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where answers come.
const INBOX: &str = "_INBOX.ringway-testkit";

/// Where the pieces of a snapshot come: they and the answer to who asked are sent from different queues, and either may be first.
const PIECES: &str = "_INBOX.ringway-testkit.pieces";

/// How many messages are asked for at a time.
const PAGE: usize = 500;

/// How many bytes of a stream's snapshot are sent back in one message.
const CHUNK: usize = 128 * 1024;

/// One connection to a server, and its inbox.
#[derive(Debug)]
struct Wire {
    socket: BufReader<TcpStream>,
}

/// What came to the inbox.
#[derive(Debug)]
struct Message {
    subject: String,
    reply: Option<String>,
    /// The status of a message that has headers; 0: it has none.
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(of, _)| *of == name).map(|(_, value)| value.trim()).next()
    }
}

impl Wire {
    fn connect(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.set_nodelay(true)?;
        let mut wire = Self { socket: BufReader::new(stream) };
        let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"rust","version":"0"}"#;
        wire.send(format!("CONNECT {options}\r\nSUB {INBOX} 1\r\nSUB {PIECES} 2\r\n").as_bytes())?;
        Ok(wire)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.get_mut().write_all(bytes)
    }

    fn publish(&mut self, subject: &str, body: &[u8]) -> io::Result<()> {
        let mut frame = format!("PUB {subject} {INBOX} {}\r\n", body.len()).into_bytes();
        frame.extend_from_slice(body);
        frame.extend_from_slice(b"\r\n");
        self.send(&frame)
    }

    /// The next message to the inbox.
    fn next(&mut self) -> io::Result<Message> {
        loop {
            let mut line = String::new();
            if self.socket.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let subject = || words.get(1).copied().unwrap_or_default().to_owned();
            let number = |word: Option<&&str>| word.and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
            match words.first().copied() {
                Some("PING") => self.send(b"PONG\r\n")?,
                Some("-ERR") => return Err(io::Error::other(line)),
                Some("MSG") => {
                    let reply = (words.len() == 5).then(|| words[3].to_owned());
                    return self.body(subject(), reply, 0, number(words.last()));
                }
                Some("HMSG") => {
                    let reply = (words.len() == 6).then(|| words[3].to_owned());
                    let head = number(words.get(words.len().saturating_sub(2)));
                    return self.body(subject(), reply, head, number(words.last()));
                }
                _ => {}
            }
        }
    }

    fn body(
        &mut self,
        subject: String,
        reply: Option<String>,
        head: usize,
        total: usize,
    ) -> io::Result<Message> {
        let mut bytes = vec![0; total + 2];
        self.socket.read_exact(&mut bytes)?;
        bytes.truncate(total);
        let body = bytes.split_off(head.min(total));
        // `NATS/1.0 503`
        let headers = String::from_utf8_lossy(&bytes).into_owned();
        let status = headers.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Ok(Message { subject, reply, status: status.unwrap_or(0), headers, body })
    }
}

/// A message that a stream has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its number.
    pub sequence: u64,
    /// Where it was published.
    pub subject: String,
    /// What.
    pub body: Vec<u8>,
}

/// JetStream's API at one server, on whichever server of its cluster the stream is.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    port: u16,
}

/// A stream as the server's API gives it away: its settings, its messages, its consumers.
#[derive(Debug, Clone)]
pub struct Snapshot {
    config: Value,
    state: Value,
    bytes: Vec<u8>,
}

impl Api {
    pub(super) fn at(port: u16) -> Self {
        Self { port }
    }

    /// What comes back to one question, whatever its subject; within 5 s.
    ///
    /// # Errors
    /// Nobody answers, or what comes is no JSON.
    pub fn ask(&self, subject: &str, body: &Value) -> io::Result<Value> {
        let mut wire = Wire::connect(self.port)?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        wire.publish(subject, body.as_bytes())?;
        let message = wire.next()?;
        if message.status == 503 {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{subject}: no responders")));
        }
        Ok(serde_json::from_slice(&message.body)?)
    }

    /// Asks JetStream: `STREAM.INFO.x`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), or the server refuses; with its words.
    pub fn jetstream(&self, call: &str, body: &Value) -> io::Result<Value> {
        let answer = self.ask(&format!("$JS.API.{call}"), body)?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(io::Error::other(format!("{call}: {error}"))),
        }
    }

    /// Publishes to a stream, and waits for its acknowledgement: what that says.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn publish(&self, subject: &str, body: &[u8]) -> io::Result<Value> {
        let mut wire = Wire::connect(self.port)?;
        wire.publish(subject, body)?;
        let message = wire.next()?;
        if message.status == 503 {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{subject}: no responders")));
        }
        let answer: Value = serde_json::from_slice(&message.body)?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(io::Error::other(format!("{subject}: {error}"))),
        }
    }

    /// The names of all streams.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn streams(&self) -> io::Result<Vec<String>> {
        let answer = self.jetstream("STREAM.NAMES", &Value::Null)?;
        let names = answer["streams"].as_array().into_iter().flatten();
        Ok(names.filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }

    /// A stream's settings and state (`config`, `state`, `cluster`, `created`).
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn info(&self, stream: &str) -> io::Result<Value> {
        self.jetstream(&format!("STREAM.INFO.{stream}"), &Value::Null)
    }

    /// Makes a stream of these settings (`name`, `subjects`, …).
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn create(&self, config: &Value) -> io::Result<Value> {
        let name = config["name"].as_str().unwrap_or_default();
        self.jetstream(&format!("STREAM.CREATE.{name}"), config)
    }

    /// Changes some of a stream's settings, as somebody does by hand; what isn't named stays.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn edit(&self, stream: &str, settings: &Value) -> io::Result<Value> {
        let mut config = self.info(stream)?["config"].take();
        for (name, value) in settings.as_object().into_iter().flatten() {
            config[name] = value.clone();
        }
        self.jetstream(&format!("STREAM.UPDATE.{stream}"), &config)
    }

    /// Deletes a stream.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn delete(&self, stream: &str) -> io::Result<()> {
        self.jetstream(&format!("STREAM.DELETE.{stream}"), &Value::Null).map(drop)
    }

    /// Removes all messages of a stream; its sequences go on.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn purge(&self, stream: &str) -> io::Result<()> {
        self.jetstream(&format!("STREAM.PURGE.{stream}"), &Value::Null).map(drop)
    }

    /// Removes one message of a stream.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn delete_message(&self, stream: &str, sequence: u64) -> io::Result<()> {
        self.jetstream(&format!("STREAM.MSG.DELETE.{stream}"), &json!({"seq": sequence})).map(drop)
    }

    /// Who leads a stream gives it up, and another is chosen.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn step_down(&self, stream: &str) -> io::Result<()> {
        self.jetstream(&format!("STREAM.LEADER.STEPDOWN.{stream}"), &Value::Null).map(drop)
    }

    /// The name of the server that leads a stream; none: nobody does, or nobody knows.
    pub fn leader(&self, stream: &str) -> Option<String> {
        let info = self.info(stream).ok()?;
        info["cluster"]["leader"].as_str().filter(|leader| !leader.is_empty()).map(str::to_owned)
    }

    /// How many messages each subject of a stream has, under that filter.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn subjects(&self, stream: &str, filter: &str) -> io::Result<BTreeMap<String, u64>> {
        let asked = json!({"subjects_filter": filter});
        let info = self.jetstream(&format!("STREAM.INFO.{stream}"), &asked)?;
        let subjects = info["state"]["subjects"].as_object();
        let counts = subjects.into_iter().flatten();
        Ok(counts.map(|(subject, count)| (subject.clone(), count.as_u64().unwrap_or(0))).collect())
    }

    /// All messages of a stream, by direct reads: it has to allow them, and should be whole, since any replica answers.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn messages(&self, stream: &str) -> io::Result<Vec<StoredMessage>> {
        let mut wire = Wire::connect(self.port)?;
        let (mut all, mut next) = (Vec::new(), 1);
        loop {
            let asked = json!({"seq": next, "batch": PAGE});
            wire.publish(&format!("$JS.API.DIRECT.GET.{stream}"), asked.to_string().as_bytes())?;
            loop {
                let message = wire.next()?;
                let sequence = message.header("Nats-Sequence").and_then(|text| text.parse::<u64>().ok());
                match (message.status, sequence) {
                    (0, Some(sequence)) => {
                        let subject = message.header("Nats-Subject").unwrap_or_default().to_owned();
                        all.push(StoredMessage { sequence, subject, body: message.body });
                        next = sequence + 1;
                    }
                    // The end of a page, and of everything.
                    (204, _) => break,
                    (404, _) => return Ok(all),
                    (status, _) => return Err(io::Error::other(format!("reading {stream}: {status}"))),
                }
            }
        }
    }

    /// Takes a stream's snapshot by the API.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream), or the snapshot breaks off.
    pub fn snapshot(&self, stream: &str) -> io::Result<Snapshot> {
        let mut wire = Wire::connect(self.port)?;
        let asked = json!({"deliver_subject": PIECES, "no_consumers": false, "jsck": false});
        wire.publish(&format!("$JS.API.STREAM.SNAPSHOT.{stream}"), asked.to_string().as_bytes())?;
        let (mut answer, mut whole, mut bytes) = (Value::Null, false, Vec::new());
        while answer.is_null() || !whole {
            let message = wire.next()?;
            if message.subject == PIECES {
                match message.status {
                    0 | 204 => whole = message.body.is_empty(),
                    status => return Err(io::Error::other(format!("snapshot of {stream}: {status}"))),
                }
                bytes.extend_from_slice(&message.body);
                if let Some(reply) = message.reply {
                    wire.send(format!("PUB {reply} 0\r\n\r\n").as_bytes())?;
                }
            } else {
                answer = serde_json::from_slice(&message.body)?;
                if let Some(error) = answer.get("error") {
                    return Err(io::Error::other(format!("snapshot of {stream}: {error}")));
                }
            }
        }
        Ok(Snapshot { config: answer["config"].take(), state: answer["state"].take(), bytes })
    }

    /// Puts a snapshot back; the stream must be gone.
    ///
    /// # Errors
    /// As [`jetstream`](Self::jetstream).
    pub fn restore(&self, snapshot: &Snapshot) -> io::Result<()> {
        let stream = snapshot.config["name"].as_str().unwrap_or_default();
        let mut wire = Wire::connect(self.port)?;
        let asked = json!({"config": snapshot.config, "state": snapshot.state});
        wire.publish(&format!("$JS.API.STREAM.RESTORE.{stream}"), asked.to_string().as_bytes())?;
        let answer: Value = serde_json::from_slice(&wire.next()?.body)?;
        let Some(deliver) = answer["deliver_subject"].as_str().map(str::to_owned) else {
            return Err(io::Error::other(format!("restore of {stream}: {answer}")));
        };
        for piece in snapshot.bytes.chunks(CHUNK) {
            wire.publish(&deliver, piece)?;
            wire.next()?;
        }
        // An empty message is the end.
        wire.publish(&deliver, b"")?;
        let done: Value = serde_json::from_slice(&wire.next()?.body)?;
        match done.get("error") {
            None => Ok(()),
            Some(error) => Err(io::Error::other(format!("restore of {stream}: {error}"))),
        }
    }

    /// Waits until JetStream takes questions and has a leader of its own.
    pub(super) fn is_ready(&self, servers: usize) -> bool {
        if servers < 2 {
            return self.jetstream("INFO", &Value::Null).is_ok();
        }
        // A stream on every server can be made only once each is known and current.
        let probe = json!({"name": "ringway-testkit-probe", "subjects": ["ringway-testkit-probe"], "num_replicas": servers, "storage": "memory"});
        let made = self.create(&probe).is_ok();
        let whole = made && self.leader("ringway-testkit-probe").is_some();
        if made {
            let _ = self.delete("ringway-testkit-probe");
        }
        whole
    }
}

/// Looks until something is so; false: it didn't come to be in time.
pub(super) fn comes_to_be(within: Duration, mut so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while !so() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Says that to who connects and asks for something, and reads on until they go.
    fn says(said: &str) -> Api {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, said) = (listener.local_addr().unwrap().port(), said.to_owned());
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(said.as_bytes()).unwrap();
            io::copy(&mut socket, &mut io::sink())
        });
        Api::at(port)
    }

    #[test]
    fn a_snapshots_pieces_may_come_before_the_answer_that_they_will() {
        let answer = r#"{"config":{"name":"s"},"state":{"messages":1}}"#;
        let answer = format!("MSG {INBOX} 1 {}\r\n{answer}\r\n", answer.len());
        let piece = |bytes: &str| format!("MSG {PIECES} 2 ack {}\r\n{bytes}\r\n", bytes.len());
        let end = format!("MSG {PIECES} 2 0\r\n\r\n");
        for said in [
            format!("{answer}{}{}{end}", piece("one "), piece("two")),
            format!("{}{answer}{}{end}", piece("one "), piece("two")),
            format!("{}{}{end}{answer}", piece("one "), piece("two")),
        ] {
            let snapshot = says(&said).snapshot("s").unwrap();
            assert_eq!(snapshot.bytes, b"one two");
            assert_eq!((&snapshot.config["name"], &snapshot.state["messages"]), (&json!("s"), &json!(1)));
        }
    }

    #[test]
    fn a_snapshot_that_is_refused_or_breaks_off_is_none() {
        let refused = r#"{"error":{"code":404,"description":"stream not found"}}"#;
        let refused =
            says(&format!("MSG {INBOX} 1 {}\r\n{refused}\r\n", refused.len())).snapshot("s").unwrap_err();
        assert!(refused.to_string().contains("stream not found"), "{refused}");
        let broken =
            says(&format!("HMSG {PIECES} 2 16 16\r\nNATS/1.0 408\r\n\r\n\r\n")).snapshot("s").unwrap_err();
        assert!(broken.to_string().contains("408"), "{broken}");
    }
}
