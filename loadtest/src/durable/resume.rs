//! A client that missed a hundred messages of its room comes back: Ringway's answer beside a raw read of the same.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ringway_protocol::ServerFrame;
use ringway_protocol::frame::{JoinResult, OkResult, Position};
use serde_json::json;

use super::crowd::{Crowd, Heard};
use super::figure::{Figure, Unit};
use super::ground::World;
use super::publish::{Pace, open};
use super::words::{Template, Words, frame, join, leave, room};
use super::{Setting, say};
use crate::histogram;

/// Rooms, each with so many messages that its client missed: the stream has 50,000 behind each position.
const ROOMS: usize = 500;
const MISSED: usize = 100;

const PATIENCE: Duration = Duration::from_secs(30);

/// The client that asks, and the first of those that publish.
const ASKER: usize = 0;
const PUBLISHERS: usize = 10;

pub(super) fn run(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    if setting.baselines_only {
        return Ok(Vec::new());
    }
    let mut world = World::begin(&setting.root, "resume", &setting.together)?;
    let node = world.node()?;
    let words = Words::new()?;
    let mut crowd = Crowd::new()?;
    open(&mut crowd, &world, node, &words, PUBLISHERS)?;
    let mut pace = Pace::new(Template::new(), PUBLISHERS, ROOMS);
    pace.run(&mut crowd, 500, PATIENCE, ROOMS)?;
    let positions = positions(&mut crowd, ROOMS)?;
    pace.run(&mut crowd, 500, PATIENCE, ROOMS * MISSED)?;
    // What a node remembers of the last seconds would answer for the store.
    world.kill(node);
    let node = world.node()?;
    let mut crowd = Crowd::new()?;
    open(&mut crowd, &world, node, &words, 1)?;

    let mut ours = histogram::empty();
    for (number, position) in positions.iter().enumerate() {
        let began = Instant::now();
        crowd.send(ASKER, &join(number as u64, room(number), Some(position.clone()), None));
        let (mut got, mut resumed, mut last) = (0, None, position.offset);
        while got < MISSED {
            ensure!(began.elapsed() < PATIENCE, "{got} of {MISSED} missed messages came of room {number}");
            crowd.turn(PATIENCE, &mut |_, heard, _| {
                let Heard::Frame(payload) = heard else { return };
                match frame(payload) {
                    Some(ServerFrame::Ok(ok)) => {
                        resumed = ok.result.map(OkResult::into_join).and_then(|join| join.resumed);
                    }
                    Some(ServerFrame::Msg(msg)) if msg.offset > Some(last) => {
                        last = msg.offset.unwrap_or(last);
                        got += 1;
                    }
                    _ => {}
                }
            })?;
        }
        ours.saturating_record(began.elapsed().as_micros() as u64);
        ensure!(resumed == Some(true), "room {number} wasn't resumed");
        crowd.send(ASKER, &leave(number as u64, room(number)));
    }
    let raw = raw(&world, &words, &positions)?;
    let at = |times: &hdrhistogram::Histogram<u64>, quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    say(&format!("resume: {:.2} ms, raw {:.2} ms", at(&ours, 0.5), at(&raw, 0.5)));
    let figure = |name, bar, quantile| {
        Figure::beside(name, bar, Unit::Milliseconds, vec![at(&ours, quantile)], vec![at(&raw, quantile)])
    };
    let median = figure("100 missed messages, from the join to the last of them, median", "≤ 10 ms", 0.5);
    Ok(vec![
        median.note(format!(
            "{ROOMS} rooms, {} messages in the stream behind each position; one after another",
            ROOMS * MISSED
        )),
        figure("the same, 99th percentile", "", 0.99),
    ])
}

/// Joins rooms 0 to `rooms` − 1, and leaves them: the position of each.
pub(super) fn positions(crowd: &mut Crowd, rooms: usize) -> anyhow::Result<Vec<Position>> {
    let mut positions: Vec<Option<Position>> = vec![None; rooms];
    let (mut known, began) = (0, Instant::now());
    for number in 0..rooms {
        let mut out = join(number as u64, room(number), None, None);
        out.extend(leave((rooms + number) as u64, room(number)));
        crowd.send(ASKER, &out);
    }
    while known < rooms {
        ensure!(began.elapsed() < PATIENCE, "{known} of {rooms} rooms told their position");
        crowd.turn(PATIENCE, &mut |_, heard, _| {
            let Heard::Frame(payload) = heard else { return };
            if let Some(ServerFrame::Ok(ok)) = frame(payload)
                && let Some(number) = ok.id.filter(|id| *id < rooms as u64)
                && let Some(position) = ok.result.and_then(|result| position(&result.into_join()))
            {
                positions[number as usize] = Some(position);
                known += 1;
            }
        })?;
    }
    positions.into_iter().collect::<Option<Vec<_>>>().context("a room without a position")
}

/// Where a join begins.
pub(super) fn position(result: &JoinResult) -> Option<Position> {
    Some(Position { epoch: result.epoch.clone()?, offset: result.offset?, ts: result.ts })
}

/// The same read by one batched direct get each, over a connection that does nothing else.
fn raw(world: &World, words: &Words, positions: &[Position]) -> anyhow::Result<hdrhistogram::Histogram<u64>> {
    let info = world.stream()?;
    let name = info["config"]["name"].as_str().context("a stream without a name")?;
    let mut nats = world.connect()?;
    let mut times = histogram::empty();
    for (number, position) in positions.iter().enumerate() {
        let question =
            json!({ "seq": position.offset, "next_by_subj": words.stored(number), "batch": MISSED + 1 });
        let (mut got, began) = (0, Instant::now());
        nats.request(&format!("$JS.API.DIRECT.GET.{name}"), question.to_string().as_bytes(), |message| {
            // The end is a status without a payload.
            got += usize::from(!message.payload.is_empty());
            message.payload.is_empty()
        })?;
        times.saturating_record(began.elapsed().as_micros() as u64);
        ensure!(got == MISSED + 1, "{got} of {} messages of room {number} were read", MISSED + 1);
    }
    Ok(times)
}
