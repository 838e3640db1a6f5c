//! All that is known at the end: what everybody heard, what publishers were told, what the store has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ringway_backplane::subject::encode;
use ringway_testkit::transcript::{Kept, Kind, Name, Room, Rooms, Sabotage, Transcript, Verdicts};

use super::crowd::Crowd;
use super::site::Nats;
use crate::member::{Outcome, Sent, marked, room_of};
use crate::support::name;

/// How long until everybody has all of it, once nobody speaks any more: the last mark of a room comes 4 s after its last
/// publication, and who was cut off by then is back after 3 s.
const SETTLED: Duration = Duration::from_secs(60);

/// Faults that time mends.
const FOR_NOW: [&str; 3] = ["lost", "behind", "apart"];

impl Crowd {
    /// What members and publishers know.
    fn rooms(&self) -> Rooms {
        let all = self.durable.iter().map(|room| (room, Kind::Durable));
        let all = all.chain(self.newest.iter().map(|room| (room, Kind::Newest)));
        let all = all.chain(self.ephemeral.iter().map(|room| (room, Kind::Ephemeral)));
        let mut rooms = Rooms::default();
        for (called, kind) in all {
            let mut room = Room { kind, ..room_of(called, self.members.iter()) };
            if kind == Kind::Newest {
                room.repeated = self.repeated(called);
            }
            for follower in &self.followers {
                let record = follower.record();
                let Some(heard) = record.rooms.get(&name(called)) else { continue };
                let events = heard.events.iter().map(|(_, event)| event.clone()).collect();
                room.transcripts.push(Transcript { member: follower.name.clone(), left: false, events });
            }
            rooms.0.insert(called.clone(), room);
        }
        rooms
    }

    /// What may have been stored a second time: where only the newest of each key is kept, a NATS server that is started
    /// again, and a stream that was split, don't know any more what newer values have replaced. Whoever waited for its
    /// answer may have been sent again by its node.
    fn repeated(&self, room: &str) -> BTreeSet<Name> {
        let mut repeated = BTreeSet::new();
        for member in &*self.members {
            let record = member.record();
            let of_room = record.sent.iter().filter(|sent| sent.room.as_str() == room);
            let late = |sent: &&Sent| {
                sent.unsure || sent.answered.is_none_or(|at| at - sent.at > Duration::from_millis(300))
            };
            repeated.extend(of_room.filter(late).map(|sent| sent.name.clone()));
        }
        repeated
    }

