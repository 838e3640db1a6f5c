//! What must hold once faults have stopped and nothing is on its way: all is answered, everybody is served where it should be, and
//! when all have gone nothing is kept.

use ringway_link::ConnNo;

use super::super::Work;
use super::client::Stage;
use super::schedule::{Schedule, number};
use super::world::{Entry, LIMIT, NODES, ROOMS, spot};

/// Somebody who is no client.
const NOBODY: usize = usize::MAX;

impl Schedule {
    /// Nothing goes wrong any more, and nobody wants more.
    pub(super) fn end(&mut self) {
        if self.world.trace {
            println!("faults stop");
        }
        let troubled = if self.calm { 0 } else { NODES };
        for node in 0..troubled {
            self.heal(node);
            if self.world.links[node].void {
                self.notice(node);
            }
            self.world.links[node].shunned = false;
        }
        self.rest();
        for room in &mut self.world.rooms {
            room.append(Entry { by: NOBODY, echo: true });
        }
        self.rest();
        if self.world.broken.is_none() {
            self.check_rest();
        }
        if self.world.broken.is_some() {
            return;
        }
        for who in 0..self.world.actors.len() {
            if self.world.actors[who].stage == Stage::Live {
                self.leave(who);
            }
        }
        self.rest();
        if self.world.broken.is_none() {
            self.check_nothing_left();
        }
    }

    /// Runs until nothing is on its way.
    fn rest(&mut self) {
        let mut ticks = 0;
        for round in 0..200 {
            let mut quiet = true;
            for node in 0..NODES {
                // A word that it leaves may be on its way still.
                self.world.links[node].leaving = false;
                while !self.world.links[node].up.is_empty() {
                    quiet = false;
                    self.world.node_takes(node);
                }
                loop {
                    let lanes = self.world.links[node].lanes();
                    let Some((conn, room)) = lanes.first().copied() else { break };
                    quiet = false;
                    self.world.node_works(node, conn, room);
                }
                for room in 0..ROOMS {
                    while self.world.is_behind(node, room) {
                        quiet = false;
                        self.world.node_hears(node, room);
                    }
                }
                while let Some((room, conn)) = self.world.links[node].behind().first().copied() {
                    quiet = false;
                    self.world.node_goes_on(node, room, conn);
                }
                let conns: Vec<u32> = self.world.links[node].conns.keys().copied().collect();
                for conn in conns {
                    self.world.give_credit(node, conn);
                }
                while !self.world.links[node].down.is_empty() {
                    quiet = false;
                    self.hear(node);
                    self.world.links[node].leaving = false;
                }
            }
            for who in 0..self.world.actors.len() {
                match self.world.actors[who].stage {
                    Stage::Refused => self.leave(who),
                    Stage::Opened => self.begin(who),
                    Stage::Live => {
                        let conn = ConnNo(self.world.actors[who].conn);
                        self.table.credit(&mut self.world, conn, 0);
                        continue;
                    }
                    _ => continue,
                }
                quiet = false;
            }
            if round == 0 && !self.calm {
                self.table.look_again();
            }
            quiet &= self.table.work(&mut self.world, 1_000) == Work::Done;
            if self.world.broken.is_some() {
                return;
            }
            if quiet {
                // Until whoever refused may be asked again, and what was asked for long ago is forgotten.
                ticks += 1;
                self.table.tick(&mut self.world);
                if ticks > 12 {
                    return;
                }
            }
        }
        self.world.fail("C10 no rest");
    }

    fn check_rest(&mut self) {
        for who in 0..self.world.actors.len() {
            let actor = &self.world.actors[who];
            if actor.stage != Stage::Live {
                if actor.stage != Stage::Gone {
                    self.world.fail("C10 an opening without an end");
                }
                continue;
            }
            let conn = actor.conn;
            let what = self.what_is_wrong(who, conn);
            if let Some(what) = what {
                if self.world.trace {
                    println!(
                        "client {who}: {:?} {:?}",
                        self.world.actors[who],
                        self.table.clients.get(ConnNo(conn))
                    );
                }
                self.world.fail(what);
            }
        }
    }

    fn what_is_wrong(&self, who: usize, conn: u32) -> Option<&'static str> {
        let world = &self.world;
        let actor = &world.actors[who];
        if !actor.hello {
            return Some("C8 no hello");
        }
        if !actor.pending.is_empty() {
            return Some("C8 unanswered");
        }
        if actor.stopped {
            return Some("C10 still stopped");
        }
        let home = world.home(world.rooms[actor.home].homes, &[]).map(|node| usize::from(node.0));
        for (node, link) in world.links.iter().enumerate() {
            let is_home = link.conns.get(&conn).is_some_and(|session| session.home);
            if is_home != (Some(node) == home) {
                return Some(if is_home { "C10 a home too many" } else { "C10 not at home" });
            }
        }
        let mut rooms = 0;
        for (room, had) in actor.rooms.iter().enumerate() {
            let home = world.home(world.rooms[room].homes, &[]).map_or(0, |node| usize::from(node.0));
            let served = |node: usize| {
                let here = world.links[node].rooms[room].as_ref();
                here.is_some_and(|here| here.members.iter().any(|member| member.conn == conn))
            };
            rooms += (0..NODES).filter(|node| served(*node)).count();
            if had.loose {
                continue;
            }
            if (0..NODES).any(|node| served(node) && (node != home || !had.in_it)) {
                return Some("C10 a member where it shouldn't be one");
            }
            if had.in_it && !world.links[home].is_level(room, conn) {
                return Some("C10 not served at its home");
            }
            if had.in_it && had.at != Some((world.rooms[room].epoch, world.rooms[room].newest())) {
                return Some("C10 without the last publication");
            }
        }
        if rooms > LIMIT as usize {
            return Some("C13 in more rooms than it may be");
        }
        let client = self.table.clients.get(ConnNo(conn))?;
        if client.any_more().is_some() {
            return Some("C10 something is left of what was asked");
        }
        for seat in 0..client.seats.len() {
            let had = &actor.rooms[world.room_index(self.table.rooms.get(client.seats[seat].room))];
            let at = self.table.position_of(client, seat).as_ref().map(spot);
            if had.in_it && !had.loose && at != had.at {
                return Some("C17 another position than the client's");
            }
        }
        if client.owed() > 0 {
            return Some("C10 something is owed");
        }
        None
    }

    fn check_nothing_left(&mut self) {
        if self.table.clients() > 0 || self.table.clients.end() > 0 {
            self.world.fail("C12 a number that isn't free");
        }
        for node in 0..NODES {
            if self.table.uses(number(node)) || !self.world.links[node].conns.is_empty() {
                self.world.fail("C12 somebody is left at a node");
            }
            self.table.link_lost(&mut self.world, number(node));
        }
        if !self.table.rooms.is_empty() || !self.table.tenants.is_empty() {
            self.world.fail("C12 a name that is kept");
        }
    }
}
