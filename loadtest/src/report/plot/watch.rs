//! What a server held over time: memory with its slope, descriptors, connections, deliveries per second.

use super::bars::tick_label;
use super::canvas::{Align, Canvas, Ink, draw};
use super::scale::Scale;
use crate::report::figure::slope_a_minute;
use crate::report::unit::Unit;

/// More points than this aren't seen.
const POINTS: usize = 400;
const HEIGHT: f64 = 150.0;

pub(super) struct Line {
    pub(super) name: String,
    pub(super) ink: Ink,
    pub(super) points: Vec<(f64, f64)>,
}

pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    /// Whether the slope is said, bytes a minute.
    pub(super) slope: bool,
    pub(super) lines: Vec<Line>,
}

/// Beside each other, two rows of two on a phone.
pub(super) fn watch(width: f64, label: &str, panels: &[Panel]) -> anyhow::Result<String> {
    let across = if width < 700.0 { panels.len().min(2) } else { panels.len() }.max(1);
    let rows = panels.len().div_ceil(across);
    let each = width / across as f64;
    // A line more where a panel has several lines to name.
    let words = panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(1).max(1);
    let head = 20.0 + 14.0 * words as f64;
    let height = head + HEIGHT;
    draw((width, height * rows as f64), label, |canvas| {
        for (place, panel) in panels.iter().enumerate() {
            let corner = ((place % across) as f64 * each, (place / across) as f64 * height);
            paint(canvas, panel, corner, each, head)?;
        }
        Ok(())
    })
}

fn paint(
    canvas: &Canvas<'_>,
    panel: &Panel,
    (x, y): (f64, f64),
    width: f64,
    head: f64,
) -> anyhow::Result<()> {
    let (left, right) = (x + 50.0, x + width - 16.0);
    let (top, bottom) = (y + head, y + head + HEIGHT - 26.0);
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    let seconds = points().map(|point| point.0).fold(1.0, f64::max);
    let greatest = points().map(|point| point.1).fold(0.0, f64::max);
    let along = Scale::exact(0.0, seconds, (left, right));
    let up = Scale::linear(greatest, (bottom, top));
    canvas.text((left, y + 9.0), panel.title, 12.0, Ink::TEXT, Align::Left)?;
    for tick in up.ticks() {
        let height = up.place(tick);
        canvas.line(&[(left, height), (right, height)], Ink::GRID, 1.0)?;
        canvas.text((left - 5.0, height), &tick_label(panel.unit, tick), 10.0, Ink::SOFT, Align::Right)?;
    }
    for (at, align) in [(0.0, Align::Left), (seconds, Align::Right)] {
        canvas.text((along.place(at), bottom + 12.0), &clock(at), 10.0, Ink::SOFT, align)?;
    }
    for (place, line) in panel.lines.iter().enumerate() {
        let step = line.points.len().div_ceil(POINTS).max(1);
        let drawn: Vec<(f64, f64)> = line
            .points
            .iter()
            .step_by(step)
            .map(|(at, value)| (along.place(*at), up.place(*value)))
            .collect();
        canvas.line(&drawn, line.ink, 1.6)?;
        canvas.text(
            (left, y + 24.0 + 14.0 * place as f64),
            &said(panel, line),
            11.0,
            line.ink,
            Align::Left,
        )?;
    }
    Ok(())
}

/// What stands above the lines: the name where there are several, and how memory grows.
fn said(panel: &Panel, line: &Line) -> String {
    let mut words = Vec::new();
    if panel.lines.len() > 1 {
        words.push(line.name.clone());
    }
    if let Some((_, last)) = line.points.last() {
        words.push(panel.unit.show(*last));
    }
    if panel.slope
        && let Some(slope) = slope_a_minute(&line.points)
    {
        let sign = if slope > 0.0 { "+" } else { "" };
        words.push(format!("{sign}{}", Unit::BytesPerMinute.show(slope)));
    }
    words.join("  ")
}

fn clock(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        ..180.0 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_memory_is_said() {
        let points: Vec<(f64, f64)> =
            (0..=60).map(|at| (f64::from(at), 1e6 + f64::from(at) * 100.0)).collect();
        let lines = vec![Line { name: "node".into(), ink: Ink::DIRECT, points }];
        let panel = Panel { title: "memory", unit: Unit::Bytes, slope: true, lines };
        let svg = watch(1000.0, "memory", &[panel]).expect("it can be drawn");
        assert!(svg.contains("1.01 MB  +6.00 KB/min"), "{svg}");
    }
}
