//! Server frames to finished WebSocket frames.

use std::cell::RefCell;

use ringway_edge::Frame;
use ringway_protocol::codec::{self, Format};
use ringway_protocol::frame::ServerFrame;

thread_local! {
    /// Grows to the largest frame this thread has made; shared by all connections.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The frame as it goes to the socket.
pub(crate) fn finished(format: Format, frame: &ServerFrame) -> Frame {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        codec::encode_server(format, frame, scratch);
        match format {
            Format::Json => Frame::text(scratch),
            Format::Msgpack => Frame::binary(scratch),
        }
    })
}

/// One frame for many connections: made at most once in each format.
pub(crate) struct Shared<'a> {
    frame: &'a ServerFrame,
    json: Option<Frame>,
    msgpack: Option<Frame>,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(frame: &'a ServerFrame) -> Self {
        Self { frame, json: None, msgpack: None }
    }

    pub(crate) fn of(&mut self, format: Format) -> &Frame {
        let made = match format {
            Format::Json => &mut self.json,
            Format::Msgpack => &mut self.msgpack,
        };
        made.get_or_insert_with(|| finished(format, self.frame))
    }
}
