//! What clients send, right or wrong: each gets its answer, and nobody else notices.

mod answers;
mod names;
mod vectors;
mod wire;

use std::net::SocketAddr;

use ringway_protocol::frame::{Answer, Refusal};
use ringway_protocol::{Format, ServerFrame};
use ringway_testkit::processes::{Launcher, Process};

use crate::alive::Alive;
use crate::bare::{Bare, binary, frame, home, text};
use crate::cluster::Cluster;
use crate::support::{OPEN, documented, launcher};

/// The most bytes of a frame.
const LIMIT: usize = 64 * 1024;

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

/// A gateway before two nodes over NATS, and a `serve` beside them.
struct World {
    cluster: Cluster,
    serve: Process,
    _launcher: Launcher,
}

impl World {
    fn start() -> Self {
        let mut launcher = launcher(OPEN);
        Self { cluster: Cluster::over_nats(2, 1), serve: launcher.serve(&[]), _launcher: launcher }
    }

    /// Where clients connect.
    fn doors(&self) -> [(&'static str, SocketAddr); 2] {
        [("gateway", self.cluster.gateway()), ("serve", self.serve.listen)]
    }

    fn processes(&self) -> [&Process; 4] {
        [&self.cluster.gateways[0], &self.cluster.nodes[0], &self.cluster.nodes[1], &self.serve]
    }

    /// Somebody at each door, in a room that is placed with `tag`.
    fn others(&self, tag: &str) -> [Alive; 2] {
        self.doors().map(|(_, door)| Alive::watch(door, &format!("{{{tag}}}.others")))
    }

    fn undisturbed(&self, others: [Alive; 2]) {
        others.into_iter().for_each(|others| others.undisturbed(&self.processes()));
    }
}

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
