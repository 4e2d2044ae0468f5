//! The degradations a recipe can name.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Blurred, Degradation, Downsampled, Growing};
use crate::error::{Error, Hint, Key, Result};

/// Most halvings of an image.
const MOST_HALVINGS: usize = 6;

/// What is undone, in a recipe and in the model card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A Gaussian blur of one pixel a step.
    Blur,
    /// Holes that grow, see [`Growing`].
    Mask,
    /// A halving a step.
    Downsample,
}

impl Kind {
    /// As the recipe writes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Blur => "blur",
            Kind::Mask => "mask",
            Kind::Downsample => "downsample",
        }
    }

    /// Rejects a number of steps that no degradation has.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(self, steps: usize) -> Result<()> {
        let most = match self {
            Kind::Downsample => MOST_HALVINGS,
            Kind::Blur | Kind::Mask => 1000,
        };
        match (1..=most).contains(&steps) {
            true => Ok(()),
            false => Err(Error::Setting {
                key: Key::Steps,
                expected: format!("1 to {most} for {}", self.name()),
                got: steps.to_string(),
                hint: Hint::Advice(
                    "a step halves the image, blurs it by a pixel, or lets its hole grow",
                ),
            }),
        }
    }

    /// Sides of an image are multiples of this.
    pub fn size_multiple(self, steps: usize) -> usize {
        match self {
            Kind::Downsample => 1 << steps.min(MOST_HALVINGS),
            Kind::Blur | Kind::Mask => 1,
        }
    }

    /// The degradation of images of this height and width; `depths` as in [`Growing`], for holes
    /// only.
    pub fn of(
        self,
        steps: usize,
        size: (usize, usize),
        depths: Option<Tensor<4>>,
        device: &Device,
    ) -> Box<dyn Degradation> {
        match self {
            Kind::Blur => Box::new(Blurred::new(&vec![1.0; steps], size, device)),
            Kind::Downsample => Box::new(Downsampled::new(steps, size, device)),
            Kind::Mask => {
                let everything = || Tensor::ones([1, 1, size.0, size.1], device);
                Box::new(Growing::new(depths.unwrap_or_else(everything), steps))
            }
        }
    }

    /// Images at a step each, as a network is trained to restore them.
    ///
    /// # Shapes
    /// - `clean`, output: `[batch, bands, height, width]`; `depths`: `[batch, 1, height, width]`
    /// - `at`: as many steps as there are images
    pub fn degraded(
        self,
        steps: usize,
        clean: &Tensor<4>,
        depths: Option<&Tensor<4>>,
        at: &[usize],
    ) -> Tensor<4> {
        let one = |(item, step): (usize, &usize)| {
            let image = clean.clone().slice(item..item + 1);
            let depths = depths.map(|depths| depths.clone().slice(item..item + 1));
            self.at(*step, steps, image, depths)
        };
        Tensor::cat(at.iter().enumerate().map(one).collect(), 0)
    }

    /// Images after `step` of the `steps` steps; only that step's operator is made.
    fn at(self, step: usize, steps: usize, x: Tensor<4>, depths: Option<Tensor<4>>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let (size, device) = ((height, width), x.device());
        match self {
            _ if step == 0 => x,
            // One blur by the standard deviation of all so far, which add up as variances.
            Kind::Blur => {
                let std = (step.min(steps) as f64).sqrt();
                Blurred::new(&[std], size, &device).degrade(x, 1)
            }
            Kind::Downsample => Downsampled::once(step.min(steps), size, &device).degrade(x, 1),
            Kind::Mask => self.of(steps, size, depths, &device).degrade(x, step),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// Each image of a batch is degraded for itself, as the whole family would degrade it.
    #[test]
    fn a_batch_is_degraded_image_by_image() {
        let device = Device::flex();
        let random = |key: u64, shape: [usize; 4]| {
            let count = shape.iter().product();
            let values = crate::raster::random::gaussian_stream(&[key], count);
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let clean = random(1, [4, 2, 8, 8]);
        let depths = random(2, [4, 1, 8, 8]).abs().clamp(0.0, 1.0);
        let at = [0, 1, 3, 2];
        for kind in [Kind::Blur, Kind::Mask, Kind::Downsample] {
            let depths = (kind == Kind::Mask).then(|| depths.clone());
            let batch = kind.degraded(3, &clean, depths.as_ref(), &at);
            let all = kind.of(3, (8, 8), depths, &device);
            for (item, step) in at.into_iter().enumerate() {
                let expected = all.degrade(clean.clone(), step).slice(item..item + 1);
                let off = (batch.clone().slice(item..item + 1) - expected).abs().max();
                assert!(off.into_scalar::<f32>() < 1e-6, "{kind:?}, step {step}");
            }
        }
    }
}
