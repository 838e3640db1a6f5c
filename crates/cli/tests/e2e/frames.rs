//! What clients send, right or wrong: each gets its answer, and nobody else notices.

mod answers;
mod names;
mod vectors;
mod wire;

use std::net::SocketAddr;

use ringway_protocol::frame::{Answer, Refusal};
use ringway_protocol::{Format, ServerFrame};

use crate::bare::{Bare, binary, frame, home, text};
use crate::support::documented;
use crate::world::World;

/// The most bytes of a frame.
const LIMIT: usize = 64 * 1024;

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

/// A connection of that format, in that room.
fn enter(door: SocketAddr, format: Format, room: &str) -> Bare {
    let offer = format!("Sec-WebSocket-Protocol: {}", format.subprotocol());
    let mut bare = Bare::upgraded(door, &home(room), &[&offer]);
    while !matches!(bare.hear_as(format), ServerFrame::Joined(_)) {}
    bare
}

/// One message of that kind.
fn message(format: Format, payload: &[u8]) -> Vec<u8> {
    match format {
        Format::Json => frame(0x81, payload),
        Format::Msgpack => binary(payload),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

impl Bare {
    /// The next answer, what is delivered meanwhile apart.
    fn answer_as(&mut self, format: Format) -> Result<Answer, Refusal> {
        loop {
            match self.hear_as(format) {
                ServerFrame::Ok(answer) => return Ok(answer),
                ServerFrame::Err(refusal) => {
                    let code = refusal.code.to_string();
                    assert!(documented(&code).is_some(), "{code} isn't documented");
                    return Err(refusal);
                }
                _ => {}
            }
        }
    }

    /// Asks for an `ok` and gets it as the very next answer: what was sent before has no other answer.
    fn still_answers(&mut self, format: Format) {
        let ping = match format {
            Format::Json => text(r#"{"t":"ping","id":4242}"#),
            Format::Msgpack => binary(&unhex("9209cd1092")),
        };
        self.send(ping);
        let answer = self.answer_as(format).unwrap();
        assert_eq!((answer.id, answer.room), (Some(4242), None));
    }
}
