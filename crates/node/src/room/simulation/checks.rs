//! What must hold: each check names the promise that it holds.
//!
//! I1 in an epoch offsets rise, none repeats, a hole is told or filled before anything later. I2 nothing twice to a
//! session. I3 one order. I4 `resumed` only if true. I5 what a publisher was told is published reaches every connected
//! member, or a gap covers it, or its epoch ended. I6 a change of epoch is told once, and none comes back. I7 nothing
//! from nowhere, nothing before the join's answer or after a leave. I8 after healing one epoch and no further gaps.
//! Where the room is by key, a value is as good as got when a newer one of its key was, and: K1 what is passed over without
//! a gap is followed by a newer of its key. K2 an older value never comes after a newer. K3 a node keeps the newest of each
//! key, whole from its base on. K4 who resumes, or asks for the newest, gets all that is kept. K5 after healing that is
//! the same everywhere.
//! And O2, O5, repeats by `mid` and `echo` as `docs/protocol.md` has them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::limits::{MIDS, MIDS_AGE};
use super::super::{GapReason, Outcome, Replay};
use super::trace::{Said, pid};
use super::world::{Conn, Id, Time, secs};
use ringway_backplane::message::{Epoch, Publication};
use ringway_protocol::name::{ConnId, Key};

type Verdict = Result<(), &'static str>;

