//! `names.json`, `patterns.json`, and that the codes of the documentation are those of the crate.

use ringway_protocol::{Code, ConnId, EpochName, Key, Pattern, RoomName, TenantId, UserId};
use serde::{Deserialize, Serialize};

use super::{hold, lines, path, read};

#[derive(Serialize, Deserialize)]
struct Name {
    kind: String,
    name: String,
    good: bool,
}

#[derive(Serialize, Deserialize)]
struct Placement {
    room: String,
    key: String,
}

fn is_good(kind: &str, name: &str) -> bool {
    match kind {
        "tenant" => name.parse::<TenantId>().is_ok(),
        "room" => name.parse::<RoomName>().is_ok(),
        "key" => name.parse::<Key>().is_ok(),
        "user" => name.parse::<UserId>().is_ok(),
        "conn" => name.parse::<ConnId>().is_ok(),
        "epoch" => name.parse::<EpochName>().is_ok(),
        _ => panic!("no kind {kind}"),
    }
}

#[test]
fn names() {
    let (long, longer) = ("x".repeat(40), "x".repeat(41));
    let (id, no_id) = ("x".repeat(64), "x".repeat(65));
    let (key, no_key) = ("é".repeat(64), "é".repeat(64) + "x");
    let (emoji, no_emoji) = ("😀".repeat(63) + "abc", "😀".repeat(64));
    let kinds: &[(&str, &[&str], &[&str])] = &[
        (
            "tenant",
            &["acme", "a", "0", "a-b", "a--b", &long],
            &["", "-", "a-", "-a", "Acme", "a_b", "a.b", "é", &longer],
        ),
        (
            "room",
            &[
                "lobby", "a.b", "*", ">", "a b", " ", "a,b;c", "é", "e\u{301}", "$SYS.x", "{}", "{x", "a/b",
                "a+b", "%2F", "\u{a0}", "\u{2028}", "\u{feff}", &emoji,
            ],
            &["", "\0", "a\nb", "a\r\n", "\t", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}", &no_emoji],
        ),
        ("key", &["shape-9", "a b", &key], &["", "a\n", "\u{85}", &no_key]),
        ("user", &["u1", "__proto__", "😀", &key], &["", "a\u{7f}", &no_key]),
        ("conn", &["c_Zk3-T9", &id], &["", "a.b", "a b", "é", &no_id]),
        ("epoch", &["0195f2c7a1b0-a3f29c51d7e0b684-5be1a07c", &id], &["", "a:b", "a_b", "é", &no_id]),
    ];
    let mut all = Vec::new();
    for (kind, good, bad) in kinds {
        for (names, good) in [(good, true), (bad, false)] {
            all.extend(names.iter().map(|name| Name {
                kind: kind.to_string(),
                name: name.to_string(),
                good,
            }));
        }
    }
    let rooms = [
        "lobby",
        "{team7}.chat",
        "{team7}.cursors",
        "a.{team7}",
        "{}.chat",
        "{}{x}",
        "{{x}}",
        "{x",
        "x}",
        "}{x}",
        "{a}{b}",
        "{é}",
        "{ }",
    ];
    let placement: Vec<_> = rooms
        .iter()
        .map(|room| Placement {
            room: room.to_string(),
            key: room.parse::<RoomName>().unwrap().placement_key().into(),
        })
        .collect();
    hold(
        "names.json",
        "Which texts are names of a kind, and the placement keys of rooms.",
        &[("names", lines(&all)), ("placement", lines(&placement))],
    );
    for Name { kind, name, good } in read("names.json", "names") {
        assert_eq!(is_good(&kind, &name), good, "{kind} {name:?}");
    }
    for Placement { room, key } in read("names.json", "placement") {
        assert_eq!(room.parse::<RoomName>().unwrap().placement_key(), key);
    }
}

#[derive(Serialize, Deserialize)]
struct Match {
    pattern: String,
    room: String,
    user: Option<String>,
    matches: bool,
}

/// Pattern, user, rooms that it means, rooms that it doesn't.
type Row = (&'static str, Option<&'static str>, &'static [&'static str], &'static [&'static str]);

#[test]
fn patterns() {
    let table: &[Row] = &[
        ("lobby", None, &["lobby"], &["lobby2", "lobb", "Lobby", "a.lobby"]),
        ("board.*", None, &["board.7", "board."], &["board", "board.7.x", "boards.7"]),
        ("board.**", None, &["board.7", "board.7.x", "board."], &["board", "boards.7"]),
        ("*", None, &["lobby", "a b"], &["a.b"]),
        ("**", None, &["lobby", "a.b", "."], &[]),
        ("***", None, &["a.b"], &[]),
        ("*.*", None, &["a.b", "."], &["a", "a.b.c"]),
        ("*.log.**", None, &["a.log.x", "a.log.x.y"], &["a.b.log.x", "a.log"]),
        ("a*c*e", None, &["ace", "abcde"], &["ac.e", "aec"]),
        ("{*}.chat", None, &["{team7}.chat", "{}.chat"], &["{a.b}.chat", "team7.chat"]),
        ("inbox.$user", Some("u1"), &["inbox.u1"], &["inbox.u2", "inbox.$user", "inbox.u1.x"]),
        ("inbox.$user", None, &[], &["inbox.", "inbox.$user"]),
        ("inbox.$user.**", Some("a.b"), &["inbox.a.b.c"], &["inbox.a.c"]),
        ("**.$user", Some("*"), &["x.*"], &["x.y"]),
        ("$users", Some("u1"), &["u1s"], &["$users"]),
        ("é*", None, &["éa"], &["e\u{301}a"]),
    ];
    let mut all = Vec::new();
    for (pattern, user, yes, no) in table {
        for (rooms, matches) in [(yes, true), (no, false)] {
            all.extend(rooms.iter().map(|room| Match {
                pattern: pattern.to_string(),
                room: room.to_string(),
                user: user.map(Into::into),
                matches,
            }));
        }
    }
    hold(
        "patterns.json",
        "Which rooms a pattern means, for a user or for none.",
        &[("patterns", lines(&all))],
    );
    for Match { pattern, room, user, matches } in read("patterns.json", "patterns") {
        assert_eq!(
            Pattern::parse(&pattern).unwrap().matches(&room, user.as_deref()),
            matches,
            "{pattern} {room} {user:?}"
        );
    }
}

#[test]
fn the_documentation_has_every_code() {
    let text = std::fs::read_to_string(path("../../protocol.md")).unwrap();
    for code in Code::ALL {
        let row = format!("| <a id=\"{code}\"></a>`{code}` | {} | {} |", code.http_status(), code.meaning());
        assert!(text.contains(&row), "no line `{row}`");
    }
    assert_eq!(text.matches("| <a id=\"").count(), Code::ALL.len() + 1, "every code once, and `app:`");
}
