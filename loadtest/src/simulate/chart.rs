//! Plots that stand alone: an SVG file on a light ground, wide enough for a page of text.

use crate::report::plot::bars::tick_label;
use crate::report::plot::canvas::{Align, Canvas, Ink, draw};
use crate::report::plot::curves::apart;
use crate::report::plot::scale::Scale;
use crate::report::unit::Unit;

/// CSS pixels.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 400.0;
const TITLE: f64 = 15.0;
const TEXT: f64 = 12.0;
/// Between the names of lines.
const LABEL: f64 = 16.0;

pub(super) struct Line {
    pub(super) label: String,
    pub(super) ink: Ink,
    pub(super) points: Vec<(f64, f64)>,
}

/// An axis upwards.
#[derive(Clone, Copy)]
pub(super) struct Up {
    pub(super) unit: Unit,
    pub(super) logarithmic: bool,
    pub(super) label: &'static str,
    /// A value with a line of its own, and its name.
    pub(super) mark: Option<(f64, &'static str)>,
}

/// What stands below, and round places along it; logarithmic unless they begin at 0.
pub(super) struct Along<'a> {
    pub(super) label: &'a str,
    pub(super) ticks: &'a [f64],
}

pub(super) fn lines(title: &str, along: &Along<'_>, up: Up, lines: &[Line]) -> anyhow::Result<String> {
    let names = lines.iter().map(|line| line.label.chars().count()).max().unwrap_or(0) as f64 * 6.4;
    let (left, right) = (62.0, WIDTH - names - 30.0);
    let (top, bottom) = (62.0, HEIGHT - 44.0);
    let (first, last) = (along.ticks[0], along.ticks[along.ticks.len() - 1]);
    let across = if first > 0.0 {
        Scale::logarithmic(first, last, (left, right))
    } else {
        Scale::exact(first, last, (left, right))
    };
    let values = || lines.iter().flat_map(|line| &line.points).map(|point| point.1);
    let marked = up.mark.map_or(0.0, |mark| mark.0);
    let greatest = values().fold(marked, f64::max);
    let scale = if up.logarithmic {
        Scale::logarithmic(values().filter(|v| *v > 0.0).fold(f64::MAX, f64::min), greatest, (bottom, top))
    } else {
        Scale::linear(greatest, (bottom, top))
    };
    let svg = draw((WIDTH, HEIGHT), title, |canvas| {
        head(canvas, title, up.label)?;
        for tick in scale.ticks() {
            let y = scale.place(tick);
            canvas.line(&[(left, y), (right, y)], Ink::GRID, 1.0)?;
            canvas.text((left - 8.0, y), &tick_label(up.unit, tick), TEXT, Ink::SOFT, Align::Right)?;
        }
        for &tick in along.ticks {
            let x = across.place(tick);
            canvas.line(&[(x, top), (x, bottom)], Ink::GRID, 1.0)?;
            canvas.text((x, bottom + 14.0), &Unit::Count.show(tick), TEXT, Ink::SOFT, Align::Middle)?;
        }
        canvas.text(((left + right) / 2.0, bottom + 33.0), along.label, TEXT, Ink::SOFT, Align::Middle)?;
        if let Some((value, name)) = up.mark {
            let y = scale.place(value);
            canvas.line(&[(left, y), (right, y)], Ink::FLOOR, 1.5)?;
            canvas.text((left + 6.0, y - 9.0), name, TEXT, Ink::FLOOR, Align::Left)?;
        }
        let place = |&(x, y): &(f64, f64)| (across.place(x), scale.place(y));
        for (at, line) in lines.iter().enumerate() {
            let points: Vec<(f64, f64)> = line.points.iter().map(place).collect();
            // The first may lie under another, and is seen all the same.
            canvas.line(&points, line.ink, if at == 0 { 5.0 } else { 2.0 })?;
            // A line of many points is one without dots.
            for point in points.iter().filter(|_| points.len() < 20) {
                canvas.dot(*point, 3.0, line.ink)?;
            }
        }
        let ends: Vec<f64> =
            lines.iter().map(|line| line.points.last().map_or(bottom, |end| place(end).1)).collect();
        for ((line, end), y) in lines.iter().zip(&ends).zip(apart(&ends, LABEL, (top, bottom))) {
            canvas.line(&[(right + 3.0, *end), (right + 14.0, y)], line.ink, 0.7)?;
            canvas.text((right + 17.0, y), &line.label, TEXT, line.ink, Align::Left)?;
        }
        Ok(())
    })?;
    Ok(alone(&svg, HEIGHT))
}

/// A name with one bar of each sort.
pub(super) struct Bars {
    pub(super) label: String,
    pub(super) values: Vec<f64>,
}

