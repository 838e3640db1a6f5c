//! What goes wrong.

use ringway_backplane::message::LiveBody;

use super::Broken;
use super::world::{Id, World, secs};

/// After how long a node that says nothing is taken for dead.
const MISSED: f64 = 2.5;

impl World {
    pub(super) fn fault(&mut self) {
        let id = self.dice.whole(0, self.nodes.len() - 1);
        let turns = self.variant.turns;
        let kinds = ["crash", "cut", "hang", "lossy", "down", "forget", "shed", "clock", "back", "delete"];
        let kind = self.dice.of(&kinds[..if turns { 10 } else { 7 }]);
        let (brief, long) = (self.dice.between(0.1, 1.5), self.dice.between(1.5, 6.0));
        let time = if self.dice.chance(0.5) { brief } else { long };
        if self.calm || !self.nodes[id].up || self.nodes[id].cut || self.nodes[id].hangs {
            return;
        }
        self.trace(|| format!("=== {kind} n{id} {time:.2}"));
        let end = self.now + secs(time);
        match kind {
            "crash" => {
                self.crash(id);
                self.at(end, Box::new(move |w| w.restart(id)));
            }
            "cut" => {
                self.nodes[id].cut = true;
                self.missed(id);
                self.at(end, Box::new(move |w| w.heal(id)));
            }
            "hang" => {
                self.nodes[id].hangs = true;
                self.missed(id);
                self.at(end, Box::new(move |w| w.wakes(id)));
            }
            "lossy" => {
                self.nodes[id].lossy = true;
                self.at(end, Box::new(move |w| w.unlossy(id)));
            }
            "down" => {
                self.store.up = false;
                self.at(end, Box::new(|w| w.store.up = true));
            }
            "forget" => self.forget(id),
            "shed" => {
                let to = self.dice.whole(0, 2) * 300;
                self.room(id, |room, _| room.shed(to));
            }
            "clock" => self.store.skew = self.dice.whole(0, 200) as i64 - 100,
            "back" => {
                let to = self.store.last() - self.dice.whole(0, 12).min(self.store.last() as usize) as u64;
                self.put_back(to);
            }
            _ => {
                self.put_back(0);
                self.store.exists = false;
            }
        }
    }

    fn put_back(&mut self, to: u64) {
        self.trace(|| format!("=== the store is put back to {to}"));
        self.store.put_back(to, self.now);
        self.shared.push(to);
    }

    fn forget(&mut self, id: Id) {
        if self.nodes[id].cut || !self.store.up || !self.store.exists {
            return;
        }
        self.forgets += 1;
        let Some((offset, ts)) = self.store.forget(self.now) else { return };
        let Some(epoch) = self.nodes[id].known else { return };
        self.room(id, |room, s| room.forgotten(s, epoch, offset, ts));
        self.send_live(id, &LiveBody::Forgotten { epoch, offset, ts });
    }

    /// The others see that it is gone, and later that it is back.
    fn missed(&mut self, id: Id) {
        let late = self.now + secs(MISSED);
        self.at(late, Box::new(move |w| w.is_missed(id)));
    }

    fn is_missed(&mut self, id: Id) {
        let there = move |w: &Self| w.nodes[id].up && !w.nodes[id].cut && !w.nodes[id].hangs;
        for other in (0..self.nodes.len()).filter(|other| *other != id) {
            if self.nodes[other].cut || !self.nodes[other].up {
                continue;
            }
            let seen = move |w: &mut Self| {
                let view = w.nodes[other].view & !(1 << id);
                w.set_view(other, view);
                if there(w) {
                    w.set_view(other, view | 1 << id);
                }
            };
            let soon = self.now + secs(self.dice.between(0.0, 0.3));
            self.at_node(soon, other, Box::new(seen));
        }
    }

    fn is_back(&mut self, id: Id) {
        let all = (1 << self.nodes.len()) - 1;
        for other in 0..self.nodes.len() {
            let seen = move |w: &mut Self| {
                let view = if other == id { all } else { w.nodes[other].view | 1 << id };
                w.set_view(other, view);
            };
            let soon = self.now + secs(self.dice.between(0.0, 0.5));
            self.at_node(soon, other, Box::new(seen));
        }
    }

    fn crash(&mut self, id: Id) {
        let node = &mut self.nodes[id];
        (node.up, node.room, node.known, node.witness) = (false, None, None, None);
        node.life += 1;
        for conn in std::mem::take(&mut node.conns) {
            self.conns[conn].node = usize::MAX;
            let session = self.conns[conn].session;
            if std::mem::take(&mut self.conns[conn].alive) && self.sessions[session].conn == Some(conn) {
                self.sessions[session].conn = None;
                let soon = self.now + secs(self.dice.between(0.05, 1.0));
                self.at(
                    soon,
                    Box::new(move |w| {
                        if w.sessions[session].conn.is_none() {
                            w.connect(session);
                        }
                    }),
                );
            }
        }
        self.missed(id);
    }

    pub(super) fn restart(&mut self, id: Id) {
        if !self.nodes[id].up {
            self.trace(|| format!("=== n{id} begins again"));
            (self.nodes[id].up, self.nodes[id].looked) = (true, 0);
            self.look(id);
            self.is_back(id);
        }
    }

    pub(super) fn heal(&mut self, id: Id) {
        if std::mem::take(&mut self.nodes[id].cut) {
            self.trace(|| format!("=== n{id} is back"));
            self.look(id);
            self.doubts(id);
            self.is_back(id);
        }
    }

    pub(super) fn wakes(&mut self, id: Id) {
        if self.nodes[id].hangs && self.nodes[id].up {
            self.trace(|| format!("=== n{id} goes on"));
            self.goes_on(id);
            self.is_back(id);
        }
    }

    pub(super) fn unlossy(&mut self, id: Id) {
        if std::mem::take(&mut self.nodes[id].lossy) {
            self.doubts(id);
        }
    }

    fn doubts(&mut self, id: Id) {
        if !self.without(Broken::Doubt) {
            self.at_node(self.now, id, Box::new(move |w| w.room(id, |room, s| room.doubt(s))));
        }
    }

    pub(super) fn heal_all(&mut self) {
        self.trace(|| "=== all heals".to_owned());
        self.calm = true;
        (self.store.up, self.store.skew) = (true, 0);
        for id in 0..self.nodes.len() {
            self.restart(id);
            self.heal(id);
            self.wakes(id);
            self.unlossy(id);
        }
        self.conns.iter_mut().for_each(|conn| conn.slow &= conn.queue > 0);
    }
}
