//! One pass over a stream for many rooms: everything from the lowest number that anyone wants, each room taking its own.
//!
//! Reading by room costs the server as many messages as the stream has since the room's number, for each room; a pass costs
//! them once.

use std::collections::HashMap;

use ringway_backplane::store::{Holding, Kept, Newest, Pass, ReadError, RoomAt};
use ringway_protocol::name::{RoomName, TenantId};

use tokio::time::Instant;

use super::asking::{Asking, PAGE_BYTES, PAGE_ENTRIES, waits};
use super::library::{Library, weight};
use super::verify::Claim;

/// How many messages a pass reads at most. At some microseconds each that is about a second.
pub(super) const PASS_MESSAGES: u64 = 200_000;

/// How many it asks for at a time.
const AT_A_TIME: u32 = 1_000;

/// What a pass collects at most, bytes. Publications that several wanted count for each.
const PASS_BYTES: usize = 64 * 1024 * 1024;

/// What a pass is made for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) claim: Claim,
    /// The room's newest, as it is known: everything up to there is wanted.
    pub(super) newest: Newest,
    /// What it got, rising; the first may be what is at the claim itself.
    pub(super) kept: Vec<Kept>,
    bytes: usize,
    /// It has a page full, and there is more.
    pub(super) more: bool,
    /// When that was stored which another room has at the claim's number.
    pub(super) others: Option<u64>,
    /// It has all that it wants, or a page full.
    pub(super) reached: bool,
    /// What was known to be the room's newest isn't kept any more.
    pub(super) short: bool,
}

impl Wish {
    pub(super) fn new(claim: Claim, newest: Newest) -> Self {
        Self {
            claim,
            newest,
            kept: Vec::new(),
            bytes: 0,
            more: false,
            others: None,
            reached: false,
            short: false,
        }
    }

    /// Whether it is sure that what is at the claim was kept until the stream held what `holding` says: then nothing behind
    /// it was dropped while the pass went on.
    pub(super) fn stood(&self, holding: &Holding) -> bool {
        let last = self.kept.last().map_or(self.claim.offset, |last| last.offset);
        // Whatever else was stored behind its last may have been of this room.
        let most = self.kept.len() as u64 + holding.last.saturating_sub(last);
        holding.first <= self.claim.offset && holding.most.is_none_or(|limit| most <= limit)
    }

    fn take(&mut self, kept: &Kept) {
        let weight = weight(kept);
        let is_claim = kept.offset == self.claim.offset;
        let entries = self.kept.len() as u32;
        if self.kept.len() > 1 && (entries > PAGE_ENTRIES || self.bytes + weight > PAGE_BYTES) {
            (self.more, self.reached) = (true, true);
            return;
        }
        self.kept.push(kept.clone());
        if !is_claim {
            self.bytes += weight;
        }
        self.reached = kept.offset >= self.newest.offset;
    }
}

/// How a pass went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// How often it asked: what it found is as it was at as many different times.
    pub(super) times: u32,
    /// Why some aren't reached, where it isn't that too much would have had to be read for them.
    pub(super) why_not_all: Option<ReadError>,
}

/// Wishes, by what they wait for.
struct Wishes<'a> {
    wishes: &'a mut [Wish],
    /// Those that lack something, by their rooms.
    rooms: HashMap<(TenantId, RoomName), Vec<usize>>,
    /// Claims, rising by their numbers, and how many of them are passed.
    claims: Vec<(u64, usize)>,
    passed: usize,
    left: usize,
    bytes: usize,
}

impl<'a> Wishes<'a> {
    fn new(wishes: &'a mut [Wish], rooms: &[(TenantId, RoomName)]) -> Self {
        let mut by_room: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, room) in rooms.iter().enumerate() {
            by_room.entry(room.clone()).or_default().push(index);
        }
        let mut claims: Vec<_> =
            wishes.iter().enumerate().map(|(index, wish)| (wish.claim.offset, index)).collect();
        claims.sort_unstable();
        let left = wishes.len();
        Self { wishes, rooms: by_room, claims, passed: 0, left, bytes: 0 }
    }

    /// All up to there was looked at: what is wanted of it and didn't come is kept no more.
    fn looked_upto(&mut self, upto: u64) {
        for wish in self.wishes.iter_mut().filter(|wish| !wish.reached && wish.newest.offset <= upto) {
            (wish.reached, wish.short) = (true, true);
            self.left -= 1;
        }
    }

    /// Who has got something goes on from there.
    fn make_do(&mut self) {
        for wish in self.wishes.iter_mut().filter(|wish| !wish.reached) {
            let behind = wish.kept.last().is_some_and(|last| last.offset > wish.claim.offset);
            (wish.reached, wish.more) = (behind, behind);
        }
    }

    fn take(&mut self, pass: &Pass) {
        for (room, kept) in &pass.kept {
            let own = self.rooms.get(room).map_or(&[][..], Vec::as_slice);
            while let Some((offset, index)) = self.claims.get(self.passed).copied() {
                if offset > kept.offset {
                    break;
                }
                if offset == kept.offset && !own.contains(&index) {
                    self.wishes[index].others = Some(kept.ts);
                }
                self.passed += 1;
            }
            for &index in own {
                let wish = &mut self.wishes[index];
                if wish.reached || kept.offset < wish.claim.offset {
                    continue;
                }
                let before = wish.bytes;
                wish.take(kept);
                self.bytes += wish.bytes - before;
                self.left -= usize::from(wish.reached);
            }
        }
    }
}

impl<L: Library> Asking<L> {
    /// Reads the stream of `at` for these wishes, which are of these rooms, until `until`. Who has got something by then, and
    /// not all, is to go on from there; who has nothing isn't reached.
    pub(super) async fn pass_for(
        &self,
        at: &RoomAt,
        rooms: &[(TenantId, RoomName)],
        wishes: &mut [Wish],
        until: Instant,
    ) -> Passed {
        let mut passed = Passed { times: 0, why_not_all: None };
        let Some(mut from) = wishes.iter().map(|wish| wish.claim.offset).min() else { return passed };
        let mut wishes = Wishes::new(wishes, rooms);
        let mut messages = 0;
        let mut behind = waits();
        while wishes.left > 0 && messages < PASS_MESSAGES && wishes.bytes < PASS_BYTES {
            let pass = match tokio::time::timeout_at(until, self.pass(at, from, AT_A_TIME)).await {
                Ok(Ok(pass)) => pass,
                Ok(Err(error)) => {
                    passed.why_not_all = Some(error);
                    break;
                }
                Err(_) => {
                    passed.why_not_all = Some(ReadError::Busy);
                    break;
                }
            };
            messages += pass.kept.len() as u64;
            passed.times += 1;
            wishes.take(&pass);
            match pass.next {
                Some(next) => from = next.max(from + 1),
                None => {
                    from = from.max(pass.upto + 1);
                    wishes.looked_upto(pass.upto);
                    if wishes.left == 0 {
                        break;
                    }
                    // Whoever answered hasn't got what somebody knows to be there.
                    let Some(wait) = behind.next() else { break };
                    tokio::time::sleep(wait).await;
                }
            }
        }
        wishes.make_do();
        passed
    }
}
