//! The degradations a recipe can name.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Blurred, Degradation, Downsampled, Growing};
use crate::error::{Error, Result};

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
                what: "steps",
                expected: format!("1 to {most} for {}", self.name()),
                got: steps.to_string(),
                hint: "a step halves the image, blurs it by a pixel, or lets its hole grow",
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
        let [_, _, height, width] = clean.dims();
        let all = self.of(steps, (height, width), depths.cloned(), &clean.device());
        let one =
            |(item, step): (usize, &usize)| all.degrade(clean.clone(), *step).slice(item..item + 1);
        Tensor::cat(at.iter().enumerate().map(one).collect(), 0)
    }
}