/// One publication that entered somewhere.
pub(super) struct Entered {
    pub(super) conn: Option<ConnId>,
    echo: bool,
    mid: Option<Arc<str>>,
    key: Option<Key>,
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
    /// The first of each `mid`: where, when, and how often the room had moved by then.
    mids: HashMap<(Epoch, Arc<str>), (u64, Time, u64)>,
    /// What each key's publications are, rising.
    values: HashMap<Epoch, BTreeMap<Option<Key>, Vec<u64>>>,
    /// How often the room went from node to node: what is remembered beside its buffer stays behind.
    pub(super) moves: u64,
    /// Some node's buffer was cut for want of memory.
    pub(super) shed: bool,
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
            key: publication.key.clone(),
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
        self.values.entry(epoch).or_default().entry(self.entered[id].key.clone()).or_default().push(offset);
        let (Some(mid), Some(mut replay)) = (publication.mid.clone(), self.replay) else { return Ok(()) };
        let Some((first, then, moves)) = self.mids.insert((epoch, mid), (offset, now, self.moves)) else {
            return Ok(());
        };
        if replay.by_key {
            replay.messages = replay.messages.min(MIDS as usize);
            replay.age = replay.age.min(Duration::from_millis(MIDS_AGE));
            if self.shed {
                return Ok(());
            }
            if moves < self.moves && self.newer(epoch, first).is_some_and(|newer| newer < offset) {
                return Ok(());
            }
        }
        // Clocks may differ by a second.
        let young = now + secs(1.5) < then + replay.age.as_micros() as Time;
        if young && offset - first <= replay.messages as u64 { Err("mid numbered again") } else { Ok(()) }
    }

    pub(super) fn outcome(&mut self, ids: &[usize], outcome: &Outcome) -> Verdict {
        let told = match outcome {
            Outcome::Published(_) => "ok",
            Outcome::Limited { .. } => return Err("a limit where there is none"),
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

    /// The next of the same key, where the room is by key.
    fn newer(&self, epoch: Epoch, offset: u64) -> Option<u64> {
        let id = self.numbers.get(&(epoch, offset)).filter(|_| self.is_by_key())?;
        let values = self.values.get(&epoch)?.get(&self.entered[*id].key)?;
        values.get(values.partition_point(|other| *other <= offset)).copied()
    }

    fn is_by_key(&self) -> bool {
        self.replay.is_some_and(|replay| replay.by_key)
    }

    /// K3, for what one node keeps of `epoch`.
    pub(super) fn newest_are_kept(&self, epoch: Epoch, base: u64, number: u64, kept: &[u64]) -> Verdict {
        let newest =
            |values: &Vec<u64>| values[..values.partition_point(|value| *value <= number)].last().copied();
        let newest: HashSet<u64> =
            self.values.get(&epoch).into_iter().flat_map(BTreeMap::values).filter_map(newest).collect();
        if kept.iter().any(|kept| !newest.contains(kept)) {
            return Err("K3 a value is kept though there is a newer");
        }
        if newest.iter().any(|newest| *newest > base && !kept.contains(newest)) {
            return Err("K3 a kept value is missing");
        }
        Ok(())
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
    /// By key: the newest that it got of each since it wasn't resumed, and what it passed over.
    values: HashMap<Option<Key>, (Epoch, u64)>,
    passed_over: Vec<(Epoch, u64)>,
    /// What its last join was answered.
    placed: bool,
    resumed: bool,
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
            self.values.clear();
            self.passed_over.clear();
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
                (self.placed, self.resumed) = (place.is_some(), answer.resumed == Some(true));
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
                    self.values.clear();
                    if conn.since.is_some() && conn.last.is_some() {
                        // It asked for what it may have, and knows it by its offset.
                        self.got.clear();
                    }
                    self.passed_over.clear();
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
                self.passed_over.retain(|passed| {
                    passed.0 == epoch && ledger.newer(epoch, passed.1).is_none_or(|newer| newer > offset)
                });
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
        for between in self.offset + 1..offset {
            if silent(between) {
                continue;
            }
            if ledger.newer(epoch, between).is_none() {
                return Err("I1 hole without gap");
            }
            self.passed_over.push((epoch, between));
        }
        self.offset = offset;
        if ledger.is_by_key() {
            let before = self.values.insert(ledger.entered[id].key.clone(), (epoch, offset));
            if before.is_some_and(|before| before > (epoch, offset)) {
                return Err("K2 an older value after a newer");
            }
        }
        Ok(())
    }

    /// Whether it got a newer one of the same key, or published that itself and didn't want it back.
    fn has_newer(&self, ledger: &Ledger, epoch: Epoch, mut offset: u64) -> bool {
        while let Some(newer) = ledger.newer(epoch, offset) {
            let id = ledger.numbers[&(epoch, newer)];
            if self.got.contains(&id) || self.conns.iter().any(|conn| ledger.silent(id, conn)) {
                return true;
            }
            offset = newer;
        }
        false
    }

    /// K1.
    pub(super) fn lacks_passed_over(&self, ledger: &Ledger) -> bool {
        self.passed_over.iter().any(|(epoch, offset)| !self.has_newer(ledger, *epoch, *offset))
    }

    /// K4: its join was answered just now by a node that keeps these.
    pub(super) fn has_values(
        &self,
        ledger: &Ledger,
        epoch: Epoch,
        kept: &[u64],
        since: Option<(Epoch, u64)>,
        last: Option<u32>,
    ) -> Verdict {
        if self.epoch != Some(epoch) || !self.placed {
            return Ok(());
        }
        let from = match since {
            Some(since) if self.resumed => since.1,
            _ if last.is_some() => 0,
            _ => return Ok(()),
        };
        let got = |offset: &u64| {
            let id = ledger.numbers[&(epoch, *offset)];
            self.got.contains(&id) || self.conns.iter().any(|conn| ledger.silent(id, conn))
        };
        if kept.iter().filter(|offset| **offset > from).all(got) {
            Ok(())
        } else {
            Err("K4 a value didn't come")
        }
    }

    /// I5, for one publication.
    pub(super) fn has_or_was_told(&self, ledger: &Ledger, id: usize) -> bool {
        let Some((original, (epoch, offset))) = ledger.original(id) else { return true };
        let numbered = ledger.entered[original].numbered.unwrap_or(0);
        let own = ledger.entered[original].conn.as_ref();
        self.first.is_none_or(|first| first >= numbered)
            || self.got.contains(&original)
            || self.has_newer(ledger, epoch, offset)
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