/// `sorts`: what the bars of each group are.
pub(super) fn bars(
    title: &str,
    what: &str,
    unit: Unit,
    sorts: &[(&str, Ink)],
    groups: &[Bars],
) -> anyhow::Result<String> {
    const BAR: f64 = 13.0;
    let (left, right) = (200.0, WIDTH - 80.0);
    let row = BAR * sorts.len() as f64 + 12.0;
    let top = 84.0;
    let bottom = top + row * groups.len() as f64;
    let height = bottom + 26.0;
    let greatest = groups.iter().flat_map(|group| &group.values).fold(0.0, |a: f64, &b| a.max(b));
    let scale = Scale::linear(greatest, (left, right));
    let svg = draw((WIDTH, height), title, |canvas| {
        head(canvas, title, what)?;
        let mut x = left;
        for (name, ink) in sorts {
            canvas.block((x, 60.0), (11.0, 11.0), *ink, 0.9)?;
            canvas.text((x + 17.0, 66.0), name, TEXT, Ink::TEXT, Align::Left)?;
            x += 17.0 + name.chars().count() as f64 * 6.4 + 22.0;
        }
        for tick in scale.ticks() {
            let x = scale.place(tick);
            canvas.line(&[(x, top), (x, bottom)], Ink::GRID, 1.0)?;
            canvas.text((x, bottom + 13.0), &tick_label(unit, tick), TEXT, Ink::SOFT, Align::Middle)?;
        }
        for (place, group) in groups.iter().enumerate() {
            let y = top + row * place as f64 + 5.0;
            let middle = y + BAR * sorts.len() as f64 / 2.0;
            canvas.text((left - 10.0, middle), &group.label, TEXT, Ink::TEXT, Align::Right)?;
            for (at, (value, (_, ink))) in group.values.iter().zip(sorts).enumerate() {
                let y = y + BAR * at as f64;
                let end = scale.place(*value);
                canvas.block((left, y), ((end - left).max(1.0), BAR - 2.0), *ink, 0.9)?;
                let at = (end + 6.0, y + BAR / 2.0 - 1.0);
                canvas.text(at, &unit.show(*value), 11.0, Ink::TEXT, Align::Left)?;
            }
        }
        Ok(())
    })?;
    Ok(alone(&svg, height))
}

fn head(canvas: &Canvas<'_>, title: &str, what: &str) -> anyhow::Result<()> {
    canvas.text((14.0, 18.0), title, TITLE, Ink::TEXT, Align::Left)?;
    canvas.text((14.0, 40.0), what, TEXT, Ink::SOFT, Align::Left)
}

/// The page's colours written out, and a ground.
fn alone(svg: &str, height: f64) -> String {
    const COLOURS: [(&str, &str); 14] = [
        ("ink", "#1c2126"),
        ("soft", "#57606a"),
        ("grid", "#e6e8ea"),
        ("floor", "#3c444c"),
        ("direct", "#0a5fd0"),
        ("gateway", "#7b3ccb"),
        ("one", "#0b8577"),
        ("rest", "#9aa3ab"),
        ("other0", "#b3541e"),
        ("other1", "#5d7a12"),
        ("other2", "#a8326e"),
        ("other3", "#4b6b88"),
        ("other4", "#8c5a2b"),
        ("other5", "#2f7d4f"),
    ];
    let opening = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"Helvetica, Arial, sans-serif\" "
    );
    let mut svg = svg.replacen("<svg ", &opening, 1);
    if let Some(at) = svg.find('>') {
        svg.insert_str(at + 1, "\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
    }
    for (name, colour) in COLOURS {
        svg = svg.replace(&format!("var(--{name})"), colour);
    }
    svg.push('\n');
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_stands_alone() {
        let up =
            Up { unit: Unit::Share, logarithmic: false, label: "share", mark: Some((0.05, "a twentieth")) };
        let along = Along { label: "nodes", ticks: &[3.0, 10.0, 30.0] };
        let line =
            |ink| Line { label: "x & y".into(), ink, points: vec![(3.0, 0.5), (10.0, 0.8), (30.0, 0.9)] };
        let drawn = lines("λ", &along, up, &[line(Ink::DIRECT), line(Ink::other(5))]).unwrap();
        let groups = [Bars { label: "20 nodes".into(), values: vec![0.1, 0.2] }];
        let barred =
            bars("moves", "share", Unit::Share, &[("needed", Ink::REST), ("moved", Ink::DIRECT)], &groups)
                .unwrap();
        for svg in [drawn, barred] {
            assert!(svg.starts_with("<svg xmlns"), "{svg}");
            assert!(svg.contains("fill=\"#ffffff\"") && !svg.contains("var("), "{svg}");
        }
    }
}
