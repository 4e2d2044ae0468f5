//! What the members of an ensemble agree on.

/// Mean and variance over the ensemble. Antithetic members fix the mean rather than estimate
/// it, so no degree of freedom is lost: the divisor is n.
pub(super) fn moments(samples: usize, of: &dyn Fn(usize) -> f32) -> (f32, f32) {
    let n = samples as f32;
    let mean = (0..samples).map(of).sum::<f32>() / n;
    let variance = (0..samples).map(|s| (of(s) - mean).powi(2)).sum::<f32>() / n;
    (mean, variance)
}
