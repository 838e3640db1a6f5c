//! A store that lags and fails: a leader, and a follower that has a beginning of what the leader has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ringway_backplane::message::{Epoch, Publication};
use ringway_backplane::store::{
    Extent, Holding, Kept, Known, Newest, Pass, ReadError, RoomAt, RoomPage, StoreKey, StoreState,
    StreamState,
};
use ringway_ring::Slot;
use tokio::time::Instant;

use super::dice::Dice;
use crate::reader::library::{AtNumber, Library, NewestOf};

pub(super) const EPOCH: Epoch = Epoch { ms: 1_700_000_000_000, node: 1, random: 1 };

/// What the store is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// Of a room (of a key).
    pub(super) most: Option<u64>,
    /// Of all.
    pub(super) total: Option<u64>,
    /// How long the follower is behind, at most.
    pub(super) lag: Duration,
    /// How often in a hundred a question isn't answered.
    pub(super) faults: u64,
    /// Whether who answers what is newest says how far he has come.
    pub(super) says_upto: bool,
    pub(super) by_key: bool,
}

pub(super) const PLAIN: Manners =
    Manners { most: None, total: None, lag: Duration::ZERO, faults: 0, says_upto: true, by_key: false };

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) room: usize,
    pub(super) key: usize,
    pub(super) ts: u64,
    pub(super) publication: Arc<Publication>,
}

#[derive(Debug, Clone)]
enum Op {
    Store(u64, Message),
    /// The oldest of all goes, as it is too old.
    Age,
    Forget(usize, u64),
}

#[derive(Debug, Clone, Default)]
struct Replica {
    messages: BTreeMap<u64, Message>,
    last: u64,
    last_ts: u64,
}

impl Replica {
    fn of(&self, room: usize) -> impl DoubleEndedIterator<Item = (&u64, &Message)> {
        self.messages.iter().filter(move |(_, message)| message.room == room)
    }

    fn newest(&self, room: usize) -> Option<Newest> {
        self.of(room).next_back().map(|(offset, message)| Newest { offset: *offset, ts: message.ts })
    }

    fn first(&self) -> u64 {
        self.messages.keys().next().copied().unwrap_or(self.last + 1)
    }

    fn apply(&mut self, op: &Op, manners: Manners) {
        match op {
            Op::Store(offset, message) => {
                let same = |kept: &Message| {
                    kept.room == message.room && (!manners.by_key || kept.key == message.key)
                };
                let kept: Vec<u64> =
                    self.messages.iter().filter(|(_, kept)| same(kept)).map(|(offset, _)| *offset).collect();
                if manners.most.is_some_and(|most| kept.len() as u64 >= most) {
                    self.messages.remove(&kept[0]);
                }
                (self.last, self.last_ts) = (*offset, message.ts);
                self.messages.insert(*offset, message.clone());
                if manners.total.is_some_and(|total| self.messages.len() as u64 > total) {
                    self.messages.pop_first();
                }
            }
            Op::Age => {
                self.messages.pop_first();
            }
            Op::Forget(room, upto) => {
                self.messages.retain(|offset, message| message.room != *room || offset > upto);
            }
        }
    }
}

pub(super) struct State {
    leader: Replica,
    follower: Replica,
    coming: VecDeque<(Instant, Op)>,
    pub(super) dice: Dice,
    /// All that was ever stored.
    pub(super) ever: Vec<(u64, Message)>,
    pub(super) forgotten: Vec<(usize, u64)>,
    epoch: Epoch,
    clock: u64,
}

pub(super) struct Fake {
    pub(super) manners: Mutex<Manners>,
    pub(super) state: Mutex<State>,
    pub(super) rooms: Vec<RoomAt>,
    under_way: AtomicUsize,
    pub(super) most_under_way: AtomicUsize,
    pub(super) looks: AtomicUsize,
    pub(super) asked: AtomicUsize,
    pub(super) passes: AtomicUsize,
}

