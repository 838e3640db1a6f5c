//! Connections that take little at a time, and how far behind the newest is what they get.
//!
//! What a reader gets late may have waited in the server, or in the kernels' buffers after the server wrote it. The kernel
//! tells how many bytes the server has written so far: a value's place in the stream then says when it was written, and
//! what the newest was at that moment is remembered.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use hdrhistogram::Histogram;

use super::clock;
use super::diag::Diag;
use crate::control::Lag;
use crate::dialect::stamp::Stamp;
use crate::histogram;

/// Between two looks at how much was written.
const LOOK: u64 = clock::SECOND / 1_000;

/// Between two looks of which the second says when something was written. A worker that had no processor for longer can't say.
const TOO_LONG: u64 = 3 * LOOK;

/// All of a worker's slow readers.
#[derive(Debug, Default)]
pub(super) struct Trickle {
    readers: Vec<Reader>,
    /// Taken at a time.
    pub(super) bytes: usize,
    every: u64,
    next_read: u64,
    last_look: u64,
    keys: u32,
    /// Messages up to this one have reached somebody who isn't slow; how many. And how many had at the last look.
    newest: u64,
    looked_at: u64,
    diag: Option<Diag>,
}

/// How things stood at a moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Bytes that had been written.
    written: u64,
    /// Messages that were out, and that were at the look before.
    newest: u64,
    before: u64,
    /// Whether the look before was so short ago that this says when they were written.
    close: bool,
}

/// A slow reader.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) place: usize,
    near: SocketAddr,
    far: SocketAddr,
    /// Bytes that were written before it became slow.
    before: u64,
    /// Bytes read since.
    read: u64,
    /// Looks at which more was written than at the one before.
    looks: VecDeque<Look>,
    /// One more than the newest message of each key.
    seen: BTreeMap<u32, u64>,
    held: Histogram<u64>,
    at_read: Histogram<u64>,
    at_write: Histogram<u64>,
    by_later_look: Histogram<u64>,
    age: Histogram<u64>,
    lag: Lag,
}

impl Trickle {
    /// `readers`: their places, with both ends of their connections.
    pub(super) fn new(
        readers: Vec<(usize, SocketAddr, SocketAddr)>,
        bytes: usize,
        every: u64,
        keys: u32,
        now: u64,
    ) -> Trickle {
        let mut diag = Diag::new().ok();
        let readers = readers
            .into_iter()
            .map(|(place, near, far)| {
                let before = diag.as_mut().and_then(|diag| diag.written(far, near).ok());
                Reader::new(place, (near, far), before.unwrap_or(0))
            })
            .collect();
        let diag = diag.filter(|_| bytes > 0);
        Trickle { readers, bytes, every, next_read: now, last_look: now, keys, newest: 0, looked_at: 0, diag }
    }

    /// When it next wants to be called.
    pub(super) fn due(&self) -> u64 {
        if self.readers.is_empty() { u64::MAX } else { self.next_read.min(self.last_look + LOOK) }
    }

    /// Looks at what was written, if it is time for that.
    pub(super) fn look(&mut self, now: u64) {
        if self.readers.is_empty() || now < self.last_look + LOOK {
            return;
        }
        let close = now - self.last_look <= TOO_LONG;
        self.last_look = now;
        let Some(diag) = &mut self.diag else { return };
        let newest = self.newest;
        for reader in self.readers.iter_mut().filter(|reader| reader.lag.closed.is_none()) {
            let Ok(written) = diag.written(reader.far, reader.near) else { continue };
            let written = written.saturating_sub(reader.before);
            reader.held.saturating_record(written.saturating_sub(reader.read));
            if reader.looks.back().is_none_or(|before| before.written < written) {
                reader.looks.push_back(Look { written, newest, before: self.looked_at, close });
            }
        }
        self.looked_at = newest;
    }

    /// The places that are to be read from now.
    pub(super) fn reads(&mut self, now: u64) -> Vec<usize> {
        if self.readers.is_empty() || now < self.next_read {
            return Vec::new();
        }
        // What is late isn't made up for: it would be a faster reader.
        self.next_read = now + self.every;
        self.readers.iter().map(|reader| reader.place).collect()
    }

