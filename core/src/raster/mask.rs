//! Masks: making, counting, cropping, growing and combining them.

use super::{Mask, Raster, Window, crop_rows, pick, reflected};
use crate::error::{Error, Hint, Result};

impl Mask {
    /// One band: 1 where set, 0 elsewhere.
    pub fn to_raster(&self) -> Raster {
        Raster {
            bands: 1,
            height: self.height,
            width: self.width,
            data: self
                .data
                .iter()
                .map(|set| f32::from(u8::from(*set)))
                .collect(),
        }
    }

    /// A mask with every flag equal to `value`.
    pub fn new(height: usize, width: usize, value: bool) -> Self {
        Mask {
            height,
            width,
            data: vec![value; height * width],
        }
    }

    /// A mask over `data`, `[height, width]` row by row.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when `data` has another length than the shape says.
    pub fn from_vec(height: usize, width: usize, data: Vec<bool>) -> Result<Self> {
        if data.len() != height * width {
            return Err(Error::Mismatch {
                what: "mask values",
                expected: format!("{height}x{width}"),
                got: data.len().to_string(),
                hint: Hint::Advice("a mask has one flag for each pixel of the scene"),
            });
        }
        Ok(Mask {
            height,
            width,
            data,
        })
    }

    /// A mask of `height` x `width` computed from (row, column).
    pub fn from_fn(
        height: usize,
        width: usize,
        mut flag: impl FnMut(usize, usize) -> bool,
    ) -> Self {
        let mut data = Vec::with_capacity(height * width);
        for row in 0..height {
            data.extend((0..width).map(|col| flag(row, col)));
        }
        Mask {
            height,
            width,
            data,
        }
    }

    /// The flag at row, column.
    pub fn at(&self, row: usize, col: usize) -> bool {
        self.data[row * self.width + col]
    }

    /// How many flags are set.
    pub fn count(&self) -> usize {
        self.data.iter().filter(|&&flag| flag).count()
    }

    /// Whether any flag is set.
    pub fn any(&self) -> bool {
        self.data.contains(&true)
    }

    /// Whether any flag inside `window` is set; the window must not leave the mask.
    pub fn any_in(&self, window: Window) -> bool {
        (window.row..window.row_end())
            .any(|row| self.data[row * self.width + window.col..][..window.width].contains(&true))
    }

    /// Part of the flags that are set, 0 to 1; 0 for a mask without pixels.
    pub fn fraction(&self) -> f32 {
        self.count() as f32 / self.data.len().max(1) as f32
    }

    /// Every flag turned round.
    pub fn invert(&self) -> Mask {
        self.map(|flag| !flag)
    }

    /// Set where both are set. The masks must be of one size.
    pub fn and(&self, other: &Mask) -> Mask {
        self.zip(other, |a, b| a && b)
    }

    /// Set where either is set. The masks must be of one size.
    pub fn or(&self, other: &Mask) -> Mask {
        self.zip(other, |a, b| a || b)
    }

    /// Set where `self` is and `other` is not, e.g. `valid.and_not(&cloud)` for the visible
    /// pixels. The masks must be of one size.
    pub fn and_not(&self, other: &Mask) -> Mask {
        self.zip(other, |a, b| a && !b)
    }

    fn map(&self, f: impl Fn(bool) -> bool) -> Mask {
        Mask {
            data: self.data.iter().map(|&flag| f(flag)).collect(),
            ..*self
        }
    }

    fn zip(&self, other: &Mask, f: impl Fn(bool, bool) -> bool) -> Mask {
        debug_assert_eq!((self.height, self.width), (other.height, other.width));
        let pairs = self.data.iter().zip(&other.data);
        Mask {
            data: pairs.map(|(&a, &b)| f(a, b)).collect(),
            ..*self
        }
    }

    /// The part of the mask inside `window`, which must not leave it.
    pub fn crop(&self, window: Window) -> Mask {
        let mut data = Vec::with_capacity(window.pixels());
        crop_rows(&self.data, self.width, window, &mut data);
        Mask {
            height: window.height,
            width: window.width,
            data,
        }
    }

