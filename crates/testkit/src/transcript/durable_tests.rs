//! Broken histories of durable rooms, each of which has to be seen by name, and sound ones, which haven't.
#![allow(clippy::unwrap_used)]

use super::*;

fn place(epoch: &str, offset: u64) -> Place {
    Place { epoch: epoch.into(), offset }
}

fn name(by: &str, number: u64) -> Name {
    Name { by: by.into(), number }
}

fn joined(offset: u64) -> Event {
    Event::Joined { place: Some(place("e", offset)), resumed: None }
}

fn resumed(offset: u64) -> Event {
    Event::Joined { place: Some(place("e", offset)), resumed: Some(true) }
}

fn anew(epoch: &str, offset: u64) -> Event {
    Event::Joined { place: Some(place(epoch, offset)), resumed: Some(false) }
}

fn gap(epoch: &str, offset: u64) -> Event {
    Event::Gap(place(epoch, offset))
}

/// `p#n` is stored at 10 n: offsets have holes.
fn heard(n: u64) -> Event {
    heard_at(n * 10, n)
}

fn heard_at(offset: u64, n: u64) -> Event {
    Event::Heard { offset: Some(offset), name: name("p", n) }
}

fn signal(n: u64) -> Event {
    Event::Heard { offset: None, name: name("s", n) }
}

/// A durable room of these members, whose store has `p#1` to `p#5` at 10 to 50, and their publisher was told so.
fn room(histories: &[Vec<Event>]) -> Room {
    let transcripts = histories.iter().zip('a'..).map(|(events, member)| Transcript {
        member: member.to_string(),
        left: false,
        events: events.clone(),
    });
    let names = (1..=5).map(|n| name("p", n));
    Room {
        kind: Kind::Durable,
        transcripts: transcripts.collect(),
        sent: names.clone().chain((1..=9).map(|n| name("s", n))).collect(),
        accepted: names
            .clone()
            .map(|name| Accepted { place: Some(place("e", name.number * 10)), name })
            .collect(),
        kept: Some(Kept {
            epoch: "e".into(),
            from: 1,
            publications: names.map(|name| (name.number * 10, Some(name))).collect(),
        }),
        ..Room::default()
    }
}

fn all() -> Vec<Event> {
    [joined(3)].into_iter().chain((1..=5).map(heard)).collect()
}

#[test]
fn a_sound_history_has_nothing_against_it() {
    let late = vec![joined(34), heard(4), resumed(40), heard(5)];
    // A signal may come again by another connection.
    let signals = vec![
        joined(0),
        heard(1),
        signal(2),
        heard(2),
        resumed(20),
        heard(3),
        signal(2),
        heard(4),
        signal(1),
        heard(5),
    ];
    // Joined where nothing of the room is yet, at what is the newest of the whole store.
    let verdict = room(&[all(), late, signals, vec![joined(77)]]).assert_kept();
    assert!(verdict.is_whole(), "{verdict}");
    assert_eq!(verdict.heard, 15);
}

#[test]
fn what_is_told_is_no_fault_but_counted() {
    let told = vec![joined(0), heard(1), gap("e", 30), heard(4), heard(5)];
    let refused = vec![joined(0), heard(1), anew("e", 50)];
    let verdict = room(&[told, refused]).assert_kept();
    assert_eq!((verdict.losses, verdict.new_epochs), (2, 0));
    // The store was reset: what the old one had is no more promised.
    let reset =
        |events: &[Event]| events.iter().cloned().chain([gap("f", 7), heard_at(9, 6)]).collect::<Vec<_>>();
    let mut two = room(&[reset(&[joined(0), heard(1)]), reset(&all())]);
    two.sent.insert(name("p", 6));
    two.kept = Some(Kept { epoch: "f".into(), from: 1, publications: [(9, Some(name("p", 6)))].into() });
    assert_eq!(two.assert_kept().new_epochs, 2);
}

