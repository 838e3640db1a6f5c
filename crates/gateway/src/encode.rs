//! Frames of the gateway's own, as they go to a socket.

use ringway_edge::Frame;
use ringway_protocol::codec::{self, Format};
use ringway_protocol::frame::{Goaway, ServerFrame};

/// What clients are told of a gateway that ends.
pub(crate) const RESTARTS: &str = "the gateway restarts";

/// The frame as it goes to the socket.
pub(crate) fn finished(format: Format, frame: &ServerFrame) -> Frame {
    let mut payload = Vec::new();
    codec::encode_server(format, frame, &mut payload);
    match format {
        Format::Json => Frame::text(&payload),
        Format::Msgpack => Frame::binary(&payload),
    }
}

/// Word to a client to move now, since the gateway ends.
pub(crate) fn goaway(format: Format) -> Frame {
    finished(format, &ServerFrame::Goaway(Goaway { after: 0, reason: Some(RESTARTS.into()) }))
}
