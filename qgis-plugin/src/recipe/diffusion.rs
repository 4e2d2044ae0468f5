//! The [diffusion] section of a recipe: what the network learns to predict, and from what.

use serde::{Deserialize, Serialize};
use unclouded_core::diffusion::loss::{Kind, NoiseDistribution, Objective, Weighting};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::sampler::Sampler;
use unclouded_core::diffusion::schedule::Schedule;
use unclouded_core::model::{Conditioning, Defaults, Space};

/// Objective, noise and sampling defaults; left out, the residual EDM of the bundled model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionConfig {
    /// `concat` (the network sees the filled image and the mask) or `none` (unconditional).
    pub conditioning: Conditioning,
    /// `eps`, `x0`, `v` or `{ edm = { sigma_data = 0.9 } }`.
    pub prediction: Prediction,
    /// `simple`, or with `learned_variance` in `[model]`: `vlb` or `hybrid`.
    pub objective: Kind,
    /// How noise levels count in the simple loss: `output`, `x0`, `{ min-snr = { gamma = 5.0 } }`
    /// or `{ score-matching = { power = 2.0 } }`.
    pub weighting: Weighting,
    /// Noise levels of training (all but karras) and sampling.
    pub schedule: Schedule,
    /// Noise levels of training for the karras schedule.
    pub noise: NoiseDistribution,
    /// Share of the training examples of which the network is shown no image, from which it learns
    /// the direct estimate; with `spread` in `[model]`, for the prediction edm.
    pub direct: f32,
    /// Calibration of the direct estimate's spread, stored in the checkpoint: `factor_90` of
    /// `unclouded evaluate --method direct --json`, measured with 1.
    pub direct_factor: f32,
    /// Search radius of the inverse-distance fill.
    pub fill_distance_px: usize,
    /// Smallest contrast of a tile, a share of full brightness.
    pub contrast_floor: f32,
    /// Share of the training examples whose class the network is not told, so that it can be
    /// guided without a classifier (Ho & Salimans 2022); counts with `class_folders`.
    pub class_drop: f32,
    /// Sampling settings stored in the checkpoint.
    pub defaults: Defaults,
    /// Calibration of the ensemble's spread, stored in the checkpoint: `factor_90` of
    /// `unclouded evaluate --json`, measured with 1.
    pub uncertainty_factor: f32,
}

impl Default for DiffusionConfig {
    fn default() -> Self {
        Self {
            conditioning: Conditioning::Concat,
            prediction: Prediction::Edm { sigma_data: 0.9 },
            objective: Kind::Simple,
            weighting: Weighting::Output,
            schedule: Schedule::Karras {
                sigma_min: 0.02,
                sigma_max: 20.0,
                rho: 7.0,
            },
            noise: NoiseDistribution {
                mean: 0.3,
                std: 1.6,
            },
            direct: 0.0,
            direct_factor: 1.0,
            fill_distance_px: 100,
            contrast_floor: 0.004,
            class_drop: 0.1,
            defaults: Defaults {
                sampler: Sampler::DpmSolverPp2m,
                steps: 4,
                samples: 6,
                tile_px: 64,
                overlap_px: 16,
            },
            uncertainty_factor: 1.0,
        }
    }
}

impl DiffusionConfig {
    /// What the network is trained for.
    pub fn objective(&self) -> Objective {
        Objective {
            prediction: self.prediction,
            kind: self.objective,
            weighting: self.weighting,
        }
    }

    /// How pixels become the network's numbers.
    pub fn space(&self) -> Space {
        Space::TileContrast {
            fill_distance_px: self.fill_distance_px,
            floor: self.contrast_floor,
        }
    }
}