/// A history that is wrong in one way, and the kind of the fault.
#[test]
fn broken_histories_are_rejected_by_name() {
    let j = || joined(0);
    let cases: Vec<(&str, Vec<Event>)> = vec![
        // Left out, with nobody else there who heard it.
        ("skipped", vec![j(), heard(1), heard(3), heard(4), heard(5)]),
        ("skipped", vec![j(), heard(2), heard(3), heard(4), heard(5)]),
        ("skipped", vec![joined(15), heard(3), heard(4), heard(5)]),
        // A resume that leaves out what came in between.
        ("skipped", vec![j(), heard(1), heard(2), resumed(20), heard(4), heard(5)]),
        ("lost", vec![j(), heard(1), heard(2), heard(3), heard(4)]),
        ("lost", vec![j()]),
        ("lost", vec![j(), heard(1), gap("e", 30), heard(4)]),
        ("twice", vec![j(), heard(1), heard(1), heard(2), heard(3), heard(4), heard(5)]),
        // The same publication stored twice and delivered twice.
        ("twice", vec![j(), heard(1), heard_at(13, 1), heard(2), heard(3), heard(4), heard(5)]),
        ("back", vec![j(), heard(2), heard(1), heard(3), heard(4), heard(5)]),
        ("back", vec![j(), heard(1), heard(2), heard(3), heard(4), heard(5), gap("e", 10)]),
        // A resume that repeats what the member had.
        ("back", vec![j(), heard(1), heard(2), resumed(20), heard(2), heard(3), heard(4), heard(5)]),
        ("resumed_elsewhere", vec![j(), heard(1), heard(2), resumed(30), heard(4), heard(5)]),
        ("resumed_elsewhere", vec![resumed(0), heard(1)]),
        ("nowhere", vec![heard(1), heard(2), heard(3), heard(4), heard(5)]),
        ("epoch_again", vec![j(), gap("f", 0), gap("e", 0)]),
        ("from_nowhere", vec![j(), heard(1), heard_at(15, 99), heard(2), heard(3), heard(4), heard(5)]),
        ("not_stored", vec![j(), heard(1), heard_at(15, 99), heard(2), heard(3), heard(4), heard(5)]),
        ("two_orders", vec![j(), heard_at(10, 2), heard(3), heard(4), heard(5)]),
        ("two_places", vec![j(), heard(1), heard(2), heard_at(35, 3), heard(4), heard(5)]),
        ("disorder", vec![j(), heard_at(11, 2), heard_at(12, 1), heard(3), heard(4), heard(5)]),
        ("twice", vec![j(), signal(1), heard(1), signal(1), heard(2), heard(3), heard(4), heard(5)]),
        ("from_nowhere", vec![j(), signal(10), heard(1), heard(2), heard(3), heard(4), heard(5)]),
        ("apart", vec![j(), heard(1), gap("f", 3)]),
    ];
    for (kind, history) in cases {
        // Beside one that is sound.
        let verdict = room(&[history.clone(), all()]).check();
        let kinds: Vec<_> = verdict.faults.iter().map(Fault::kind).collect();
        assert!(kinds.contains(&kind), "{history:?}: expected {kind}, got {verdict}");
    }
}

#[test]
fn the_store_is_held_against_what_was_told() {
    let mut unkept = room(&[all()]);
    unkept.kept.as_mut().unwrap().publications.remove(&30);
    let kinds: Vec<_> = unkept.check().faults.iter().map(Fault::kind).collect();
    assert_eq!(kinds, ["not_stored", "not_kept"]);
    // What limits removed is no fault.
    unkept.kept.as_mut().unwrap().from = 31;
    unkept.assert_kept();
    // Stored, though nobody was told, and nobody heard it.
    let mut unheard = room(&[all()]);
    unheard.kept.as_mut().unwrap().publications.insert(35, None);
    assert_eq!(unheard.check().faults[0].kind(), "skipped");
    unheard.kept.as_mut().unwrap().publications.remove(&35);
    unheard.kept.as_mut().unwrap().publications.insert(60, None);
    assert_eq!(unheard.check().faults[0].kind(), "behind");
    unheard.transcripts[0].left = true;
    unheard.assert_kept();
    // Refused, and stored all the same.
    let mut refused = room(&[all()]);
    refused.refused.insert(name("p", 5));
    let kinds: Vec<_> = refused.check().faults.iter().map(Fault::kind).collect();
    assert_eq!(kinds, ["refused", "refused"]);
    // Stored twice.
    let mut twice = room(&[all()]);
    twice.kept.as_mut().unwrap().publications.insert(60, Some(name("p", 5)));
    assert!(twice.check().faults.iter().any(|fault| fault.kind() == "two_places"));
    twice.repeated.insert(name("p", 5));
    assert!(twice.check().faults.iter().all(|fault| fault.kind() != "two_places"));
    // Told of two places.
    let mut told = room(&[all()]);
    told.accepted.push(Accepted { name: name("p", 5), place: Some(place("e", 40)) });
    assert!(told.check().faults.iter().any(|fault| fault.kind() == "two_places"));
}

