//! What a model is: its card, its network, what it is for, and how pixels become its numbers.

pub mod architecture;
pub mod bundled;
pub mod card;
pub mod checkpoint;
pub mod conditioning;
pub mod denoiser;
pub mod example;
pub mod interop;
pub mod space;
pub mod task;

use std::collections::BTreeMap;

use burn::tensor::Device;

use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::sampler::Options;
use crate::diffusion::schedule::Spacing;
use crate::error::Result;
use crate::network::Network;
pub use architecture::Architecture;
pub use bundled::bundled;
pub use card::{Brightness, CARD_FORMAT, Defaults, ModelCard, Stored, Training, TrainingData};
pub use checkpoint::{sha256, to_bytes};
pub use conditioning::Conditioning;
use denoiser::NetworkDenoiser;
use interop::diffusers::Foreign;
pub use space::{Shown, Space};

/// A network with its card, on a device, wherever it comes from.
#[derive(Debug)]
pub struct Model {
    /// The card; made up for a model that comes without one.
    pub card: ModelCard,
    /// The network.
    pub network: Box<dyn Network>,
    /// What a model from elsewhere says besides: its scheduler and the names of its classes.
    pub foreign: Option<Box<Foreign>>,
    /// Where it lives.
    pub device: Device,
    /// SHA-256 of the file of its weights, hexadecimal.
    pub sha256: String,
}

impl Model {
    /// Its network as a denoiser that is conditioned on nothing yet.
    pub fn denoiser(&self) -> NetworkDenoiser<'_> {
        let unet = self.card.architecture.unet();
        NetworkDenoiser {
            spread: unet.is_some_and(|unet| unet.spread),
            ..NetworkDenoiser::new(&*self.network, self.card.prediction)
        }
    }

    /// The noise levels of a run of `steps` steps.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for more steps than the model was trained with,
    /// or none.
    pub fn levels(&self, steps: usize) -> Result<Vec<NoiseLevel>> {
        match &self.foreign {
            Some(foreign) => foreign.scheduler.levels(steps),
            None => self.card.schedule.levels(steps, Spacing::default()),
        }
    }

    /// What a sampler is told besides the levels.
    pub fn options(&self) -> Options {
        match &self.foreign {
            Some(foreign) => foreign.scheduler.options,
            None => Options {
                schedule: Some(self.card.schedule),
                ..Options::default()
            },
        }
    }

    /// The names of its classes by number, as far as they are known.
    pub fn class_names(&self) -> BTreeMap<usize, String> {
        match &self.foreign {
            Some(foreign) => foreign.labels.clone(),
            None => self.card.classes.iter().cloned().enumerate().collect(),
        }
    }
}
