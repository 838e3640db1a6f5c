//! A process that runs out of descriptors waits for some instead of spinning, and keeps what it
//! has. The server runs in a process of its own, with a limit of its own.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ringway_edge::Limits;
use ringway_edge::serve::Settings;
use support::{Client, Server, frame, soon};

/// Set in the process that plays the server.
const CHILD: &str = "RINGWAY_TEST_FEW_DESCRIPTORS";

/// The child's limit. It uses about ten itself.
const DESCRIPTORS: usize = 64;

#[tokio::test]
async fn accepting_waits_for_descriptors_and_existing_connections_live() {
    if std::env::var_os(CHILD).is_some() {
        return play_the_server().await;
    }
    let mut child = Killed(
        Command::new("sh")
            .args(["-c", &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" --exact {NAME} --nocapture")])
            .arg(std::env::current_exe().unwrap())
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = said(&mut lines, "listening ").parse().unwrap();
    let mut first = Client::connect(address).await;
    assert!(echoes(&mut first).await);

    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        crowd.push(Client::plain(address).await);
    }
    let waited = tokio::task::spawn_blocking(move || (said(&mut lines, "tried ten times in ms: "), lines));
    let (waited, _lines) = soon("the shortage", waited).await.unwrap();
    assert!(waited.parse::<u32>().unwrap() > 500, "a spinning server tries ten times within {waited} ms");
    assert!(echoes(&mut first).await, "who was there before isn't affected");

    drop(crowd);
    let mut late = soon("room", Client::connect(address)).await;
    assert!(echoes(&mut late).await);
}

const NAME: &str = "accepting_waits_for_descriptors_and_existing_connections_live";

async fn echoes(client: &mut Client) -> bool {
    client.say(&frame(0x82, b"echo")).await;
    client.frame().await == Some((0x82, b"echo".to_vec()))
}

/// The rest of the first line that begins with `word`.
fn said(lines: &mut impl Iterator<Item = String>, word: &str) -> String {
    let line = lines.find(|line| line.contains(word)).unwrap();
    line.split_once(word).unwrap().1.to_owned()
}

async fn play_the_server() {
    // As if there were plenty: nobody is told to go before the last one is used.
    let settings = Settings { descriptors: u64::MAX, ..Settings::default() };
    let mut server = Server::start_with(settings, Limits::default(), None).await;
    println!("\nlistening {}", server.address);
    let shortages = server.settings.shortages.clone();
    tokio::spawn(async move {
        let tried = |times| {
            let shortages = shortages.clone();
            async move {
                while shortages.load(Ordering::Relaxed) < times {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        tried(1).await;
        let began = Instant::now();
        tried(11).await;
        println!("tried ten times in ms: {}", began.elapsed().as_millis());
    });
    loop {
        let (out, mut reader) = server.accept().await;
        tokio::spawn(async move {
            let mut echo = |message: ringway_edge::Message<'_>| {
                let (ringway_edge::Message::Text(bytes) | ringway_edge::Message::Binary(bytes)) = message;
                out.push(&ringway_edge::Frame::binary(bytes));
            };
            while reader.read(&mut echo).await.is_ok() {}
        });
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