    /// Somebody who isn't slow has a message.
    #[inline]
    pub(super) fn out(&mut self, number: u32) {
        self.newest = self.newest.max(u64::from(number) + 1);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// The one of that place, with how many messages are out and how many keys there are.
    pub(super) fn reader(&mut self, place: usize) -> Option<(&mut Reader, u64, u32)> {
        let (newest, keys) = (self.newest, self.keys);
        self.readers.iter_mut().find(|reader| reader.place == place).map(|reader| (reader, newest, keys))
    }

    /// Counts anew; who is slow stays it.
    pub(super) fn reset(&mut self) {
        (self.newest, self.looked_at) = (0, 0);
        for reader in &mut self.readers {
            let Reader { place, near, far, before, read, .. } = *reader;
            *reader = Reader { read, ..Reader::new(place, (near, far), before) };
        }
    }

    pub(super) fn told(&self) -> Vec<Lag> {
        self.readers.iter().map(Reader::told).collect()
    }
}

impl Reader {
    fn new(place: usize, (near, far): (SocketAddr, SocketAddr), before: u64) -> Reader {
        Reader {
            place,
            near,
            far,
            before,
            read: 0,
            looks: VecDeque::new(),
            seen: BTreeMap::new(),
            held: histogram::empty(),
            at_read: histogram::empty(),
            at_write: histogram::empty(),
            by_later_look: histogram::empty(),
            age: histogram::empty(),
            lag: Lag::default(),
        }
    }

    /// So many bytes were read.
    pub(super) fn took(&mut self, bytes: usize) {
        self.read += bytes as u64;
        self.lag.bytes += bytes as u64;
    }

    /// A message, whose frame began so many bytes before the end of what was read so far. `newest`: messages that are out.
    pub(super) fn delivery(&mut self, stamp: &Stamp, before_end: usize, now: u64, newest: u64, keys: u32) {
        let number = u64::from(stamp.number);
        self.lag.messages += 1;
        let seen = self.seen.entry(stamp.number % keys.max(1)).or_default();
        self.lag.backwards += u64::from(number < *seen);
        *seen = (number + 1).max(*seen);
        self.age.saturating_record((now.saturating_sub(stamp.intended) / 1_000).max(1));
        self.at_read.saturating_record(behind(number, newest, keys));
        let begin = self.read.saturating_sub(before_end as u64);
        while self.looks.front().is_some_and(|look| look.written <= begin) {
            self.looks.pop_front();
        }
        // What is begun can't be taken back, so it counts when it was begun: between the first look that saw that, and the one
        // before.
        if let Some(look) = self.looks.front().filter(|look| look.close) {
            self.at_write.saturating_record(behind(number, look.before, keys));
            self.by_later_look.saturating_record(behind(number, look.newest, keys));
        }
    }

    pub(super) fn gap(&mut self, missed: u64) {
        self.lag.gaps += 1;
        self.lag.missed += missed;
    }

    pub(super) fn closed(&mut self, how: String) {
        self.lag.closed.get_or_insert(how);
    }

    fn told(&self) -> Lag {
        Lag {
            at_read: histogram::pack(&self.at_read),
            at_write: histogram::pack(&self.at_write),
            by_later_look: histogram::pack(&self.by_later_look),
            age: histogram::pack(&self.age),
            held: if self.held.is_empty() { 0 } else { self.held.value_at_quantile(0.5) },
            held_most: self.held.max(),
            ..self.lag.clone()
        }
    }
}

/// How many values of its key are newer than message `number`, of those that are out.
fn behind(number: u64, newest: u64, keys: u32) -> u64 {
    newest.saturating_sub(number + 1) / u64::from(keys.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        let address = "127.0.0.1:1".parse().unwrap();
        Reader::new(0, (address, address), 0)
    }

    fn stamp(number: u32) -> Stamp {
        Stamp { intended: 0, number, origin: 0, ordered: false }
    }

    #[test]
    fn only_values_of_the_same_key_count() {
        // Numbers 0 to 19 are out, of ten keys.
        assert_eq!([19, 10, 9, 0].map(|number| behind(number, 20, 10)), [0, 0, 1, 1]);
        assert_eq!(behind(30, 20, 10), 0, "newer than what the others have");
    }

    #[test]
    fn what_was_written_late_is_told_from_what_was_read_late() {
        let mut reader = reader();
        // 100 bytes written while 10 messages were out, 100 more when 1,000 were.
        let look = |written, newest| Look { written, newest, before: newest - 1, close: true };
        reader.looks.extend([look(100, 10), look(200, 1_000)]);
        reader.took(150);
        reader.delivery(&stamp(9), 150, 1, 5_000, 10);
        reader.delivery(&stamp(995), 50, 1, 5_000, 10);
        let lag = reader.told();
        let most = |text| histogram::unpack(text).unwrap().max();
        assert_eq!((most(&lag.at_write), most(&lag.by_later_look)), (0, 0));
        assert!((498..=500).contains(&most(&lag.at_read)), "{}", most(&lag.at_read));
        assert_eq!((lag.messages, lag.bytes, lag.backwards), (2, 150, 0));
    }

    #[test]
    fn an_older_value_of_a_key_goes_backwards() {
        let mut reader = reader();
        for number in [20, 11, 31, 10, 21] {
            reader.delivery(&stamp(number), 0, 1, 40, 10);
        }
        assert_eq!(reader.told().backwards, 2, "10 after 20, 21 after 31");
    }
}
