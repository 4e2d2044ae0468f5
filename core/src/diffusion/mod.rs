//! Schedules, denoisers, samplers, conditioning, noise and losses.

pub mod conditioning;
pub mod denoiser;
#[cfg(feature = "autodiff")]
pub mod gradient;
pub mod guidance;
pub mod loss;
pub mod network;
pub mod noise;
pub mod prediction;
pub mod sampler;
pub mod schedule;
