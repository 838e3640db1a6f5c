//! What a publication is once it is stored: its stream's settings, its headers, its bytes. A raw publisher gets the very same
//! ones, so that nothing differs but who publishes.

use std::ops::Range;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde_json::{Value, json};

use super::ground::World;
use super::nats::Nats;
use super::words::{DATA, STORE, Words, digits};

const ID: &[u8] = b"Nats-Msg-Id: ";

/// What is stored, and in what.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) config: Value,
    headers: Vec<u8>,
    /// Where the headers have the id.
    id: Range<usize>,
    body: Vec<u8>,
}

impl Shape {
    /// As Ringway has stored it last.
    pub(super) fn found(world: &World) -> anyhow::Result<Shape> {
        let info = world.stream()?;
        let name = info["config"]["name"].as_str().context("a stream without a name")?;
        let question = json!({ "seq": info["state"]["last_seq"] });
        let answer = world.connect()?.ask(&format!("$JS.API.STREAM.MSG.GET.{name}"), &question)?;
        let bytes = |field: &str| {
            let text =
                answer["message"][field].as_str().with_context(|| format!("a message without {field}"))?;
            STANDARD.decode(text).with_context(|| format!("{field} that isn't base64"))
        };
        Shape::of(info["config"].clone(), bytes("hdrs")?, bytes("data")?)
    }

    /// As it is expected to be: for baselines alone.
    pub(super) fn assumed() -> anyhow::Result<Shape> {
        let prefix = "ringway.g.shared";
        let subjects: Vec<String> =
            (0..64).map(|part| format!("{prefix}.store.{STORE}.{part}.*.*.*.*")).collect();
        let dest = format!(
            "{prefix}.live.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}.{{{{wildcard(4)}}}}.{{{{wildcard(5)}}}}"
        );
        let config = json!({
            "name": format!("ringway-shared-{STORE}"), "subjects": subjects, "storage": "file", "num_replicas": 1,
            "retention": "limits", "discard": "old", "max_msgs_per_subject": 1_001, "max_age": 86_400_000_000_000_u64,
            "max_bytes": 20_u64 << 30, "duplicate_window": 30_000_000_000_u64, "allow_direct": true,
            "republish": { "src": format!("{prefix}.store.{STORE}.*.*.*.*.*"), "dest": dest },
        });
        let headers = format!("NATS/1.0\r\nNats-Msg-Id: {}\r\n\r\n", "0".repeat(32));
        Shape::of(config, headers.into_bytes(), vec![b'x'; DATA + 60])
    }

    fn of(config: Value, headers: Vec<u8>, body: Vec<u8>) -> anyhow::Result<Shape> {
        let from = memmem::find(&headers, ID).context("a message without an id")? + ID.len();
        let to = from + memmem::find(&headers[from..], b"\r\n").context("an id without an end")?;
        ensure!(to - from >= 16, "an id of only {} bytes", to - from);
        Ok(Shape { config, headers, id: from..to, body })
    }

    /// Bytes of headers and of the message.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.headers.len(), self.body.len())
    }

    /// The message itself.
    pub(super) fn body(&self) -> bytes::Bytes {
        self.body.clone().into()
    }

    /// Makes the stream.
    pub(super) fn make(&self, nats: &mut Nats) -> anyhow::Result<()> {
        let name = self.config["name"].as_str().context("a stream without a name")?;
        nats.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &self.config).map(drop)
    }

    /// A publisher to these rooms in turn: appends an `HPUB` with an id of its own each time.
    pub(super) fn publisher(
        &self,
        words: &Words,
        rooms: Range<usize>,
    ) -> impl FnMut(&str, &mut Vec<u8>) + use<> {
        let subjects: Vec<Box<[u8]>> = rooms.map(|room| words.stored(room).into_bytes().into()).collect();
        let Shape { mut headers, id, body, .. } = self.clone();
        let sizes = format!(" {} {}\r\n", headers.len(), headers.len() + body.len());
        // An id that was there a minute ago, with another process, would be a repeat.
        let (mut number, id) = (rand::random::<u32>() as usize * 1_000_000_000, id.end - 20..id.end);
        let mut turn = 0;
        move |inbox, out| {
            number += 1;
            digits(number, &mut headers[id.clone()]);
            out.extend_from_slice(b"HPUB ");
            out.extend_from_slice(&subjects[turn]);
            out.push(b' ');
            out.extend_from_slice(inbox.as_bytes());
            out.extend_from_slice(sizes.as_bytes());
            out.extend_from_slice(&headers);
            out.extend_from_slice(&body);
            out.extend_from_slice(b"\r\n");
            turn = if turn + 1 == subjects.len() { 0 } else { turn + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_publication_has_sizes_that_are_right_and_an_id_of_its_own() {
        let shape = Shape::assumed().unwrap();
        let words = Words::new().unwrap();
        let mut next = shape.publisher(&words, 0..2);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        next("_INBOX.a", &mut first);
        next("_INBOX.a", &mut second);
        let line = memmem::find(&first, b"\r\n").unwrap();
        let (headers, body) = shape.sizes();
        assert!(first[..line].ends_with(format!(" _INBOX.a {headers} {}", headers + body).as_bytes()));
        assert_eq!(first.len(), line + 2 + headers + body + 2);
        assert_ne!(first, second);
    }
}
