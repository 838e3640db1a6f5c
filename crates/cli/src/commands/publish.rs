//! `ringway pub`: publishes to a room, one message or a line of standard input each.

use std::io::BufRead;

use anyhow::anyhow;
use ringway_client::{Client, Event, Events, Publish, State};
use ringway_protocol::frame::PubResult;
use ringway_protocol::{Payload, RoomName};
use serde_json::{Map, Value, json};

use crate::args::Pub;
use crate::commands::sub::{options, room_name};
use crate::exit::Failure;

/// Standard input in place of the data.
const STDIN: &str = "-";

pub(crate) fn run(args: &Pub) -> Result<(), Failure> {
    let room = room_name(&args.room)?;
    let mut options = options(&args.server)?;
    options.connect.room = None;
    options.answer_within = std::time::Duration::from_secs(10);
    crate::block_on(Box::pin(async {
        let (client, events) = Client::start(options);
        let heard = tokio::spawn(why_closed(events));
        let result = if args.data == STDIN {
            lines(&client, &room, args.signal).await
        } else {
            one(&client, &room, &args.data, args.signal).await
        };
        client.close().await;
        // A refusal for good says more than the request that it ended.
        let closed = heard.await.ok().flatten();
        match (result, closed) {
            (Err(Failure::Other(_)), Some(closed)) => Err(Failure::Other(closed)),
            (result, _) => result,
        }
    }))
}

async fn one(client: &Client, room: &RoomName, data: &str, signal: bool) -> Result<(), Failure> {
    let publish = Publish { store: !signal, ..payload(data)?.into() };
    let result = client.publish(room, publish).await.map_err(|error| anyhow!("{room}: {error}"))?;
    crate::print(&shown(&result))
}

async fn lines(client: &Client, room: &RoomName, signal: bool) -> Result<(), Failure> {
    let (sender, mut lines) = tokio::sync::mpsc::channel(64);
    let reading = std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        one(client, room, &line, signal).await?;
    }
    // It ended with the input.
    let _ = reading.join();
    Ok(())
}

/// Why there was no connection, or none any more.
async fn why_closed(mut events: Events) -> Option<anyhow::Error> {
    let (mut why, mut was_open) = (None, false);
    while let Some(event) = events.next().await {
        match event {
            Event::State(State::Open { .. }) => (why, was_open) = (None, true),
            Event::State(State::Reconnecting { closed, .. }) if !was_open => {
                why = Some(anyhow!("not connected: {}", closed.reason));
            }
            Event::State(State::Closed(closed)) if closed.code.0 != 1000 => {
                why = Some(anyhow!("closed: {} {}", closed.code, closed.reason));
            }
            _ => {}
        }
    }
    why
}

/// JSON where it parses, else a string.
fn payload(data: &str) -> Result<Payload, Failure> {
    let parsed = Payload::from_json(data.as_bytes());
    match parsed {
        Ok(payload) => Ok(payload),
        Err(_) => Payload::from_json(Value::from(data).to_string().as_bytes())
            .map_err(|error| Failure::Use(format!("DATA: {error}"))),
    }
}

fn shown(result: &PubResult) -> String {
    let mut shown = Map::new();
    if let Some(offset) = result.offset {
        shown.insert("offset".into(), json!(offset));
    }
    if let Some(epoch) = &result.epoch {
        shown.insert("epoch".into(), json!(epoch.as_str()));
    }
    if result.duplicate {
        shown.insert("duplicate".into(), json!(true));
    }
    if result.local {
        shown.insert("local".into(), json!(true));
    }
    Value::Object(shown).to_string()
}
