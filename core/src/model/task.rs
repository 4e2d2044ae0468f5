//! What a network is for: conditional ones have one set of channels for several tasks.

use serde::{Deserialize, Serialize};

use crate::diffusion::cold;
use crate::error::{Error, Hint, Key, Result};
use crate::raster::{Raster, coarse};

/// The task of a network with conditioning channels `[shown image, mask]`; the network always
/// denoises the residual to the shown image. In a recipe and in the model card, e.g.
/// `{ name = "super-resolution", factor = 4 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Holes, wherever masks say, filled softly and shown with the mask.
    #[default]
    CloudRemoval,
    /// Everything but a rectangle is the hole.
    Uncropping,
    /// Means of blocks of `factor` pixels, enlarged smoothly (SR3, Saharia et al. 2022, with block
    /// means as a coarser sensor sees them).
    SuperResolution {
        /// How much coarser the shown image is, 2 to 16.
        factor: usize,
    },
    /// The mean of all bands, in every band (Saharia et al. 2022b, Palette).
    Colourisation,
    /// Undoing a degradation step by step, without noise (Bansal et al. 2022): the one task of an
    /// unconditional network, which predicts x0 and is told the step as its time.
    ColdDiffusion {
        /// What is undone.
        degradation: cold::Kind,
        /// In how many steps.
        steps: usize,
    },
}

impl Task {
    /// In words for people.
    pub fn name(self) -> String {
        match self {
            Task::CloudRemoval => "cloud removal".into(),
            Task::Uncropping => "uncropping".into(),
            Task::SuperResolution { factor } => format!("super-resolution by {factor}"),
            Task::Colourisation => "colourisation".into(),
            Task::ColdDiffusion { degradation, steps } => {
                format!("cold diffusion ({}, {steps} steps)", degradation.name())
            }
        }
    }

    /// Whether the whole image is drawn anew: no pixel of it is shown as it is, and there is no
    /// mask to choose.
    pub fn redraws(self) -> bool {
        matches!(self, Task::SuperResolution { .. } | Task::Colourisation)
    }

    /// What cold diffusion undoes, and in how many steps.
    pub fn cold(self) -> Option<(cold::Kind, usize)> {
        match self {
            Task::ColdDiffusion { degradation, steps } => Some((degradation, steps)),
            _ => None,
        }
    }

    /// What a network that [redraws](Self::redraws) is shown of a clear image, of the same size; the
    /// image itself for the other tasks.
    pub fn shown(self, image: &Raster) -> Raster {
        match self {
            Task::CloudRemoval | Task::Uncropping | Task::ColdDiffusion { .. } => image.clone(),
            Task::SuperResolution { factor } => {
                let small = coarse::block_means(image, factor);
                coarse::enlarge_by(&small, factor, (image.height, image.width))
            }
            Task::Colourisation => {
                let pixels = image.pixels();
                let mean = |i: usize| {
                    let bands = (0..image.bands).map(|band| image.data[band * pixels + i]);
                    bands.sum::<f32>() / image.bands.max(1) as f32
                };
                let grey: Vec<f32> = (0..pixels).map(mean).collect();
                Raster {
                    data: grey.repeat(image.bands),
                    ..image.clone()
                }
            }
        }
    }

    /// Rejects numbers no recipe or card should hold.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(self) -> Result<()> {
        match self {
            Task::SuperResolution { factor } if !(2..=16).contains(&factor) => {
                Err(Error::Setting {
                    key: Key::Field("factor"),
                    expected: "2 to 16".into(),
                    got: factor.to_string(),
                    hint: Hint::Advice("how much coarser the shown image is; SR3 takes 4"),
                })
            }
            Task::ColdDiffusion { degradation, steps } => degradation.validate(steps),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Raster {
        let data = (0..2 * 8 * 12).map(|i| (i * 31 % 17) as f32).collect();
        Raster::from_vec(2, 8, 12, data).expect("sizes agree")
    }

    #[test]
    fn super_resolution_shows_block_means_enlarged() {
        let task = Task::SuperResolution { factor: 4 };
        let shown = task.shown(&image());
        assert_eq!((shown.bands, shown.height, shown.width), (2, 8, 12));
        // A constant image and the mean survive; detail does not.
        let flat = Raster::from_vec(1, 8, 8, vec![3.0; 64]).expect("sizes agree");
        assert_eq!(task.shown(&flat), flat);
        let spread = |r: &Raster| {
            let mean = r.data.iter().sum::<f32>() / r.data.len() as f32;
            r.data.iter().map(|v| (v - mean).powi(2)).sum::<f32>()
        };
        assert!(spread(&shown) < 0.3 * spread(&image()));
        // The corner pixel lies outside all block centres: it is its block's mean.
        let corner: f32 = (0..16).map(|i| image().at(0, i / 4, i % 4)).sum::<f32>() / 16.0;
        assert!((shown.at(0, 0, 0) - corner).abs() < 1e-5);
    }

    #[test]
    fn colourisation_shows_grey() {
        let shown = Task::Colourisation.shown(&image());
        assert_eq!(shown.band(0), shown.band(1));
        let grey = (image().at(0, 3, 5) + image().at(1, 3, 5)) / 2.0;
        assert_eq!(shown.at(1, 3, 5), grey);
    }

    #[test]
    fn cards_without_a_task_are_for_clouds() {
        assert_eq!(Task::default(), Task::CloudRemoval);
        let json = r#"{"name":"super-resolution","factor":4}"#;
        let task: Task = serde_json::from_str(json).expect("json");
        assert_eq!(task, Task::SuperResolution { factor: 4 });
        assert_eq!(serde_json::to_string(&task).expect("json"), json);
        assert!(serde_json::from_str::<Task>(r#"{"name":"super-resolution","f":4}"#).is_err());
        assert!(Task::SuperResolution { factor: 1 }.validate().is_err());
        let json = r#"{"name":"cold-diffusion","degradation":"downsample","steps":3}"#;
        let task: Task = serde_json::from_str(json).expect("json");
        assert_eq!(task.cold(), Some((cold::Kind::Downsample, 3)));
        assert_eq!(serde_json::to_string(&task).expect("json"), json);
        assert!(task.validate().is_ok());
        let (degradation, steps) = (cold::Kind::Downsample, 7);
        assert!(
            Task::ColdDiffusion { degradation, steps }
                .validate()
                .is_err()
        );
    }
}
