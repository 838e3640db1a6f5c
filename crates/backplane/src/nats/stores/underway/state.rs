//! What is on its way, as a value: who may be sent next, who has waited too long, and what a link took with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Done, Parcel, UNDER_WAY, WAITING, WAITING_BYTES};
use crate::Link;
use crate::store::{Known, NotStored, Placed, StoreKey};

/// All that are on their way, and in which order.
#[derive(Default)]
pub(super) struct State {
    next: u64,
    lanes: HashMap<Arc<str>, Lane>,
    outgoing: VecDeque<Outgoing>,
    sent: HashMap<u64, Sent>,
    strangers: Vec<Stranger>,
    /// Of what waits in lanes and in `outgoing`.
    bytes: usize,
    closed: bool,
}

#[derive(Default)]
struct Lane {
    /// Sent and not acknowledged, or about to be sent.
    under_way: usize,
    waiting: VecDeque<Parcel>,
}

enum Outgoing {
    Parcel {
        lane: Arc<str>,
        parcel: Parcel,
    },
    /// It came to nothing at once; told in its turn and from the task, as all else.
    Refused(Done, NotStored),
}

/// What the task does next.
pub(super) enum Next {
    Letter(Letter),
    Refused(Done, NotStored),
}

/// What is sent of a parcel.
pub(super) struct Letter {
    pub(super) token: u64,
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    pub(super) limit: Instant,
}

/// What waits for its acknowledgement.
pub(super) struct Sent {
    pub(super) store: StoreKey,
    pub(super) lane: Arc<str>,
    /// Of the link that it was sent over: with that one it is lost.
    generation: u64,
    limit: Instant,
    pub(super) done: Done,
}

/// Stored by a stream that isn't known (yet).
pub(super) struct Stranger {
    pub(super) store: StoreKey,
    pub(super) stream: Arc<str>,
    pub(super) offset: u64,
    pub(super) duplicate: bool,
    pub(super) limit: Instant,
    pub(super) done: Done,
}

/// What is to be told once the lock is free.
pub(super) type Told = Vec<(Done, Result<Placed, NotStored>)>;

impl Parcel {
    fn size(&self) -> usize {
        self.subject.len() + self.payload.len()
    }
}

impl State {
    /// How many wait to be sent, and for their acknowledgement.
    pub(super) fn waiting(&self) -> usize {
        let waiting = self.lanes.values().map(|lane| lane.waiting.len());
        self.sent.len() + self.outgoing.len() + waiting.sum::<usize>()
    }

    /// This surely isn't stored, which is told in its turn. It comes back where nobody does that any more.
    pub(super) fn refuse(&mut self, done: Done, why: NotStored) -> Option<Done> {
        if self.closed {
            return Some(done);
        }
        self.outgoing.push_back(Outgoing::Refused(done, why));
        None
    }

    /// It is stored, by a stream that isn't known.
    pub(super) fn put_stranger(&mut self, stranger: Stranger) {
        self.strangers.push(stranger);
    }

    /// From now on nothing comes in.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// What is next to be done; what is sent waits for its acknowledgement from now on, which may be quick.
    pub(super) fn next(&mut self, generation: u64) -> Option<Next> {
        let (lane, parcel) = match self.outgoing.pop_front()? {
            Outgoing::Refused(done, why) => return Some(Next::Refused(done, why)),
            Outgoing::Parcel { lane, parcel } => (lane, parcel),
        };
        self.bytes -= parcel.size();
        let token = self.next;
        self.next += 1;
        let Parcel { store, subject, headers, payload, limit, done } = parcel;
        self.sent.insert(token, Sent { store, lane, generation, limit, done });
        Some(Next::Letter(Letter { token, subject, headers, payload, limit }))
    }

    pub(super) fn admit(&mut self, stream: &Arc<str>, parcel: Parcel) -> Result<(), (Done, NotStored)> {
        if self.closed {
            return Err((parcel.done, NotStored::Away));
        }
        let size = parcel.size();
        if self.bytes + size > WAITING_BYTES {
            return Err((parcel.done, NotStored::Busy));
        }
        let lane = self.lanes.entry(Arc::clone(stream)).or_default();
        if lane.under_way < UNDER_WAY {
            lane.under_way += 1;
            self.outgoing.push_back(Outgoing::Parcel { lane: Arc::clone(stream), parcel });
        } else if lane.waiting.len() < WAITING {
            lane.waiting.push_back(parcel);
        } else {
            return Err((parcel.done, NotStored::Busy));
        }
        self.bytes += size;
        Ok(())
    }

    /// What was sent by this token, which is free for the next of its stream then.
    pub(super) fn take(&mut self, token: u64, more: &Notify) -> Option<Sent> {
        let sent = self.sent.remove(&token)?;
        self.free(&sent.lane);
        if !self.outgoing.is_empty() {
            more.notify_one();
        }
        Some(sent)
    }

    fn free(&mut self, stream: &Arc<str>) {
        let Some(lane) = self.lanes.get_mut(stream) else { return };
        match lane.waiting.pop_front() {
            Some(parcel) => self.outgoing.push_back(Outgoing::Parcel { lane: Arc::clone(stream), parcel }),
            None => {
                lane.under_way -= 1;
                if lane.under_way == 0 {
                    // Streams come and go; what is idle is forgotten.
                    self.lanes.remove(stream);
                }
            }
        }
    }

