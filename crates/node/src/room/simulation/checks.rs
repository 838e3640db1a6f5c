//! What must hold: each check names the promise that it holds.
//!
//! I1 in an epoch offsets rise, none repeats, a hole is told or filled before anything later. I2 nothing twice to a
//! session. I3 one order. I4 `resumed` only if true. I5 what a publisher was told is published reaches every connected
//! member, or a gap covers it, or its epoch ended. I6 a change of epoch is told once, and none comes back. I7 nothing
//! from nowhere, nothing before the join's answer or after a leave. I8 after healing one epoch and no further gaps.
//! And O2, O5, repeats by `mid` and `echo` as `docs/protocol.md` has them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::{GapReason, Outcome, Replay};
use super::trace::{Said, pid};
use super::world::{Conn, Id, Time, secs};
use ringway_backplane::message::{Epoch, Publication};
use ringway_protocol::name::ConnId;

type Verdict = Result<(), &'static str>;

/// One publication that entered somewhere.
pub(super) struct Entered {
    pub(super) conn: Option<ConnId>,
    echo: bool,
    mid: Option<Arc<str>>,
    numbered: Option<Time>,
    /// Where, and in which of that node's lives.
    pub(super) by: (Id, u64),
    /// What the publisher was told.
    pub(super) told: Option<&'static str>,
    /// Where it (or the first, if it is a repeat) is, by what the publisher was told.
    pub(super) place: Option<(Epoch, u64)>,
    duplicate: bool,
}

/// All that was published, and what became of it.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) entered: Vec<Entered>,
    numbers: HashMap<(Epoch, u64), usize>,
    mids: HashMap<(Epoch, Arc<str>), (u64, Time)>,
    pub(super) replay: Option<Replay>,
    pub(super) epochs: usize,
    /// Epochs that had to begin because a holder's room was forgotten.
    pub(super) forgotten: usize,
    pub(super) repeats: usize,
}

impl Ledger {
    pub(super) fn next(&self) -> usize {
        self.entered.len()
    }

    pub(super) fn enter(&mut self, publications: &[Publication]) -> Vec<usize> {
        let first = self.entered.len();
        self.entered.extend(publications.iter().map(|publication| Entered {
            conn: publication.conn.clone(),
            echo: publication.echo,
            mid: publication.mid.clone(),
            numbered: None,
            by: (0, 0),
            told: None,
            place: None,
            duplicate: false,
        }));
        (first..self.entered.len()).collect()
    }

    pub(super) fn numbered(
        &mut self,
        epoch: Epoch,
        offset: u64,
        publication: &Publication,
        by: (Id, u64),
        now: Time,
    ) -> Verdict {
        let id = pid(publication);
        let Some(entered) = self.entered.get_mut(id) else { return Err("I7 a number for nothing") };
        entered.by = by;
        if entered.numbered.replace(now).is_some() {
            return Err("I2 numbered twice");
        }
        if self.numbers.insert((epoch, offset), id).is_some() {
            return Err("I3 two publications with one number");
        }
        if offset > 1 && !self.numbers.contains_key(&(epoch, offset - 1)) {
            return Err("I1 a number left out");
        }
        let (Some(mid), Some(replay)) = (publication.mid.clone(), self.replay) else { return Ok(()) };
        let Some((first, then)) = self.mids.insert((epoch, mid), (offset, now)) else { return Ok(()) };
        // Clocks may differ by a second.
        let young = now + secs(1.5) < then + replay.age.as_micros() as Time;
        if young && offset - first <= replay.messages as u64 { Err("mid numbered again") } else { Ok(()) }
    }

