//! Distributions beside each other: p1 to p99 as a line, the middle half as a block, the median as a dot.

use super::bars::tick_label;
use super::canvas::{Align, Ink, draw};
use super::scale::Scale;
use crate::report::unit::Unit;

const ROW: f64 = 26.0;

pub(super) struct Range {
    pub(super) label: String,
    pub(super) ink: Ink,
    /// p1, p25, p50, p75, p99, microseconds.
    pub(super) at: [f64; 5],
}

impl Range {
    pub(super) fn new(label: &str, ink: Ink, histogram: &hdrhistogram::Histogram<u64>) -> Option<Self> {
        let at = [0.01, 0.25, 0.5, 0.75, 0.99].map(|at| histogram.value_at_quantile(at).max(1) as f64);
        (!histogram.is_empty()).then(|| Self { label: label.to_owned(), ink, at })
    }
}

pub(super) fn ranges(width: f64, label: &str, ranges: &[Range]) -> anyhow::Result<String> {
    let narrow = width < 500.0;
    let left = if narrow { 8.0 } else { 190.0 };
    let right = width - 74.0;
    let head = if narrow { 15.0 } else { 0.0 };
    let row = ROW + head;
    let bottom = 4.0 + row * ranges.len() as f64;
    let least = ranges.iter().map(|range| range.at[0]).fold(f64::INFINITY, f64::min);
    let greatest = ranges.iter().map(|range| range.at[4]).fold(1.0, f64::max);
    let scale = Scale::logarithmic(least, greatest, (left, right));
    draw((width, bottom + 24.0), label, |canvas| {
        for tick in scale.ticks() {
            let x = scale.place(tick);
            canvas.line(&[(x, 4.0), (x, bottom)], Ink::GRID, 1.0)?;
            canvas.text(
                (x, bottom + 12.0),
                &tick_label(Unit::Micros, tick),
                11.0,
                Ink::SOFT,
                Align::Middle,
            )?;
        }
        for (place, range) in ranges.iter().enumerate() {
            let y = 4.0 + row * place as f64;
            let middle = y + head + ROW / 2.0;
            let ink = if range.ink == Ink::REST { Ink::TEXT } else { range.ink };
            if narrow {
                canvas.text((left, y + 9.0), &range.label, 12.0, ink, Align::Left)?;
            } else {
                canvas.text((left - 10.0, middle), &range.label, 12.0, ink, Align::Right)?;
            }
            let [p1, p25, p50, p75, p99] = range.at.map(|at| scale.place(at));
            canvas.line(&[(p1, middle), (p99, middle)], range.ink, 1.5)?;
            canvas.block((p25, middle - 5.0), ((p75 - p25).max(1.0), 10.0), range.ink, 0.5)?;
            canvas.dot((p50, middle), 3.5, ink)?;
            canvas.text(
                (p99 + 6.0, middle),
                &Unit::Micros.show(range.at[2]),
                11.0,
                Ink::TEXT,
                Align::Left,
            )?;
        }
        Ok(())
    })
}
