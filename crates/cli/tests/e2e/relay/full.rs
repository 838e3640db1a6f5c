//! A gateway that as a whole doesn't keep up: it stands still while nodes have more for it than waits for a link.

use std::time::{Duration, Instant};

use ringway_protocol::Format;
use ringway_testkit::transcript::{Kind, Room, Verdict};
use ringway_testkit::wait::until;

use super::SERVED;
use super::site::Site;
use crate::member::{Member, Outcome, Way, settled};
use crate::slow::CLASSES;
use crate::support::durable_over;

/// Durable, and what is too much may be left out: it can be had.
const LENIENT: &str = r#"
[[classes]]
rooms = "lenient.**"
store = "kept"
slow_consumer = "drop_oldest"
"#;

/// The most that waits for one link, in bytes.
const BOUND: f64 = (16 << 20) as f64;

/// Bytes of a large publication.
const LARGE: usize = 50_000;

/// So many rounds are far more than fits.
const ROUNDS: usize = 150;

/// Large ones in a round.
const AT_ONCE: usize = 8;

struct Rooms {
    /// The oldest may be left out.
    cursors: String,
    lenient: String,
    /// Nothing may.
    chat: String,
    durable: String,
}

impl Rooms {
    async fn of(site: &Site) -> Self {
        let on = async |prefix| site.room_on("node-1", prefix).await;
        Self {
            cursors: on("cursors.").await,
            lenient: on("lenient.").await,
            chat: on("chat.").await,
            durable: on("durable.").await,
        }
    }

    fn all(&self) -> [&str; 4] {
        [&self.cursors, &self.lenient, &self.chat, &self.durable]
    }
}

fn members(site: &Site, gateway: usize, count: usize, rooms: &Rooms) -> Vec<Member> {
    let member = |number: usize| {
        let format = if number.is_multiple_of(2) { Format::Json } else { Format::Msgpack };
        let way = Way { gateways: vec![site.cluster.gateways[gateway].listen], format, tenant: "default" };
        Member::start(format!("g{gateway}-{number}"), &way, &rooms.all())
    };
    (0..count).map(member).collect()
}

/// A word of one that has to be accepted, in each room.
async fn speaks(member: &Member, rooms: &Rooms) {
    for room in rooms.all() {
        let said = member.tell(room, "short").await;
        assert!(matches!(said, Outcome::Accepted { place: Some(_) }), "{} in {room}: {said:?}", member.name);
    }
}

fn judged(room: &str, kind: Kind, all: &[Member]) -> Verdict {
    let verdict = Room { kind, ..settled(room, all, SERVED) }.assert_kept();
    println!("{room}: {verdict}");
    verdict
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_stands_still_while_more_is_said_than_waits_for_it() {
    let site = Site::with(2, 2, |nats| durable_over(nats) + CLASSES + LENIENT).await;
    let rooms = Rooms::of(&site).await;
    let (mut all, quick) = (members(&site, 0, 4, &rooms), members(&site, 1, 2, &rooms));
    let behind = all.len();
    all.extend(quick);
    let is_in = |member: &Member| member.record().rooms.values().all(|room| room.position.is_some());
    until("all are in", SERVED, || all.iter().all(is_in).then_some(()));
    let at_first: Vec<[usize; 3]> = all.iter().map(ends).collect();
    speaks(&all[0], &rooms).await;

    let node = &site.cluster.nodes[0];
    let links = node.metrics().sum("ringway_node_links", &[]);
    // Its answer is on its way, or not even asked for.
    all[0].say(&rooms.chat, "and then?");
    site.cluster.gateways[0].pause();
    let stopped = Instant::now();
    let (speaker, large) = (&all[behind], "x".repeat(LARGE));
    let (mut round, mut most) = (0, 0.0_f64);
    // On a busy machine it takes so long that the node gives the link up before it is full: then it is begun anew.
    let is_cut = loop {
        round += 1;
        assert!(round < ROUNDS, "nothing gives way");
        for _ in 0..AT_ONCE {
            speaker.say(&rooms.cursors, &large);
        }
        speaker.say(&rooms.lenient, &large);
        speaks(speaker, &rooms).await;
        let figures = node.metrics();
        most = most.max(figures.sum("ringway_node_link_queue_bytes", &[]));
        if figures.sum("ringway_node_links", &[]) < links {
            break true;
        }
        if figures.sum("ringway_slow_dropped_total", &[]) >= 100.0 {
            break false;
        }
    };
    let still = stopped.elapsed();
    site.cluster.gateways[0].resume();
    println!("{round} rounds in {still:?}, at most {most} bytes waited; the link was cut: {is_cut}");
    assert!(most <= links * BOUND, "{most} for {links} links");

    // It goes on, for those behind it as for all.
    for member in &all {
        speaks(member, &rooms).await;
    }
    let durable = judged(&rooms.durable, Kind::Durable, &all);
    assert!(durable.is_whole(), "nothing of it may be left out, and it can be had: {durable}");
    let chat = judged(&rooms.chat, Kind::Ephemeral, &all);
    assert!(is_cut || cuts(&site) > 0.0 || chat.is_whole(), "nothing of it may be left out: {chat}");
    let cursors = judged(&rooms.cursors, Kind::Ephemeral, &all);
    assert!(cursors.losses > 0, "what was left out is told: {cursors}");
    assert_eq!(cursors.new_epochs, 0, "{cursors}");
    judged(&rooms.lenient, Kind::Durable, &all);
    for (member, at_first) in all.iter().zip(at_first) {
        let (now, record) = (ends(member), member.record());
        assert_eq!(now, at_first, "{} was closed: {:?}", member.name, record.closes);
        assert_eq!((record.goaways, record.unanswered()), (0, 0), "{}", member.name);
        assert!(record.strange.is_empty(), "{}: {:?}", member.name, record.strange);
    }
    until("nothing waits", Duration::from_secs(30), || {
        (site.of_nodes("ringway_node_link_queue_bytes", &[]) == 0.0).then_some(())
    });
}

/// Links that gateways have lost.
fn cuts(site: &Site) -> f64 {
    site.of_gateways("ringway_link_cuts_total", &[])
}

/// A member's hellos, closes and failures so far.
fn ends(member: &Member) -> [usize; 3] {
    let record = member.record();
    [record.hellos.len(), record.closes.len(), record.failures]
}
