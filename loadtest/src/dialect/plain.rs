//! No protocol at all: what is sent goes to everyone as it is, or back.

use super::{Heard, Speak, Upgrade, Who};
use crate::control::Membership;
use crate::worker::frame::{Outgoing, TEXT};
use crate::worker::membership::Room;

pub(super) struct Plain;

impl Speak for Plain {
    fn upgrade(&self, who: &Who<'_>) -> Upgrade {
        let target = if *who.plan.plan() == Membership::Own { "/echo" } else { "/" };
        Upgrade { target: target.to_owned(), headers: String::new() }
    }

    fn greet(&self, _who: &Who<'_>, _out: &mut Outgoing) -> u8 {
        0
    }

    fn hear(&self, _waiting: &mut u8, _message: &[u8], _out: &mut Outgoing) -> Heard {
        Heard::Fine
    }

    fn publication(&self, _room: Room, body: &[u8], _key: Option<u32>) -> Vec<u8> {
        body.to_vec()
    }

    fn opcode(&self) -> u8 {
        TEXT
    }
}
