//! Socket.IO v4 over Engine.IO 4, WebSocket from the start: an open packet `0{…}`, the namespace's `40` and its answer
//! `40{…}`; then `42["message","…"]` both ways, and the server's ping `2`, to be answered by `3`.

use super::{Heard, Speak, Upgrade, Who};
use crate::worker::frame::{Outgoing, TEXT};
use crate::worker::membership::Room;

pub(super) struct SocketIo;

impl Speak for SocketIo {
    fn upgrade(&self, _who: &Who<'_>) -> Upgrade {
        Upgrade { target: "/socket.io/?EIO=4&transport=websocket".to_owned(), headers: String::new() }
    }

    fn greet(&self, _who: &Who<'_>, _out: &mut Outgoing) -> u8 {
        1
    }

    fn hear(&self, waiting: &mut u8, message: &[u8], out: &mut Outgoing) -> Heard {
        match message {
            [b'0', ..] => out.frame(TEXT, b"40"),
            [b'4', b'0', ..] => *waiting = 0,
            [b'2', ..] => out.frame(TEXT, b"3"),
            [b'4', b'4', ..] | [b'4', b'1', ..] | [b'1', ..] => {
                return Heard::Refused(String::from_utf8_lossy(message).into_owned());
            }
            _ => {}
        }
        Heard::Fine
    }

    fn publication(&self, _room: Room, body: &[u8], _key: Option<u32>) -> Vec<u8> {
        [b"42[\"message\",\"", body, b"\"]"].concat()
    }

    fn opcode(&self) -> u8 {
        TEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_by_the_namespace_and_answers_pings() {
        let (mut out, mut waiting) = (Outgoing::new(1), 1);
        assert_eq!(SocketIo.hear(&mut waiting, b"0{\"sid\":\"x\"}", &mut out), Heard::Fine);
        assert_eq!((waiting, out.bytes().len()), (1, 8));
        assert_eq!(SocketIo.hear(&mut waiting, b"40{\"sid\":\"y\"}", &mut out), Heard::Fine);
        assert_eq!(waiting, 0);
        out.clear();
        assert_eq!(SocketIo.hear(&mut waiting, b"2", &mut out), Heard::Fine);
        assert_eq!(out.bytes().len(), 7);
        assert!(matches!(
            SocketIo.hear(&mut waiting, b"44{\"message\":\"no\"}", &mut out),
            Heard::Refused(_)
        ));
    }
}
