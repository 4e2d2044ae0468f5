//! Schedules, denoisers, samplers, conditioning, noise and losses.

pub mod conditioning;
pub mod denoiser;
pub mod likelihood;
pub mod loss;
pub mod ncsn;
pub mod network;
pub mod noise;
pub mod prediction;
pub mod sampler;
pub mod schedule;
pub mod sde;
pub mod threshold;
