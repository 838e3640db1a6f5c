//! Latency by percentile, the far end drawn out: each step to the right is a tenth of what is left.

use super::bars::tick_label;
use super::canvas::{Align, Ink, draw};
use super::scale::Scale;
use crate::report::unit::Unit;

/// Points a step of the axis.
const POINTS: usize = 16;
const LABEL: f64 = 13.0;

pub(super) struct Curve {
    pub(super) label: String,
    pub(super) ink: Ink,
    pub(super) thick: bool,
    /// Nines (0 is 0 %, 1 is 90 %, 2 is 99 % …) and microseconds.
    pub(super) points: Vec<(f64, f64)>,
}

impl Curve {
    pub(super) fn new(
        label: &str,
        ink: Ink,
        thick: bool,
        histogram: &hdrhistogram::Histogram<u64>,
    ) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        // Beyond this every quantile is the greatest value.
        let last = (histogram.len() as f64).log10().clamp(1.0, 6.0);
        let steps = (last * POINTS as f64).ceil() as usize;
        // The very least says nothing, and would take half the height.
        let points = (1..=steps).map(|step| {
            let nines = (step as f64 / POINTS as f64).min(last);
            let value = if step == steps {
                histogram.max()
            } else {
                histogram.value_at_quantile(1.0 - 10f64.powf(-nines))
            };
            (nines, value.max(1) as f64)
        });
        Some(Self { label: label.to_owned(), ink, thick, points: points.collect() })
    }
}

/// Their names stand where the curves end, pushed apart.
pub(super) fn curves(width: f64, label: &str, curves: &[Curve]) -> anyhow::Result<String> {
    let names = curves.iter().map(|curve| curve.label.chars().count()).max().unwrap_or(0) as f64 * 6.1 + 22.0;
    let (left, right) = (46.0, width - names.clamp(60.0, width * 0.42));
    let (top, bottom) = (10.0, (LABEL * curves.len() as f64 + 20.0).max(270.0));
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let nines = points().map(|point| point.0).fold(1.0, f64::max);
    let least = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let greatest = points().map(|point| point.1).fold(1.0, f64::max);
    let across = Scale::exact(0.0, nines, (left, right));
    let up = Scale::logarithmic(least, greatest, (bottom, top));
    draw((width, bottom + 26.0), label, |canvas| {
        for tick in up.ticks() {
            let y = up.place(tick);
            canvas.line(&[(left, y), (right, y)], Ink::GRID, 1.0)?;
            canvas.text((left - 6.0, y), &tick_label(Unit::Micros, tick), 11.0, Ink::SOFT, Align::Right)?;
        }
        for (at, name) in percentiles(nines) {
            let x = across.place(at);
            canvas.line(&[(x, top), (x, bottom)], Ink::GRID, 1.0)?;
            canvas.text((x, bottom + 13.0), &name, 11.0, Ink::SOFT, Align::Middle)?;
        }
        // Ours last, so that they lie on top.
        let mut ordered: Vec<&Curve> = curves.iter().collect();
        ordered.sort_by_key(|curve| curve.thick);
        for curve in ordered {
            let line: Vec<(f64, f64)> =
                curve.points.iter().map(|(nines, value)| (across.place(*nines), up.place(*value))).collect();
            canvas.line(&line, curve.ink, if curve.thick { 2.6 } else { 1.2 })?;
        }
        let ends: Vec<f64> =
            curves.iter().map(|curve| curve.points.last().map_or(bottom, |end| up.place(end.1))).collect();
        for ((curve, end), y) in curves.iter().zip(&ends).zip(apart(&ends, LABEL, (top, bottom))) {
            let from = curve.points.last().map_or(right, |end| across.place(end.0));
            canvas.line(&[(from, *end), (right + 4.0, *end), (right + 14.0, y)], curve.ink, 0.6)?;
            canvas.text((right + 17.0, y), &curve.label, 11.0, curve.ink, Align::Left)?;
        }
        Ok(())
    })
}

fn percentiles(nines: f64) -> Vec<(f64, String)> {
    let mut marks = vec![(0.5f64.log10().abs(), "50".to_owned())];
    for nine in 1..=nines.floor() as usize {
        let name = match nine {
            1 => "90".to_owned(),
            2 => "99 %".to_owned(),
            _ => format!("99.{}", "9".repeat(nine - 2)),
        };
        marks.push((nine as f64, name));
    }
    marks
}

/// Heights as near to those wanted as leaves each its room, within bounds if they can be.
pub(crate) fn apart(wanted: &[f64], room: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut placed = wanted.to_vec();
    let mut free = top;
    for &one in &order {
        placed[one] = placed[one].max(free);
        free = placed[one] + room;
    }
    let mut limit = bottom;
    for &one in order.iter().rev() {
        placed[one] = placed[one].min(limit);
        limit = placed[one] - room;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_dont_lie_on_each_other() {
        let placed = apart(&[50.0, 51.0, 52.0, 10.0, 99.0], 10.0, (0.0, 100.0));
        let mut sorted = placed.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 10.0 - 1e-9), "{placed:?}");
        assert!(sorted.iter().all(|place| (0.0..=100.0).contains(place)), "{placed:?}");
        assert!((placed[3] - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_curve_ends_at_the_greatest_value() {
        let mut histogram = crate::histogram::empty();
        for value in 1..=1000 {
            histogram.record(value).expect("within bounds");
        }
        let curve = Curve::new("x", Ink::TEXT, false, &histogram).expect("there is something to draw");
        assert_eq!(curve.points.last(), Some(&(3.0, 1000.0)));
        assert!(curve.points[0].1 < 200.0);
        assert!(Curve::new("x", Ink::TEXT, false, &crate::histogram::empty()).is_none());
    }

    #[test]
    fn percentiles_are_named_as_people_say_them() {
        let names: Vec<String> = percentiles(4.3).into_iter().map(|mark| mark.1).collect();
        assert_eq!(names, ["50", "90", "99 %", "99.9", "99.99"]);
    }
}
