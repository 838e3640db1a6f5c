//! Plain tokio-tungstenite.

use super::{Ground, Started, Target, floor, locked};

pub(super) fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "tokio-tungstenite",
            path: "server alone",
            beside: &[],
            rooms: false,
            start: |ground| start(ground, "tungstenite", "as its example has it"),
        },
        Target {
            name: "tokio-tungstenite tuned",
            path: "server alone",
            beside: &[],
            rooms: false,
            start: |ground| start(ground, "tungstenite-tuned", "read buffers of 4 KiB, TCP_NODELAY"),
        },
    ]
}

fn start(ground: &Ground, kind: &str, how: &str) -> anyhow::Result<Started> {
    floor::start(ground, kind, &format!("{}, {how}", locked(ground, "tokio-tungstenite")))
}
