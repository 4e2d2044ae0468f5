//! Models of other programs, and our models for them: diffusers folders, state dicts of
//! guided-diffusion, and ONNX files.
//!
//! Nothing here touches a disk: a face hands over the bytes of the files and writes those it
//! gets back.

pub mod diffusers;
pub mod guided_diffusion;
pub mod onnx;
