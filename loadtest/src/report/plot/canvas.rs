//! An SVG that follows the page's colours: drawn by `plotters` in stand-in colours, which become CSS variables afterwards.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Points are whole numbers in `plotters`' SVGs: drawn so much larger, and scaled down by the view box.
const FINE: f64 = 10.0;
/// What `plotters` divides a font's size by on its way into an SVG.
const FONT: f64 = 1.24;
/// How many colours there are for what is neither Ringway nor the floor.
const OTHERS: u8 = 10;

/// A colour by its part; the page says what it looks like (`--ink`, `--soft` …), in light and in dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ink(u8);

impl Ink {
    pub(crate) const TEXT: Self = Self(0);
    pub(crate) const SOFT: Self = Self(1);
    pub(crate) const GRID: Self = Self(2);
    pub(crate) const FLOOR: Self = Self(3);
    pub(crate) const DIRECT: Self = Self(4);
    pub(crate) const GATEWAY: Self = Self(5);
    pub(crate) const ONE: Self = Self(6);
    /// What isn't Ringway, where it needn't be told apart.
    pub(crate) const REST: Self = Self(7);
    const NAMES: [&'static str; 8] = ["ink", "soft", "grid", "floor", "direct", "gateway", "one", "rest"];

    /// One of the colours for other targets.
    pub(crate) fn other(number: usize) -> Self {
        Self(Self::NAMES.len() as u8 + (number % usize::from(OTHERS)) as u8)
    }

    /// The CSS variable.
    pub(crate) fn variable(self) -> String {
        match Self::NAMES.get(usize::from(self.0)) {
            Some(name) => format!("--{name}"),
            None => format!("--other{}", usize::from(self.0) - Self::NAMES.len()),
        }
    }

    fn stand_in(self) -> RGBColor {
        RGBColor(1, 0, self.0)
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..Self::NAMES.len() as u8 + OTHERS).map(Self)
    }
}

/// Where a text stands to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Middle,
    Right,
}

/// What is drawn on, in CSS pixels.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws. `label` says in words what there is to see.
pub(crate) fn draw(
    (width, height): (f64, f64),
    label: &str,
    paint: impl FnOnce(&Canvas<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let size = ((width * FINE) as u32, (height * FINE) as u32);
        let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        paint(&canvas)?;
        canvas.area.present().map_err(|error| anyhow::anyhow!("drawing {label}: {error}"))?;
    }
    let (_, drawn) = svg.split_once('\n').unwrap_or(("", &svg));
    let mut drawn = drawn.replace(" font-family=\"sans-serif\"", "").replace(" opacity=\"1\"", "");
    for ink in Ink::all() {
        let RGBColor(red, green, blue) = ink.stand_in();
        drawn =
            drawn.replace(&format!("#{red:02X}{green:02X}{blue:02X}"), &format!("var({})", ink.variable()));
    }
    let label = crate::report::table::escape(label);
    Ok(format!(
        "<svg viewBox=\"0 0 {} {}\" style=\"max-width:{width}px\" role=\"img\" aria-label=\"{label}\">\n{drawn}",
        width * FINE,
        height * FINE,
    ))
}

impl Canvas<'_> {
    pub(crate) fn line(&self, points: &[(f64, f64)], ink: Ink, width: f64) -> anyhow::Result<()> {
        let style = ink.stand_in().stroke_width(fine(width) as u32);
        let points: Vec<(i32, i32)> = points.iter().map(|(x, y)| (fine(*x), fine(*y))).collect();
        self.put(self.area.draw(&PathElement::new(points, style)))
    }

    /// A filled rectangle; `strength` 1 is opaque.
    pub(crate) fn block(
        &self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        ink: Ink,
        strength: f64,
    ) -> anyhow::Result<()> {
        let corners = [(fine(x), fine(y)), (fine(x + width), fine(y + height))];
        self.put(self.area.draw(&Rectangle::new(corners, ink.stand_in().mix(strength).filled())))
    }

    pub(crate) fn dot(&self, (x, y): (f64, f64), radius: f64, ink: Ink) -> anyhow::Result<()> {
        self.put(self.area.draw(&Circle::new((fine(x), fine(y)), fine(radius), ink.stand_in().filled())))
    }

    /// Around the height `y`.
    pub(crate) fn text(
        &self,
        (x, y): (f64, f64),
        text: &str,
        size: f64,
        ink: Ink,
        align: Align,
    ) -> anyhow::Result<()> {
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = ("sans-serif", size * FINE * FONT)
            .into_font()
            .color(&ink.stand_in())
            .pos(Pos::new(horizontal, VPos::Center));
        self.put(self.area.draw(&Text::new(text.to_owned(), (fine(x), fine(y)), style)))
    }

    fn put<E: std::error::Error + Send + Sync>(&self, drawn: Result<(), E>) -> anyhow::Result<()> {
        drawn.map_err(|error| anyhow::anyhow!("drawing: {error}"))
    }
}

fn fine(length: f64) -> i32 {
    (length * FINE).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_the_pages_and_texts_are_text() {
        let svg = draw((100.0, 50.0), "a \"plot\"", |canvas| {
            canvas.line(&[(0.0, 0.0), (10.5, 10.0)], Ink::DIRECT, 1.5)?;
            canvas.block((0.0, 0.0), (5.0, 5.0), Ink::REST, 0.5)?;
            canvas.dot((5.0, 5.0), 2.0, Ink::other(13))?;
            canvas.text((5.0, 5.0), "a<b", 11.0, Ink::TEXT, Align::Left)
        })
        .expect("nothing is in the way of drawing into memory");
        for wanted in [
            "viewBox=\"0 0 1000 500\"",
            "var(--direct)",
            "var(--rest)",
            "var(--other3)",
            "var(--ink)",
            "a&lt;b",
            "</svg>",
            "a &quot;plot&quot;",
        ] {
            assert!(svg.contains(wanted), "{wanted} in {svg}");
        }
        assert!(!svg.contains("\"#"), "a colour that isn't the page's: {svg}");
    }
}
