//! Noise-conditioned score networks: the choices of Song & Ermon 2020, "Improved Techniques for
//! Training Score-Based Generative Models".
//!
//! The five techniques and where they are: (1) the largest sigma, [`largest_distance`]; (2) the
//! ratio of neighbouring sigmas, [`ratio`]; (3) the score as `s(x) / sigma`, which is a network
//! of [`Prediction::Eps`](super::prediction::Prediction::Eps) on the levels of
//! [`Schedule::Geometric`](super::schedule::Schedule::Geometric); (4) the step size of Langevin
//! dynamics, [`step_size`]; (5) the moving average of the weights, which training always keeps.
//!
//! Of these only the step size is reached by a face, through the sampler `annealed-langevin`; the
//! others choose the numbers of a recipe.

use super::loss::normal_cdf;

/// Technique 1: the largest Euclidean distance between any two of `images`, the smallest sigma
/// at which every image is reached from every other.
pub fn largest_distance(images: &[&[f32]]) -> f64 {
    let distance = |a: &[f32], b: &[f32]| {
        let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let mut largest = 0.0f64;
    for (i, a) in images.iter().enumerate() {
        for b in &images[i + 1..] {
            largest = largest.max(distance(a, b));
        }
    }
    largest
}

/// Technique 2: the ratio of neighbouring sigmas for images of `dimension` values at which half
/// of the noise of one level is likely at the next,
/// `Phi(sqrt(2D)(g - 1) + 3g) - Phi(sqrt(2D)(g - 1) - 3g) = 1/2`.
pub fn ratio(dimension: usize) -> f64 {
    let root = (2.0 * dimension as f64).sqrt();
    let overlap = |g: f64| {
        let center = root * (g - 1.0);
        normal_cdf(center + 3.0 * g) - normal_cdf(center - 3.0 * g)
    };
    // The overlap falls from almost 1 at ratio 1; above 1 + 4 / sqrt(2D) + ... it is below 1/2.
    let (mut low, mut high) = (1.0, 10.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        match overlap(middle) > 0.5 {
            true => low = middle,
            false => high = middle,
        }
    }
    (low + high) / 2.0
}

/// How many sigmas lie from `sigma_max` to `sigma_min` with neighbours of `ratio`.
pub fn level_count(sigma_min: f64, sigma_max: f64, ratio: f64) -> usize {
    ((sigma_max / sigma_min).ln() / ratio.ln()).ceil().max(0.0) as usize + 1
}

/// Technique 4: the epsilon of annealed Langevin dynamics at which x keeps the variance of its
/// level after `steps` steps, for sigmas of `ratio` down to `sigma_last` (eq. 3 of the paper is
/// brought closest to 1).
pub fn step_size(sigma_last: f64, ratio: f64, steps: usize) -> f64 {
    // In units of sigma_last², where epsilon lies between 0 and 1.
    let off = |e: f64| (variance_kept(e, ratio, steps) - 1.0).abs();
    // The variance falls with epsilon as the steps forget the level before, and rises when they
    // overshoot: a grid finds the basin, a golden section its bottom.
    const GRID: usize = 4000;
    let at = |i: usize| i as f64 / GRID as f64;
    let best = (1..GRID).min_by(|a, b| off(at(*a)).total_cmp(&off(at(*b))));
    let best = best.unwrap_or(1);
    let (mut low, mut high) = (at(best - 1), at(best + 1));
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    for _ in 0..80 {
        let (a, b) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        match off(a) < off(b) {
            true => high = b,
            false => low = a,
        }
    }
    (low + high) / 2.0 * sigma_last * sigma_last
}

/// The ratio of the variance of x after the Langevin steps of a level to that of the level, when
/// it came from one `ratio` times noisier; epsilon in units of the last sigma squared
/// (Song & Ermon 2020, eq. 3).
fn variance_kept(epsilon: f64, ratio: f64, steps: usize) -> f64 {
    let forgotten = (1.0 - epsilon).powi(2 * steps as i32);
    let noise = 2.0 * epsilon / (1.0 - (1.0 - epsilon).powi(2));
    forgotten * (ratio * ratio - noise) + noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_paper() {
        // CIFAR-10 (32x32x3), sigma_max 50, sigma_min 0.01: the paper takes 232 levels, at which
        // the overlap is 0.57; 220 have one of exactly a half.
        let ratio = ratio(32 * 32 * 3);
        let count = level_count(0.01, 50.0, ratio);
        assert_eq!(count, 220, "ratio {ratio}");
    }

    #[test]
    fn the_step_size_keeps_the_variance() {
        for (ratio, steps) in [(1.037, 5), (1.02, 3), (1.1, 100)] {
            let epsilon = step_size(0.01, ratio, steps);
            let relative = epsilon / 1e-4;
            assert!(relative > 0.0 && relative < 1.0);
            let kept = variance_kept(relative, ratio, steps);
            // It cannot be kept exactly with a few steps.
            let nothing = variance_kept(1e-9, ratio, steps);
            assert!(
                (kept - 1.0).abs() < (nothing - 1.0).abs(),
                "{ratio}: {kept}"
            );
        }
    }

    #[test]
    fn the_largest_distance_is_over_all_pairs() {
        let images: [&[f32]; 3] = [&[0.0, 0.0], &[3.0, 4.0], &[0.0, 1.0]];
        assert_eq!(largest_distance(&images), 5.0);
    }
}
