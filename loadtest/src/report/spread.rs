//! The median of some repetitions, with the least and the greatest of them; and a line through samples.

/// What repetitions of one figure came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    /// How many repetitions it was made from.
    pub(crate) of: usize,
}

impl Spread {
    /// Of those figures that are numbers; none: there is nothing to say.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (&least, &greatest) = (figures.first()?, figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            f64::midpoint(figures[middle - 1], figures[middle])
        } else {
            figures[middle]
        };
        Some(Self { median, least, greatest, of: figures.len() })
    }
}

/// The slope of the straight line that fits the second half of the time best (least squares), per unit of time: what a
/// start leaves behind is in the first half. None with fewer than three points there, or all at one moment.
pub(super) fn slope_of_second_half(points: &[(f64, f64)]) -> Option<f64> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    let middle = f64::midpoint(first, last);
    let late: Vec<(f64, f64)> = points.iter().copied().filter(|point| point.0 >= middle).collect();
    if late.len() < 3 {
        return None;
    }
    let count = late.len() as f64;
    let mean_time = late.iter().map(|point| point.0).sum::<f64>() / count;
    let mean = late.iter().map(|point| point.1).sum::<f64>() / count;
    let (mut together, mut alone) = (0.0, 0.0);
    for (time, value) in late {
        together += (time - mean_time) * (value - mean);
        alone += (time - mean_time).powi(2);
    }
    (alone > 0.0).then(|| together / alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_least_and_greatest() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]),
            Some(Spread { median: 2.0, least: 1.0, greatest: 3.0, of: 3 })
        );
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of([7.0]), Some(Spread { median: 7.0, least: 7.0, greatest: 7.0, of: 1 }));
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(Spread::of([f64::NAN, 2.0, f64::INFINITY]).map(|spread| spread.of), Some(1));
        assert_eq!(Spread::of([f64::NAN]), None);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_slope_is_of_the_second_half_alone() {
        let mut points: Vec<(f64, f64)> = (0..10).map(|at| (f64::from(at), f64::from(at) * 1000.0)).collect();
        points.extend((10..=20).map(|at| (f64::from(at), 9000.0 + f64::from(at) * 2.0)));
        let slope = slope_of_second_half(&points).expect("there are enough points");
        assert!((slope - 2.0).abs() < 1e-9, "{slope}");
    }

    #[test]
    fn noise_around_a_level_has_next_to_no_slope() {
        let points: Vec<(f64, f64)> =
            (0..1000).map(|at| (f64::from(at), if at % 2 == 0 { 99.0 } else { 101.0 })).collect();
        let slope = slope_of_second_half(&points).expect("there are enough points");
        assert!(slope.abs() < 0.001, "{slope}");
    }

    #[test]
    fn too_few_points_have_no_slope() {
        assert_eq!(slope_of_second_half(&[]), None);
        assert_eq!(slope_of_second_half(&[(0.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(slope_of_second_half(&[(5.0, 1.0); 9]), None);
    }
}