/// A question under way.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    pub(super) fn new(manners: Manners, rooms: usize, seed: u64) -> Arc<Self> {
        let at = |room: usize| RoomAt {
            group: "shared".parse().unwrap(),
            store: "chat".parse().unwrap(),
            slot: Slot::new(u16::try_from(room % 16_384).unwrap()).unwrap(),
            tenant: "acme".parse().unwrap(),
            room: format!("room-{room}").parse().unwrap(),
            latest_per_key: manners.by_key,
        };
        Arc::new(Self {
            manners: Mutex::new(manners),
            state: Mutex::new(State {
                leader: Replica::default(),
                follower: Replica::default(),
                coming: VecDeque::new(),
                dice: Dice::new(seed),
                ever: Vec::new(),
                forgotten: Vec::new(),
                epoch: EPOCH,
                clock: EPOCH.ms,
            }),
            rooms: (0..rooms).map(at).collect(),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            passes: AtomicUsize::new(0),
        })
    }

    fn index(&self, at: &RoomAt) -> usize {
        at.room.as_str().strip_prefix("room-").unwrap().parse().unwrap()
    }

    fn act(&self, op: Op) {
        let manners = *self.manners.lock();
        let mut state = self.state.lock();
        let state = &mut *state;
        state.leader.apply(&op, manners);
        let lag = u64::try_from(manners.lag.as_millis()).unwrap();
        let due = Instant::now() + Duration::from_millis(state.dice.whole(0, lag));
        let due = state.coming.back().map_or(due, |(last, _)| due.max(*last));
        state.coming.push_back((due, op));
    }

    pub(super) fn store(&self, room: usize, key: usize) -> Newest {
        self.store_one(room, key, 0)
    }

    /// One of so many bytes.
    pub(super) fn store_heavy(&self, room: usize, bytes: usize) -> Newest {
        self.store_one(room, 0, bytes)
    }

    fn store_one(&self, room: usize, key: usize, bytes: usize) -> Newest {
        let (offset, message) = {
            let mut state = self.state.lock();
            // Never the same time twice, whatever is put back.
            let ts = state.clock + state.dice.whole(1, 5);
            state.clock = ts;
            let offset = state.leader.last + 1;
            let mut publication = publication(&format!("{offset}"));
            publication.trace = (bytes > 0).then(|| "x".repeat(bytes).into());
            let publication = Arc::new(publication);
            let message = Message { room, key, ts, publication };
            state.ever.push((offset, message.clone()));
            (offset, message)
        };
        let ts = message.ts;
        self.act(Op::Store(offset, message));
        Newest { offset, ts }
    }

    pub(super) fn age(&self) {
        self.act(Op::Age);
    }

    pub(super) fn forget_now(&self, room: usize, upto: u64) {
        self.state.lock().forgotten.push((room, upto));
        self.act(Op::Forget(room, upto));
    }

    /// All that the leader has now.
    pub(super) fn kept(&self, room: usize) -> Vec<(u64, u64)> {
        self.state.lock().leader.of(room).map(|(offset, message)| (*offset, message.ts)).collect()
    }

    pub(super) fn end(&self) -> Newest {
        let state = self.state.lock();
        Newest { offset: state.leader.last, ts: state.leader.last_ts }
    }

    pub(super) fn holds(&self, offset: u64) -> bool {
        self.state.lock().leader.messages.contains_key(&offset)
    }

    pub(super) fn first(&self) -> u64 {
        self.state.lock().leader.first()
    }

    /// What to put back later.
    pub(super) fn snapshot(&self) -> impl FnOnce(&Fake) + use<> {
        let leader = self.state.lock().leader.clone();
        move |fake| {
            let mut state = fake.state.lock();
            state.coming.clear();
            state.follower = leader.clone();
            state.ever.retain(|(offset, message)| *offset <= leader.last && message.ts <= leader.last_ts);
            state.leader = leader;
        }
    }

    pub(super) fn bump(&self) -> Epoch {
        let mut state = self.state.lock();
        state.epoch.ms += 1;
        state.epoch
    }

    async fn wait(&self) -> Result<UnderWay<'_>, ReadError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        let under_way = UnderWay(&self.under_way);
        let faults = self.manners.lock().faults;
        let (took, fault) = {
            let mut state = self.state.lock();
            let fault = match state.dice.percent(faults) {
                false => None,
                true if state.dice.percent(70) => Some(ReadError::Busy),
                true => Some(ReadError::Timeout),
            };
            (state.dice.whole(0, 5), fault)
        };
        tokio::time::sleep(Duration::from_millis(took)).await;
        match fault {
            Some(error) => Err(error),
            None => Ok(under_way),
        }
    }

    /// A direct question, to whoever answers.
    async fn direct<T>(&self, answer: impl FnOnce(&Replica) -> T) -> Result<T, ReadError> {
        let _under_way = self.wait().await?;
        let manners = *self.manners.lock();
        let mut state = self.state.lock();
        let state = &mut *state;
        while state.coming.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let (_, op) = state.coming.pop_front().unwrap();
            state.follower.apply(&op, manners);
        }
        let who = if state.dice.percent(50) { &state.leader } else { &state.follower };
        Ok(answer(who))
    }

    async fn leader<T>(&self, answer: impl FnOnce(&Replica) -> T) -> Result<T, ReadError> {
        let _under_way = self.wait().await?;
        Ok(answer(&self.state.lock().leader))
    }
}

