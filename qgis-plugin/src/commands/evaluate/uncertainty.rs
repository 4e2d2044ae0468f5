//! Does the spread of the samples say how wrong a fill is?

use serde_json::{Value, json};

/// Pixels of an image that are looked at: enough for the figures, few enough to sort.
const PER_IMAGE: usize = 2_000;
/// Standard deviations from the mean that hold 90 % of a normal distribution.
const NORMAL_90: f64 = 1.644_854;

/// Stated standard deviations beside the errors that were made, pixel by pixel.
#[derive(Default)]
pub struct Uncertainty {
    pairs: Vec<(f32, f32)>,
}

impl Uncertainty {
    /// Adds the filled pixels of an image: standard deviation and absolute error, in one unit.
    pub fn add(&mut self, pairs: &[(f32, f32)]) {
        let every = pairs.len().div_ceil(PER_IMAGE).max(1);
        self.pairs.extend(pairs.iter().step_by(every));
    }

    /// The figures; none without a spread.
    ///
    /// * `spearman`: rank correlation of standard deviation and absolute error, -1 to 1.
    /// * `coverage_90`: share of errors within 1.645 standard deviations; 0.9 is right.
    /// * `factor_90`: what the standard deviations had to be multiplied with for 0.9.
    pub fn figures(&self) -> Option<Figures> {
        let pairs: Vec<(f64, f64)> = (self.pairs.iter())
            .filter(|(std, _)| *std > 0.0)
            .map(|(std, error)| (f64::from(*std), f64::from(*error)))
            .collect();
        if pairs.len() < 2 {
            return None;
        }
        let mut ratios: Vec<f64> = pairs.iter().map(|(std, error)| error / std).collect();
        ratios.sort_by(f64::total_cmp);
        let inside = ratios.partition_point(|ratio| *ratio <= NORMAL_90);
        let at_90 = ratios[(ratios.len() * 9 / 10).min(ratios.len() - 1)];
        Some(Figures {
            spearman: correlation(
                &ranks(pairs.iter().map(|p| p.0)),
                &ranks(pairs.iter().map(|p| p.1)),
            ),
            coverage_90: inside as f64 / ratios.len() as f64,
            factor_90: at_90 / NORMAL_90,
        })
    }
}

/// See [`Uncertainty::figures`].
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Rank correlation.
    pub spearman: f64,
    /// Share inside the 90 % interval.
    pub coverage_90: f64,
    /// Factor that would make it 90 %.
    pub factor_90: f64,
}

impl Figures {
    /// For the JSON.
    pub fn json(&self) -> Value {
        json!({
            "spearman": self.spearman, "coverage_90": self.coverage_90,
            "factor_90": self.factor_90,
        })
    }
}

/// Ranks from 0; equal values share their mean rank.
fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let same = order[start..]
            .iter()
            .take_while(|at| values[**at] == values[order[start]])
            .count();
        let mean = start as f64 + (same - 1) as f64 / 2.0;
        order[start..start + same]
            .iter()
            .for_each(|at| ranks[*at] = mean);
        start += same;
    }
    ranks
}

/// Pearson's correlation; 0 if either is constant.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - ma) * (y - mb);
        aa += (x - ma).powi(2);
        bb += (y - mb).powi(2);
    }
    if aa * bb > 0.0 {
        ab / (aa * bb).sqrt()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_rank() {
        let ranks = ranks([3.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!(ranks, [2.5, 0.0, 2.5, 1.0]);
    }

    #[test]
    fn figures_of_a_known_case() {
        let mut uncertainty = Uncertainty::default();
        assert!(uncertainty.figures().is_none());
        // The error is always twice the stated deviation.
        let pairs: Vec<(f32, f32)> = (1..=100).map(|i| (i as f32, 2.0 * i as f32)).collect();
        uncertainty.add(&pairs);
        let figures = uncertainty.figures().expect("a spread");
        assert!((figures.spearman - 1.0).abs() < 1e-12);
        assert_eq!(figures.coverage_90, 0.0);
        assert!((figures.factor_90 - 2.0 / NORMAL_90).abs() < 1e-9);
    }

    #[test]
    fn a_spread_that_says_nothing_has_no_correlation() {
        let mut uncertainty = Uncertainty::default();
        let pairs: Vec<(f32, f32)> = (0..1000).map(|i| (1.0, (i * 7919 % 1000) as f32)).collect();
        uncertainty.add(&pairs);
        assert_eq!(uncertainty.figures().expect("a spread").spearman, 0.0);
    }
}