    pub(super) fn overdue(&mut self, now: Instant, known: &Known) -> Told {
        let mut told = Told::new();
        for lane in self.lanes.values_mut() {
            // Their limits rise, but for repeats, which wait a little longer than they ought to.
            while lane.waiting.front().is_some_and(|parcel| parcel.limit <= now) {
                let parcel = lane.waiting.pop_front().expect("there is one");
                self.bytes -= parcel.size();
                told.push((parcel.done, Err(NotStored::Busy)));
            }
        }
        let late: Vec<u64> =
            self.sent.iter().filter(|(_, sent)| sent.limit <= now).map(|(token, _)| *token).collect();
        for token in late {
            let Some(sent) = self.sent.remove(&token) else { continue };
            self.free(&sent.lane);
            told.push((sent.done, Err(NotStored::Unknown)));
        }
        let strangers = std::mem::take(&mut self.strangers);
        for stranger in strangers {
            let Stranger { store, stream, offset, duplicate, limit, done } = stranger;
            match known.epoch_of(&store, &stream) {
                Some(epoch) => told.push((done, Ok(Placed { stream, epoch, offset, duplicate }))),
                // It is stored, but nobody can say in which life of the stream.
                None if limit <= now => told.push((done, Err(NotStored::Unknown))),
                None => self.strangers.push(Stranger { store, stream, offset, duplicate, limit, done }),
            }
        }
        told
    }

    /// The link is this now. What was sent over another one may be stored, or not. Where there is none, what wasn't sent
    /// won't be.
    pub(super) fn lost(&mut self, link: Link) -> Told {
        let mut told = Told::new();
        let over = |sent: &Sent| link.up && sent.generation == link.generation;
        let lost: Vec<u64> =
            self.sent.iter().filter(|(_, sent)| !over(sent)).map(|(token, _)| *token).collect();
        for token in lost {
            let Some(sent) = self.sent.remove(&token) else { continue };
            self.free(&sent.lane);
            told.push((sent.done, Err(NotStored::Unknown)));
        }
        if link.up {
            return told;
        }
        for outgoing in self.outgoing.drain(..) {
            told.push(match outgoing {
                Outgoing::Parcel { parcel, .. } => (parcel.done, Err(NotStored::Away)),
                Outgoing::Refused(done, why) => (done, Err(why)),
            });
        }
        for (_, lane) in self.lanes.drain() {
            told.extend(lane.waiting.into_iter().map(|parcel| (parcel.done, Err(NotStored::Away))));
        }
        for stranger in self.strangers.drain(..) {
            told.push((stranger.done, Err(NotStored::Unknown)));
        }
        self.bytes = 0;
        told
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parcel(bytes: usize) -> Parcel {
        Parcel {
            store: StoreKey {
                group: "shared".parse().expect("a name"),
                store: "chat".parse().expect("a name"),
            },
            subject: String::new(),
            headers: HeaderMap::new(),
            payload: vec![0; bytes].into(),
            limit: Instant::now() + Duration::from_secs(60),
            done: Box::new(|_| {}),
        }
    }

    #[test]
    fn so_many_of_a_stream_are_under_way_and_so_many_wait() {
        let mut state = State::default();
        let (one, other) = (Arc::from("one"), Arc::from("other"));
        for _ in 0..UNDER_WAY + WAITING {
            assert!(state.admit(&one, parcel(1)).is_ok());
        }
        assert_eq!(state.outgoing.len(), UNDER_WAY);
        assert!(matches!(state.admit(&one, parcel(1)), Err((_, NotStored::Busy))));
        assert!(state.admit(&other, parcel(1)).is_ok(), "another stream has its own");

        // One is acknowledged: the one that waits longest takes its place, and one more may wait.
        let Some(Next::Letter(letter)) = state.next(1) else { panic!("one is to be sent") };
        assert!(state.take(letter.token, &Notify::new()).is_some());
        assert_eq!(state.outgoing.len(), UNDER_WAY + 1);
        assert!(state.admit(&one, parcel(1)).is_ok());
        assert!(state.admit(&one, parcel(1)).is_err());
    }

    #[test]
    fn so_many_bytes_wait() {
        let mut state = State::default();
        let stream = Arc::from("one");
        let large = WAITING_BYTES / 32;
        for _ in 0..32 {
            assert!(state.admit(&stream, parcel(large)).is_ok());
        }
        assert!(matches!(state.admit(&stream, parcel(1)), Err((_, NotStored::Busy))));
        assert!(state.next(1).is_some());
        assert!(state.admit(&stream, parcel(large)).is_ok());
    }

    #[test]
    fn what_was_sent_over_a_former_link_is_unknown_and_nothing_else() {
        let mut state = State::default();
        let stream = Arc::from("one");
        for _ in 0..UNDER_WAY + 3 {
            assert!(state.admit(&stream, parcel(1)).is_ok());
        }
        assert!(state.next(1).is_some() && state.next(1).is_some() && state.next(2).is_some());
        let up = Link { up: true, generation: 2, slow: 0 };
        let told = state.lost(up);
        assert!(matches!(told[..], [(_, Err(NotStored::Unknown)), (_, Err(NotStored::Unknown))]));
        assert!(state.lost(up).is_empty());
        let told = state.lost(Link { up: false, ..up });
        let unknown = told.iter().filter(|(_, outcome)| *outcome == Err(NotStored::Unknown)).count();
        assert_eq!((told.len(), unknown), (UNDER_WAY + 1, 1));
        assert_eq!((state.bytes, state.lanes.len()), (0, 0));
    }
}