    /// The mask grown downwards and to the right by reflection, as
    /// [`Raster::pad_reflect`](super::Raster::pad_reflect).
    pub fn pad_reflect(&self, height: usize, width: usize) -> Mask {
        let (rows, cols) = reflected(self.height, self.width, height, width);
        let mut data = Vec::with_capacity(rows.len() * cols.len());
        pick(&self.data, self.width, &rows, &cols, &mut data);
        Mask {
            height: rows.len(),
            width: cols.len(),
            data,
        }
    }

    /// The mask grown by `px` pixels: set wherever a set pixel lies within a Euclidean distance
    /// of `px` (a disc, so `px` = 1 adds the four neighbours). Takes time in proportion to the
    /// pixels, whatever `px` is. `px` = 0 changes nothing.
    pub fn dilate(&self, px: usize) -> Mask {
        let (height, width) = (self.height, self.width);
        if px == 0 || !self.any() {
            return self.clone();
        }
        let px = px.min(height + width);
        // Rows to the nearest set pixel of the same column; px + 1 when it is farther.
        let far = px + 1;
        let mut vertical = vec![far; height * width];
        for row in 0..height {
            for col in 0..width {
                let i = row * width + col;
                if self.data[i] {
                    vertical[i] = 0;
                } else if row > 0 {
                    vertical[i] = (vertical[i - width] + 1).min(far);
                }
            }
        }
        for i in (0..height.saturating_sub(1) * width).rev() {
            vertical[i] = vertical[i].min(vertical[i + width] + 1);
        }
        // A column d rows away sets a run of half-width floor(sqrt(px^2 - d^2)) in this row.
        let half: Vec<usize> = (0..=px).map(|d| (px * px - d * d).isqrt()).collect();
        let mut data = Vec::with_capacity(height * width);
        let mut open = vec![0i32; width + 1];
        for line in vertical.chunks_exact(width) {
            open.fill(0);
            for (col, &d) in line.iter().enumerate() {
                if d <= px {
                    open[col.saturating_sub(half[d])] += 1;
                    open[(col + half[d] + 1).min(width)] -= 1;
                }
            }
            let mut depth = 0;
            data.extend(open[..width].iter().map(|&step| {
                depth += step;
                depth > 0
            }));
        }
        Mask {
            height,
            width,
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masks() -> impl Strategy<Value = Mask> {
        (1usize..14, 1usize..14).prop_flat_map(|(height, width)| {
            prop::collection::vec(prop::bool::weighted(0.1), height * width).prop_map(move |data| {
                Mask {
                    height,
                    width,
                    data,
                }
            })
        })
    }

    #[test]
    fn wrong_length_is_an_error() {
        assert!(Mask::from_vec(3, 3, vec![true; 8]).is_err());
    }

    #[test]
    fn one_pixel_grows_to_a_disc() {
        let dot = Mask::from_fn(7, 7, |row, col| row == 3 && col == 3);
        assert_eq!(dot.dilate(1).count(), 5);
        assert_eq!(dot.dilate(2).count(), 13);
        assert_eq!(dot.dilate(100).count(), 49);
    }

    #[test]
    fn logic() {
        let a = Mask::from_vec(1, 4, vec![true, true, false, false]).unwrap();
        let b = Mask::from_vec(1, 4, vec![true, false, true, false]).unwrap();
        assert_eq!(a.and(&b).data, [true, false, false, false]);
        assert_eq!(a.or(&b).data, [true, true, true, false]);
        assert_eq!(a.and_not(&b).data, [false, true, false, false]);
        assert_eq!(a.invert().data, [false, false, true, true]);
        assert_eq!(a.fraction(), 0.5);
        let right = Window {
            row: 0,
            col: 2,
            height: 1,
            width: 2,
        };
        assert!(!a.any_in(right) && b.any_in(right));
        assert_eq!(b.crop(right).data, [true, false]);
        assert_eq!(
            b.pad_reflect(1, 6).data,
            [true, false, true, false, true, false]
        );
    }

    proptest! {
        #[test]
        fn dilation_is_distance_to_a_set_pixel(mask in masks(), px in 0usize..6) {
            let near = |row: usize, col: usize| {
                (0..mask.height).any(|r| (0..mask.width).any(|c| {
                    mask.at(r, c)
                        && r.abs_diff(row).pow(2) + c.abs_diff(col).pow(2) <= px * px
                }))
            };
            prop_assert_eq!(mask.dilate(px), Mask::from_fn(mask.height, mask.width, near));
        }
    }
}
