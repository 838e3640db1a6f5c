//! A small cluster: what holds there holds for any seed, and is what `docs/scaling.md` builds on.

use super::grain::Grain;
use super::headline::row;
use super::study::{
    FIVE, FIVE_BY_USER, FIVE_TAGGED, FOUR_AND_ONE, KINDS, ONE, THIRTY_TAGGED, filling, look, moves,
};
use super::world::{Size, World};
use super::{Crowd, Scope, find, plots};

/// Any will do: what is asserted isn't a matter of luck.
fn seed() -> u64 {
    let seed = rand::random();
    eprintln!("seed {seed}");
    seed
}

#[test]
fn rooms_of_one_tag_cross_no_nodes() {
    let seed = seed();
    for kind in [ONE, FIVE_TAGGED, THIRTY_TAGGED] {
        let traffic = look(kind, filling(5), 5, seed).unwrap();
        assert_eq!(traffic.lambda(), 0.0, "{}", kind.name);
        // A room that is spread is heard by its homes, and only they.
        if traffic.spread == 0 {
            assert_eq!(traffic.heard(Grain::Rooms), 1.0, "{}", kind.name);
        }
    }
}

#[test]
fn independent_rooms_cross_nodes_as_chance_has_it() {
    let seed = seed();
    let row = row(FIVE, 100_000, 7, false, seed).unwrap();
    // Four fifths of the members are placed by another room: of these, nineteen twentieths are elsewhere.
    assert!((0.74..0.78).contains(&row.traffic.lambda()), "{}", row.traffic.lambda());
    assert!((5.9..6.5).contains(&row.by_room()), "{}", row.by_room());
    assert!((14.8..15.6).contains(&row.by_slot()), "{}", row.by_slot());
    let by_user = look(FIVE_BY_USER, filling(20), 20, seed).unwrap();
    assert!((0.93..0.97).contains(&by_user.lambda()), "{}", by_user.lambda());
    let mixed = look(FOUR_AND_ONE, filling(20), 20, seed).unwrap();
    assert!(mixed.lambda() > 0.0 && mixed.lambda() < by_user.lambda(), "{}", mixed.lambda());
}

#[test]
fn every_grain_hears_what_is_wanted_and_the_adaptive_one_little_else() {
    let seed = seed();
    for kind in KINDS {
        for nodes in [1, 3, 8] {
            let traffic =
                look(kind, Size { connections: 6_000, rooms: 3_000, tenants: 3, skewed: true }, nodes, seed)
                    .unwrap();
            let name = kind.name;
            let wanted = traffic.of(Grain::Rooms).received;
            for grain in Grain::ALL {
                let listens = traffic.of(grain);
                assert!(listens.received >= listens.wanted * 0.9999, "{name}, {nodes}: {listens:?}");
                assert!((listens.wanted - wanted).abs() <= wanted * 1e-4, "{name}, {nodes}: {listens:?}");
            }
            let adaptive = traffic.of(Grain::Adaptive);
            assert!(adaptive.unwanted() <= 0.5, "{name}, {nodes}: {adaptive:?}");
            assert!(
                adaptive.subscriptions <= traffic.of(Grain::Rooms).subscriptions,
                "{name}, {nodes}: {adaptive:?}"
            );
            let delivered: f64 = traffic.deliveries_of.iter().sum();
            assert!((delivered - traffic.deliveries).abs() < traffic.deliveries * 1e-9, "{name}, {nodes}");
            if nodes == 1 {
                assert_eq!((wanted, traffic.lambda()), (0.0, 0.0));
            }
        }
    }
}

#[test]
fn what_moves_is_about_what_must() {
    let world = World::new(FIVE, filling(20), seed()).unwrap();
    let moves = moves(&Crowd::new(&world), 20).unwrap();
    assert_eq!(
        moves.iter().map(|moved| moved.what.as_str()).collect::<Vec<_>>(),
        ["1 more", "10 % more: 2", "a rack lost: 1"]
    );
    for moved in moves {
        assert!(moved.slots >= moved.needed * 0.9 && moved.slots <= moved.needed * 1.2, "{moved:?}");
        assert!((moved.connections - moved.slots).abs() < 0.03, "{moved:?}");
    }
}

#[test]
fn all_of_it_on_a_small_cluster_is_written_and_drawn() {
    let scope =
        |nodes: &[u16], changed: &[u16]| Scope { users: 2_000, nodes: nodes.into(), changed: changed.into() };
    let found = find(&scope(&[3, 5], &[5]), 7, &mut |_| ()).unwrap();
    let figures = super::figures::markdown(&found, 7, 1.0, 0.0);
    for title in [
        "100,000 users on 20 nodes",
        "What nodes listen to",
        "Balance",
        "What moves",
        "NATS",
        "What a view costs",
    ] {
        assert!(figures.contains(&format!("## {title}\n")), "{title} in {figures}");
    }
    assert!(!figures.contains("| NaN") && !figures.contains("| inf"), "{figures}");
    for (name, svg) in plots::all(&found).unwrap() {
        assert!(svg.contains("(simulated)") && !svg.contains("NaN") && !svg.contains("var("), "{name}");
    }
    let again = find(&scope(&[3], &[]), 7, &mut |_| ()).unwrap();
    assert_eq!(again.of(FIVE)[0].lambda(), found.of(FIVE)[0].lambda(), "a seed makes one world");
}