impl Library for Fake {
    fn known(&self) -> Arc<Known> {
        let epoch = self.state.lock().epoch;
        let stream = StreamState { name: "stream".into(), epoch, parts: u64::MAX };
        let state = StoreState { streams: vec![stream], ..StoreState::default() };
        Arc::new(Known { stores: BTreeMap::from([(self.rooms[0].key(), state)]) })
    }

    fn look_again(&self, _: &StoreKey) {
        self.looks.fetch_add(1, Ordering::SeqCst);
    }

    async fn newest(&self, rooms: &[RoomAt]) -> Result<NewestOf, ReadError> {
        assert!(rooms.len() <= 1_000, "too many rooms in one question");
        let says_upto = self.manners.lock().says_upto;
        let indexes: Vec<_> = rooms.iter().map(|at| self.index(at)).collect();
        self.direct(|who| NewestOf {
            rooms: indexes.into_iter().map(|room| who.newest(room)).collect(),
            upto: says_upto.then_some(who.last),
        })
        .await
    }

    async fn room(&self, at: &RoomAt, from: u64, count: u32, bytes: usize) -> Result<RoomPage, ReadError> {
        let room = self.index(at);
        self.direct(|who| {
            let mut page = RoomPage::default();
            let mut weight = 0;
            for (offset, message) in who.of(room).filter(|(offset, _)| **offset >= from) {
                weight += message.publication.wire_bound();
                if page.kept.len() == count as usize || weight > bytes && !page.kept.is_empty() {
                    page.more = true;
                    break;
                }
                page.kept.push(kept(*offset, message));
            }
            page
        })
        .await
    }

    async fn pass(&self, _: &RoomAt, from: u64, count: u32) -> Result<Pass, ReadError> {
        self.passes.fetch_add(1, Ordering::SeqCst);
        // Its messages may be too large for more.
        let count = u64::from(count).min(self.state.lock().dice.whole(1, 100));
        self.direct(|who| {
            let mut pass = Pass { upto: who.last.max(from.saturating_sub(1)), ..Pass::default() };
            for (offset, message) in who.messages.range(from..) {
                if pass.kept.len() as u64 == count {
                    pass.next = Some(*offset);
                    pass.upto = *offset - 1;
                    break;
                }
                let at = &self.rooms[message.room];
                pass.kept.push(((at.tenant.clone(), at.room.clone()), kept(*offset, message)));
            }
            pass
        })
        .await
    }

    async fn at(&self, at: &RoomAt, offset: u64) -> Result<AtNumber, ReadError> {
        let room = self.index(at);
        self.leader(|who| match who.messages.get(&offset) {
            None => AtNumber::Nothing,
            Some(message) if message.room == room => AtNumber::Ours(message.ts),
            Some(message) => AtNumber::Others(message.ts),
        })
        .await
    }

    async fn newest_by_leader(&self, at: &RoomAt) -> Result<Option<Newest>, ReadError> {
        self.leader(|who| who.newest(self.index(at))).await
    }

    async fn extent(&self, _: &RoomAt) -> Result<Extent, ReadError> {
        self.leader(|who| Extent {
            first: who.first(),
            last: who.last,
            last_ts: who.last_ts,
            messages: who.messages.len() as u64,
            bytes: 0,
        })
        .await
    }

    async fn holding(&self, at: &RoomAt) -> Result<Holding, ReadError> {
        let most = self.manners.lock().most;
        self.leader(|who| Holding {
            first: who.first(),
            last: who.last,
            count: who.of(self.index(at)).count() as u64,
            most,
        })
        .await
    }

    async fn forget(&self, at: &RoomAt, upto: u64) -> Result<(), ReadError> {
        self.leader(|_| ()).await?;
        self.forget_now(self.index(at), upto);
        Ok(())
    }
}

fn kept(offset: u64, message: &Message) -> Kept {
    Kept { offset, ts: message.ts, publication: Arc::clone(&message.publication) }
}

pub(super) fn publication(word: &str) -> Publication {
    Publication { ts: EPOCH.ms, ..crate::actors::publication(word) }
}
