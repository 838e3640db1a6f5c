//! From values to places, with round numbers along the way.

/// An axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Where `from` and `to` are drawn.
    start: f64,
    end: f64,
}

impl Scale {
    /// From zero to above the greatest.
    pub(crate) fn linear(greatest: f64, (start, end): (f64, f64)) -> Self {
        let to = if greatest > 0.0 { greatest } else { 1.0 };
        let step = round_step(to / 4.0);
        Self { from: 0.0, to: (to / step).ceil() * step, logarithmic: false, start, end }
    }

    /// From exactly here to there.
    pub(crate) fn exact(from: f64, to: f64, (start, end): (f64, f64)) -> Self {
        Self { from, to: if to > from { to } else { from + 1.0 }, logarithmic: false, start, end }
    }

    /// Around the least and the greatest, both above zero.
    pub(crate) fn logarithmic(least: f64, greatest: f64, (start, end): (f64, f64)) -> Self {
        let from = round_down(least);
        let to = round_up(greatest);
        let to = if to > from { to } else { from * 10.0 };
        Self { from, to, logarithmic: true, start, end }
    }

    pub(crate) fn place(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.from) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        self.start + part.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Round values to be marked, a handful.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let step = round_step((self.to - self.from) / 4.0);
            let first = (self.from / step).ceil() as i64;
            let last = (self.to / step + 1e-9).floor() as i64;
            return (first..=last).map(|tick| tick as f64 * step).collect();
        }
        let decades = (self.to / self.from).log10();
        let parts: &[f64] = match decades {
            ..1.5 => &[1.0, 2.0, 5.0],
            ..3.2 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let first = self.from.log10().floor() as i32;
        let last = self.to.log10().ceil() as i32;
        (first..=last)
            .flat_map(|power| parts.iter().map(move |part| part * 10f64.powi(power)))
            .filter(|tick| (self.from * 0.999..=self.to * 1.001).contains(tick))
            .collect()
    }
}

/// 1, 2 or 5 of some power of ten, not below.
fn round_step(length: f64) -> f64 {
    let power = 10f64.powf(length.log10().floor());
    let part = length / power;
    power * [1.0, 2.0, 5.0].into_iter().find(|round| part <= round * 1.0001).unwrap_or(10.0)
}

fn round_up(value: f64) -> f64 {
    round_step(value)
}

fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let part = value / power;
    power * [5.0, 2.0].into_iter().find(|round| part >= *round).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(Scale::linear(3.7, (0.0, 1.0)).ticks(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        let ticks = Scale::logarithmic(0.16, 19.0, (0.0, 1.0)).ticks();
        assert_eq!(ticks.len(), 5, "{ticks:?}");
        assert!((ticks[1] - 0.3).abs() < 1e-9 && (ticks[4] - 10.0).abs() < 1e-9, "{ticks:?}");
    }

    #[test]
    fn a_value_stands_between_the_ends() {
        let scale = Scale::logarithmic(1.0, 100.0, (0.0, 200.0));
        assert!((scale.place(10.0) - 100.0).abs() < 1e-9);
        assert!((scale.place(0.0) - 0.0).abs() < 1e-9);
        let down = Scale::linear(10.0, (100.0, 0.0));
        assert!((down.place(5.0) - 50.0).abs() < 10.0);
        assert!((Scale::exact(3.0, 3.0, (0.0, 1.0)).place(3.0)).abs() < 1e-9);
    }
}
