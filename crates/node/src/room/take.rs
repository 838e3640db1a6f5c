//! Taking: how a node becomes the room's holder. The number, with the buffer, is a token: whoever has it gives it away
//! whole to the first who asks and forgets that it had it; who finds nobody to give it begins a new epoch.

use std::time::Duration;

use super::limits::{LATE_TAKES, TAKE_ASKS, TAKE_PAUSE, TAKE_WAIT};
use super::log::Entry;
use super::number::Queued;
use super::surroundings::{AskError, AskId, Handles, Surroundings, TAKE_COUNTS_LATE, Timer};
use super::{Room, Standing};
use ringway_backplane::message::{Answer, Ask, Epoch};
use ringway_protocol::code::Code;
use ringway_ring::NodeId;

/// The room is being taken.
#[derive(Debug)]
pub(super) struct Taking {
    began: Duration,
    /// This node was new when it began to go round.
    new: bool,
    /// The question under way; `None`: it waits to go round once more.
    ask: Option<AskId>,
    /// Who was asked, and whether it said that it hasn't the room.
    tried: Vec<(NodeId, bool)>,
    /// Who was said to have it, by somebody who knows an epoch of it: else it is only where to look.
    named: Vec<NodeId>,
}

impl<H: Handles> Room<H> {
    pub(super) fn start_taking(&mut self, s: &mut impl Surroundings<H>) {
        if self.taking.is_none() {
            let new = s.is_new();
            let taking = Taking { began: s.now(), new, ask: None, tried: Vec::new(), named: Vec::new() };
            self.taking = Some(Box::new(taking));
            self.take_on(s, None);
        }
    }

    /// Asks the next node for the room: whom the last one named, the last known holder, the next owner, the owner in the
    /// pool that the tenant was in before, and last those who took this node for the owner: they know the room, and other
    /// nodes, which this one need not have heard of yet.
    fn take_on(&mut self, s: &mut impl Surroundings<H>, named: Option<NodeId>) {
        if s.away() {
            return self.give_up_taking(s);
        }
        let Some(taking) = &mut self.taking else { return };
        let near = [named, self.holder.clone(), s.owner_without(s.me()), s.former_owner()];
        // Who keeps the number knows of the room all that others could tell.
        let asked_by = self.queue.iter().take(TAKE_ASKS).filter_map(Queued::asked_by);
        let asked_by = asked_by.filter(|_| self.standing != Standing::Keeping).cloned();
        let mut candidates = near.into_iter().flatten().chain(asked_by);
        let untried = |node: &NodeId| node != s.me() && taking.tried.iter().all(|(tried, _)| tried != node);
        let next = candidates.find(untried);
        match next.filter(|_| taking.tried.len() < TAKE_ASKS) {
            Some(node) => {
                taking.tried.push((node.clone(), false));
                let known = self.known();
                let ask = s.ask(&node, Ask::Take { known }, TAKE_WAIT);
                if let Some(taking) = &mut self.taking {
                    taking.ask = Some(ask);
                }
            }
            // Back from a cut, and nobody else took over: the numbers go on.
            None if self.standing == Standing::Keeping => self.hold(s),
            None if self.perhaps_on_its_way(s.now()) => self.go_round_again(s),
            None => self.begin_epoch(s),
        }
    }

    /// Asks all of them once more, a little later.
    fn go_round_again(&mut self, s: &mut impl Surroundings<H>) {
        if let Some(taking) = &mut self.taking {
            taking.tried.clear();
            taking.named.clear();
        }
        s.wake(TAKE_PAUSE, Timer::TakeAgain);
    }

    /// After a restart of the backplane the nodes come back one by one: who isn't there yet, but in the view, is waited
    /// for, so that rooms whose holders all live keep their epochs.
    fn perhaps_coming_back(&self, s: &impl Surroundings<H>) -> bool {
        let Some(taking) = &self.taking else { return false };
        let in_view = taking.tried.last().is_some_and(|(node, _)| s.incarnation(node).is_some());
        self.standing == Standing::Keeping && in_view && s.now() < taking.began + TAKE_WAIT
    }

    /// The room may be between two nodes: this one has just given it, or the one that was said to have it says that it
    /// hasn't. Answers and questions overtake each other, so it may only not have it yet. Or it is at a node that this one, new
    /// as it is, hasn't heard of.
    fn perhaps_on_its_way(&self, now: Duration) -> bool {
        let Some(taking) = &self.taking else { return false };
        let given = self.gave.is_some_and(|gave| now < gave + TAKE_WAIT);
        let denied = taking.tried.iter().any(|(tried, denied)| *denied && taking.named.contains(tried));
        (given || denied || taking.new) && now < taking.began + TAKE_WAIT
    }

