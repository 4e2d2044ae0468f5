//! Does the spread of the samples say how wrong a fill is?

use serde_json::{Value, json};

/// Pixels of an image that are looked at: enough for the figures, few enough to sort.
const PER_IMAGE: usize = 2_000;
/// Groups of [`Figures::by_spread`].
const GROUPS: usize = 10;
/// Standard deviations from the mean that hold 90 % of a normal distribution.
const NORMAL_90: f64 = 1.644_854;
/// Share of a normal distribution, and how many standard deviations from the mean hold it.
const INTERVALS: [(f64, f64); 11] = [
    (0.1, 0.125_661),
    (0.2, 0.253_347),
    (0.3, 0.385_320),
    (0.4, 0.524_401),
    (0.5, 0.674_490),
    (0.6, 0.841_621),
    (0.7, 1.036_433),
    (0.8, 1.281_552),
    (0.9, NORMAL_90),
    (0.95, 1.959_964),
    (0.99, 2.575_829),
];

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
    pub fn figures(&self) -> Option<Figures> {
        let mut pairs: Vec<(f64, f64)> = (self.pairs.iter())
            .filter(|(std, _)| *std > 0.0)
            .map(|(std, error)| (f64::from(*std), f64::from(*error)))
            .collect();
        if pairs.len() < 2 {
            return None;
        }
        let mut ratios: Vec<f64> = pairs.iter().map(|(std, error)| error / std).collect();
        ratios.sort_by(f64::total_cmp);
        let within = |deviations: f64| {
            ratios.partition_point(|ratio| *ratio <= deviations) as f64 / ratios.len() as f64
        };
        let at_90 = ratios[(ratios.len() * 9 / 10).min(ratios.len() - 1)];
        let spearman = correlation(
            &ranks(pairs.iter().map(|p| p.0)),
            &ranks(pairs.iter().map(|p| p.1)),
        );
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some(Figures {
            spearman,
            coverage_90: within(NORMAL_90),
            factor_90: at_90 / NORMAL_90,
            calibration: INTERVALS.map(|(share, deviations)| (share, within(deviations))),
            by_spread: by_spread(&pairs),
        })
    }
}

/// Mean standard deviation and mean absolute error of groups of equal size, the least uncertain
/// pixels first. `pairs` are sorted by standard deviation.
fn by_spread(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let groups = GROUPS.min(pairs.len());
    let mean = |group: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        group.iter().map(of).sum::<f64>() / group.len() as f64
    };
    (0..groups)
        .map(|g| &pairs[g * pairs.len() / groups..(g + 1) * pairs.len() / groups])
        .map(|group| (mean(group, |p| p.0), mean(group, |p| p.1)))
        .collect()
}

/// What the spread is worth.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Rank correlation of standard deviation and absolute error, -1 to 1.
    pub spearman: f64,
    /// Share of errors within 1.645 standard deviations; 0.9 is right.
    pub coverage_90: f64,
    /// What the standard deviations had to be multiplied with for 0.9.
    pub factor_90: f64,
    /// For central intervals of a normal distribution: the share that they should hold, and the
    /// share of errors that they do.
    pub calibration: [(f64, f64); INTERVALS.len()],
    /// Ten groups of equal size, the least uncertain first: mean standard deviation and mean
    /// absolute error, in the units of the images.
    pub by_spread: Vec<(f64, f64)>,
}

impl Figures {
    /// For the JSON.
    pub fn json(&self) -> Value {
        let calibration = self.calibration.iter();
        let calibration: Vec<Value> = calibration
            .map(|(nominal, observed)| json!({"nominal": nominal, "observed": observed}))
            .collect();
        let by_spread = self.by_spread.iter();
        let by_spread: Vec<Value> = by_spread
            .map(|(std, error)| json!({"std": std, "mean_absolute_error": error}))
            .collect();
        json!({
            "spearman": self.spearman, "coverage_90": self.coverage_90,
            "factor_90": self.factor_90, "calibration": calibration, "by_spread": by_spread,
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
    use unclouded_core::raster::random::gaussian_stream;

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

    /// Errors drawn from normal distributions of known deviations: what is stated is right, and
    /// what is stated too small shows.
    #[test]
    fn honest_deviations_lie_on_the_diagonal() {
        let draws = 40_000;
        let noise = gaussian_stream(&[7], draws);
        let deviation = |at: usize| 1.0 + (at % 5) as f32;
        let stated = |factor: f32| {
            let pairs: Vec<(f32, f32)> = (0..draws)
                .map(|at| (deviation(at) * factor, (noise[at] * deviation(at)).abs()))
                .collect();
            let mut uncertainty = Uncertainty::default();
            pairs
                .chunks(PER_IMAGE)
                .for_each(|image| uncertainty.add(image));
            uncertainty.figures().expect("a spread")
        };
        let honest = stated(1.0);
        for (nominal, observed) in honest.calibration {
            assert!((nominal - observed).abs() < 0.01, "{nominal}: {observed}");
        }
        assert_eq!(honest.coverage_90, honest.calibration[8].1);
        assert!(
            (honest.factor_90 - 1.0).abs() < 0.02,
            "{}",
            honest.factor_90
        );
        // The mean absolute deviation of a normal distribution is sqrt(2 / pi) of its standard
        // deviation.
        assert_eq!(honest.by_spread.len(), GROUPS);
        for (group, (std, error)) in honest.by_spread.iter().enumerate() {
            assert_eq!(*std, 1.0 + (group / 2) as f64);
            assert!((error / std - 0.797_885).abs() < 0.03, "{std}: {error}");
        }
        // Half the deviation: the interval that should hold 95 % holds what is within 0.98.
        let overconfident = stated(0.5);
        let observed = overconfident.calibration[9].1;
        assert!((observed - 0.673).abs() < 0.01, "{observed}");
        assert!((overconfident.factor_90 - 2.0).abs() < 0.04);
    }

    #[test]
    fn a_spread_that_says_nothing_has_no_correlation() {
        let mut uncertainty = Uncertainty::default();
        let pairs: Vec<(f32, f32)> = (0..1000).map(|i| (1.0, (i * 7919 % 1000) as f32)).collect();
        uncertainty.add(&pairs);
        assert_eq!(uncertainty.figures().expect("a spread").spearman, 0.0);
    }
}
