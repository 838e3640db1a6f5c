//! What breaks in earnest: nodes die, leave and stand still, connections are cut, NATS goes away, gateways see other
//! clusters than nodes do. Three nodes and two gateways as `deploy/examples/cluster` has them, over a real `nats-server`.
//! Whatever happens, what members heard is held against the same promises, and what they lost was told to them.

mod clients;
mod death;
mod nats;
mod pauses;
mod views;

use std::time::{Duration, Instant};

use ringway_protocol::Format;
use ringway_testkit::transcript::Name;
use ringway_testkit::wait::until;

use crate::cluster::{self, Cluster};
use crate::member::{Member, Outcome, Way};

/// The example that operators begin with is what is tested here.
const EXAMPLE: &str = include_str!("../../../../deploy/examples/cluster/ringway.toml");

/// Where the example expects NATS.
const NATS_OF_EXAMPLE: &str = "nats://127.0.0.1:4222";

/// After a fault has ended: how long until everybody is in one place again.
pub(crate) const SETTLED: Duration = Duration::from_secs(15);

pub(crate) fn example(nodes: usize, gateways: usize) -> Cluster {
    Cluster::with(nodes, gateways, config)
}

/// The example's configuration over this NATS server.
pub(crate) fn config(nats: &str) -> String {
    assert!(EXAMPLE.contains(NATS_OF_EXAMPLE));
    EXAMPLE.replace(NATS_OF_EXAMPLE, nats)
}

/// Through all gateways in turn, beginning with the `first`.
pub(crate) fn way(cluster: &Cluster, first: usize) -> Way {
    let mut gateways: Vec<_> = cluster.gateways.iter().map(|gateway| gateway.listen).collect();
    let count = gateways.len();
    gateways.rotate_left(first % count);
    let format = if (first / count).is_multiple_of(2) { Format::Json } else { Format::Msgpack };
    Way { gateways, format, tenant: "default" }
}

/// A room that this node owns.
pub(crate) async fn room_on(cluster: &Cluster, node: &str, prefix: &str) -> String {
    cluster::rooms(&cluster.http(), prefix, 1, |owner| owner == node).await.remove(0)
}

/// Members of these rooms, the first of which is home; by turns through either gateway and in either format.
pub(crate) fn members(cluster: &Cluster, name: &str, count: usize, rooms: &[&str]) -> Vec<Member> {
    (0..count).map(|n| Member::start(format!("{name}-{n}"), &way(cluster, n), rooms)).collect()
}

/// Waits until each of them has heard so much more of the room.
pub(crate) fn all_hear(members: &[Member], room: &str, more: usize) {
    let room = crate::support::name(room);
    let heard = |m: &Member| m.record().rooms.get(&room).map_or(usize::MAX, |room| room.names().len());
    let goals: Vec<usize> = members.iter().map(|m| heard(m).saturating_add(more)).collect();
    for (member, goal) in members.iter().zip(goals) {
        until(&format!("{} hears {goal} publications in {room}", member.name), SETTLED, || {
            (heard(member) >= goal).then_some(())
        });
    }
}

/// Nobody got what isn't theirs.
pub(crate) fn nothing_strange(members: &[Member]) {
    for member in members {
        assert_eq!(member.record().strange, [""; 0], "{}", member.name);
    }
}

/// Whom a publication is known to have reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Local,
    All,
}

/// Publishes until that many are reached; which publication that was.
async fn until_accepted(member: &Member, room: &str, reach: Reach) -> Name {
    let deadline = Instant::now() + SETTLED;
    loop {
        if let Outcome::Accepted { place } = member.tell(room, "do you hear me?").await
            && (reach == Reach::All) == place.is_some()
        {
            let record = member.record();
            let last =
                record.sent.iter().rfind(|s| s.outcome == Some(Outcome::Accepted { place: place.clone() }));
            return last.unwrap().name.clone();
        }
        assert!(Instant::now() < deadline, "{} doesn't reach {reach:?} in {room}", member.name);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
