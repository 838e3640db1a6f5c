//! What goes wrong: a crash, a hang, a cut, a wrong view, lost live messages, a node that comes, a drain.

use super::world::{GATEWAY, Id, NEW, Set, Time, World, secs};

impl World {
    pub(super) fn good(&self) -> Set {
        let well = |id: &Id| {
            let node = &self.parties[*id];
            node.up && !node.hung && !node.cut && !node.leaving
        };
        self.nodes().filter(well).fold(0, |set, id| set | 1 << id)
    }

    /// The views come to show what is, each in its own time.
    pub(super) fn spread(&mut self, low: f64, high: f64) {
        for id in 0..self.parties.len() {
            self.will_see(id, low, high);
        }
    }

    /// This one's view comes to show what is.
    fn will_see(&mut self, id: Id, low: f64, high: f64) {
        if self.parties[id].up {
            let time = self.now + secs(self.dice.between(low, high));
            self.at_party(
                time,
                id,
                Box::new(move |w| {
                    if !w.parties[id].cut {
                        w.set_view(id, w.good());
                    }
                }),
            );
        }
    }

    pub(super) fn fault(&mut self) {
        let id = self.dice.whole(1, self.parties.len() - 1);
        let kind = self.dice.of(&["crash", "hang", "cut", "flap", "lossy", "join", "drain", "cut", "hang"]);
        let kind = if self.variant.joins { "join" } else { kind };
        let brief = self.dice.between(0.3, 2.0);
        let long = self.dice.between(2.0, 9.0);
        let lasts = secs(self.dice.of(&[brief, long]));
        let node = &self.parties[id];
        let well = node.up && !node.hung && !node.cut && !node.leaving;
        if !well || (self.good().count_ones() < 2 && kind != "join") {
            return;
        }
        // Nothing that lives is lost where one more comes: that makes no epoch.
        self.faults += usize::from(kind != "join");
        self.trace(|| format!("=== {kind} n{id} {:.2}", lasts as f64 / 1e6));
        match kind {
            "crash" => {
                self.down(id);
                self.spread(2.0, 5.0);
                self.at(self.now + lasts, Box::new(move |w| w.revive(id)));
            }
            "hang" => self.hang(id, lasts),
            "cut" => self.cut(id, lasts),
            "flap" => {
                let other = self.dice.whole(0, self.parties.len() - 1);
                let view = self.parties[other].view & !(1 << id);
                self.set_view(other, view);
                self.at_party(
                    self.now + lasts,
                    other,
                    Box::new(move |w| {
                        if !w.parties[other].cut {
                            w.set_view(other, w.good());
                        }
                    }),
                );
            }
            "lossy" => {
                self.parties[id].lossy = true;
                let noticed = self.dice.chance(0.6);
                self.at_party(
                    self.now + lasts.min(secs(2.5)),
                    id,
                    Box::new(move |w| {
                        w.parties[id].lossy = false;
                        if noticed {
                            w.back(id);
                        }
                    }),
                );
            }
            "join" => {
                if self.can_grow() {
                    let view = self.first_view();
                    let id = self.add_party(view);
                    self.begins(id);
                }
            }
            _ => self.drain(id),
        }
    }

    fn drain(&mut self, id: Id) {
        self.parties[id].leaving = true;
        let view = self.parties[id].view & !(1 << id);
        self.set_view(id, view);
        self.spread(0.0, 2.0);
        for conn in self.parties[id].conns.clone() {
            let time = self.now + secs(self.dice.between(0.0, 4.0));
            self.reconnect_at(time, conn);
        }
        self.at(self.now + secs(6.0), Box::new(move |w| w.down(id)));
    }

    /// The session of this connection looks for another node, if it still has this one.
    fn reconnect_at(&mut self, time: Time, conn: usize) {
        let session = self.conns[conn].session;
        self.at(
            time,
            Box::new(move |w| {
                if w.sessions[session].conn == Some(conn) && w.sessions[session].on {
                    w.connect(session);
                }
            }),
        );
    }

    fn hang(&mut self, id: Id, lasts: Time) {
        let keeps = self.dice.chance(0.5);
        let node = &mut self.parties[id];
        (node.hung, node.hang_keeps) = (true, keeps);
        let since = self.now;
        self.spread(2.0, 5.0);
        self.at(self.now + lasts, Box::new(move |w| w.wake(id, since)));
    }

    fn cut(&mut self, id: Id, lasts: Time) {
        let (keeps, shows) = (self.dice.chance(0.5), self.dice.chance(0.5));
        let node = &mut self.parties[id];
        (node.cut, node.cut_keeps, node.cut_shows) = (true, keeps, shows);
        let noticed = self.now + secs(self.dice.between(0.0, 3.0));
        self.at_party(
            noticed,
            id,
            Box::new(move |w| {
                if w.parties[id].cut {
                    w.parties[id].knows = true;
                    w.trace(|| format!("=== n{id} knows that it is cut off"));
                    w.room(id, |room, s| room.link_lost(s));
                }
            }),
        );
        self.spread(2.0, 5.0);
        self.at(self.now + lasts, Box::new(move |w| w.heal(id)));
    }

