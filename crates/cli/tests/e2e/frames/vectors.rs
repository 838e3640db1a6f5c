//! The vectors of the documentation, against a running server.

use ringway_protocol::Format;
use serde_json::{Value, json};

use super::{FORMATS, World, enter, message, unhex};
use crate::bare::{Bare, SOON, binary, text};
use crate::support::node_of;

/// A message of a vector, where it has this format.
fn vector_message(vector: &Value, format: Format) -> Option<Vec<u8>> {
    match format {
        Format::Json => vector["json"].as_str().map(text),
        Format::Msgpack => vector["msgpack"].as_str().map(|hex| binary(&unhex(hex))),
    }
}

fn vectors(file: &str, name: &str) -> Vec<Value> {
    let path = format!("{}/../../docs/protocol/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(all[name].take()).unwrap()
}

#[test]
fn what_the_vectors_refuse_is_refused_and_nothing_else_happens() {
    let world = World::start();
    let others = world.others("vectors");
    for ((door, address), format) in
        world.doors().into_iter().flat_map(|door| FORMATS.map(|format| (door, format)))
    {
        let mut bare = enter(address, format, "vectors");
        for vector in vectors("refused.json", "refused") {
            let Some(message) = vector_message(&vector, format) else { continue };
            let name = format!("{door}, {format:?}: {}", vector["name"]);
            if let Some(code) = vector["close"].as_u64() {
                // As the first of its connection, and as a later one.
                for beginning in [
                    Vec::new(),
                    self::message(format, if format == Format::Json { b"null" } else { b"\xc0" }),
                ] {
                    let mut own = enter(address, format, "vectors");
                    own.send([beginning, message.clone()].concat());
                    assert_eq!(u64::from(own.close_frame().0), code, "{name}");
                    assert!(own.ends_within(SOON), "{name}");
                }
                continue;
            }
            bare.send(message);
            let refusal = bare.answer_as(format).unwrap_err();
            assert_eq!(
                (refusal.code.as_str(), refusal.id),
                (vector["code"].as_str().unwrap(), vector["id"].as_u64()),
                "{name}"
            );
            assert!(refusal.retry.is_none(), "{name}: asking again won't help");
            bare.still_answers(format);
        }
    }
    world.undisturbed(others);
}

#[test]
fn what_the_vectors_allow_is_understood_in_every_form() {
    let world = World::start();
    for ((door, address), format) in
        world.doors().into_iter().flat_map(|door| FORMATS.map(|format| (door, format)))
    {
        for vector in vectors("frames_client.json", "frames") {
            let (first, also) = match format {
                Format::Json => ("json", "also_json"),
                Format::Msgpack => ("msgpack", "also_msgpack"),
            };
            let mut forms = vec![vector[first].clone()];
            forms.extend(vector[also].as_array().into_iter().flatten().cloned());
            let mut said = None;
            for (form, n) in forms.iter().zip(0..) {
                let name = format!("{door}, {format:?}: {} {form}", vector["name"]);
                // A room of its own each time, so that the second form is answered like the first.
                let mut bare = enter(address, format, &format!("allowed {n} {}", vector["name"]));
                bare.send(vector_message(&json!({first: form}), format).unwrap());
                let has_id =
                    serde_json::from_str::<Value>(vector["json"].as_str().unwrap()).unwrap()["id"].as_u64();
                let code = match has_id.map(|_| bare.answer_as(format)) {
                    None => None,
                    Some(Ok(answer)) => Some((answer.id, "ok".to_owned())),
                    Some(Err(refusal)) => Some((refusal.id, refusal.code.to_string())),
                };
                assert_eq!(code.as_ref().and_then(|(id, _)| *id), has_id, "{name}");
                // What is built later is refused by its own name, and what is malformed isn't here.
                let known = ["ok", "no_presence", "no_history", "no_worker", "already_joined", "not_joined"];
                assert!(
                    code.as_ref().is_none_or(|(_, code)| known.contains(&code.as_str())),
                    "{name}: {code:?}"
                );
                assert_eq!(said.get_or_insert_with(|| code.clone()), &code, "{name}: as its other forms");
                if has_id.is_some() {
                    bare.still_answers(format);
                }
            }
        }
    }
}

#[test]
fn a_payload_has_one_form_in_each_format_for_every_member_anywhere() {
    let world = World::start();
    let gateway = world.cluster.gateway();
    for (door, address) in world.doors() {
        // Members of both formats on both nodes: on the room's own, and by way of a home room elsewhere.
        let homes: Vec<String> = if door == "serve" {
            vec!["payloads".into()]
        } else {
            let other = (0..)
                .map(|n| format!("home {n}"))
                .find(|room| node_of(gateway, room) != node_of(gateway, "payloads"));
            vec!["payloads".into(), other.unwrap()]
        };
        let mut members: Vec<(Format, Bare)> = Vec::new();
        for (home, format) in homes.iter().flat_map(|home| FORMATS.map(|format| (home, format))) {
            let mut bare = enter(address, format, home);
            if home != "payloads" {
                bare.send(vector_message(&json!({"json": r#"{"t":"join","id":1,"room":"payloads"}"#, "msgpack": "930101a87061796c6f616473"}), format).unwrap());
                bare.answer_as(format).unwrap();
            }
            members.push((format, bare));
        }
        let mut publishers = FORMATS.map(|format| (format, enter(address, format, homes.last().unwrap())));
        for vector in vectors("payloads.json", "payloads") {
            let forms = |name: &str| vector[name].as_array().cloned().unwrap_or_default();
            let member = if vector["bytes"] == true { "b64" } else { "data" };
            let json = forms("from_json").into_iter().map(|form| {
                let form = form.as_str().unwrap().to_owned();
                (0, format!(r#"{{"t":"pub","id":7,"room":"payloads","{member}":{form}}}"#).into_bytes())
            });
            let msgpack = forms("from_msgpack")
                .into_iter()
                .map(|form| (1, [b"\x94\x03\x07\xa8payloads", &unhex(form.as_str().unwrap())[..]].concat()));
            for (publisher, payload) in json.chain(msgpack).collect::<Vec<_>>() {
                let (format, bare) = &mut publishers[publisher];
                bare.send(message(*format, &payload));
                let answer = bare.answer_as(*format);
                assert_eq!(answer.unwrap_or_else(|no| panic!("{}: {no:?}", vector["name"])).id, Some(7));
                for (format, bare) in &mut members {
                    let came = bare.message();
                    match format {
                        Format::Json => {
                            let text = String::from_utf8(came.payload).unwrap();
                            let wanted = format!(r#""{member}":{}"#, vector["json"].as_str().unwrap());
                            assert!(
                                text.contains(&(wanted.clone() + ",")),
                                "{door}: {}: {text}",
                                vector["name"]
                            );
                        }
                        Format::Msgpack => {
                            let wanted =
                                [b"\x23\xc0\xa8payloads", &unhex(vector["msgpack"].as_str().unwrap())[..]]
                                    .concat();
                            assert!(
                                came.payload[1..].starts_with(&wanted),
                                "{door}: {}: {came:02x?}",
                                vector["name"]
                            );
                        }
                    }
                }
            }
        }
    }
}
