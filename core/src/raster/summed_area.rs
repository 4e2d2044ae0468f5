//! Sums over squares of an image in constant time.

/// Summed-area table (Crow 1984).
pub struct SummedArea {
    height: usize,
    width: usize,
    /// `[height + 1, width + 1]`: the sum over all pixels above and left.
    sums: Vec<f64>,
}

impl SummedArea {
    /// The table of `value(index)` over an image.
    pub fn new(height: usize, width: usize, value: impl Fn(usize) -> f64) -> Self {
        let mut sums = vec![0.0; (height + 1) * (width + 1)];
        for row in 0..height {
            let mut line = 0.0;
            for col in 0..width {
                line += value(row * width + col);
                sums[(row + 1) * (width + 1) + col + 1] = sums[row * (width + 1) + col + 1] + line;
            }
        }
        Self {
            height,
            width,
            sums,
        }
    }

    /// The sum over the square of half side `radius` around a pixel, cut at the image.
    pub fn square(&self, row: usize, col: usize, radius: usize) -> f64 {
        let (top, left) = (row.saturating_sub(radius), col.saturating_sub(radius));
        let bottom = (row + radius + 1).min(self.height);
        let right = (col + radius + 1).min(self.width);
        let at = |row: usize, col: usize| self.sums[row * (self.width + 1) + col];
        at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)
    }
}
