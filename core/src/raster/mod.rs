//! Plain f32 rasters and what is done to them before and after the network; no burn here.

pub mod bits;
pub mod blend;
mod cholesky;
pub mod coarse;
pub mod dates;
pub mod detect;
pub mod fill;
pub mod growth;
pub mod guide;
pub mod mask;
pub mod normalize;
pub mod random;
pub mod soften;
pub mod spectral;
pub mod stored;
pub mod summed_area;
pub mod tension;
pub mod texture;
pub mod tiler;
pub mod turn;

use crate::error::{Error, Hint, Result};

/// A rectangle of scene pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// First row.
    pub row: usize,
    /// First column.
    pub col: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}

impl Window {
    /// The window of a whole image of `height` rows and `width` columns.
    pub fn full(height: usize, width: usize) -> Self {
        Window {
            row: 0,
            col: 0,
            height,
            width,
        }
    }

    /// One past the last row.
    pub fn row_end(&self) -> usize {
        self.row + self.height
    }

    /// One past the last column.
    pub fn col_end(&self) -> usize {
        self.col + self.width
    }

    /// Number of pixels.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Whether the pixel lies inside.
    pub fn contains(&self, row: usize, col: usize) -> bool {
        (self.row..self.row_end()).contains(&row) && (self.col..self.col_end()).contains(&col)
    }

    /// The window grown by `px` on every side, cut at a scene of `height` x `width`.
    pub fn grow(&self, px: usize, height: usize, width: usize) -> Self {
        let row = self.row.saturating_sub(px);
        let col = self.col.saturating_sub(px);
        Window {
            row,
            col,
            height: self.row_end().saturating_add(px).min(height) - row,
            width: self.col_end().saturating_add(px).min(width) - col,
        }
    }

    /// The same pixels, counted from the upper left corner of `outer`, which must contain them.
    pub fn relative_to(&self, outer: Window) -> Self {
        Window {
            row: self.row - outer.row,
            col: self.col - outer.col,
            ..*self
        }
    }
}

/// A dense image, planar: `[bands, height, width]`, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    /// Number of bands.
    pub bands: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
    /// `bands * height * width` values in the scene's own units.
    pub data: Vec<f32>,
}

/// One flag a pixel, `[height, width]`, row by row. For a cloud mask `true` means fill;
/// for a validity mask `true` means the pixel holds data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
    /// `height * width` flags.
    pub data: Vec<bool>,
}

impl Raster {
    /// An image of zeros.
    pub fn new(bands: usize, height: usize, width: usize) -> Self {
        Raster {
            bands,
            height,
            width,
            data: vec![0.0; bands * height * width],
        }
    }

    /// An image over `data`, planar `[bands, height, width]`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when `data` has another length than the shape says.
    pub fn from_vec(bands: usize, height: usize, width: usize, data: Vec<f32>) -> Result<Self> {
        if data.len() != bands * height * width {
            return Err(Error::Mismatch {
                what: "image values",
                expected: format!("{bands}x{height}x{width}"),
                got: data.len().to_string(),
                hint: Hint::Advice("the image is stored band after band, row by row"),
            });
        }
        Ok(Raster {
            bands,
            height,
            width,
            data,
        })
    }

    /// Number of pixels of one band.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The values of one band (0-based), row by row.
    pub fn band(&self, band: usize) -> &[f32] {
        &self.data[band * self.pixels()..][..self.height * self.width]
    }

    /// The values of one band (0-based), row by row, to be changed.
    pub fn band_mut(&mut self, band: usize) -> &mut [f32] {
        let pixels = self.pixels();
        &mut self.data[band * pixels..][..pixels]
    }

    /// The value at band, row, column (all 0-based).
    pub fn at(&self, band: usize, row: usize, col: usize) -> f32 {
        self.data[(band * self.height + row) * self.width + col]
    }

    /// A new image of the bands named (0-based), in that order; a band may be named twice.
    pub fn select_bands(&self, bands: &[usize]) -> Raster {
        let mut data = Vec::with_capacity(bands.len() * self.pixels());
        for &band in bands {
            data.extend_from_slice(self.band(band));
        }
        Raster {
            bands: bands.len(),
            height: self.height,
            width: self.width,
            data,
        }
    }

    /// The part of the image inside `window`, which must not leave it.
    pub fn crop(&self, window: Window) -> Raster {
        let mut data = Vec::with_capacity(self.bands * window.pixels());
        for band in 0..self.bands {
            crop_rows(self.band(band), self.width, window, &mut data);
        }
        Raster {
            bands: self.bands,
            height: window.height,
            width: window.width,
            data,
        }
    }

    /// Writes `part` into this image with its upper left corner at `row`, `col`; it must fit.
    pub fn paste(&mut self, row: usize, col: usize, part: &Raster) {
        let width = self.width;
        for band in 0..self.bands {
            let plane = self.band_mut(band);
            for (r, line) in part.band(band).chunks_exact(part.width.max(1)).enumerate() {
                plane[(row + r) * width + col..][..part.width].copy_from_slice(line);
            }
        }
    }

