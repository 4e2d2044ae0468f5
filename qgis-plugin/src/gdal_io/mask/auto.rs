//! `--mask-from auto`: runs the core's detector over the scene.

use unclouded_core::raster::bits::BitMask;

use super::super::scene::Scene;
use super::Marked;
use crate::failure::{Failure, Result};

pub fn mark(_scene: &Scene, _bits: &mut BitMask, _progress: &mut dyn FnMut(u64)) -> Result<Marked> {
    Err(Failure::usage("--mask-from auto: not in this build"))
}