    pub(super) fn take_again(&mut self, s: &mut impl Surroundings<H>) {
        if let Some(taking) = self.taking.as_mut().filter(|taking| taking.ask.is_none()) {
            taking.new = s.is_new();
            self.take_on(s, None);
        }
    }

    /// An answer to a question for the room, in time or late.
    pub(super) fn take_answered(
        &mut self,
        s: &mut impl Surroundings<H>,
        id: AskId,
        answer: Result<Answer, AskError>,
    ) {
        let in_time = self.taking.as_ref().is_some_and(|taking| taking.ask == Some(id));
        let late = self.late_takes.iter().position(|(take, _)| *take == id);
        match (&answer, late) {
            (Err(AskError::Timeout), _) if in_time => self.counts_late(s, id),
            _ if in_time => {}
            // Its time was up already when it was given up.
            (Err(_), _) | (_, None) => return,
            (Ok(_), Some(late)) => drop(self.late_takes.remove(late)),
        }
        if let Some(taking) = self.taking.as_mut().filter(|_| in_time) {
            taking.ask = None;
        }
        let mut named = None;
        match answer {
            Ok(Answer::State { epoch, offset, base, entries }) => {
                if self.take_over(s, epoch, offset, base, entries_of(entries)) {
                    return;
                }
            }
            Ok(Answer::NotHeld { known, holder }) => {
                if in_time {
                    if let Some((_, denied)) = self.taking.as_mut().and_then(|taking| taking.tried.last_mut())
                    {
                        *denied = true;
                    }
                    named = holder.clone();
                    if let Some(taking) = self.taking.as_mut().filter(|_| known.is_some()) {
                        taking.named.extend(holder.clone());
                    }
                    self.learn_while_taking(s, known, holder);
                }
            }
            Err(AskError::NoResponders) if in_time && self.perhaps_coming_back(s) => {
                return self.go_round_again(s);
            }
            // It may have begun an epoch of its own: ours can't go on.
            Ok(_) | Err(_) => {
                if in_time && self.standing == Standing::Keeping {
                    self.standing = Standing::Following;
                    self.part_if_empty();
                }
            }
        }
        if in_time {
            self.take_on(s, named);
        }
    }

    fn counts_late(&mut self, s: &mut impl Surroundings<H>, take: AskId) {
        self.late_takes.truncate(LATE_TAKES - 1);
        self.late_takes.insert(0, (take, s.now() + TAKE_COUNTS_LATE));
    }

    fn learn_while_taking(
        &mut self,
        s: &mut impl Surroundings<H>,
        known: Option<Epoch>,
        holder: Option<NodeId>,
    ) {
        let Some(epoch) = known.filter(|known| self.epoch < Some(*known)) else { return };
        if self.epoch.is_none() {
            // Only so that ours will be greater: nothing was followed that this would end.
            self.epoch = Some(epoch);
            self.set_holder(s, holder);
        } else {
            self.learn(s, epoch, holder, 0);
        }
    }

    /// Somebody gave the room: its state counts whenever it comes, if its epoch is the greatest known.
    fn take_over(
        &mut self,
        s: &mut impl Surroundings<H>,
        epoch: Epoch,
        number: u64,
        base: u64,
        entries: Vec<Entry>,
    ) -> bool {
        let holding = self.standing == Standing::Holding;
        if self.epoch.is_some_and(|known| epoch < known || (holding && epoch == known)) {
            return false;
        }
        let me = s.me().clone();
        self.meet(s, epoch, Some(me), number);
        self.fill(s, number, base, entries);
        self.hold(s);
        true
    }

    /// Nobody has the number: the room starts again at 1, in an epoch greater than any known.
    fn begin_epoch(&mut self, s: &mut impl Surroundings<H>) {
        let after_known = self.epoch.map_or(0, |known| known.ms.saturating_add(1));
        let epoch = Epoch { ms: s.wall_ms().max(after_known), node: node_number(s.me()), random: s.random() };
        let me = s.me().clone();
        self.meet(s, epoch, Some(me), 0);
        // Nobody was in this epoch before: whoever comes to it is told.
        self.numbered_lesser = false;
        self.mark_later(s, epoch, 0);
        self.hold(s);
    }

