//! Whatever is pushed, written and left out, the queue does what the model does, and a peer is told what was promised.

use std::collections::HashMap;
use std::io::IoSlice;

use proptest::prelude::*;

use super::model::{Model, Named};
use super::*;
use crate::outbound::queue::{BATCH, Queue};

/// Feeds whose policy is mostly the same, as a room's is; the last one has both.
const FEEDS: [[Policy; 2]; 4] = [
    [Policy::DropOldest; 2],
    [Policy::Conflate; 2],
    [Policy::Conflate; 2],
    [Policy::DropOldest, Policy::Conflate],
];

#[derive(Clone, Debug)]
enum Step {
    Push { feed: usize, policy: usize, key: Option<u8>, numbered: bool, text: bool, len: usize },
    Unlabelled(usize),
    Pong,
    Write(usize),
    Shed,
}

fn step() -> impl Strategy<Value = Step> {
    let push =
        (0..FEEDS.len(), 0..2_usize, proptest::option::of(0..7_u8), 0..10_u8, any::<bool>(), 0..150_usize)
            .prop_map(|(feed, policy, key, number, text, len)| Step::Push {
                feed,
                policy,
                key,
                numbered: number > 0,
                text,
                len,
            });
    prop_oneof![
        12 => push,
        3 => (0..150_usize).prop_map(Step::Unlabelled),
        1 => Just(Step::Pong),
        3 => (0..200_usize).prop_map(Step::Write),
        1 => (0..2_000_usize).prop_map(Step::Write),
        1 => Just(Step::Shed),
    ]
}

fn room() -> impl Strategy<Value = Room> {
    (100..2_500_usize, 2..40_usize, 1..6_usize).prop_map(|(bytes, frames, keys)| Room { bytes, frames, keys })
}

/// A frame that says what it is, and is followed by `len` bytes more.
pub(super) fn saying(said: &str, len: usize, text: bool) -> Frame {
    let payload = format!("{said} {}", "x".repeat(len));
    if text { Frame::text(payload.as_bytes()) } else { Frame::binary(payload.as_bytes()) }
}

fn key(number: u8) -> ringway_protocol::Key {
    format!("k{number}").parse().unwrap()
}

/// What was pushed of one feed: offset, key, and whether a newer one of its key replaces it.
type Pushed = Vec<(u64, Option<u8>, bool)>;

struct Bench {
    queue: Queue,
    model: Model,
    room: Room,
    feeds: Vec<Arc<Named>>,
    /// What both have written.
    wire: Vec<u8>,
    expected: Vec<u8>,
    offsets: u64,
    pushed: Vec<Pushed>,
    unnumbered: Vec<u64>,
    unlabelled: Vec<u64>,
    pongs: u64,
}

impl Bench {
    fn new(room: Room) -> Bench {
        let feeds = (0..FEEDS.len()).map(|name| Arc::new(Named { name: name as u8, ..Named::default() }));
        Bench {
            queue: Queue::default(),
            model: Model::default(),
            room,
            feeds: feeds.collect(),
            wire: Vec::new(),
            expected: Vec::new(),
            offsets: 0,
            pushed: vec![Vec::new(); FEEDS.len()],
            unnumbered: vec![0; FEEDS.len()],
            unlabelled: Vec::new(),
            pongs: 0,
        }
    }

