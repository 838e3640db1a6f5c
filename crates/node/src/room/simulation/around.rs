//! The surroundings of one node's room.

use std::time::Duration;

use ringway_backplane::message::{Answer, Ask, Epoch, LiveBody};
use ringway_ring::NodeId;

use super::super::{AskId, Entry, Gap, Joined, Outcome, Surroundings, Timer};
use super::Broken;
use super::trace::{Said, show_ask};
use super::world::{BEGUN, Id, NEW, Party, Sim, SimAsker, SimConn, Time, WALL, World, secs};

/// One node's surroundings.
pub(super) struct Around<'a> {
    pub(super) world: &'a mut World,
    pub(super) id: Id,
}

impl Around<'_> {
    fn party(&self) -> &Party {
        &self.world.parties[self.id]
    }

    fn name_of(&self, id: Option<Id>) -> Option<NodeId> {
        id.map(|id| self.world.parties[id].name.clone())
    }

    fn id_of(&self, node: &NodeId) -> Option<Id> {
        self.world.parties.iter().position(|party| party.name == *node)
    }
}

impl Surroundings<Sim> for Around<'_> {
    fn me(&self) -> &NodeId {
        &self.party().name
    }

    fn now(&self) -> Duration {
        BEGUN + Duration::from_micros(self.world.now)
    }

    fn wall_ms(&self) -> u64 {
        let clockless = self.world.variant.without == Some(Broken::Clock);
        WALL + if clockless { 0 } else { self.world.now / 1000 + self.party().skew }
    }

    fn random(&mut self) -> u32 {
        self.world.ledger.epochs += 1;
        self.world.ledger.epochs as u32
    }

    fn owner(&self) -> Option<NodeId> {
        self.name_of(self.world.owner_at(self.id))
    }

    fn owner_without(&self, node: &NodeId) -> Option<NodeId> {
        if node != self.me() && self.world.variant.without == Some(Broken::Elsewhere) {
            return None;
        }
        self.name_of(self.id_of(node).and_then(|other| self.world.owner_without(self.id, other)))
    }

    fn former_owner(&self) -> Option<NodeId> {
        self.name_of(self.world.former_owner_at(self.id))
    }

    fn incarnation(&self, node: &NodeId) -> Option<u64> {
        let life = self.party().lives[self.id_of(node)?];
        match self.world.variant.without {
            Some(Broken::Death) => Some(0),
            Some(Broken::Life) => (life != u64::MAX).then_some(0),
            _ => (life != u64::MAX).then_some(life),
        }
    }

    fn is_new(&self) -> bool {
        let new = self.party().began.is_some_and(|began| self.world.now < began + secs(NEW));
        new && self.world.variant.without != Some(Broken::New)
    }

    fn away(&self) -> bool {
        self.party().knows
    }

    fn live(&mut self, body: LiveBody) {
        if let LiveBody::Publication { epoch, offset, publication } = &body {
            let by = (self.id, self.party().life);
            if let Err(what) = self.world.ledger.numbered(*epoch, *offset, publication, by, self.world.now) {
                self.world.bad(what);
            }
        }
        self.world.send_live(self.id, &body);
    }

    fn ask(&mut self, to: &NodeId, ask: Ask, within: Duration) -> AskId {
        assert_ne!(to, self.me(), "a node doesn't ask itself");
        let note = matches!(ask, Ask::Greater { .. });
        self.world.trace(|| format!("n{} asks {to}: {}", self.id, show_ask(&ask)));
        let Some(to) = self.id_of(to).filter(|_| !(note && self.world.variant.without == Some(Broken::Note)))
        else {
            return AskId(0);
        };
        self.world.ask(self.id, to, ask, within.as_micros() as Time, None)
    }

    fn answer(&mut self, to: SimAsker, answer: Answer) {
        self.world.reply(to, answer);
    }

    fn outcome(&mut self, to: Vec<usize>, outcome: Outcome) {
        self.world.outcome(&to, &outcome);
    }

    fn wake(&mut self, after: Duration, timer: Timer) {
        let (id, time) = (self.id, self.world.now + after.as_micros() as Time);
        self.world.at_party(time, id, Box::new(move |w| w.room(id, |room, s| room.timer(s, timer))));
    }

    fn deliver<'a>(&mut self, entry: &Entry, epoch: Option<Epoch>, to: impl Iterator<Item = &'a SimConn>) {
        for conn in to {
            self.world.say(conn, &Said::Live(entry, epoch));
        }
        if self.world.variant.without == Some(Broken::Early) {
            for conn in self.party().conns.clone() {
                if !self.world.conns[conn].joined {
                    let handle = self.world.conns[conn].handle.clone();
                    self.world.say(&handle, &Said::Live(entry, epoch));
                }
            }
        }
    }

    fn replay(&mut self, to: &SimConn, entry: &Entry, epoch: Epoch) {
        self.world.say(to, &Said::Replay(entry, epoch));
    }

    fn gap(&mut self, to: &SimConn, gap: Gap) {
        self.world.say(to, &Said::Gap(&gap));
    }

    fn joined(&mut self, to: &SimConn, mut answer: Joined) {
        if self.world.variant.without == Some(Broken::Resume) && answer.place.is_some() {
            answer.resumed = answer.resumed.map(|_| true);
        }
        self.world.say(to, &Said::Joined(&answer));
    }
}
