//! Models of other programs, and our models for them: diffusers folders and ONNX files.
//!
//! Nothing here touches a disk: a face hands over the bytes of the files and writes those it
//! gets back.

pub mod diffusers;
pub mod onnx;
