//! Frames in MessagePack: an array goes by the order of its fields, an object inside by names.

mod reading;
mod writing;

pub(super) use reading::{Elements, is_msgpack};
pub(super) use writing::ElementsOut;
