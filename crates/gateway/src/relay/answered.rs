//! What a finished frame answers: read from its bytes.

use ringway_protocol::codec::{self, Format};

use super::table::Answered;

/// The first byte of a text message.
const TEXT: u8 = 0x81;

/// Of an `ok` or an `err`; none of anything else.
pub(super) fn read(frame: &[u8]) -> Option<Answered> {
    let format = if *frame.first()? == TEXT { Format::Json } else { Format::Msgpack };
    let codec::Answered { id, ok } = codec::answer_id(format, payload(frame)?)?;
    Some(Answered { id, ok })
}

/// What is behind the header of an unmasked frame.
fn payload(frame: &[u8]) -> Option<&[u8]> {
    match frame.get(1)? {
        126 => frame.get(4..),
        127 => frame.get(10..),
        _ => frame.get(2..),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_edge::Frame;
    use ringway_protocol::frame::{Refusal, ServerFrame};
    use ringway_protocol::{Code, encode_server};

    #[test]
    fn an_answer_is_found_in_frames_of_every_length_and_format() {
        for words in [1, 100, 70_000] {
            let refusal = Refusal {
                id: Some(7),
                room: None,
                code: Code::Unavailable,
                message: Some("x".repeat(words).into()),
                retry: None,
            };
            for format in [Format::Json, Format::Msgpack] {
                let mut payload = Vec::new();
                encode_server(format, &ServerFrame::Err(refusal.clone()), &mut payload);
                let frame = match format {
                    Format::Json => Frame::text(&payload),
                    Format::Msgpack => Frame::binary(&payload),
                };
                assert_eq!(read(frame.encoded()), Some(Answered { id: Some(7), ok: false }));
                // Broken off anywhere, it is no reason to fall.
                (0..frame.len().min(200)).for_each(|end| _ = read(&frame.encoded()[..end]));
            }
        }
        assert_eq!(read(Frame::text(br#"{"t":"msg"}"#).encoded()), None);
    }
}
