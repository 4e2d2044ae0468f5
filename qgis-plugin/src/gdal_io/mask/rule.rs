//! Which values of a mask raster mean "fill": a list, the classes of SCL, the bits of QA_PIXEL.

use crate::failure::{Failure, Result};

/// Cloud shadow, cloud (medium and high probability) and thin cirrus of Sentinel-2's scene
/// classification (Sen2Cor; Sentinel-2 products specification, table of SCL classes).
pub const SCL_CLASSES: [f64; 4] = [3.0, 8.0, 9.0, 10.0];
/// Bits of Landsat Collection 2's QA_PIXEL band (USGS LSDS-1619 and LSDS-1328).
const QA_BITS: [(u32, &str); 4] = [
    (1, "dilated cloud"),
    (2, "cirrus"),
    (3, "cloud"),
    (4, "cloud shadow"),
];
/// Bit 0 of QA_PIXEL: no image here, whatever the other bits say.
const QA_FILL: u32 = 1;

/// Bit 6 of QA_PIXEL: neither cloud nor dilated cloud.
const QA_CLEAR: u32 = 1 << 6;

/// Which values mark a pixel.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// 1, as nobody named a value.
    Usual,
    /// These values.
    Values(Vec<f64>),
    /// Classes of Sentinel-2's SCL.
    Scl(Vec<f64>),
    /// Cloud, dilated cloud, shadow and cirrus of Landsat's QA_PIXEL.
    QaPixel,
}

impl Rule {
    /// The values the user named, else 1.
    pub fn values(asked: &[f64]) -> Self {
        if asked.is_empty() {
            Rule::Usual
        } else {
            Rule::Values(asked.to_vec())
        }
    }

    /// The SCL classes the user named, else shadow, cloud and cirrus.
    ///
    /// # Errors
    /// Exit 2 for a number that is no class.
    pub fn scl(asked: &[f64]) -> Result<Self> {
        if let Some(wrong) = asked
            .iter()
            .find(|value| !(0.0..=11.0).contains(*value) || value.fract() != 0.0)
        {
            return Err(Failure::mismatch(
                "--mask-values with --mask-from scl",
                "classes from 0 to 11",
                wrong,
            )
            .hint("3 is cloud shadow, 8 and 9 cloud, 10 thin cirrus, 11 snow"));
        }
        Ok(Rule::Scl(if asked.is_empty() {
            SCL_CLASSES.to_vec()
        } else {
            asked.to_vec()
        }))
    }

    /// Whether a value marks its pixel.
    pub fn marks(&self, value: f64) -> bool {
        match self {
            Rule::Usual => value == 1.0,
            Rule::Values(values) | Rule::Scl(values) => values.contains(&value),
            Rule::QaPixel => {
                // The band is uint16; anything else is no QA_PIXEL and marks nothing.
                let whole = (0.0..=65_535.0).contains(&value) && value.fract() == 0.0;
                let bits = if whole { value as u32 } else { QA_FILL };
                bits & QA_FILL == 0 && QA_BITS.iter().any(|(bit, _)| bits >> bit & 1 == 1)
            }
        }
    }

    /// Whether a raster that marks nothing is a classification all the same, one that knows no
    /// cloud, by the values it holds; a list of values is none.
    pub fn knows_no_cloud(&self, mut values: impl Iterator<Item = f64>) -> bool {
        match self {
            Rule::Usual | Rule::Values(_) => false,
            // 0 is nodata, and nothing but nodata says nothing.
            Rule::Scl(_) => {
                let mut said = false;
                values.all(|value| {
                    said |= value != 0.0;
                    (0.0..=11.0).contains(&value) && value.fract() == 0.0
                }) && said
            }
            // Where the sky is clear, the bit for that is set.
            Rule::QaPixel => values.any(|value| {
                (0.0..=65_535.0).contains(&value)
                    && value.fract() == 0.0
                    && value as u32 & QA_CLEAR != 0
            }),
        }
    }

    /// What a mask of this rule has to hold, for messages.
    pub fn expected(&self) -> String {
        match self {
            Rule::Usual => "a pixel with value 1".to_owned(),
            Rule::Values(values) => format!("a pixel with value {}", or(values)),
            Rule::Scl(values) => format!("a pixel of class {}", or(values)),
            Rule::QaPixel => {
                let names: Vec<&str> = QA_BITS.iter().map(|(_, name)| *name).collect();
                format!("a pixel with one of the bits for {}", names.join(", "))
            }
        }
    }

    /// What to do when nothing is marked.
    pub fn hint(&self) -> &'static str {
        match self {
            Rule::Usual | Rule::Values(_) => {
                "name the values that mean \"fill\" with --mask-values, e.g. --mask-values 255"
            }
            Rule::Scl(_) => {
                "the scene classification says that nothing is clouded; other classes: --mask-values 2,7"
            }
            Rule::QaPixel => {
                "QA_PIXEL says that nothing is clouded; is it the QA_PIXEL band of Collection 2?"
            }
        }
    }
}

fn or(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(f64::to_string).collect();
    values.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qa_pixel_values_of_the_handbook() {
        // LSDS-1619, table of QA_PIXEL values of Landsat 8 and 9.
        for clear in [1.0, 21_824.0, 21_952.0, 30_048.0] {
            assert!(!Rule::QaPixel.marks(clear), "{clear}");
        }
        for clouded in [
            21_826.0, 22_080.0, 22_280.0, 23_888.0, 24_088.0, 54_596.0, 55_052.0, 56_660.0,
        ] {
            let expected = clouded != 22_080.0;
            assert_eq!(Rule::QaPixel.marks(clouded), expected, "{clouded}");
        }
        for nonsense in [-8.0, 8.5, 65_544.0, f64::NAN, f64::INFINITY] {
            assert!(!Rule::QaPixel.marks(nonsense), "{nonsense}");
        }
    }

    #[test]
    fn scl_classes() -> Result<()> {
        let rule = Rule::scl(&[])?;
        let marked: Vec<u8> = (0..=11)
            .filter(|class| rule.marks(f64::from(*class)))
            .collect();
        assert_eq!(marked, [3, 8, 9, 10]);
        assert!(Rule::scl(&[3.0, 2.0])?.marks(2.0));
        assert!(Rule::scl(&[12.0]).is_err() && Rule::scl(&[1.5]).is_err());
        Ok(())
    }
}