    /// The image grown downwards and to the right to at least `height` x `width` by reflection
    /// (the edge pixel is not repeated, as numpy's `reflect`); never smaller than it was.
    /// An image without pixels stays as it is.
    pub fn pad_reflect(&self, height: usize, width: usize) -> Raster {
        let (rows, cols) = reflected(self.height, self.width, height, width);
        let mut data = Vec::with_capacity(self.bands * rows.len() * cols.len());
        for band in 0..self.bands {
            pick(self.band(band), self.width, &rows, &cols, &mut data);
        }
        Raster {
            bands: self.bands,
            height: rows.len(),
            width: cols.len(),
            data,
        }
    }
}

/// Appends the rows of `window` of a plane of `width` columns to `out`.
fn crop_rows<T: Copy>(plane: &[T], width: usize, window: Window, out: &mut Vec<T>) {
    for row in window.row..window.row_end() {
        out.extend_from_slice(&plane[row * width + window.col..][..window.width]);
    }
}

/// Appends the pixels at `rows` x `cols` of a plane of `width` columns to `out`.
fn pick<T: Copy>(plane: &[T], width: usize, rows: &[usize], cols: &[usize], out: &mut Vec<T>) {
    for &row in rows {
        let line = &plane[row * width..][..width];
        out.extend(cols.iter().map(|&col| line[col]));
    }
}

/// Source rows and columns of an image of `height` x `width` grown to `new_height` x `new_width`.
fn reflected(
    height: usize,
    width: usize,
    new_height: usize,
    new_width: usize,
) -> (Vec<usize>, Vec<usize>) {
    let axis = |size: usize, new_size: usize| -> Vec<usize> {
        match size {
            0 => Vec::new(),
            1 => vec![0; new_size.max(1)],
            // A triangle wave of period 2 (size - 1).
            _ => (0..new_size.max(size))
                .map(|i| {
                    let k = i % (2 * (size - 1));
                    k.min(2 * (size - 1) - k)
                })
                .collect(),
        }
    };
    (axis(height, new_height), axis(width, new_width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ramp(bands: usize, height: usize, width: usize) -> Raster {
        let data = (0..bands * height * width).map(|v| v as f32).collect();
        Raster::from_vec(bands, height, width, data).unwrap()
    }

    #[test]
    fn wrong_length_is_an_error() {
        let error = Raster::from_vec(2, 3, 4, vec![0.0; 23]).unwrap_err();
        assert_eq!(error.to_string(), "image values: expected 2x3x4, got 23");
    }

    #[test]
    fn pad_reflect_is_numpys() {
        // numpy.pad([0, 1, 2], (0, 5), mode="reflect") = 0 1 2 1 0 1 2 1
        let image = ramp(1, 1, 3).pad_reflect(2, 8);
        assert_eq!((image.height, image.width), (2, 8));
        assert_eq!(&image.data[..8], &[0., 1., 2., 1., 0., 1., 2., 1.]);
        assert_eq!(&image.data[8..], &image.data[..8]);
    }

    #[test]
    fn bands_are_picked_in_order() {
        let image = ramp(3, 2, 2).select_bands(&[2, 0]);
        assert_eq!(image.data, [8., 9., 10., 11., 0., 1., 2., 3.]);
        assert_eq!(image.at(1, 1, 0), 2.0);
    }

    #[test]
    fn windows_grow_to_the_scene_edge() {
        let window = Window {
            row: 2,
            col: 5,
            height: 3,
            width: 4,
        };
        let grown = window.grow(3, 7, 30);
        assert_eq!((grown.row, grown.row_end()), (0, 7));
        assert_eq!((grown.col, grown.col_end()), (2, 12));
        assert_eq!(window.relative_to(grown).col, 3);
        assert!(window.contains(2, 8) && !window.contains(2, 9));
    }

    proptest! {
        #[test]
        fn padding_is_undone_by_cropping(
            bands in 1usize..3, height in 1usize..7, width in 1usize..7,
            more_rows in 0usize..20, more_cols in 0usize..20,
        ) {
            let image = ramp(bands, height, width);
            let padded = image.pad_reflect(height + more_rows, width + more_cols);
            prop_assert_eq!((padded.height, padded.width), (height + more_rows, width + more_cols));
            prop_assert_eq!(padded.crop(Window::full(height, width)), image);
        }

        #[test]
        fn cropping_and_pasting_agree(row in 0usize..4, col in 0usize..4, height in 1usize..4, width in 1usize..4) {
            let image = ramp(2, 7, 7);
            let window = Window { row, col, height, width };
            let part = image.crop(window);
            prop_assert_eq!(part.at(1, 0, 0), image.at(1, row, col));
            let mut copy = image.clone();
            copy.paste(row, col, &part);
            prop_assert_eq!(copy, image);
        }
    }
}