    pub(super) fn outcome(&mut self, ids: &[usize], outcome: &Outcome) -> Verdict {
        let told = match outcome {
            Outcome::Published(_) => "ok",
            Outcome::Local => "local",
            Outcome::Unavailable { .. } => "unavailable",
            Outcome::Unknown => "unknown",
        };
        for (at, id) in ids.iter().enumerate() {
            if self.entered[*id].told.replace(told).is_some() {
                return Err("two outcomes");
            }
            if let Outcome::Published(published) = outcome {
                if published.len() != ids.len() {
                    return Err("outcome for others too");
                }
                let place = (published[at].epoch, published[at].offset);
                let Some(numbered) = self.numbers.get(&place).copied() else {
                    return Err("I3 a number never given");
                };
                let duplicate = published[at].duplicate;
                let alike = if duplicate {
                    self.repeats += 1;
                    self.entered[numbered].mid.is_some()
                        && self.entered[numbered].mid == self.entered[*id].mid
                } else {
                    numbered == *id
                };
                if !alike {
                    return Err("I3 told another's number");
                }
                self.entered[*id].place = Some(place);
                self.entered[*id].duplicate = duplicate;
            }
        }
        Ok(())
    }

    /// The publication that has the number which this one's publisher was told.
    pub(super) fn original(&self, id: usize) -> Option<(usize, (Epoch, u64))> {
        let place = self.entered[id].place?;
        self.numbers.get(&place).map(|original| (*original, place))
    }

    /// O5: what a connection published, and was accepted, has rising numbers.
    pub(super) fn in_order(&self) -> Verdict {
        let mut newest: BTreeMap<(&ConnId, Epoch), u64> = BTreeMap::new();
        for entered in self.entered.iter().filter(|entered| !entered.duplicate) {
            if let (Some(conn), Some((epoch, offset))) = (&entered.conn, entered.place)
                && newest.insert((conn, epoch), offset).is_some_and(|before| before > offset)
            {
                return Err("O5 not in the order sent");
            }
        }
        Ok(())
    }

    fn silent(&self, id: usize, conn: &ConnId) -> bool {
        let entered = &self.entered[id];
        !entered.echo && entered.conn.as_ref() == Some(conn)
    }
}

/// One client across its connections, by the resume rule.
#[derive(Default)]
pub(super) struct Session {
    /// Its connection, as long as it wants to be in the room.
    pub(super) conn: Option<usize>,
    pub(super) on: bool,
    conns: Vec<ConnId>,
    /// When it looked for a node, or got its join's answer.
    connected: Vec<Time>,
    epoch: Option<Epoch>,
    offset: u64,
    pub(super) got: HashSet<usize>,
    /// When it was told that something up to there won't come.
    pub(super) told: Vec<(Time, Option<Epoch>, u64)>,
    seen: Vec<Epoch>,
    first: Option<Time>,
    /// A resumed or asked-for past is sent up to there before anything else.
    owed: u64,
}

impl Session {
    /// Begins a connection; gives back what it comes with. Who doesn't come back knows nothing any more.
    pub(super) fn connect(&mut self, conn: usize, now: Time, comes_back: bool) -> Option<(Epoch, u64)> {
        self.conn = Some(conn);
        self.connected.push(now);
        self.on = true;
        self.owed = 0;
        let since = self.epoch.filter(|_| comes_back).map(|epoch| (epoch, self.offset));
        if since.is_none() {
            self.told.push((now, None, 0));
            self.seen.clear();
            self.got.clear();
            (self.epoch, self.offset) = (None, 0);
        }
        since
    }

