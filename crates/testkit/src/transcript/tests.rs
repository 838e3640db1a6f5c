//! Broken histories, each of which has to be seen, and sound ones, which haven't.
#![allow(clippy::unwrap_used)]

use super::*;

fn place(epoch: &str, offset: u64) -> Place {
    Place { epoch: epoch.into(), offset }
}

fn name(by: &str, number: u64) -> Name {
    Name { by: by.into(), number }
}

fn joined(epoch: &str, offset: u64) -> Event {
    Event::Joined { place: Some(place(epoch, offset)), resumed: None }
}

fn resumed(epoch: &str, offset: u64) -> Event {
    Event::Joined { place: Some(place(epoch, offset)), resumed: Some(true) }
}

fn began_anew(epoch: &str, offset: u64) -> Event {
    Event::Joined { place: Some(place(epoch, offset)), resumed: Some(false) }
}

/// The publication `p#offset`, where it belongs.
fn heard(offset: u64) -> Event {
    Event::Heard { offset: Some(offset), name: name("p", offset) }
}

fn heard_as(offset: u64, by: &str, number: u64) -> Event {
    Event::Heard { offset: Some(offset), name: name(by, number) }
}

fn unnumbered(by: &str, number: u64) -> Event {
    Event::Heard { offset: None, name: name(by, number) }
}

fn gap(epoch: &str, offset: u64) -> Event {
    Event::Gap(place(epoch, offset))
}

/// A room of these members, in which `p#1` to `p#9` and `q#1` to `q#9` were sent.
fn room(histories: &[&[Event]]) -> Room {
    let transcripts = histories.iter().zip('a'..).map(|(events, member)| Transcript {
        member: member.to_string(),
        left: false,
        events: events.to_vec(),
    });
    let sent = ["p", "q"].iter().flat_map(|by| (1..=9).map(|number| name(by, number)));
    Room { transcripts: transcripts.collect(), sent: sent.collect(), ..Room::default() }
}

fn accepted(mut room: Room, epoch: &str, offset: u64) -> Room {
    room.accepted.push(Accepted { name: name("p", offset), place: Some(place(epoch, offset)) });
    room
}

#[test]
fn a_sound_history_has_nothing_against_it() {
    let whole = room(&[
        &[joined("e", 0), heard(1), heard(2), resumed("e", 2), heard(3)],
        &[joined("e", 1), heard(2), heard(3)],
    ]);
    let verdict = accepted(accepted(whole, "e", 1), "e", 3).assert_kept();
    assert!(verdict.is_whole() && verdict.heard == 5, "{verdict}");
}

#[test]
fn what_is_told_is_no_fault_but_counted() {
    let told = room(&[
        &[joined("e", 0), heard(1), gap("e", 3), heard(4), gap("f", 0), heard_as(1, "q", 1)],
        &[joined("e", 0), heard(1), heard(2), heard(3), heard(4), began_anew("f", 0), heard_as(1, "q", 1)],
        &[joined("e", 3), began_anew("f", 0), heard_as(1, "q", 1)],
    ]);
    let verdict = (2..=4).fold(told, |room, offset| accepted(room, "e", offset)).assert_kept();
    assert_eq!((verdict.losses, verdict.new_epochs), (1, 3));
    assert!(!verdict.is_whole());
}

#[test]
fn without_the_backplane_there_are_no_numbers_and_no_duplicates() {
    let local = room(&[&[joined("e", 0), heard(1), unnumbered("q", 1), unnumbered("q", 2), heard(2)]]);
    assert!(local.assert_kept().is_whole());
    let twice = room(&[&[joined("e", 0), unnumbered("q", 1), unnumbered("q", 1)]]);
    assert_eq!(twice.check().faults, [Fault::Twice { member: "a".into(), name: name("q", 1) }]);
}

#[test]
fn a_member_without_a_place_gets_one_by_a_gap_first() {
    let nowhere = Event::Joined { place: None, resumed: None };
    assert!(room(&[&[nowhere.clone(), gap("e", 4), heard(5)]]).assert_kept().is_whole());
    let fault = Fault::Nowhere { member: "a".into(), name: name("p", 5) };
    assert!(room(&[&[nowhere, heard(5)]]).check().faults.contains(&fault));
    let kept = Event::Joined { place: None, resumed: Some(false) };
    assert!(room(&[&[joined("e", 0), heard(1), kept, heard(2)]]).assert_kept().is_whole());
}

#[test]
fn who_left_needs_nothing_more() {
    let mut parted =
        accepted(room(&[&[joined("e", 0), heard(1)], &[joined("e", 0), heard(1), heard(2)]]), "e", 2);
    assert!(!parted.check().faults.is_empty());
    parted.transcripts[0].left = true;
    assert!(parted.assert_kept().is_whole());
}

