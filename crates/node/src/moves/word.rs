//! What a connection is told that is to move.

use std::borrow::Cow;

use prometheus_client::encoding::EncodeLabelValue;
use ringway_edge::Frame;
use ringway_protocol::codec::Format;
use ringway_protocol::frame::{Goaway, ServerFrame};

use crate::conn::Conn;
use crate::encode::finished;

/// Why a connection is to move.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub(crate) enum Reason {
    /// Its home is another node.
    moved,
    /// It has stood for as long as connections may.
    lifetime,
    /// The node leaves service.
    leaving,
}

impl Reason {
    /// In plain words, as clients read it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Reason::moved => "its place is on another node now",
            Reason::lifetime => "the connection has stood for as long as one may",
            Reason::leaving => "the node is restarting",
        }
    }
}

/// The finished frame, in either format.
pub(super) struct Word {
    json: Frame,
    msgpack: Frame,
}

impl Word {
    pub(super) fn new(reason: Reason) -> Word {
        // At once: the pace is the server's.
        let goaway = Goaway { after: 0, reason: Some(Cow::Borrowed(reason.text())) };
        let frame = ServerFrame::Goaway(goaway);
        Word { json: finished(Format::Json, &frame), msgpack: finished(Format::Msgpack, &frame) }
    }

    pub(super) fn tell(&self, conn: &Conn) {
        conn.send(match conn.format {
            Format::Json => &self.json,
            Format::Msgpack => &self.msgpack,
        });
    }
}
