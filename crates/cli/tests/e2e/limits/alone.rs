//! Of two neighbouring limits one is set: that one holds, and the other isn't there.

use super::*;

/// By tenant: its limits, and whether each kind is limited.
struct Set {
    tenant: &'static str,
    limits: &'static str,
    connections: bool,
    connects: bool,
    publish: bool,
    bytes: bool,
}

const NONE: Set =
    Set { tenant: "none", limits: "", connections: false, connects: false, publish: false, bytes: false };

const SETS: [Set; 12] = [
    NONE,
    Set { tenant: "t1", limits: "connections = 2", connections: true, ..NONE },
    Set { tenant: "t2", limits: "connects_per_second = 2", connects: true, ..NONE },
    Set { tenant: "t3", limits: "publish_per_second = 2", publish: true, ..NONE },
    Set { tenant: "t4", limits: "bytes_per_second = \"1KiB\"", bytes: true, ..NONE },
    Set { tenant: "u1", limits: "user = { connections = 2 }", connections: true, ..NONE },
    Set { tenant: "u2", limits: "user = { connects_per_second = 2 }", connects: true, ..NONE },
    Set { tenant: "u3", limits: "user = { publish_per_second = 2 }", publish: true, ..NONE },
    Set { tenant: "u4", limits: "user = { bytes_per_second = \"1KiB\" }", bytes: true, ..NONE },
    Set { tenant: "c3", limits: "connection = { publish_per_second = 2 }", publish: true, ..NONE },
    Set { tenant: "c4", limits: "connection = { bytes_per_second = \"1KiB\" }", bytes: true, ..NONE },
    // Of two that hold for the same, each is looked at.
    Set {
        tenant: "tc",
        limits: "publish_per_second = 1_000_000, connection = { publish_per_second = 2 }",
        publish: true,
        ..NONE
    },
];

/// Upgrades of one user in one moment, all kept: how many are let in, and the codes of the refusals.
fn open(gateway: SocketAddr, tenant: &str, count: usize) -> (Vec<Bare>, Vec<String>) {
    let mut sockets: Vec<Bare> = (0..count).map(|_| Bare::open(gateway)).collect();
    for bare in &mut sockets {
        bare.send(upgrade(&way(tenant, "ann", "r"), &[]));
    }
    let (mut inside, mut codes) = (Vec::new(), Vec::new());
    for mut bare in sockets {
        match bare.answer() {
            answer if answer.status == 101 => inside.push(bare),
            answer => codes.push(Refused::of(&answer).code),
        }
    }
    (inside, codes)
}

#[test]
fn each_limit_holds_without_its_neighbours() {
    const MANY: usize = 12;
    let tenants: Vec<(&str, &str)> = SETS.iter().map(|set| (set.tenant, set.limits)).collect();
    let cluster = cluster(&tenants, "");
    let gateway = cluster.gateway();
    for set in &SETS {
        let (mut inside, codes) = open(gateway, set.tenant, MANY);
        let who = set.limits;
        let code = match (set.connections, set.connects) {
            (true, _) => Some("limit_connections"),
            (_, true) => Some("limit_rate"),
            _ => None,
        };
        assert_eq!(codes.first().map(String::as_str), code, "{who}: {codes:?}");
        assert!(codes.iter().all(|other| *other == codes[0]), "{who}: {codes:?}");
        if set.connections {
            assert_eq!(inside.len(), 2, "{who}");
        }
        let bare = &mut inside[0];
        bare.until(|frame| frame["t"] == "joined");
        let (few, small) = publish(bare, "r", 4, 10).into_iter().partition::<Vec<_>, _>(Option::is_none);
        assert_eq!(!small.is_empty(), set.publish, "{who}: {small:?}");
        assert!(few.len() >= 2, "{who}");
        if set.bytes {
            // A burst of 64 KiB.
            let (_, refusal) = until_refused(publish(bare, "r", 3, 40_000));
            assert_eq!(refusal, Refused::with_retry("limit_rate"), "{who}");
        } else if !set.publish {
            assert_eq!(publish(bare, "r", 5, 40_000), [const { None }; 5], "{who}");
            assert_eq!(publish(bare, "r", 100, 10), [const { None }; 100], "{who}");
        }
    }
}

#[test]
fn of_a_rooms_limits_each_holds_alone() {
    let classes = "
[[classes]]
rooms = \"members\"
limits = { members = 1 }
[[classes]]
rooms = \"publish\"
limits = { publish_per_second = 2 }
[[classes]]
rooms = \"bytes\"
limits = { bytes_per_second = \"1KiB\" }
";
    let cluster = cluster(&[("acme", "")], classes);
    let gateway = cluster.gateway();
    for room in ["members", "publish", "bytes"] {
        let mut first = enter(gateway, "acme", "ann", room);
        let mut second = try_enter(gateway, &way("acme", "bob", room)).unwrap();
        let word = second.hear();
        assert_eq!(word["t"], if room == "members" { "left" } else { "joined" }, "{room}: {word}");
        let few = publish(&mut first, room, 4, 10);
        assert_eq!(few.iter().any(Option::is_some), room == "publish", "{room}: {few:?}");
        let large = publish(&mut second, room, if room == "publish" { 1 } else { 3 }, 40_000);
        let is_limited = large.iter().any(Option::is_some);
        assert!(room == "publish" || is_limited == (room == "bytes"), "{room}: {large:?}");
    }
}
