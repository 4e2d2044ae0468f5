//! The data types of scenes, and how a filled value becomes one of them.

use gdal::raster::{GdalDataType, GdalType};
use serde::Serialize;
use unclouded_core::model::Stored;
pub use unclouded_core::raster::stored::StoredValue;

use crate::failure::{Failure, Result};

/// A data type that scenes may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub enum DataType {
    #[serde(rename = "uint8")]
    U8,
    #[serde(rename = "uint16")]
    U16,
    #[serde(rename = "int16")]
    I16,
    #[serde(rename = "uint32")]
    U32,
    #[serde(rename = "int32")]
    I32,
    #[serde(rename = "float32")]
    F32,
    #[serde(rename = "float64")]
    F64,
}

/// Run `$body` with `$T` standing for the Rust type of a [`DataType`].
#[macro_export]
macro_rules! for_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::gdal_io::dtype::DataType::U8 => {
                type $T = u8;
                $body
            }
            $crate::gdal_io::dtype::DataType::U16 => {
                type $T = u16;
                $body
            }
            $crate::gdal_io::dtype::DataType::I16 => {
                type $T = i16;
                $body
            }
            $crate::gdal_io::dtype::DataType::U32 => {
                type $T = u32;
                $body
            }
            $crate::gdal_io::dtype::DataType::I32 => {
                type $T = i32;
                $body
            }
            $crate::gdal_io::dtype::DataType::F32 => {
                type $T = f32;
                $body
            }
            $crate::gdal_io::dtype::DataType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

impl DataType {
    /// How the model card's full brightness knows it.
    pub fn stored(self) -> Stored {
        match self {
            DataType::U8 => Stored::EightBits,
            DataType::U16 | DataType::I16 => Stored::SixteenBits,
            _ => Stored::Other,
        }
    }

    /// From GDAL's type.
    ///
    /// # Errors
    /// Exit 2 for complex, 8-bit signed and 64-bit integer types.
    pub fn from_gdal(data_type: GdalDataType, what: &str) -> Result<Self> {
        Ok(match data_type {
            GdalDataType::UInt8 => DataType::U8,
            GdalDataType::UInt16 => DataType::U16,
            GdalDataType::Int16 => DataType::I16,
            GdalDataType::UInt32 => DataType::U32,
            GdalDataType::Int32 => DataType::I32,
            GdalDataType::Float32 => DataType::F32,
            GdalDataType::Float64 => DataType::F64,
            other => {
                return Err(Failure::mismatch(
                    format!("data type of the {what}"),
                    "8-, 16- or 32-bit integer, float32 or float64",
                    format!("{} ({})", other.name(), other.bits()),
                )
                .hint("convert it first, e.g. gdal_translate -ot Float32"));
            }
        })
    }

    /// Whether it holds whole numbers only.
    pub fn is_integer(self) -> bool {
        !matches!(self, DataType::F32 | DataType::F64)
    }

    /// The name in `--json` and messages, e.g. `uint16`.
    pub fn name(self) -> &'static str {
        match self {
            DataType::U8 => "uint8",
            DataType::U16 => "uint16",
            DataType::I16 => "int16",
            DataType::U32 => "uint32",
            DataType::I32 => "int32",
            DataType::F32 => "float32",
            DataType::F64 => "float64",
        }
    }

    /// Bytes a value.
    pub fn bytes(self) -> usize {
        for_dtype!(self, T => size_of::<T>())
    }
}

/// A stored value of a type that GDAL reads and writes.
pub trait Native: GdalType + StoredValue {}

impl<T: GdalType + StoredValue> Native for T {}
