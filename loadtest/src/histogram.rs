//! Latencies in microseconds, 1 µs to 5 minutes, three significant digits, as text between processes and in results.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};

use crate::control::Histogram;

/// The longest latency that is told apart, microseconds.
const LONGEST: u64 = 300_000_000;

/// An empty one.
pub(crate) fn empty() -> hdrhistogram::Histogram<u64> {
    hdrhistogram::Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order")
}

/// As text.
pub(crate) fn pack(histogram: &hdrhistogram::Histogram<u64>) -> Histogram {
    if histogram.is_empty() {
        return Histogram::default();
    }
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).expect("a Vec takes everything");
    Histogram(STANDARD.encode(bytes))
}

/// From text.
pub(crate) fn unpack(text: &Histogram) -> anyhow::Result<hdrhistogram::Histogram<u64>> {
    if text.0.is_empty() {
        return Ok(empty());
    }
    let bytes = STANDARD.decode(&text.0).context("a histogram that isn't base64")?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).context("a histogram that isn't one")
}
