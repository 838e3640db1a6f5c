//! Nodes that say anything, in any order: the table refuses or takes it, and goes on.

use ringway_link::{At, Cast, ConnNo, Down, Exclude, Exit, RoomNo};
use ringway_protocol::Code;

use super::stage::{Stage, declared, room};
use crate::relay::table::simulation::dice::Dice;

const NAMES: [&str; 3] = ["a", "b", "home"];

fn conns(dice: &mut Dice) -> Vec<ConnNo> {
    (0..dice.below(4)).map(|_| conn(dice)).collect()
}

fn conn(dice: &mut Dice) -> ConnNo {
    ConnNo(u32::try_from(dice.below(5)).expect("small"))
}

fn any_record(dice: &mut Dice) -> Down<'static> {
    let conn_no = conn(dice);
    let number = RoomNo(u32::try_from(dice.below(3)).expect("small"));
    let offset = dice.below(20) as u64;
    let at = dice.percent(60).then_some(At { room: number, offset, ts: offset });
    match dice.below(16) {
        0 => Down::Opened { conn: conn_no },
        1 => Down::Refused { conn: conn_no, code: Code::Unavailable, detail: "no".into(), retry: None },
        2 | 3 => {
            let (tenant, epoch) = (["t", "u"][dice.below(2)], [None, Some("e"), Some("f")][dice.below(3)]);
            Down::Room(declared(number.0, tenant, NAMES[dice.below(3)], epoch))
        }
        4 | 5 => {
            let frames: [&[u8]; 4] = [b"ok 1", b"err 2", b"x", b""];
            Down::Send { conn: conn_no, at, frame: frames[dice.below(4)] }
        }
        6 | 7 => Down::Enter { conn: conn_no, room: number, at, by_server: dice.percent(50) },
        8 => {
            let why = if dice.percent(50) { Exit::Left } else { Exit::Moved };
            Down::Exit { conn: conn_no, room: room(NAMES[dice.below(3)]), why }
        }
        9 | 10 => {
            let but = match dice.below(3) {
                0 => Exclude::Nobody,
                1 => Exclude::These(conns(dice)),
                _ => Exclude::AllBut(conns(dice)),
            };
            let offset = dice.percent(70).then_some(offset);
            Down::Cast(Cast { room: number, offset, ts: 1, key: None, but, json: b"m", msgpack: b"m" })
        }
        11 => Down::Lost { room: number, offset, ts: offset, frames: 3 },
        12 => Down::Credit { conn: conn_no, bytes: u32::MAX },
        13 => Down::Renewed { conn: conn_no, ticket: "ticket" },
        14 => Down::CloseLater { conn: conn_no, after: 1, code: 1012, reason: "over".into() },
        _ => Down::Ended { conn: conn_no },
    }
}

fn any_ask(dice: &mut Dice) -> String {
    let name = NAMES[dice.below(3)];
    let id = if dice.percent(70) { format!(r#""id":{},"#, dice.below(3)) } else { String::new() };
    match dice.below(7) {
        0 | 1 => format!(r#"{{"t":"join",{id}"room":"{name}"}}"#),
        2 => format!(r#"{{"t":"leave",{id}"room":"{name}"}}"#),
        3 => format!(r#"{{"t":"pub",{id}"room":"{name}","data":1}}"#),
        4 => format!(r#"{{"t":"pub",{id}"data":1}}"#),
        5 => format!(r#"{{"t":"auth",{id}"token":"x"}}"#),
        _ => format!(r#"{{{id}"t":"ping"}}"#),
    }
}

/// All that was there is gone when everybody is, whatever was said.
#[test]
fn whatever_nodes_say_the_table_stands() {
    for seed in 0..1_500 {
        let mut dice = Dice::new(seed);
        let mut stage = Stage::new();
        let mut alive: Vec<ConnNo> = Vec::new();
        for _ in 0..150 {
            let node = u16::try_from(dice.below(3)).expect("small");
            match dice.below(20) {
                0 if alive.len() < 5 => {
                    let conn = stage.table.add(&stage.tenant.clone(), Some(&room("home")));
                    stage.open(conn, node);
                    alive.push(conn);
                }
                1 if !alive.is_empty() => {
                    let conn = alive.swap_remove(dice.below(alive.len()));
                    stage.gone(conn);
                }
                2..5 if !alive.is_empty() => stage.begin(alive[dice.below(alive.len())], &["home", "a"]),
                5..8 if !alive.is_empty() => {
                    let ask = any_ask(&mut dice);
                    stage.ask(alive[dice.below(alive.len())], &ask);
                }
                8 => stage.lose(node),
                9 => {
                    let name = NAMES[dice.below(3)];
                    stage.homes.insert(name.into(), node);
                    stage.table.look_again();
                }
                10 => {
                    stage.work();
                }
                11 => stage.tick(),
                12 if !alive.is_empty() => stage.credit(alive[dice.below(alive.len())], dice.below(9)),
                _ => {
                    let record = any_record(&mut dice);
                    if stage.tell(node, &record).is_err() && dice.percent(50) {
                        stage.lose(node);
                    }
                }
            }
            stage.done();
        }
        for conn in alive {
            stage.gone(conn);
        }
        for node in 0..3 {
            stage.lose(node);
        }
        assert!(stage.table.is_empty(), "seed {seed}");
    }
}
