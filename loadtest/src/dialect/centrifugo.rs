//! Centrifugo's JSON protocol: commands with ids, replies with the same, pushes without; several, a line each, may share a
//! message. `{}` is a ping, and its answer.

use super::{Heard, Speak, Upgrade, Who};
use crate::dialect::stamp;
use crate::worker::frame::{Outgoing, TEXT};
use crate::worker::membership::Room;
use memchr::memmem;

pub(super) struct Centrifugo;

impl Speak for Centrifugo {
    fn upgrade(&self, _who: &Who<'_>) -> Upgrade {
        Upgrade { target: "/connection/websocket".to_owned(), headers: String::new() }
    }

    fn greet(&self, who: &Who<'_>, out: &mut Outgoing) -> u8 {
        let mut commands = r#"{"id":1,"connect":{"name":"loadtest"}}"#.to_owned();
        for (room, id) in who.rooms.iter().zip(2..) {
            commands += &format!("\n{{\"id\":{id},\"subscribe\":{{\"channel\":\"{}\"}}}}", channel(*room));
        }
        out.frame(TEXT, commands.as_bytes());
        1 + who.rooms.len() as u8
    }

    fn hear(&self, waiting: &mut u8, message: &[u8], out: &mut Outgoing) -> Heard {
        let mut heard = Heard::Fine;
        for line in message.split(|byte| *byte == b'\n') {
            match line {
                b"{}" => out.frame(TEXT, b"{}"),
                _ if line.starts_with(b"{\"id\":") => {
                    if memmem::find(line, b"\"error\":").is_some() {
                        heard = Heard::Refused(String::from_utf8_lossy(line).into_owned());
                    }
                    // A publication's reply comes when nothing is waited for.
                    *waiting = waiting.saturating_sub(1);
                }
                _ if memmem::find(line, stamp::MARK).is_some() => {}
                _ if memmem::find(line, b"\"disconnect\":").is_some() => {
                    heard = Heard::Refused(String::from_utf8_lossy(line).into_owned());
                }
                _ => {}
            }
        }
        heard
    }

    fn publication(&self, room: Room, body: &[u8], _key: Option<u32>) -> Vec<u8> {
        // An id is required; nobody has to tell these replies apart.
        let head = format!("{{\"id\":1000,\"publish\":{{\"channel\":\"{}\",\"data\":\"", channel(room));
        [head.as_bytes(), body, b"\"}}"].concat()
    }

    fn opcode(&self) -> u8 {
        TEXT
    }

    fn batches(&self) -> bool {
        true
    }
}

fn channel(room: Room) -> String {
    format!("room{}", room.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_every_reply_has_come_whatever_shares_a_message() {
        let (mut out, mut waiting) = (Outgoing::new(1), 3);
        let first = b"{\"id\":1,\"connect\":{\"client\":\"c\"}}\n{}";
        assert_eq!(Centrifugo.hear(&mut waiting, first, &mut out), Heard::Fine);
        assert_eq!((waiting, out.bytes().len()), (2, 8));
        let rest =
            b"{\"push\":{\"channel\":\"room0\"}}\n{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"subscribe\":{}}";
        assert_eq!(Centrifugo.hear(&mut waiting, rest, &mut out), Heard::Fine);
        assert_eq!(waiting, 0);
    }

    #[test]
    fn errors_are_told() {
        let (mut out, mut waiting) = (Outgoing::new(1), 1);
        let refused = b"{\"id\":1000,\"error\":{\"code\":103,\"message\":\"permission denied\"}}";
        assert!(
            matches!(Centrifugo.hear(&mut waiting, refused, &mut out), Heard::Refused(why) if why.contains("103"))
        );
    }
}