    /// From here on this node numbers; what waited for that is done.
    fn hold(&mut self, s: &mut impl Surroundings<H>) {
        self.standing = Standing::Holding;
        self.gave = None;
        if let Some(ask) = self.taking.take().and_then(|taking| taking.ask) {
            self.counts_late(s, ask);
        }
        let me = s.me().clone();
        self.set_holder(s, Some(me));
        self.wanted = self.log.number();
        self.drop_ahead();
        self.settle_lesser();
        self.log.now_whole();
        self.queue_bytes = 0;
        let (give, other): (Vec<_>, Vec<_>) =
            self.queue.drain(..).partition(|queued| matches!(queued, Queued::Give { .. }));
        // Whoever wants the room gets it when all else is done: else we would have to take it back for that.
        for queued in other.into_iter().chain(give) {
            self.when_held(s, queued);
        }
        self.tell_owner(s);
    }

    /// Who has the number but doesn't own the slot (any more) says so to the owner, which will be asked for the room and
    /// couldn't know: it may have started since, and nobody else need have been here.
    pub(super) fn tell_owner(&mut self, s: &mut impl Surroundings<H>) {
        let Some(epoch) = self.epoch.filter(|_| self.has_number()) else {
            self.told_owner = None;
            return;
        };
        let owner = s.owner().filter(|owner| owner != s.me());
        let life = owner.as_ref().and_then(|owner| s.incarnation(owner)).unwrap_or_default();
        let owner = owner.map(|owner| (owner, life));
        if self.told_owner == owner || s.away() {
            return;
        }
        self.told_owner = owner.clone();
        if let Some((owner, _)) = owner {
            self.note(s, &owner, epoch, Some(s.me().clone()));
        }
    }

    /// Whether the one copy of the number is here.
    pub(super) fn has_number(&self) -> bool {
        matches!(self.standing, Standing::Holding | Standing::Keeping)
    }

    /// The backplane is away: what waits for the room is answered, and its number kept if it is here.
    pub(super) fn give_up_taking(&mut self, s: &mut impl Surroundings<H>) {
        if let Some(ask) = self.taking.take().and_then(|taking| taking.ask) {
            self.counts_late(s, ask);
        }
        self.queue_bytes = 0;
        for queued in std::mem::take(&mut self.queue) {
            self.refuse(s, queued);
        }
    }

    pub(super) fn asked_to_give(&mut self, s: &mut impl Surroundings<H>, from: &NodeId, asker: H::Asker) {
        if s.away() {
            // The answer would be lost, and with it the number.
            return s.answer(asker, Answer::Refused { code: Code::Unavailable });
        }
        if self.taking.is_some() {
            return self.when_held(s, Queued::Give { from: from.clone(), asker });
        }
        if !self.has_number() {
            let mut holder = self.holder.clone().filter(|holder| holder != s.me());
            if self.epoch.is_none() && holder.is_none() {
                // Nobody that is known here: but who asks need not know of all the nodes that are in this one's view.
                let mut others = [s.owner_without(from), s.former_owner()].into_iter().flatten();
                holder = others.find(|other| other != s.me() && other != from);
            }
            if self.holder.is_none() {
                // It is about to hold it, then: who else owns the slot, by a view or a configuration of its own, asks there.
                self.set_holder(s, Some(from.clone()));
            }
            return s.answer(asker, Answer::NotHeld { known: self.epoch, holder });
        }
        let Some(epoch) = self.epoch else { return };
        self.log.trim(s.wall_ms());
        let (base, entries) = self.log.state();
        s.answer(asker, Answer::State { epoch, offset: self.log.number(), base, entries });
        self.standing = Standing::Following;
        self.gave = Some(s.now());
        self.set_holder(s, Some(from.clone()));
        self.part_if_empty();
        if s.incarnation(from).is_none() {
            // It asked long ago, perhaps, and is on its way out: the owner had better have the room back. Not at once:
            // two nodes that don't see each other would pass it to and fro.
            self.ask_again_later(s);
        }
    }
}

/// What came in a state, as the log has it.
pub(super) fn entries_of(entries: Vec<(u64, std::sync::Arc<super::Publication>)>) -> Vec<Entry> {
    entries.into_iter().map(|(offset, publication)| Entry { offset, publication }).collect()
}

/// Tells epochs of two nodes apart that began in one millisecond: FNV-1a, 64 bits, of the node's id.
fn node_number(node: &NodeId) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    node.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests;