    /// Waits until every publication has an outcome and nobody lacks anything; then gives all that is known, with what
    /// the store has.
    pub(super) fn settled(&self, nats: &Nats) -> Rooms {
        let deadline = Instant::now() + SETTLED;
        let mut rooms = loop {
            let answered = self.members.iter().all(|member| member.record().unanswered() == 0);
            let rooms = self.rooms();
            let kinds = rooms.check().kinds();
            let waiting = !answered || FOR_NOW.iter().any(|kind| kinds.contains_key(kind));
            if !waiting || Instant::now() >= deadline {
                assert!(answered, "publications without an outcome");
                break rooms;
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        for (called, kept) in self.kept(nats) {
            rooms.0.get_mut(&called).unwrap().kept = Some(kept);
        }
        for member in &*self.members {
            let record = member.record();
            assert_eq!(record.strange, [""; 0], "{}", member.name);
            for sent in record.sent.iter().filter(|sent| !sent.store) {
                let kept = rooms.0[sent.room.as_str()].kept.as_ref();
                let stored =
                    kept.is_some_and(|kept| kept.publications.values().flatten().any(|n| *n == sent.name));
                assert!(!stored, "{} is a signal, and stored", sent.name);
                assert!(!matches!(sent.outcome, Some(Outcome::Accepted { place: Some(_) })), "{sent:?}");
            }
            for sent in
                record.sent.iter().filter(|sent| sent.store && !sent.room.as_str().starts_with("fleeting."))
            {
                assert!(
                    !matches!(sent.outcome, Some(Outcome::Accepted { place: None })),
                    "not stored: {sent:?}"
                );
            }
        }
        for follower in &self.followers {
            let record = follower.record();
            assert_eq!((&record.strange[..], &record.ended), (&[][..], &None), "{}", follower.name);
        }
        rooms
    }

    /// What JetStream has, read past Ringway.
    fn kept(&self, nats: &Nats) -> BTreeMap<String, Kept> {
        nats.wait_whole();
        let (api, mut all) = (nats.api(), BTreeMap::new());
        let rooms = self.durable.iter().chain(&self.newest);
        let rooms: BTreeMap<String, &String> = rooms.map(|room| (encode(room), room)).collect();
        let streams = nats.streams("talk").into_iter().chain(nats.streams("state"));
        for stream in streams {
            let info = api.info(&stream).unwrap();
            let epoch = info["config"]["metadata"]["ringway.epoch"].as_str();
            let epoch = epoch.unwrap_or_else(|| panic!("{stream} has no epoch: {info}"));
            for message in api.messages(&stream).unwrap() {
                // What marks a part as moved: no tenant has such a name.
                if message.subject.ends_with(".-.-._") {
                    continue;
                }
                // …store.<store>.<part>.<slot>.<tenant>.<room>.<key>
                let word = message.subject.rsplit('.').nth(1).unwrap_or_default();
                let Some(room) = rooms.get(word) else {
                    panic!("a stranger in {stream}: {}", message.subject)
                };
                let none = || Kept { epoch: epoch.into(), from: 1, publications: BTreeMap::new() };
                let kept = all.entry((*room).clone()).or_insert_with(none);
                assert_eq!(&*kept.epoch, epoch, "streams of one store have one epoch");
                let twice = kept.publications.insert(message.sequence, marked(&message.body));
                assert!(twice.is_none(), "{room}: {} is in two streams", message.sequence);
            }
        }
        all
    }
}

/// Durable rooms: nobody was told of any loss, nor of another epoch. Ephemeral ones: no promise was broken. Where NATS was
/// `parted` for a while, an ephemeral room had an epoch on either side of the cut; who changed sides and came back was told so
/// each time, and was put back into an epoch in which it had heard some already: that comes again.
pub(super) fn assert_kept(rooms: &Rooms, parted: bool) -> Verdicts {
    let mut verdicts = rooms.check();
    println!("{verdicts}");
    for (called, verdict) in &mut verdicts.0 {
        let went_back = parted
            && rooms.0[called].kind == Kind::Ephemeral
            && verdict.faults.iter().any(|fault| fault.kind() == "epoch_again");
        let by_that = ["epoch_again", "twice", "disorder"];
        verdict.faults.retain(|fault| !(went_back && by_that.contains(&fault.kind())));
    }
    if let Some(path) = std::env::var_os("TRANSCRIPT") {
        rooms.write_lines(std::io::BufWriter::new(std::fs::File::create(path).unwrap())).unwrap();
    }
    assert!(verdicts.kinds().is_empty(), "{verdicts}");
    for (called, _) in rooms.0.iter().filter(|(_, room)| room.kind != Kind::Ephemeral) {
        let verdict = &verdicts.0[called];
        assert!(verdict.is_whole(), "{called}: nothing was lost, and something was told: {verdict}");
        assert!(verdict.heard > 0, "{called}: nobody heard anything");
    }
    verdicts
}

/// With each sabotage between the clients' frames and their transcripts the same run fails, and for the right reason.
pub(super) fn assert_sabotage_is_found(rooms: &Rooms, seed: u64) {
    for sabotage in Sabotage::ALL {
        let mut harmed = rooms.clone();
        assert!(sabotage.harm(&mut harmed, seed), "{sabotage:?}");
        let kinds = harmed.check().kinds();
        println!("{sabotage:?}: {kinds:?}");
        assert!(
            sabotage.is_found_as().iter().any(|kind| kinds.contains_key(kind)),
            "{sabotage:?}: {kinds:?}"
        );
    }
}
