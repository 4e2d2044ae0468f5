//! Schedules, denoisers, samplers, conditioning, guidance, inverse problems, noise and losses.

pub mod cold;
pub mod denoiser;
#[cfg(feature = "autodiff")]
pub mod gradient;
pub mod guidance;
pub mod inverse;
pub mod likelihood;
pub mod loss;
pub mod ncsn;
pub mod noise;
pub mod posterior;
pub mod prediction;
pub mod repaint;
pub mod sampler;
pub mod schedule;
pub mod sde;
pub mod threshold;
