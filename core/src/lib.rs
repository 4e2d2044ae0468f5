//! Cloud removal and filling of Earth-observation images with diffusion models.
//!
//! This crate holds tensors, models, samplers and tiling. It opens no files and starts no threads
//! of its own, and it compiles for wasm32; the command line, the QGIS plugin and the web page
//! are thin faces over it. [`restore`] is the main job.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use burn::tensor::Device;
//! use unclouded_core::model::Model;
//! use unclouded_core::model::bundled;
//! use unclouded_core::raster::{Mask, Raster};
//! use unclouded_core::restore::{MemorySink, MemorySource, RestoreSettings, restore};
//!
//! # fn main() -> unclouded_core::Result<()> {
//! let (_name, bytes) = bundled()[0];
//! let model = Model::load(bytes, &Device::flex())?;
//! // Red, green, blue, 64 x 64 pixels, any unit; a cloud in the middle.
//! let image = Raster::from_vec(3, 64, 64, (0..3 * 64 * 64).map(|i| (i % 64) as f32).collect())?;
//! let cloud = Mask::from_fn(64, 64, |row, col| (24..40).contains(&row) && (20..44).contains(&col));
//! let valid = Mask::new(64, 64, true);
//! let mut source = MemorySource::new(&image, &cloud, &valid);
//! let mut sink = MemorySink::new(&image);
//! let settings = RestoreSettings { samples: 2, steps: 1, ..RestoreSettings::default() };
//! let go_on = &mut |_| ControlFlow::Continue(());
//! let summary = restore(&mut source, &mut sink, &model, &settings, go_on)?;
//! assert_eq!(summary.filled_px, 16 * 24);
//! assert_eq!(sink.image.at(0, 0, 0), image.at(0, 0, 0)); // clear pixels stay as they are
//! # Ok(())
//! # }
//! ```

pub mod diffusion;
pub mod error;
pub mod generate;
pub mod kernels;
pub mod metrics;
pub mod model;
pub mod network;
pub mod raster;
pub mod restore;

pub use error::{Error, Hint, Key, Result};
