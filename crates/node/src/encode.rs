//! Server frames to finished WebSocket frames.

use std::cell::RefCell;
use std::sync::Arc;

use ringway_edge::{Forms, Frame, Label};
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

/// The frame with a label, if there is one.
pub(crate) fn labelled(frame: Frame, label: Option<&Arc<Label>>) -> Frame {
    match label {
        Some(label) => frame.labelled(label.clone()),
        None => frame,
    }
}

/// One frame for many connections: made at most once in each format.
pub(crate) struct Shared<'a> {
    frame: &'a ServerFrame,
    label: Option<Arc<Label>>,
    json: Option<Frame>,
    msgpack: Option<Frame>,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(frame: &'a ServerFrame) -> Self {
        Self::labelled(frame, None)
    }

    /// One that may be left out where a connection is behind, if it has a label.
    pub(crate) fn labelled(frame: &'a ServerFrame, label: Option<Arc<Label>>) -> Self {
        Self { frame, label, json: None, msgpack: None }
    }

    /// The frame in that format.
    pub(crate) fn of(&mut self, format: Format) -> &Frame {
        let made = match format {
            Format::Json => &mut self.json,
            Format::Msgpack => &mut self.msgpack,
        };
        made.get_or_insert_with(|| labelled(finished(format, self.frame), self.label.as_ref()))
    }
}

impl Forms for Shared<'_> {
    fn of(&mut self, format: Format) -> Option<&Frame> {
        Some(Shared::of(self, format))
    }
}
