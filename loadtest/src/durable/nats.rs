//! NATS' own protocol, as far as a publisher needs it that does nothing else: the baseline of what is stored, and the way to
//! look at streams. One blocking socket, one write for as much as may be on its way, no parsing but of heads.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use memchr::memmem;
use serde_json::Value;

/// How long an answer may take: creating a stream, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Read at a time.
const BUFFER: usize = 256 * 1024;

/// Where answers go: one word more, so that a wildcard takes them.
const INBOX: &str = "_INBOX.loadtest";

/// A connection to a NATS server.
pub(super) struct Nats {
    socket: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// A message that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// With the version's line; empty: none.
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// What came of publishing at full pace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Published {
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) seconds: f64,
}

impl Nats {
    pub(super) fn connect(address: SocketAddr) -> anyhow::Result<Nats> {
        let socket = TcpStream::connect(address).context("no NATS server there")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut nats = Nats { socket, buffer: vec![0; BUFFER], filled: 0 };
        let hello = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
                     \"lang\":\"loadtest\",\"version\":\"0\"}\r\n";
        nats.socket.write_all(format!("{hello}SUB {INBOX}.* 1\r\n").as_bytes())?;
        Ok(nats)
    }

    /// Subscribes to more.
    pub(super) fn subscribe(&mut self, subject: &str) -> anyhow::Result<()> {
        Ok(self.socket.write_all(format!("SUB {subject} 2\r\n").as_bytes())?)
    }

    /// Takes what comes, until the connection ends, or nothing comes for some seconds. How much came.
    pub(super) fn listen(mut self) -> u64 {
        let mut heard = 0;
        while self.take(&mut |_| heard += 1).is_ok() {}
        heard
    }

    /// One answer, as JSON.
    ///
    /// # Errors
    /// None comes, it is none, or it tells of an error.
    pub(super) fn ask(&mut self, subject: &str, question: &Value) -> anyhow::Result<Value> {
        let mut answer = None;
        self.request(subject, question.to_string().as_bytes(), |message| {
            answer = Some(serde_json::from_slice(message.payload).map_err(anyhow::Error::from));
            true
        })?;
        let answer: Value = answer.context("no answer")?.with_context(|| format!("{subject}: no JSON"))?;
        match answer.get("error") {
            Some(error) => bail!("{subject}: {error}"),
            None => Ok(answer),
        }
    }

