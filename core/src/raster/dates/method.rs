//! The ways to fill from other dates, by name.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Hint, Key, Result};

/// How the ground under a mask follows from other dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DateMethod {
    /// The date nearest in time that shows the pixel, as it is.
    Copy,
    /// Linearly in time between the dates before and after; the nearer one where only one side
    /// shows the pixel.
    Interpolate,
    /// The median of all dates that show the pixel.
    Median,
    /// Clusters of pixels that look alike at other dates, each with a linear regression of its
    /// own.
    Clr,
    /// The mean over ridge regressions on the best two, four and eight dates.
    Regression,
}

impl DateMethod {
    /// All of them, the best on average first.
    pub const ALL: [DateMethod; 5] = [
        DateMethod::Regression,
        DateMethod::Clr,
        DateMethod::Interpolate,
        DateMethod::Median,
        DateMethod::Copy,
    ];

    /// The name a user types.
    pub fn name(self) -> &'static str {
        match self {
            DateMethod::Copy => "copy",
            DateMethod::Interpolate => "interpolate",
            DateMethod::Median => "median",
            DateMethod::Clr => "clr",
            DateMethod::Regression => "regression",
        }
    }

    /// Whether values are taken over as they are, so that a date needs the bands and the unit of
    /// the scene.
    pub fn takes_values(self) -> bool {
        match self {
            DateMethod::Copy | DateMethod::Interpolate | DateMethod::Median => true,
            DateMethod::Clr | DateMethod::Regression => false,
        }
    }
}

impl FromStr for DateMethod {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| Error::Setting {
            key: Key::Method,
            expected: format!("one of {}", Self::ALL.map(Self::name).join(", ")),
            got: name.to_owned(),
            hint: Hint::LeaveOut(Key::Method),
        })
    }
}
