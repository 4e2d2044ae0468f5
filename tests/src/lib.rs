//! Tests across the crates, and what several of them share.

pub mod guided_diffusion;
pub mod hostile;
