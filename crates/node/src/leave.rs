//! A node leaves service: word to every connection, an end to each, and answers to those who take its rooms. Those by a
//! gateway's link stand where they are: the gateway is told, and takes them elsewhere.

use std::borrow::Cow;

use ringway_protocol::close::CloseCode;
use ringway_protocol::frame::{Goaway, ServerFrame};

use crate::conn::ConnRef;
use crate::encode::finished;
use crate::metrics::NodeMetrics;
use crate::moves::Reason;

/// Tells a connection to move now.
pub(crate) fn send_away(conn: &ConnRef, metrics: &NodeMetrics) {
    if conn.way.linked().is_some() {
        return;
    }
    let goaway = Goaway { after: 0, reason: Some(Cow::Borrowed(Reason::leaving.text())) };
    conn.send(&finished(conn.format, &ServerFrame::Goaway(goaway)));
    metrics.told_to_move(Reason::leaving);
}

/// Closes a connection that was told: 1012.
pub(crate) fn close(conn: &ConnRef) {
    if conn.way.linked().is_some() {
        return;
    }
    conn.way.close(CloseCode::RESTART, "restart");
}
