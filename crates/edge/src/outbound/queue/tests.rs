use super::*;
use proptest::prelude::*;

/// Writes at most `room` bytes of the queue to `wire`, as a socket would.
fn write(queue: &mut Queue, room: usize, wire: &mut Vec<u8>) {
    let mut slices = [IoSlice::new(&[]); BATCH];
    let (count, bytes) = queue.slices(&mut slices);
    let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
    assert_eq!(all.len(), bytes);
    let gone = room.min(bytes);
    wire.extend_from_slice(&all[..gone]);
    queue.advance(gone);
}

fn payloads(wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = wire;
    while let [first, length, tail @ ..] = rest {
        let (payload, after) = tail.split_at(usize::from(*length));
        found.push((*first, payload.to_vec()));
        rest = after;
    }
    found
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Pong,
    Write(usize),
    DropUnbegun,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..120_u8).prop_map(Step::Push),
        1 => Just(Step::Pong),
        4 => (0..400_usize).prop_map(Step::Write),
        1 => Just(Step::DropUnbegun),
    ]
}

proptest! {
    #[test]
    fn frames_leave_whole_and_in_order(steps in proptest::collection::vec(step(), 0..200)) {
        let mut queue = Queue::default();
        let mut wire = Vec::new();
        let mut number = 0_u32;
        for step in steps {
            match step {
                Step::Push(extra) => {
                    number += 1;
                    let mut payload = number.to_be_bytes().to_vec();
                    payload.resize(4 + usize::from(extra), 0xAA);
                    queue.push(Frame::binary(&payload));
                }
                Step::Pong => {
                    number += 1;
                    queue.set_pong(Frame::pong(&number.to_be_bytes()));
                }
                Step::Write(room) => write(&mut queue, room, &mut wire),
                Step::DropUnbegun => {
                    queue.drop_unbegun();
                    prop_assert!(queue.len() <= 1 && !queue.has_pong());
                }
            }
        }
        while !queue.is_empty() {
            write(&mut queue, usize::MAX, &mut wire);
        }
        prop_assert_eq!((queue.bytes(), queue.row.capacity()), (0, 0));
        let mut last = [0_u32; 2];
        for (first, payload) in payloads(&wire) {
            let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
            let last = &mut last[usize::from(first == 0x8A)];
            prop_assert!(number > *last, "{number} after {last}");
            *last = number;
            prop_assert!(payload[4..].iter().all(|&byte| byte == 0xAA));
        }
    }

    #[test]
    fn nothing_is_lost_where_nothing_is_dropped(
        sizes in proptest::collection::vec(0..300_usize, 0..100),
        rooms in proptest::collection::vec(1..500_usize, 1..50),
    ) {
        let frames: Vec<Frame> = sizes.iter().map(|&size| Frame::binary(&vec![size as u8; size])).collect();
        let mut queue = Queue::default();
        let mut wire = Vec::new();
        let mut rooms = rooms.iter().cycle();
        for frame in &frames {
            queue.push(frame.clone());
            write(&mut queue, *rooms.next().unwrap(), &mut wire);
        }
        while !queue.is_empty() {
            write(&mut queue, *rooms.next().unwrap(), &mut wire);
        }
        let expected: Vec<u8> = frames.iter().flat_map(|frame| frame.encoded().to_vec()).collect();
        prop_assert_eq!(wire, expected);
    }
}

#[test]
fn a_begun_frame_is_finished_before_anything_else() {
    let mut queue = Queue::default();
    queue.push(Frame::binary(&[1; 10]));
    queue.push(Frame::binary(&[2; 10]));
    let mut wire = Vec::new();
    write(&mut queue, 5, &mut wire);
    queue.set_pong(Frame::pong(b"p"));
    queue.drop_unbegun();
    queue.push(Frame::close_empty());
    while !queue.is_empty() {
        write(&mut queue, 3, &mut wire);
    }
    assert_eq!(payloads(&wire), [(0x82, vec![1; 10]), (0x88, vec![])]);
}
