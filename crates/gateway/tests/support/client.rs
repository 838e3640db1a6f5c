//! A client that speaks JSON over a WebSocket, one frame at a time. It answers pings while it reads, and doesn't show them.

use serde_json::Value;

use super::World;
use super::http::{Wire, upgrade};

pub(crate) struct Client {
    pub(crate) wire: Wire,
}

impl Client {
    /// Asks for an upgrade, and doesn't wait for the answer.
    pub(crate) async fn ask(world: &World, target: &str) -> Self {
        let mut wire = Wire::open(world.address()).await;
        wire.send(upgrade(target, &["Sec-WebSocket-Protocol: ringway.v1.json"])).await;
        Self { wire }
    }

    /// The answer has to be a 101.
    pub(crate) async fn is_in(&mut self) {
        let answer = self.wire.answer().await;
        assert_eq!(answer.status, 101, "{answer:?}");
    }

    pub(crate) async fn say(&mut self, payload: &str) {
        self.wire.send(masked(0x81, payload.as_bytes())).await;
    }

    /// Closes with 1000.
    pub(crate) async fn close(&mut self) {
        self.wire.send(masked(0x88, &1000_u16.to_be_bytes())).await;
    }

    /// The next text message, as it is.
    pub(crate) async fn hear_text(&mut self) -> String {
        let (first, payload) = self.frame().await;
        assert_eq!(first, 0x81, "not a text message: {first:#x} {}", payload.escape_ascii());
        String::from_utf8(payload).expect("text")
    }

    /// The next frame of Ringway's.
    pub(crate) async fn hear(&mut self) -> Value {
        let text = self.hear_text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Code and reason of the close frame that comes next.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let (first, payload) = self.frame().await;
        assert_eq!(first, 0x88, "not a close frame: {first:#x} {}", payload.escape_ascii());
        let reason = String::from_utf8(payload[2..].to_vec()).expect("text");
        (u16::from_be_bytes([payload[0], payload[1]]), reason)
    }

    /// The next frame that is no ping: its first byte and its payload.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            match self.any_frame().await {
                (0x89, payload) => self.wire.send(masked(0x8A, &payload)).await,
                (0x81, payload) if payload == br#"{"t":"ping"}"# => {}
                frame => return frame,
            }
        }
    }

    async fn any_frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.wire.take(2).await;
        let length = match head[1] {
            126 => usize::from(u16::from_be_bytes(self.wire.take(2).await.try_into().expect("two"))),
            127 => {
                let length = u64::from_be_bytes(self.wire.take(8).await.try_into().expect("eight"));
                usize::try_from(length).expect("a length")
            }
            length => usize::from(length),
        };
        (head[0], self.wire.take(length).await)
    }
}

/// A frame with a mask of zeros, which is a mask.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..=125 => bytes.push(0x80 | u8::try_from(length).expect("small")),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).expect("two bytes").to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}
