//! A node leaves service: word to every connection, an end to each, and answers to those who take its rooms.

use std::borrow::Cow;

use ringway_protocol::close::CloseCode;
use ringway_protocol::frame::{Goaway, ServerFrame};

use crate::conn::ConnRef;
use crate::encode::finished;

/// Tells a connection to move now, and closes it: 1012.
pub(crate) fn send_away(conn: &ConnRef) {
    let goaway = Goaway { after: 0, reason: Some(Cow::Borrowed("the node is restarting")) };
    conn.send(&finished(conn.format, &ServerFrame::Goaway(goaway)));
    conn.outbound.close(CloseCode::RESTART, "restart");
}
