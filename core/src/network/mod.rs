//! Networks: from a noisy image and what it is conditioned on to an output.
//!
//! Everything above sees a [`Network`]; what it is built of are peers: our own [`unet`], and the
//! [`diffusers`] blocks that models from elsewhere are made of.

pub mod diffusers;
pub(crate) mod layer;
pub mod params;
pub mod unet;

use burn::tensor::{Int, Tensor};

use params::Arrays;

/// Everything a network may be given; each reads what it was built for.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The noisy image and the channels of its conditioning,
    /// `[batch, bands + conditioning_bands, height, width]`.
    pub x: Tensor<4>,
    /// What the network is told as its time, `[batch]`.
    pub time: Tensor<1>,
    /// Labels, `[batch]`; below 0 where the network is not told.
    pub class: Option<Tensor<1, Int>>,
    /// An embedding of the whole image, e.g. of its place, `[batch, length]`.
    pub vector: Option<Tensor<2>>,
    /// What is attended to, `[batch, count, width]`.
    pub tokens: Option<Tensor<3>>,
}

impl Inputs {
    /// An image and its time alone.
    pub fn new(x: Tensor<4>, time: Tensor<1>) -> Self {
        Self {
            x,
            time,
            class: None,
            vector: None,
            tokens: None,
        }
    }
}

/// What every architecture offers.
pub trait Network: std::fmt::Debug {
    /// The network's own output, whatever it means.
    ///
    /// # Shapes
    /// - output: `[batch, bands, height, width]`, or twice as many channels where the variance of
    ///   the reverse step is learned
    fn forward(&self, inputs: Inputs) -> Tensor<4>;

    /// Its weights by name, on the host.
    fn arrays(&self) -> Arrays;
}
