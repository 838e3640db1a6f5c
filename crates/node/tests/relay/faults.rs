//! What a gateway may not say, and what a link is that breaks.

use ringway_auth::{Mode, Ticket};
use ringway_link::{ConnNo, OpenAs, Up};

use crate::gateway::{Gateway, Said, relayed};
use crate::world::World;

/// Something that a gateway may not say.
type Wrong = dyn Fn(&Gateway);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_ticket_of_its_own_is_refused() {
    let world = World::start("").await;
    let mut gateway = Gateway::link(world.node()).await;
    let good = relayed(None);
    let bad = [
        Ticket { gateway: "another".into(), ..relayed(None) },
        Ticket { mode: Mode::Tunnel, ..relayed(None) },
        Ticket { exp: 1, ..relayed(None) },
    ];
    for (number, bad) in bad.iter().enumerate() {
        for role in [OpenAs::Home, OpenAs::HomeAgain, OpenAs::Further] {
            gateway.open(number as u32, role, bad);
            let no = gateway.next().await;
            assert!(matches!(no, Said::Refused { .. }), "{no:?}");
        }
    }
    gateway.client(9, &good).await;
    gateway.open(10, OpenAs::Home, &good);
    let no = gateway.next().await;
    assert!(matches!(&no, Said::Refused { conn: 10, code, .. } if code == "token_invalid"), "{no:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_isnt_open_ends_the_link() {
    let world = World::start("").await;
    let conn = ConnNo(3);
    let wrong: [(&str, Box<Wrong>); 9] = [
        ("begin", Box::new(|gateway| gateway.begin(3))),
        ("frame", Box::new(|gateway| gateway.frame(3, "{}"))),
        ("closed", Box::new(|gateway| gateway.closed(3))),
        ("move", Box::new(|gateway| gateway.move_away(3, "r"))),
        ("rejoin", Box::new(|gateway| gateway.rejoin(3, "r", None))),
        ("renew", Box::new(move |gateway| gateway.say(&Up::Renew { conn, ticket: "t" }))),
        ("credit", Box::new(move |gateway| gateway.say(&Up::Credit { conn, bytes: 1 }))),
        ("no record", Box::new(|gateway| gateway.say_bytes(b"\x93\x01"))),
        ("nothing", Box::new(|gateway| gateway.say_bytes(b""))),
    ];
    for (what, say) in wrong {
        let mut gateway = Gateway::link(world.node()).await;
        gateway.client(1, &relayed(None)).await;
        say(&gateway);
        assert_eq!(gateway.end().await, Some(1002), "{what}");
        world.node().until_nobody_is_here().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_of_turn_ends_the_link() {
    let world = World::start("").await;
    let wrong: [(&str, &Wrong); 5] = [
        ("begun twice", &|gateway| gateway.begin(1)),
        ("begun, but not at home", &|gateway| {
            gateway.open(2, OpenAs::Further, &relayed(None));
            gateway.begin(2);
        }),
        ("heard before it has begun", &|gateway| {
            gateway.open(2, OpenAs::Home, &relayed(None));
            gateway.frame(2, r#"{"t":"ping","id":1}"#);
        }),
        ("another under its number", &|gateway| gateway.open(1, OpenAs::Further, &relayed(None))),
        ("more than may be unanswered", &|gateway| {
            gateway.open(
                2,
                OpenAs::Further,
                &Ticket { grants: ringway_auth::Grants::none(), ..relayed(None) },
            );
            let frame = format!(r#"{{"t":"pub","room":"r","id":1,"data":"{}"}}"#, "x".repeat(60_000));
            for _ in 0..60 {
                gateway.frame(2, &frame);
            }
        }),
    ];
    for (what, say) in wrong {
        let mut gateway = Gateway::link(world.node()).await;
        gateway.client(1, &relayed(None)).await;
        say(&gateway);
        assert_eq!(gateway.end().await, Some(1002), "{what}");
    }
    world.node().until_nobody_is_here().await;
}