/// A history that is wrong in one way, and how the fault begins.
#[test]
fn broken_histories_are_rejected() {
    let a = joined("e", 0);
    let cases: Vec<(Vec<Vec<Event>>, &str)> = vec![
        (vec![vec![a.clone(), heard(1), heard(1)]], "a went back from e:1 to e:1"),
        (vec![vec![a.clone(), heard(1), heard_as(1, "q", 1)]], "a went back from e:1 to e:1"),
        (vec![vec![a.clone(), heard(1), heard_as(2, "p", 1)]], "a heard p#1 twice"),
        (vec![vec![a.clone(), heard(2)]], "a went from e:0 to e:2 past a hole"),
        (vec![vec![a.clone(), heard(1), resumed("e", 1), heard(3)]], "a went from e:1 to e:3 past a hole"),
        (vec![vec![a.clone(), heard(1), heard(2), resumed("e", 1), heard(2)]], "a came back with Some"),
        (
            vec![vec![a.clone(), heard(1), heard(2), began_anew("e", 1), heard(2)]],
            "a went back from e:2 to e:1",
        ),
        (vec![vec![a.clone(), heard(1), heard(2), gap("e", 1)]], "a went back from e:2 to e:1"),
        (vec![vec![a.clone(), gap("f", 0), gap("e", 0)]], "a was put back into epoch e"),
        (vec![vec![a.clone(), resumed("f", 0)]], "a came back with Some"),
        (vec![vec![resumed("e", 0)]], "a came back with None"),
        (vec![vec![a.clone(), heard_as(1, "stranger", 1)]], "a heard stranger#1, which nobody sent"),
        (vec![vec![a.clone(), heard(1)], vec![a.clone(), heard_as(1, "q", 1)]], "e:1 is p#1 and q#1"),
        (
            vec![
                vec![a.clone(), heard(1), heard_as(2, "q", 1)],
                vec![a.clone(), heard_as(1, "p", 2), heard_as(2, "q", 1)],
            ],
            "e:1 is p#1 and p#2",
        ),
        (
            vec![vec![a.clone(), heard(1), gap("e", 2)], vec![a.clone(), gap("e", 1), heard_as(2, "p", 1)]],
            "p#1 is at e:1 and at e:2",
        ),
        (vec![vec![a.clone(), heard(1)], vec![a.clone(), heard(1), heard(2)]], "(\"a\", Some(Place"),
        (vec![vec![a.clone()], vec![joined("f", 0)]], "(\"a\", Some(Place"),
        (vec![vec![a], vec![]], "(\"a\", Some(Place"),
    ];
    for (histories, expected) in cases {
        let histories: Vec<&[Event]> = histories.iter().map(Vec::as_slice).collect();
        let verdict = room(&histories).check();
        assert!(
            verdict.faults.iter().any(|fault| fault.to_string().starts_with(expected)),
            "{histories:?}: expected {expected:?}, got {verdict}"
        );
    }
}

#[test]
fn what_was_acknowledged_is_missed_by_everyone_or_by_one() {
    let lost = |verdict: &Verdict| verdict.faults.iter().filter(|f| matches!(f, Fault::Lost { .. })).count();
    let everyone = accepted(room(&[&[joined("e", 0)], &[joined("e", 0)]]), "e", 1);
    assert_eq!(lost(&everyone.check()), 2);
    let one = accepted(room(&[&[joined("e", 0), heard(1)], &[joined("e", 0)]]), "e", 1);
    assert_eq!(lost(&one.check()), 1);
    let another = accepted(room(&[&[joined("e", 0), heard_as(1, "q", 7)]]), "e", 1);
    assert_eq!(another.check().faults.len(), 1, "its place has something else");
    assert!(accepted(room(&[&[joined("e", 0), gap("f", 0)]]), "e", 1).assert_kept().new_epochs == 1);
}

#[test]
fn what_one_publisher_was_told_is_accepted_comes_in_the_order_it_was_sent() {
    let mut swapped = room(&[&[joined("e", 0), heard_as(1, "p", 2), heard_as(2, "p", 1)]]);
    let accept =
        |room: &mut Room, number, place| room.accepted.push(Accepted { name: name("p", number), place });
    accept(&mut swapped, 2, Some(place("e", 1)));
    assert!(swapped.assert_kept().is_whole(), "of the first nobody said that it is accepted");
    accept(&mut swapped, 1, Some(place("e", 2)));
    let fault = Fault::Disorder { member: "a".into(), name: name("p", 1), after: 2 };
    assert_eq!(swapped.check().faults, [fault]);
    // Without a number, too.
    let mut local = room(&[&[joined("e", 0), unnumbered("p", 2), unnumbered("p", 1)]]);
    accept(&mut local, 1, None);
    accept(&mut local, 2, None);
    assert_eq!(local.check().faults.len(), 1);
}

/// Any one thing done to a sound history of several members is seen.
#[test]
fn no_single_change_goes_unnoticed() {
    let events: Vec<Event> = std::iter::once(joined("e", 0)).chain((1..=9).map(heard)).collect();
    let sound = (1..=9).fold(room(&[&events, &events, &events]), |room, offset| accepted(room, "e", offset));
    sound.assert_kept();
    let mut tried = 0;
    for at in 0..events.len() {
        let mut dropped = sound.clone();
        dropped.transcripts[1].events.remove(at);
        let mut doubled = sound.clone();
        doubled.transcripts[1].events.insert(at, events[at].clone());
        let mut swapped = sound.clone();
        swapped.transcripts[1].events.swap(at, (at + 1) % events.len());
        let mut other = sound.clone();
        other.transcripts[1].events[at] = heard_as(at as u64, "q", 1);
        // A join that is answered twice with the same place tells nothing wrong.
        let joined_twice = at == 0;
        for (broken, is_broken) in [(dropped, true), (doubled, !joined_twice), (swapped, true), (other, true)]
        {
            tried += 1;
            assert_eq!(broken.check().faults.is_empty(), !is_broken, "{:?}", broken.transcripts[1].events);
        }
    }
    assert_eq!(tried, 40);
}