    pub(super) fn hear(&mut self, now: Time, conn: &mut Conn, ledger: &Ledger, said: &Said<'_>) -> Verdict {
        match said {
            Said::Joined(answer) => {
                if conn.joined {
                    return Err("a join answered twice");
                }
                conn.joined = true;
                self.connected.push(now);
                self.conns.push(conn.id().clone());
                self.first.get_or_insert(now);
                let place = answer.place.map(|place| (place.epoch, place.offset));
                if answer.resumed.is_some() != conn.since.is_some() {
                    return Err("resumed told without since, or not with it");
                }
                let resumed = answer.resumed == Some(true);
                if resumed && place != self.epoch.map(|epoch| (epoch, self.offset)) {
                    return Err("I4 resumed elsewhere");
                }
                if !resumed {
                    self.told.push((now, place.map(|place| place.0), place.map_or(0, |place| place.1)));
                    self.seen = place.map(|place| place.0).into_iter().collect();
                }
                if let Some((epoch, offset)) = place {
                    (self.epoch, self.offset) = (Some(epoch), offset);
                    self.owed = answer.newest.unwrap_or(0);
                }
                Ok(())
            }
            _ if !conn.joined => Err("I7 before the join was answered"),
            Said::Gap(gap) => {
                let (epoch, offset) = (gap.place.epoch, gap.place.offset);
                if self.offset < self.owed {
                    return Err("I4 a gap where all was to come");
                }
                self.told.push((now, Some(epoch), offset));
                if self.epoch == Some(epoch) {
                    if offset < self.offset {
                        return Err("I1 gap goes back");
                    }
                    if gap.reason == GapReason::Epoch {
                        return Err("I6 epoch told twice");
                    }
                    if gap.lost.is_some_and(|lost| lost > offset - self.offset) {
                        return Err("lost miscounted");
                    }
                } else {
                    if self.seen.contains(&epoch) {
                        return Err("I6 epoch comes back");
                    }
                    self.seen.push(epoch);
                    self.owed = 0;
                }
                (self.epoch, self.offset) = (Some(epoch), offset);
                Ok(())
            }
            Said::Replay(entry, epoch) => {
                if conn.live {
                    return Err("O2 replay after live");
                }
                self.message(conn, ledger, pid(&entry.publication), Some((*epoch, entry.offset)), false)
            }
            Said::Live(entry, epoch) => {
                conn.live = true;
                if ledger.entered.get(pid(&entry.publication)).is_some()
                    && ledger.silent(pid(&entry.publication), conn.id())
                {
                    return Err("echo to who didn't want it");
                }
                if self.offset < self.owed {
                    return Err("O2 live before what was missed");
                }
                let place = epoch.map(|epoch| (epoch, entry.offset));
                self.message(conn, ledger, pid(&entry.publication), place, true)
            }
        }
    }

    fn message(
        &mut self,
        conn: &Conn,
        ledger: &Ledger,
        id: usize,
        place: Option<(Epoch, u64)>,
        live: bool,
    ) -> Verdict {
        if id >= ledger.entered.len() {
            return Err("I7 from nowhere");
        }
        if !self.got.insert(id) {
            return Err("I2 twice");
        }
        let Some((epoch, offset)) = place else { return Ok(()) };
        if ledger.numbers.get(&(epoch, offset)) != Some(&id) {
            return Err("I3 two publications with one number");
        }
        if self.epoch != Some(epoch) {
            return Err("I1 message of an epoch not told");
        }
        if offset <= self.offset {
            return Err("I1 not increasing");
        }
        // Its own without echo it passes over silently.
        let silent = |between| {
            live && ledger.numbers.get(&(epoch, between)).is_some_and(|id| ledger.silent(*id, conn.id()))
        };
        if !(self.offset + 1..offset).all(silent) {
            return Err("I1 hole without gap");
        }
        self.offset = offset;
        Ok(())
    }

    /// I5, for one publication.
    pub(super) fn has_or_was_told(&self, ledger: &Ledger, id: usize) -> bool {
        let Some((original, (epoch, offset))) = ledger.original(id) else { return true };
        let numbered = ledger.entered[original].numbered.unwrap_or(0);
        let own = ledger.entered[original].conn.as_ref();
        self.first.is_none_or(|first| first >= numbered)
            || self.got.contains(&original)
            || own.is_some_and(|conn| self.conns.contains(conn) && !ledger.entered[original].echo)
            || self
                .told
                .iter()
                .any(|(when, told, up_to)| *when >= numbered && (*told != Some(epoch) || *up_to >= offset))
    }

    /// Why it wasn't told, where that is one of the cases that remain.
    pub(super) fn excuse(&self, ledger: &Ledger, id: usize, holder_died: bool) -> &'static str {
        let Some((original, (epoch, _))) = ledger.original(id) else { return "I5 neither got nor told" };
        let numbered = ledger.entered[original].numbered.unwrap_or(0);
        let before =
            self.told.iter().rfind(|(when, _, _)| *when <= numbered).and_then(|(_, epoch, _)| *epoch);
        if before > Some(epoch) && self.connected.iter().any(|when| *when >= numbered) {
            "I5 of a lesser epoch, to who then changed nodes"
        } else if holder_died && self.told.iter().all(|(_, told, _)| *told < Some(epoch)) {
            "I5 of an epoch that ended with its holder"
        } else {
            "I5 neither got nor told"
        }
    }
}
