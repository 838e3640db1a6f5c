//! What the ways of reading a store cost: `cargo run -p ringway-backplane --example store_reads`.
//!
//! Prints medians of milliseconds until answered, and of the server's CPU, for each way; a stream in a file, 128 bytes a message.
#![allow(clippy::print_stdout)] // Its figures are what it is for.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use ringway_testkit::nats::{NatsOptions, NatsServer};
use serde_json::{Value, json};

const MESSAGES: u64 = 120_000;
const ROOMS: u64 = 2_000;
const SUBJECT: &str = "ringway.g.shared.store.chat";

#[tokio::main]
async fn main() {
    let server = NatsServer::start_with(&NatsOptions { jetstream: true, ..NatsOptions::default() });
    let client = async_nats::ConnectOptions::new()
        .subscription_capacity(200_000)
        .connect(server.url())
        .await
        .expect("it runs");
    let stream =
        json!({ "name": "S", "subjects": [format!("{SUBJECT}.>")], "allow_direct": true, "storage": "file" });
    ask(&client, "$JS.API.STREAM.CREATE.S", &stream).await;
    for number in 0..MESSAGES {
        let subject = format!("{SUBJECT}.{}.{}.acme.room-{}._", number % 64, number % ROOMS, number % ROOMS);
        client.publish(subject, vec![7; 128].into()).await.expect("sent");
    }
    loop {
        let info = ask(&client, "$JS.API.STREAM.INFO.S", &json!({})).await;
        if info["state"]["messages"] == MESSAGES {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let cpu = Cpu::of_ours();
    println!("| what | messages | ms | server's CPU, ms |\n|---|--:|--:|--:|");
    for batch in [256_u64, 1_000, 4_000] {
        for (how, subject) in [("pass, by `>`", Some(">")), ("pass, by number alone", None)] {
            let name = format!("{how}, {batch} a page");
            measure(&cpu, &name, 5, async || {
                let (mut from, mut read) = (MESSAGES - 20_000, 0);
                loop {
                    let mut question = json!({ "seq": from, "batch": batch });
                    if let Some(subject) = subject {
                        question["next_by_subj"] = json!(subject);
                    }
                    let page = direct(&client, &question).await;
                    read += page.messages;
                    if page.pending == 0 {
                        return read;
                    }
                    from = page.last + 1;
                }
            })
            .await;
        }
    }
    let room = format!("{SUBJECT}.{}.{}.acme.room-{}._", 77 % 64, 77, 77);
    for behind in [1_000_u64, 10_000, 50_000, 100_000] {
        let seq = MESSAGES - behind;
        measure(&cpu, &format!("a room, batch, {behind} behind"), 21, async || {
            direct(&client, &json!({ "seq": seq, "next_by_subj": room, "batch": 256 })).await.messages
        })
        .await;
        measure(&cpu, &format!("a room, one by one, {behind} behind"), 5, async || {
            let (mut from, mut read) = (seq, 0);
            loop {
                let one = direct(&client, &json!({ "seq": from, "next_by_subj": room })).await;
                if one.messages == 0 {
                    return read;
                }
                read += 1;
                from = one.last + 1;
            }
        })
        .await;
    }
    for rooms in [1_u64, 100, 1_000] {
        let subjects: Vec<_> = (0..rooms)
            .map(|number| format!("{SUBJECT}.{}.{number}.acme.room-{number}._", number % 64))
            .collect();
        measure(&cpu, &format!("what is newest of {rooms} rooms"), 21, async || {
            direct(&client, &json!({ "multi_last": subjects, "batch": rooms })).await.messages
        })
        .await;
    }
    let question = json!({ "subjects_filter": room });
    measure(&cpu, "how much a room has", 21, async || {
        ask(&client, "$JS.API.STREAM.INFO.S", &question).await["state"]["subjects"]
            .as_object()
            .map_or(0, |all| all.len() as u64)
    })
    .await;
    let question = json!({ "last_by_subj": room });
    measure(&cpu, "a room's newest, by the leader", 21, async || {
        u64::from(ask(&client, "$JS.API.STREAM.MSG.GET.S", &question).await["message"].is_object())
    })
    .await;
}

async fn measure(cpu: &Cpu, what: &str, times: usize, mut read: impl AsyncFnMut() -> u64) {
    let mut messages = read().await;
    let (before, mut took) = (cpu.ticks(), Vec::new());
    for _ in 0..times {
        let begun = Instant::now();
        messages = read().await;
        took.push(begun.elapsed());
    }
    took.sort();
    // A tick is ten milliseconds.
    let server = (cpu.ticks() - before) as f64 * 10.0 / times as f64;
    println!("| {what} | {messages} | {:.2} | {server:.1} |", took[times / 2].as_secs_f64() * 1_000.0);
}

async fn ask(client: &async_nats::Client, subject: &str, question: &Value) -> Value {
    let answer = client.request(subject.to_owned(), question.to_string().into()).await.expect("an answer");
    serde_json::from_slice(&answer.payload).expect("JSON")
}

struct Page {
    messages: u64,
    last: u64,
    pending: u64,
}

async fn direct(client: &async_nats::Client, question: &Value) -> Page {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.expect("subscribed");
    let sent = client.publish_with_reply("$JS.API.DIRECT.GET.S", inbox, question.to_string().into());
    sent.await.expect("sent");
    let mut page = Page { messages: 0, last: 0, pending: 0 };
    while let Some(message) = answers.next().await {
        let number = |name: &str| {
            let value = message.headers.as_ref()?.get_last(name)?;
            value.as_str().parse::<u64>().ok()
        };
        if message.status.is_some() {
            page.pending = number("Nats-Num-Pending").unwrap_or(0);
            break;
        }
        page.messages += 1;
        page.last = number("Nats-Sequence").unwrap_or(0);
        if question.get("batch").is_none() {
            break;
        }
    }
    page
}

/// The CPU that the server has used.
struct Cpu(String);

impl Cpu {
    /// Of the server that this process has started, through its keeper.
    fn of_ours() -> Self {
        let me = u64::from(std::process::id());
        let stat_of = |process: &str| std::fs::read_to_string(format!("/proc/{process}/stat"));
        let ours = std::fs::read_dir("/proc").expect("Linux").flatten().find_map(|entry| {
            let process = entry.file_name().into_string().ok()?;
            let stat = stat_of(&process).ok().filter(|stat| stat.contains("(nats-server)"))?;
            let keeper = stat_of(&field(&stat, 1).to_string()).ok()?;
            (field(&keeper, 1) == me).then_some(process)
        });
        Self(format!("/proc/{}/stat", ours.expect("it was just started")))
    }

    fn ticks(&self) -> u64 {
        let text = std::fs::read_to_string(&self.0).expect("it runs");
        field(&text, 11) + field(&text, 12)
    }
}

/// A number behind the process' name.
fn field(stat: &str, at: usize) -> u64 {
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split(' ').nth(at).and_then(|field| field.parse().ok()).unwrap_or(0)
}
