//! Horizontal bars with whiskers from the least to the greatest repetition.

use super::canvas::{Align, Canvas, Ink, draw};
use super::scale::Scale;
use crate::report::spread::Spread;
use crate::report::unit::Unit;

/// Above this ratio between bars, short ones would be seen no more: a logarithmic axis.
const WIDE: f64 = 12.0;
const BAR: f64 = 9.0;
const GAP: f64 = 2.0;
const SIZE: f64 = 12.0;

pub(super) struct Bar {
    pub(super) label: String,
    pub(super) ink: Ink,
    /// In the order of the legend; the later the paler.
    pub(super) parts: Vec<Option<Spread>>,
}

/// `mark`: a value with a line of its own, and its name.
pub(super) fn bars(
    width: f64,
    label: &str,
    unit: Unit,
    mark: Option<(f64, &str)>,
    bars: &[Bar],
) -> anyhow::Result<String> {
    // On a phone labels stand above their bars.
    let narrow = width < 500.0;
    let left = if narrow { 4.0 } else { 190.0 };
    let right = width - 74.0;
    let parts = bars.iter().map(|bar| bar.parts.len()).max().unwrap_or(1) as f64;
    let head = if narrow { 17.0 } else { 0.0 };
    let row = head + parts * (BAR + GAP) + 9.0;
    let top = if mark.is_some() { 22.0 } else { 6.0 };
    let bottom = top + row * bars.len() as f64;
    let scale = scale(bars, mark.map(|mark| mark.0), (left, right));
    draw((width, bottom + 24.0), label, |canvas| {
        for tick in scale.ticks() {
            let x = scale.place(tick);
            canvas.line(&[(x, top), (x, bottom)], Ink::GRID, 1.0)?;
            // At the page's edge there is no room to both sides.
            let align = if x < 16.0 { Align::Left } else { Align::Middle };
            canvas.text((x, bottom + 12.0), &tick_label(unit, tick), 11.0, Ink::SOFT, align)?;
        }
        for (place, bar) in bars.iter().enumerate() {
            let y = top + row * place as f64;
            paint(canvas, bar, &scale, unit, (left, y, head))?;
        }
        if let Some((value, name)) = mark {
            let x = scale.place(value);
            canvas.line(&[(x, top - 4.0), (x, bottom)], Ink::FLOOR, 1.5)?;
            canvas.text((x, top - 13.0), name, 11.0, Ink::SOFT, Align::Middle)?;
        }
        Ok(())
    })
}

fn paint(
    canvas: &Canvas<'_>,
    bar: &Bar,
    scale: &Scale,
    unit: Unit,
    (left, y, head): (f64, f64, f64),
) -> anyhow::Result<()> {
    let ink = if bar.ink == Ink::REST { Ink::TEXT } else { bar.ink };
    let height = bar.parts.len() as f64 * (BAR + GAP);
    if head > 0.0 {
        canvas.text((left, y + 9.0), &bar.label, SIZE, ink, Align::Left)?;
    } else {
        canvas.text((left - 10.0, y + 4.0 + height / 2.0), &bar.label, SIZE, ink, Align::Right)?;
    }
    for (place, spread) in bar.parts.iter().enumerate() {
        let Some(spread) = spread else { continue };
        let y = y + head + 4.0 + place as f64 * (BAR + GAP);
        let end = scale.place(spread.median);
        let strength = if place == 0 { 0.9 } else { 0.45 };
        canvas.block((left, y), ((end - left).max(1.0), BAR), bar.ink, strength)?;
        let (least, greatest) = (scale.place(spread.least), scale.place(spread.greatest));
        let middle = y + BAR / 2.0;
        if spread.of > 1 {
            canvas.line(&[(least, middle), (greatest, middle)], Ink::TEXT, 1.0)?;
            for x in [least, greatest] {
                canvas.line(&[(x, middle - 2.5), (x, middle + 2.5)], Ink::TEXT, 1.0)?;
            }
        }
        let beside = if spread.of > 1 { greatest.max(end) } else { end };
        canvas.text((beside + 6.0, middle), &unit.show(spread.median), 11.0, Ink::TEXT, Align::Left)?;
    }
    Ok(())
}

fn scale(bars: &[Bar], mark: Option<f64>, ends: (f64, f64)) -> Scale {
    let spreads = || bars.iter().flat_map(|bar| bar.parts.iter().flatten());
    let medians = || spreads().map(|spread| spread.median).filter(|median| *median > 0.0).chain(mark);
    let (least, most) = medians()
        .fold((f64::INFINITY, 0.0f64), |(least, most), median| (least.min(median), most.max(median)));
    let greatest = spreads().map(|spread| spread.greatest).fold(most, f64::max);
    if least.is_finite() && most / least > WIDE {
        // Below the least, so that its bar is one.
        Scale::logarithmic(least * 0.6, greatest, ends)
    } else {
        Scale::linear(greatest, ends)
    }
}

/// As short as it can be said: `1 ×`, `500 B`.
pub(crate) fn tick_label(unit: Unit, value: f64) -> String {
    let text = unit.show(value);
    let (number, rest) = match text.find(' ') {
        Some(place) => text.split_at(place),
        None => (text.as_str(), ""),
    };
    match number.contains('.') {
        true => format!("{}{rest}", number.trim_end_matches('0').trim_end_matches('.')),
        false => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_said_shortly() {
        assert_eq!(tick_label(Unit::Ratio, 1.0), "1 ×");
        assert_eq!(tick_label(Unit::Ratio, 0.5), "0.5 ×");
        assert_eq!(tick_label(Unit::Bytes, 10_000.0), "10 KB");
        assert_eq!(tick_label(Unit::Micros, 100.0), "100 µs");
        assert_eq!(tick_label(Unit::Count, 20_000.0), "20,000");
    }
}
