//! The native face of unclouded: GDAL in and out, datasets, training, and the command line.

pub mod allocator;
pub mod cli;
pub mod commands;
pub mod dataset;
pub mod device;
pub mod diffusers_folder;
pub mod failure;
mod font;
pub mod gdal_io;
pub mod guided_diffusion_file;
pub mod interrupt;
pub mod models;
pub mod npy;
pub mod optimizer;
pub mod progress;
pub mod train_config;
pub mod train_report;
pub mod training;