    pub(super) fn down(&mut self, id: Id) {
        let node = &mut self.parties[id];
        if !node.up {
            return;
        }
        node.up = false;
        node.life += 1;
        (node.hung, node.cut, node.knows, node.lossy) = (false, false, false, false);
        node.inbox.clear();
        node.outbox.clear();
        node.room = None;
        for conn in std::mem::take(&mut node.conns) {
            self.conns[conn].alive = false;
            let time = self.now + secs(self.dice.between(0.2, 1.5));
            self.reconnect_at(time, conn);
        }
        self.trace(|| format!("=== n{id} is down"));
    }

    pub(super) fn revive(&mut self, id: Id) {
        if self.parties[id].up {
            return;
        }
        self.parties[id].up = true;
        self.read_first(id);
        self.trace(|| format!("=== n{id} is back"));
        let view = self.first_view();
        self.set_view(id, view);
        self.begins(id);
    }

    /// What a node that begins has heard of the others: all, some, or nobody.
    fn first_view(&mut self) -> Set {
        let some = self.dice.whole(0, Set::MAX as usize) as Set;
        self.good() & self.dice.of(&[Set::MAX, some, 0])
    }

    fn hear_of_some(&mut self, id: Id) {
        let others: Vec<Id> =
            self.nodes().filter(|other| self.good() & !(1 << id) & (1 << other) != 0).collect();
        let of_its_pool: Vec<Id> =
            others.iter().copied().filter(|other| self.share_a_pool(id, *other)).collect();
        let others = if of_its_pool.is_empty() { others } else { of_its_pool };
        if !others.is_empty() && !self.parties[id].cut {
            let other = self.dice.of(&others);
            self.set_view(id, self.parties[id].view | 1 << other);
        }
    }

    /// A node has begun. While it is new it hears of all others, or of some and of the rest later; they hear of it in their own
    /// time, or at once, and then it is asked at once.
    fn begins(&mut self, id: Id) {
        self.parties[id].began = Some(self.now);
        let quick = self.dice.chance(0.5);
        for other in (0..self.parties.len()).filter(|other| *other != id) {
            self.will_see(other, 0.0, if quick { 0.1 } else { 2.0 });
        }
        if self.dice.chance(0.5) {
            self.will_see(id, 0.0, NEW);
        } else {
            let time = self.now + secs(self.dice.between(0.0, NEW));
            self.at_party(time, id, Box::new(move |w| w.hear_of_some(id)));
            self.will_see(id, NEW, 2.0);
        }
        if quick && !self.calm {
            for _ in 0..2 {
                let time = self.now + secs(self.dice.between(0.02, NEW));
                self.at(time, Box::new(|w| w.publish_something()));
            }
            let session = self.dice.whole(0, self.sessions.len() - 1);
            let time = self.now + secs(self.dice.between(0.02, NEW));
            let if_on = move |w: &mut World| {
                if w.sessions[session].on {
                    w.connect(session);
                }
            };
            self.at(time, Box::new(if_on));
        }
    }

    pub(super) fn wake(&mut self, id: Id, since: Time) {
        if !self.parties[id].up || !self.parties[id].hung {
            return;
        }
        self.parties[id].hung = false;
        self.trace(|| format!("=== n{id} wakes"));
        let inbox = std::mem::take(&mut self.parties[id].inbox);
        if self.now - since > secs(1.5) || !self.parties[id].hang_keeps {
            self.at_party(self.now, id, Box::new(move |w| w.back(id)));
        }
        for job in inbox {
            self.at_party(self.now, id, job);
        }
        self.spread(0.0, 2.0);
    }

    pub(super) fn heal(&mut self, id: Id) {
        let node = &mut self.parties[id];
        if !node.up || !node.cut {
            return;
        }
        (node.cut, node.knows) = (false, false);
        for (_, to, kind, job) in std::mem::take(&mut node.outbox) {
            self.post(id, to, kind, job);
        }
        self.trace(|| format!("=== n{id} healed"));
        self.at_party(self.now, id, Box::new(move |w| w.back(id)));
        self.spread(0.0, 2.0);
    }

    /// The network heals, whoever is away comes back, and the views agree.
    pub(super) fn heal_all(&mut self) {
        for id in self.nodes() {
            if self.parties[id].hung {
                self.wake(id, 0);
            }
            self.heal(id);
            if !self.parties[id].leaving {
                self.revive(id);
            } else {
                self.down(id);
            }
            if std::mem::take(&mut self.parties[id].lossy) {
                self.back(id);
            }
        }
        self.heal_pools();
        self.calm = true;
        self.spread(0.0, 3.0);
        debug_assert!(self.parties[GATEWAY].up);
    }
}