    /// Asks, and takes answers until `done` says that this was the last.
    pub(super) fn request(
        &mut self,
        subject: &str,
        question: &[u8],
        mut done: impl FnMut(&Message<'_>) -> bool,
    ) -> anyhow::Result<()> {
        let mut request = format!("PUB {subject} {INBOX}.1 {}\r\n", question.len()).into_bytes();
        request.extend_from_slice(question);
        request.extend_from_slice(b"\r\n");
        self.socket.write_all(&request)?;
        let mut ended = false;
        while !ended {
            self.take(&mut |message| ended |= done(&message))?;
        }
        Ok(())
    }

    /// Publishes for so long with so many on their way; `next` appends a whole `HPUB` that asks for an answer at the subject
    /// it is given.
    pub(super) fn pipeline(
        &mut self,
        window: u64,
        lasting: Duration,
        most: u64,
        mut next: impl FnMut(&str, &mut Vec<u8>),
    ) -> anyhow::Result<Published> {
        let inbox = format!("{INBOX}.2");
        let (mut out, mut sent) = (Vec::new(), 0);
        let (mut acknowledged, mut refused) = (0, 0);
        let began = Instant::now();
        while acknowledged + refused < most && began.elapsed() < lasting {
            while sent - acknowledged - refused < window && sent < most {
                next(&inbox, &mut out);
                sent += 1;
            }
            self.socket.write_all(&out)?;
            out.clear();
            self.take(&mut |message| match is_stored(&message) {
                true => acknowledged += 1,
                false => refused += 1,
            })?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let (counted, failed) = (acknowledged, refused);
        // What is on its way must not be taken for the next one's.
        while sent - acknowledged - refused > 0 {
            self.take(&mut |message| match is_stored(&message) {
                true => acknowledged += 1,
                false => refused += 1,
            })?;
        }
        Ok(Published { acknowledged: counted, refused: failed, seconds })
    }

    /// Reads once, and gives what came whole.
    fn take(&mut self, each: &mut dyn FnMut(Message<'_>)) -> anyhow::Result<()> {
        let read = self.socket.read(&mut self.buffer[self.filled..]).context("NATS says nothing")?;
        ensure!(read > 0, "the NATS server ended the connection");
        self.filled += read;
        let mut at = 0;
        loop {
            match parse(&self.buffer[at..self.filled])? {
                Parsed::Incomplete => break,
                Parsed::Other(end) => at += end,
                Parsed::Ping(end) => {
                    at += end;
                    self.socket.write_all(b"PONG\r\n")?;
                }
                Parsed::Message(message, end) => {
                    each(message);
                    at += end;
                }
            }
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
        Ok(())
    }
}

/// Whether an acknowledgement says that it was stored.
pub(super) fn is_stored(message: &Message<'_>) -> bool {
    memmem::find(message.payload, b"\"seq\":").is_some()
        && memmem::find(message.payload, b"\"error\"").is_none()
}

/// What bytes begin with, and where it ends.
enum Parsed<'a> {
    Incomplete,
    Message(Message<'a>, usize),
    Ping(usize),
    Other(usize),
}

fn parse(bytes: &[u8]) -> anyhow::Result<Parsed<'_>> {
    let Some(line) = memmem::find(bytes, b"\r\n") else { return Ok(Parsed::Incomplete) };
    let (head, body) = (&bytes[..line], line + 2);
    let number = |word: Option<&[u8]>| -> anyhow::Result<usize> {
        let word = std::str::from_utf8(word.context("a head without sizes")?)?;
        word.parse().with_context(|| format!("{word:?} is no size"))
    };
    let (headers, all) = match head {
        [b'M', b'S', b'G', ..] => (0, number(head.rsplit(|byte| *byte == b' ').next())?),
        [b'H', b'M', b'S', b'G', ..] => {
            let mut words = head.rsplit(|byte| *byte == b' ');
            let all = number(words.next())?;
            (number(words.next())?, all)
        }
        [b'P', b'I', b'N', b'G', ..] => return Ok(Parsed::Ping(body)),
        [b'-', ..] => bail!("NATS: {}", String::from_utf8_lossy(head)),
        _ => return Ok(Parsed::Other(body)),
    };
    ensure!(headers <= all, "headers longer than the message");
    if bytes.len() < body + all + 2 {
        return Ok(Parsed::Incomplete);
    }
    let (headers, payload) = bytes[body..body + all].split_at(headers);
    Ok(Parsed::Message(Message { headers, payload }, body + all + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_wherever_they_are_cut() {
        let bytes = b"HMSG a.b 1 12 17\r\nNATS/1.0\r\n\r\nhello\r\nPING\r\n";
        let end = bytes.len() - 6;
        for cut in 0..end {
            assert!(matches!(parse(&bytes[..cut]), Ok(Parsed::Incomplete)), "{cut}");
        }
        let Ok(Parsed::Message(message, read)) = parse(bytes) else { panic!("no message") };
        assert_eq!(message, Message { headers: b"NATS/1.0\r\n\r\n", payload: b"hello" });
        assert!(read == end && matches!(parse(&bytes[end..]), Ok(Parsed::Ping(6))));
    }

    #[test]
    fn an_acknowledgement_is_told_from_a_refusal() {
        let of = |payload| is_stored(&Message { headers: b"", payload });
        assert!(of(br#"{"stream":"s","seq":7}"#));
        assert!(of(br#"{"stream":"s","seq":7,"duplicate":true}"#));
        assert!(!of(br#"{"error":{"code":503},"stream":"s","seq":0}"#));
        assert!(!of(b""));
    }
}