    /// False once a frame found no room that may not be left out.
    fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::Push { feed, policy, key: number, numbered, text, len } => {
                self.offsets += 1 + self.offsets % 3;
                let offset = numbered.then_some(self.offsets);
                let policy = FEEDS[*feed][*policy];
                match offset {
                    Some(offset) => self.pushed[*feed].push((offset, *number, policy == Policy::Conflate)),
                    None => self.unnumbered[*feed] += 1,
                }
                let label = Label {
                    feed: self.feeds[*feed].clone(),
                    policy,
                    offset,
                    ts: 1_000_000 + self.offsets,
                    key: number.map(key),
                };
                let said = offset.map_or(format!("msg {feed} -"), |offset| format!("msg {feed} {offset}"));
                self.push(&saying(&said, *len, *text).labelled(Arc::new(label)))
            }
            Step::Unlabelled(len) => {
                self.offsets += 1;
                let taken = self.push(&saying(&format!("own {}", self.offsets), *len, true));
                if taken {
                    self.unlabelled.push(self.offsets);
                }
                taken
            }
            Step::Pong => {
                self.pongs += 1;
                let pong = Frame::pong(format!("pong {}", self.pongs).as_bytes());
                self.queue.set_pong(pong.clone());
                self.model.set_pong(pong);
                true
            }
            Step::Write(room) => {
                self.write(*room);
                true
            }
            Step::Shed => {
                if self.model.behind {
                    assert_eq!(self.queue.shed(), self.model.shed());
                    self.start_again_if_empty();
                }
                true
            }
        }
    }

    fn push(&mut self, frame: &Frame) -> bool {
        if self.model.behind {
            let taken = self.model.push_behind(frame, self.room);
            assert_eq!(self.queue.push_behind(frame, self.room), taken);
            return taken;
        }
        if self.model.frames() == BATCH {
            self.write(usize::MAX);
        }
        self.queue.push(frame.clone());
        self.model.push(frame.clone());
        true
    }

    fn write(&mut self, room: usize) {
        if self.model.is_empty() {
            return;
        }
        self.queue.tell_gap();
        let mut slices = [IoSlice::new(&[]); BATCH];
        let (count, offered) = self.queue.slices(&mut slices);
        let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        let gone = room.min(offered);
        self.wire.extend_from_slice(&all[..gone]);
        self.queue.advance(gone);
        assert_eq!(self.model.write(room, &mut self.expected), offered);
        if gone < offered && !self.model.behind {
            self.queue.fall_behind();
            self.model.fall_behind();
        }
        self.start_again_if_empty();
    }

    fn start_again_if_empty(&mut self) {
        assert_eq!(self.queue.is_empty(), self.model.is_empty());
        if self.model.is_empty() {
            self.queue = Queue::default();
            self.model = Model::default();
        }
    }

    fn check(&self) {
        assert_eq!(self.queue.bytes(), self.model.bytes());
        assert_eq!(self.queue.len(), self.model.frames());
        assert_eq!(self.wire.len(), self.expected.len());
        self.queue.check();
    }

    fn finish(&mut self) {
        while !self.model.is_empty() {
            self.write(usize::MAX);
            self.check();
        }
        assert!(self.wire == self.expected, "the same bytes");
        self.check_promises();
    }

    /// What was promised, said without regard to how it is done.
    fn check_promises(&self) {
        let mut came: Vec<Vec<Came>> = vec![Vec::new(); FEEDS.len()];
        let mut unlabelled = Vec::new();
        let mut unnumbered = vec![0; FEEDS.len()];
        for said in messages(&self.wire) {
            let words: Vec<&str> = said.split(' ').collect();
            let number = |index: usize| words[index].parse::<u64>().unwrap();
            match words[0] {
                "own" => unlabelled.push(number(1)),
                "msg" if words[2] == "-" => unnumbered[number(1) as usize] += 1,
                "msg" => came[number(1) as usize].push(Came::Message(number(2))),
                "gap" => {
                    assert_eq!(number(3), 1_000_000 + number(2), "the time of the last one lost");
                    came[number(1) as usize].push(Came::Gap(number(2), number(4)));
                }
                "pong" => {}
                other => panic!("{other}"),
            }
        }
        assert_eq!(unlabelled, self.unlabelled, "what has no label is never lost or moved");
        for (feed, came) in came.iter().enumerate() {
            self.check_feed(feed, came, unnumbered[feed]);
        }
    }

    fn check_feed(&self, feed: usize, came: &[Came], unnumbered: u64) {
        let offsets: Vec<u64> = came.iter().map(|came| came.offset()).collect();
        assert!(offsets.is_sorted_by(|one, next| one < next), "{feed}: {came:?}");
        let lost: u64 =
            came.iter().map(|came| if let Came::Gap(_, frames) = came { *frames } else { 0 }).sum();
        let (dropped, conflated) = self.feeds[feed].counted();
        let messages = came.iter().filter(|came| matches!(came, Came::Message(_))).count() as u64;
        let pushed = self.pushed[feed].len() as u64 + self.unnumbered[feed];
        assert_eq!(pushed, messages + unnumbered + dropped + conflated, "each has one fate");
        assert!(
            lost <= dropped && dropped - lost <= self.unnumbered[feed],
            "every loss with a number is told"
        );
        let mut newest: HashMap<Option<u8>, u64> = HashMap::new();
        for (offset, key, conflates) in self.pushed[feed].iter().rev() {
            let told = came.iter().find(|came| came.offset() >= *offset);
            let fine = match told {
                Some(Came::Message(it)) => it == offset,
                Some(Came::Gap(..)) => true,
                None => false,
            };
            // Another may stand for it only if that came or was told of, which its own turn has found.
            let replaced = *conflates && newest.contains_key(key);
            assert!(fine || replaced, "{feed}: nobody says what became of {offset}: {came:?}");
            if *conflates {
                newest.entry(*key).or_insert(*offset);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Came {
    Message(u64),
    Gap(u64, u64),
}

impl Came {
    fn offset(self) -> u64 {
        let (Came::Message(offset) | Came::Gap(offset, _)) = self;
        offset
    }
}

/// What each frame says.
pub(super) fn messages(wire: &[u8]) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), wire);
    while let [_, length, tail @ ..] = rest {
        let (length, tail) = match length {
            126 => (usize::from(u16::from_be_bytes([tail[0], tail[1]])), &tail[2..]),
            short => (usize::from(*short), tail),
        };
        found.push(String::from_utf8(tail[..length].to_vec()).unwrap());
        rest = &tail[length..];
    }
    found
}

proptest! {
    #[test]
    fn it_does_what_the_plain_list_does_and_keeps_what_was_promised(
        room in room(),
        steps in proptest::collection::vec(step(), 0..400),
    ) {
        let mut bench = Bench::new(room);
        for step in &steps {
            let taken = bench.take(step);
            bench.check();
            if !taken {
                break;
            }
        }
        bench.finish();
    }

    #[test]
    fn with_labels_only_nothing_is_ever_refused(
        room in room(),
        steps in proptest::collection::vec(step(), 0..400),
    ) {
        let mut bench = Bench::new(room);
        for step in steps.iter().filter(|step| !matches!(step, Step::Unlabelled(_))) {
            prop_assert!(bench.take(step));
            bench.check();
        }
        bench.finish();
    }
}
