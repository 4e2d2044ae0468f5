//! Random numbers that are a pure function of a key and a place: no state, no order.
//!
//! Device generators differ between backends, and whatever overlaps must see the same numbers
//! whatever the order of the work.

use super::Window;

/// `count` standard normal values of the stream named by `parts`.
pub fn gaussian_stream(parts: &[u64], count: usize) -> Vec<f32> {
    let stream = key(parts);
    (0..count as u64)
        .map(|i| gaussian(mix(stream ^ mix(i))))
        .collect()
}

/// Standard normal values of the plane named by `parts`, one for each pixel of a window: windows
/// that overlap see the same ones.
pub fn gaussian_window(parts: &[u64], window: Window) -> Vec<f32> {
    let bits = bits_at(parts);
    let pixels = (window.row..window.row_end())
        .flat_map(|row| (window.col..window.col_end()).map(move |col| (row, col)));
    pixels.map(|(row, col)| gaussian(bits(row, col))).collect()
}

/// Random bits of the plane named by `parts`, by row and column.
pub fn bits_at(parts: &[u64]) -> impl Fn(usize, usize) -> u64 {
    let plane = key(parts);
    move |row, col| mix(plane ^ mix(((row as u64) << 32) | col as u64))
}

/// Folds several numbers into one key; order matters.
fn key(parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(0x243F_6A88_85A3_08D3, |k, p| mix(k ^ mix(*p)))
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection that scrambles all bits.
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One standard normal value from 64 random bits (Box & Muller 1958).
fn gaussian(bits: u64) -> f32 {
    const SCALE: f64 = 1.0 / (1u64 << 32) as f64;
    // Half a step off zero keeps the logarithm finite.
    let u = ((bits >> 32) as f64 + 0.5) * SCALE;
    let v = (bits & 0xFFFF_FFFF) as f64 * SCALE;
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_standard_normal() {
        let n = 200_000;
        let x = gaussian_stream(&[1, 2], n);
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
        let moment = |p: i32| {
            x.iter()
                .map(|v| (f64::from(*v) - mean).powi(p))
                .sum::<f64>()
                / n as f64
        };
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((moment(2) - 1.0).abs() < 0.02, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.15, "kurtosis {}", moment(4));
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let base = gaussian_stream(&[1, 2, 3], 4);
        for other in [[2, 2, 3], [1, 3, 3], [1, 2, 4], [2, 1, 3]] {
            assert_ne!(base, gaussian_stream(&other, 4));
        }
    }
}
