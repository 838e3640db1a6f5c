//! A figure with its bar and what it stands beside, as a row of a table.

use std::fmt::Write as _;

use crate::report::spread::Spread;

/// What a figure is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Microseconds,
    Seconds,
    PerSecond,
    Bytes,
    Megabytes,
    Count,
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    what: String,
    /// Empty: none.
    bar: String,
    unit: Unit,
    ours: Vec<f64>,
    beside: Vec<f64>,
    notes: Vec<String>,
}

impl Figure {
    /// One that stands alone.
    pub(super) fn alone(what: &str, bar: &str, unit: Unit, ours: Vec<f64>) -> Figure {
        Figure::beside(what, bar, unit, ours, Vec::new())
    }

    /// One beside what NATS alone takes, repetition by repetition.
    pub(super) fn beside(what: &str, bar: &str, unit: Unit, ours: Vec<f64>, beside: Vec<f64>) -> Figure {
        Figure { what: what.to_owned(), bar: bar.to_owned(), unit, ours, beside, notes: Vec::new() }
    }

    pub(super) fn note(mut self, note: String) -> Figure {
        self.notes.push(note);
        self
    }

    /// Ours to that beside, repetition by repetition.
    fn ratio(&self) -> Option<Spread> {
        Spread::of(self.ours.iter().zip(&self.beside).map(|(ours, beside)| ours / beside))
    }
}

/// A table of figures, and their notes.
pub(super) fn markdown(figures: &[Figure]) -> String {
    let mut text = "| what | bar | Ringway | NATS alone | ratio |\n|---|--:|--:|--:|--:|\n".to_owned();
    for figure in figures {
        let show = |values: &[f64]| {
            Spread::of(values.iter().copied()).map_or_else(String::new, |spread| shown(spread, figure.unit))
        };
        let ratio = figure.ratio().map_or_else(String::new, |ratio| format!("{} ×", spread(ratio, two)));
        let Figure { what, bar, ours, beside, .. } = figure;
        let _ = writeln!(text, "| {what} | {bar} | {} | {} | {ratio} |", show(ours), show(beside));
    }
    for figure in figures {
        for note in &figure.notes {
            let _ = write!(text, "\n- {}: {note}", figure.what);
        }
    }
    text.push('\n');
    text
}

fn shown(of: Spread, unit: Unit) -> String {
    match unit {
        Unit::Milliseconds => format!("{} ms", spread(of, three)),
        Unit::Microseconds => format!("{} µs", spread(of, |value| format!("{value:.1}"))),
        Unit::Seconds => format!("{} s", spread(of, two)),
        Unit::PerSecond => format!("{}/s", spread(of, whole)),
        Unit::Bytes => format!("{} B", spread(of, whole)),
        Unit::Megabytes => format!("{} MB", spread(of, whole)),
        Unit::Count => spread(of, whole),
    }
}

/// `median [least–greatest]`, the brackets only where there are several.
fn spread(of: Spread, show: impl Fn(f64) -> String) -> String {
    let median = show(of.median);
    if of.of > 1 { format!("{median} [{}–{}]", show(of.least), show(of.greatest)) } else { median }
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

/// With commas.
fn whole(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value <= -0.5 { "−".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_medians_spreads_and_a_ratio_of_pairs() {
        let figure =
            Figure::beside("rate", "≥ 0.8 ×", Unit::PerSecond, vec![900.0, 1_000.0], vec![1_000.0, 2_000.0]);
        let text = markdown(&[figure.note("n".to_owned())]);
        assert!(
            text.contains(
                "| rate | ≥ 0.8 × | 950 [900–1,000]/s | 1,500 [1,000–2,000]/s | 0.70 [0.50–0.90] × |"
            ),
            "{text}"
        );
        assert!(text.ends_with("- rate: n\n"), "{text}");
    }

    #[test]
    fn what_wasnt_measured_is_empty() {
        let figure = Figure::alone("idle", "0", Unit::Bytes, vec![-3.0]);
        assert!(markdown(&[figure]).contains("| idle | 0 | −3 B |  |  |"));
        assert_eq!(whole(1_234_567.0), "1,234,567");
    }
}
