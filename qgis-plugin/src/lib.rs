//! The native face of unclouded: GDAL in and out, datasets, training, and the command line.

pub mod allocator;
pub mod cli;
pub mod commands;
pub mod dataset;
pub mod device;
pub mod failure;
mod font;
pub mod gdal_io;
pub mod interrupt;
pub mod models;
pub mod npy;
pub mod progress;
pub mod recipe;
pub mod training;
pub mod wording;