#[test]
fn where_only_the_newest_counts_all_is_by_key() {
    let by_key = |events: Vec<Event>| {
        let mut room = room(&[events]);
        room.kind = Kind::Newest;
        room.keys = (1..=5).map(|n| (name("p", n), if n % 2 == 1 { "odd" } else { "even" }.into())).collect();
        room.kept.as_mut().unwrap().publications.retain(|offset, _| *offset >= 40);
        room
    };
    for sound in [
        all(),
        vec![joined(0), heard(4), heard(5)],
        vec![joined(0), heard(5), heard(4)],
        vec![joined(0), heard(1), heard(3), heard(2), heard(5), heard(4)],
        vec![joined(45), heard(5)],
        vec![joined(0), heard(4), gap("e", 50)],
    ] {
        by_key(sound).assert_kept();
    }
    let broken = [
        ("behind", vec![joined(0), heard(4)]),
        ("behind", vec![joined(0), heard(5)]),
        ("behind", vec![joined(0), heard(2), heard(5)]),
        ("older", vec![joined(0), heard(3), heard(1), heard(4), heard(5)]),
        ("older", vec![joined(0), heard(5), heard(4), heard_at(50, 5)]),
        ("not_stored", vec![joined(0), heard(4), heard(5), heard_at(61, 3)]),
        ("not_kept", vec![joined(0), heard(4), heard(5)]),
    ];
    for (kind, history) in broken {
        let mut room = by_key(history.clone());
        if kind == "not_kept" {
            room.kept.as_mut().unwrap().publications.remove(&50);
        }
        let verdict = room.check();
        let kinds: Vec<_> = verdict.faults.iter().map(Fault::kind).collect();
        assert!(kinds.contains(&kind), "{history:?}: expected {kind}, got {verdict}");
    }
}

/// Two sound rooms, so that there is a neighbour.
fn two_rooms() -> Rooms {
    let other = |event: &Event| match event {
        Event::Heard { offset, name: of } => {
            Event::Heard { offset: offset.map(|offset| offset + 1), name: name("q", of.number) }
        }
        event => event.clone(),
    };
    let mut second = room(&[all().iter().map(other).collect()]);
    second.sent = (1..=5).map(|n| name("q", n)).collect();
    second.accepted.iter_mut().for_each(|accepted| accepted.name.by = "q".into());
    second.accepted.iter_mut().for_each(|accepted| accepted.place.as_mut().unwrap().offset += 1);
    second.kept.as_mut().unwrap().publications = (1..=5).map(|n| (n * 10 + 1, Some(name("q", n)))).collect();
    Rooms(
        [
            ("one".to_owned(), room(&[all(), all(), vec![joined(20), heard(3), heard(4), heard(5)]])),
            ("two".to_owned(), second),
        ]
        .into(),
    )
}

#[test]
fn every_sabotage_is_found_as_what_it_is() {
    let sound = two_rooms();
    assert!(sound.assert_kept().is_whole());
    for sabotage in Sabotage::ALL {
        for seed in 0..50 {
            let mut rooms = sound.clone();
            assert!(sabotage.harm(&mut rooms, seed), "{sabotage:?}");
            let kinds = rooms.check().kinds();
            assert!(
                sabotage.is_found_as().iter().any(|kind| kinds.contains_key(kind)),
                "{sabotage:?} with seed {seed}: {kinds:?}"
            );
        }
    }
}

#[test]
fn of_many_one_in_a_thousand_is_dropped() {
    let mut rooms = Rooms::default();
    let events = std::iter::once(joined(0)).chain((1..=5_000).map(heard)).collect();
    let transcript = Transcript { member: "a".into(), left: false, events };
    let sent = (1..=5_000).map(|n| name("p", n)).collect::<BTreeSet<_>>();
    let accepted =
        sent.iter().map(|name| Accepted { name: name.clone(), place: Some(place("e", name.number * 10)) });
    let accepted = accepted.collect();
    let room = Room { kind: Kind::Durable, transcripts: vec![transcript], accepted, sent, ..Room::default() };
    rooms.0.insert("r".into(), room);
    assert!(Sabotage::Drop.harm(&mut rooms, 7));
    let kinds = rooms.check().kinds();
    assert_eq!(kinds.get("skipped"), Some(&5), "{kinds:?}");
}

#[test]
fn histories_are_written_and_read_as_lines() {
    let mut rooms = two_rooms();
    let room = rooms.0.get_mut("one").unwrap();
    room.transcripts[0].left = true;
    room.transcripts[0].events.extend([
        Event::Joined { place: None, resumed: Some(false) },
        gap("f", 3),
        signal(1),
    ]);
    room.accepted.push(Accepted { name: name("s", 1), place: None });
    room.kept.as_mut().unwrap().publications.insert(60, None);
    room.keys.insert(name("p", 1), "k".into());
    room.refused.insert(name("s", 2));
    room.repeated.insert(name("s", 3));
    let mut text = Vec::new();
    rooms.write_lines(&mut text).unwrap();
    assert_eq!(Rooms::read_lines(&*text).unwrap(), rooms);
    for bad in ["", "{}", r#"{"room":"r","t":"heard"}"#, r#"{"room":"r","t":"msg","by":"p","n":1}"#] {
        let error = Rooms::read_lines(
            format!("{{\"room\":\"r\",\"t\":\"sent\",\"by\":\"p\",\"n\":1}}\n{bad}\n").as_bytes(),
        );
        assert!(matches!(error, Err(BadLine::Strange { line: 2, .. })), "{bad}: {error:?}");
    }
}
