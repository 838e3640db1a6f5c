//! Somebody else on the same gateway and node, who must notice nothing of what a test does to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringway_testkit::processes::Process;
use serde_json::json;

use crate::bare::Bare;

/// Between two messages: ten a second.
const EVERY: Duration = Duration::from_millis(100);

/// A message may take so long. Far more than it does, on a machine that has much else to do too, and less than a process
/// that hangs or starts again.
const WITHIN: Duration = Duration::from_secs(8);

/// A member who gets ten messages a second, from another member.
pub struct Alive {
    stop: Arc<AtomicBool>,
    talk: JoinHandle<u64>,
}

impl Alive {
    /// From now on, in that room. With the tag of the test's own rooms it is on the same node.
    pub fn watch(gateway: SocketAddr, room: &str) -> Self {
        let (mut speaker, mut listener) = (Bare::in_room(gateway, room), Bare::in_room(gateway, room));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let room = room.to_owned();
        let talk = std::thread::spawn(move || {
            let mut said = 0;
            while !stopped.load(Ordering::Relaxed) {
                said += 1;
                let began = Instant::now();
                speaker.say(&json!({"t": "pub", "id": said, "room": room, "data": said, "echo": false}));
                speaker.until(|frame| frame["id"] == said && frame["t"] == "ok");
                let heard = listener.until(|frame| frame["t"] != "ok");
                assert_eq!((&heard["t"], &heard["data"]), (&json!("msg"), &json!(said)), "{heard}");
                assert!(began.elapsed() < WITHIN, "message {said} took {:?}", began.elapsed());
                std::thread::sleep(EVERY.saturating_sub(began.elapsed()));
            }
            said
        });
        Self { stop, talk }
    }

    /// They had all of it, and none of the processes has come to harm.
    pub fn undisturbed(self, processes: &[&Process]) {
        self.stop.store(true, Ordering::Relaxed);
        let said = self.talk.join().unwrap_or_else(|_| panic!("the others were disturbed"));
        assert!(said > 0);
        for process in processes {
            assert_eq!(process.readyz(), Some(200), "{}:\n{}", process.name, process.log());
            assert!(!process.log().contains("panicked"), "{}:\n{}", process.name, process.log());
        }
    }
}
