//! How far and in which direction shadows lie from their clouds: the offset at which the clouds,
//! moved, fall onto dark pixels more than chance would have it.

use super::{Settings, Sun};
use crate::raster::Window;
use crate::raster::bits::BitMask;

/// The search works on blocks of this many pixels a side.
const COARSE_PX: usize = 4;
/// Shadows of low and middle clouds at usual heights of the sun lie closer than this.
const FARTHEST_M: f64 = 2400.0;
const FARTHEST_PX: f64 = 240.0;
/// An offset shorter than this cannot be told from the edge of the cloud.
const NEAREST_PX: f64 = 8.0;
/// A worse agreement is chance.
const LEAST_SCORE: f64 = 0.05;
/// Parts of the scene that are looked at, and their side.
const PARTS: usize = 8;
const PART_PX: usize = 1024;
/// An azimuth leaves this much play, degrees: the sensor sees a high cloud displaced.
const AZIMUTH_PLAY: f64 = 25.0;
/// Outside these latitudes the sun of a late morning stands on the side of the equator.
const TROPICS: f64 = 30.0;

/// A part of the scene in blocks: shares of cloud, of dark and of uncovered pixels.
struct Part {
    rows: usize,
    cols: usize,
    cloud: Vec<(usize, usize, f64)>,
    dark: Vec<f64>,
    open: Vec<f64>,
}

/// The offset in rows down and columns to the right; `None` if no offset explains the dark
/// pixels.
pub(super) fn best(cloud: &BitMask, dark: &BitMask, settings: &Settings) -> Option<(isize, isize)> {
    let parts = parts(cloud, dark);
    let reach = (FARTHEST_M / settings.pixel_m.max(0.1)).clamp(4.0 * NEAREST_PX, FARTHEST_PX);
    let reach = (reach / COARSE_PX as f64).ceil() as isize;
    let least = NEAREST_PX / COARSE_PX as f64;
    let total = |of: fn(&Part) -> f64| parts.iter().map(of).sum::<f64>();
    let dark_share =
        total(|part| part.dark.iter().sum()) / total(|part| part.open.iter().sum()).max(1.0);
    let mut best = (LEAST_SCORE, None);
    for down in -reach..=reach {
        for right in -reach..=reach {
            let length = (down as f64).hypot(right as f64);
            if length < least || length > reach as f64 || !plausible(down, right, settings.sun) {
                continue;
            }
            let score = score(&parts, down, right, dark_share);
            if score > best.0 {
                best = (score, Some((down, right)));
            }
        }
    }
    let px = COARSE_PX as isize;
    best.1.map(|(down, right)| (down * px, right * px))
}

/// Whether a shadow can lie on that side of its cloud.
fn plausible(down: isize, right: isize, sun: Sun) -> bool {
    let (down, right) = (down as f64, right as f64);
    match sun {
        Sun::Unknown => true,
        Sun::Azimuth(degrees) => {
            // North is up, rows count downwards.
            let away = (-right).atan2(down).to_degrees();
            let apart = (away - degrees).rem_euclid(360.0);
            apart.min(360.0 - apart) <= AZIMUTH_PLAY
        }
        Sun::Morning { latitude } => {
            let to_the_pole = match latitude {
                Some(latitude) if latitude > TROPICS => down <= 0.3 * right.abs(),
                Some(latitude) if latitude < -TROPICS => -down <= 0.3 * right.abs(),
                _ => true,
            };
            right < 0.0 && to_the_pole
        }
    }
}

/// Agreement of moved cloud and dark pixels over their union, less what chance gives.
fn score(parts: &[Part], down: isize, right: isize, dark_share: f64) -> f64 {
    let (mut hit, mut seen, mut dark, mut clouds) = (0.0, 0.0, 0.0, 0.0);
    for part in parts {
        for (row, col, share) in &part.cloud {
            clouds += share;
            let (Some(row), Some(col)) =
                (row.checked_add_signed(down), col.checked_add_signed(right))
            else {
                continue;
            };
            if row < part.rows && col < part.cols {
                hit += share * part.dark[row * part.cols + col];
                seen += share * part.open[row * part.cols + col];
            }
        }
        dark += part.dark.iter().sum::<f64>();
    }
    // Hardly any cloud would throw its shadow into view: nothing can be learnt.
    if seen < 0.15 * clouds {
        return f64::NEG_INFINITY;
    }
    (hit - dark_share * seen) / (seen + dark - hit).max(1e-6)
}

/// The parts of the scene with most of both, clouds and dark pixels.
fn parts(cloud: &BitMask, dark: &BitMask) -> Vec<Part> {
    let (height, width) = cloud.size();
    let mut found: Vec<(usize, Window)> = Vec::new();
    for row in (0..height).step_by(PART_PX) {
        for col in (0..width).step_by(PART_PX) {
            let window = Window {
                row,
                col,
                height: PART_PX.min(height - row),
                width: PART_PX.min(width - col),
            };
            let both = cloud.read(window).count().min(dark.read(window).count());
            found.push((both, window));
        }
    }
    found.sort_by_key(|(both, window)| (usize::MAX - both, window.row, window.col));
    found.truncate(PARTS);
    found
        .into_iter()
        .map(|(_, window)| part(cloud, dark, window))
        .collect()
}

fn part(cloud: &BitMask, dark: &BitMask, window: Window) -> Part {
    let (clouds, darks) = (cloud.read(window), dark.read(window));
    let (rows, cols) = (window.height / COARSE_PX, window.width / COARSE_PX);
    let mut part = Part {
        rows,
        cols,
        cloud: Vec::new(),
        dark: Vec::with_capacity(rows * cols),
        open: Vec::with_capacity(rows * cols),
    };
    let pixels = (COARSE_PX * COARSE_PX) as f64;
    for row in 0..rows {
        for col in 0..cols {
            let block = Window {
                row: row * COARSE_PX,
                col: col * COARSE_PX,
                height: COARSE_PX,
                width: COARSE_PX,
            };
            let share = clouds.crop(block).count() as f64 / pixels;
            if share > 0.0 {
                part.cloud.push((row, col, share));
            }
            part.open.push(1.0 - share);
            part.dark.push(darks.crop(block).count() as f64 / pixels);
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_lies_away_from_the_sun() {
        // North up: a sun in the south-east throws shadows up and to the left.
        let sun = Sun::Azimuth(136.7);
        assert!(plausible(-36, -40, sun) && !plausible(36, 40, sun) && !plausible(-36, 40, sun));
        let north = Sun::Morning {
            latitude: Some(48.0),
        };
        assert!(plausible(-9, -9, north) && !plausible(-9, 9, north) && !plausible(9, -9, north));
        let south = Sun::Morning {
            latitude: Some(-33.0),
        };
        assert!(plausible(9, -9, south) && !plausible(-9, -9, south));
        let tropics = Sun::Morning { latitude: None };
        assert!(plausible(9, -9, tropics) && plausible(-9, -9, tropics));
        assert!(plausible(9, 9, Sun::Unknown));
    }
}
