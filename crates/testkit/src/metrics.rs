//! Figures of a running process, as `/metrics` shows them.

/// All samples of one look.
#[derive(Debug, Clone)]
pub struct Scrape(Vec<(String, f64)>);

impl Scrape {
    /// Reads the text form.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The sum of all samples of a family that have all these parts in their labels: `sum("ringway_deliveries_total",
    /// &["place=\"owner\""])`.
    pub fn sum(&self, family: &str, labels: &[&str]) -> f64 {
        let of_family =
            |name: &str| name == family || name.strip_prefix(family).is_some_and(|r| r.starts_with('{'));
        let matching =
            self.0.iter().filter(|(name, _)| of_family(name) && labels.iter().all(|l| name.contains(l)));
        matching.map(|(_, value)| value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_their_labels() {
        let scrape = Scrape::parse(
            "# HELP a\na_total{place=\"owner\",node=\"n1\"} 3\na_total{place=\"elsewhere\"} 4\na_total_more 9\nb 0.5\n",
        );
        assert_eq!(scrape.sum("a_total", &[]), 7.0);
        assert_eq!(scrape.sum("a_total", &["place=\"owner\""]), 3.0);
        assert_eq!(scrape.sum("b", &[]), 0.5);
        assert_eq!(scrape.sum("c", &[]), 0.0);
    }
}
