//! The networks a model may have: peers behind one enum.

use burn::tensor::Device;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use crate::error::Result;
use crate::network::Network;
use crate::network::diffusers::{ClassEmbedding, UNet2DConfig};
use crate::network::params::{self, Arrays};
use crate::network::unet::UNetConfig;

/// Everything needed to rebuild a network from its weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// Our own U-Net.
    UNet(UNetConfig),
    /// The U-Net of diffusers; that of guided-diffusion is made of the same blocks.
    UNet2D(Box<UNet2DConfig>),
}

impl Architecture {
    /// Our own network's configuration; none for another network.
    pub fn unet(&self) -> Option<&UNetConfig> {
        match self {
            Architecture::UNet(config) => Some(config),
            Architecture::UNet2D(_) => None,
        }
    }

    /// Bands of the image being denoised.
    pub fn bands(&self) -> usize {
        match self {
            Architecture::UNet(config) => config.bands,
            Architecture::UNet2D(config) => config.in_channels,
        }
    }

    /// Extra input channels of the conditioning.
    pub fn conditioning_bands(&self) -> usize {
        match self {
            Architecture::UNet(config) => config.conditioning_bands,
            Architecture::UNet2D(_) => 0,
        }
    }

    /// How many classes it can be told; none for a network without. Any number is a class of one
    /// whose classes are embedded like the time.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Architecture::UNet(config) => config.classes,
            Architecture::UNet2D(config) => match config.class_embedding? {
                ClassEmbedding::Table(classes) => Some(classes),
                ClassEmbedding::Timestep => Some(usize::MAX),
                ClassEmbedding::Identity => None,
            },
        }
    }

    /// Whether the network cannot do without a class.
    pub fn needs_class(&self) -> bool {
        matches!(self, Architecture::UNet2D(_)) && self.classes().is_some()
    }

    /// Length of the vector the network is conditioned on; none for a network without.
    pub fn vector_len(&self) -> Option<usize> {
        match self {
            Architecture::UNet(_) => None,
            Architecture::UNet2D(config) => (config.class_embedding
                == Some(ClassEmbedding::Identity))
            .then(|| config.embedding_dim()),
        }
    }

    /// Sides of what the network sees are multiples of this, a power of two.
    pub fn size_multiple(&self) -> usize {
        match self {
            Architecture::UNet(config) => config.size_multiple(),
            Architecture::UNet2D(config) => config.size_multiple(),
        }
    }

    /// Channels of the first level, and by how much coarser than the image it is: what the memory
    /// of a run grows with.
    pub fn first_level(&self) -> (usize, usize) {
        match self {
            Architecture::UNet(config) => (config.base_channels, config.stem.max(1)),
            Architecture::UNet2D(config) => {
                (config.block_out_channels.first().copied().unwrap_or(1), 1)
            }
        }
    }

    /// Rejects configurations no network can be built from.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) or
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) naming the part.
    pub fn validate(&self) -> Result<()> {
        match self {
            Architecture::UNet(config) => config.validate(),
            Architecture::UNet2D(config) => config.validate(),
        }
    }

    /// Builds the network with its weights.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) when they do not fit.
    pub fn build(&self, arrays: &Arrays, device: &Device) -> Result<Box<dyn Network>> {
        Ok(match self {
            Architecture::UNet(config) => Box::new(params::assign(config.init(device)?, arrays)?),
            Architecture::UNet2D(config) => Box::new(params::assign(config.init(device), arrays)?),
        })
    }
}

impl From<UNetConfig> for Architecture {
    fn from(config: UNetConfig) -> Self {
        Architecture::UNet(config)
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Architecture::UNet(config) => config.serialize(serializer),
            Architecture::UNet2D(config) => json!({
                "kind": "UNet2DModel",
                "config": config.to_json(),
                "num_heads": config.num_heads,
                "model_channels": config.model_channels,
            })
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Architecture {
    /// Our own alone: a model from elsewhere comes with its own configuration, not with a card.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        UNetConfig::deserialize(deserializer).map(Architecture::UNet)
    }
}
