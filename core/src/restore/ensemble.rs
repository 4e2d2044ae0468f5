//! What the members of an ensemble agree on.

use super::RestoreSettings;
use super::method::Method;
use crate::model::ModelCard;

impl RestoreSettings {
    /// Whether the network says itself how far its estimate may err.
    pub(super) fn says_spread(&self) -> bool {
        self.method == Some(Method::Direct)
    }

    /// Images a tile's ensemble is kept as: its members, and the spread the network says.
    pub fn planes(&self) -> usize {
        self.samples + usize::from(self.says_spread())
    }

    /// Whether the fill comes with a standard deviation.
    pub fn has_spread(&self) -> bool {
        self.samples > 1 || self.says_spread()
    }

    /// What the standard deviation of a model's fill is multiplied with.
    pub(super) fn spread_factor(&self, card: &ModelCard) -> f32 {
        let direct = card.direct_factor.filter(|_| self.says_spread());
        direct.unwrap_or(card.uncertainty_factor)
    }
}

/// Mean and variance over the ensemble. Antithetic members fix the mean rather than estimate
/// it, so no degree of freedom is lost: the divisor is n.
pub(super) fn moments(samples: usize, of: &dyn Fn(usize) -> f32) -> (f32, f32) {
    let n = samples as f32;
    let mean = (0..samples).map(of).sum::<f32>() / n;
    let variance = (0..samples).map(|s| (of(s) - mean).powi(2)).sum::<f32>() / n;
    (mean, variance)
}
