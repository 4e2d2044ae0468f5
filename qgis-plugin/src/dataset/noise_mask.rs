//! Procedural cloud masks: fractal value noise cut off where the wanted cover is reached.

use unclouded_core::raster::Mask;

use super::rng::Rng;

/// A random mask of `side` by `side` pixels with exactly `masked` true ones.
///
/// Half of the masks are scattered blobs, a quarter one or few large ones, a quarter a single
/// large blob that hugs an edge of the tile, as where a cloud bank reaches beyond it.
pub fn draw(rng: &mut Rng, side: usize, masked: usize) -> Mask {
    let px = side as f32;
    let kind = rng.unit();
    let cell = if kind < 0.5 {
        rng.log_range(px / 8.0, px / 2.5)
    } else {
        rng.log_range(px / 2.5, px * 1.2)
    };
    let mut field = fractal(rng, side, cell.max(2.0));
    if kind >= 0.75 {
        lean_on_edge(rng, side, &mut field);
    }
    Mask {
        height: side,
        width: side,
        data: highest(&field, masked),
    }
}

/// Fractal value noise (octaves of a smoothed random lattice, each of half the cell size).
pub(super) fn fractal(rng: &mut Rng, side: usize, cell_px: f32) -> Vec<f32> {
    let mut field = vec![0.0f32; side * side];
    let persistence = rng.range(0.3, 0.65);
    // Clouds are drawn out along the wind.
    let stretch = rng.log_range(0.75, 1.35);
    let (mut cell, mut amplitude) = (cell_px, 1.0);
    for _ in 0..5 {
        let (rows, cols) = ((cell * stretch).max(1.0), (cell / stretch).max(1.0));
        add_octave(rng, side, rows, cols, amplitude, &mut field);
        cell /= 2.0;
        amplitude *= persistence;
        if cell < 1.5 {
            break;
        }
    }
    field
}

fn add_octave(
    rng: &mut Rng,
    side: usize,
    row_px: f32,
    col_px: f32,
    amplitude: f32,
    field: &mut [f32],
) {
    let taps = |cell: f32, offset: f32| -> Vec<(usize, f32)> {
        (0..side)
            .map(|i| {
                let position = i as f32 / cell + offset;
                let t = position.fract();
                (position as usize, t * t * (3.0 - 2.0 * t))
            })
            .collect()
    };
    let rows = taps(row_px, rng.unit());
    let cols = taps(col_px, rng.unit());
    let last = |taps: &[(usize, f32)]| taps.last().map_or(0, |tap| tap.0) + 2;
    let lattice_width = last(&cols);
    let lattice: Vec<f32> = (0..last(&rows) * lattice_width)
        .map(|_| rng.range(-amplitude, amplitude))
        .collect();
    for (values, &(r, v)) in field.chunks_exact_mut(side).zip(&rows) {
        let above = &lattice[r * lattice_width..(r + 1) * lattice_width];
        let below = &lattice[(r + 1) * lattice_width..(r + 2) * lattice_width];
        for (value, &(c, u)) in values.iter_mut().zip(&cols) {
            let top = above[c] + u * (above[c + 1] - above[c]);
            let bottom = below[c] + u * (below[c + 1] - below[c]);
            *value += top + v * (bottom - top);
        }
    }
}

/// Adds a cone about a point at or just beyond one edge, so that one blob wins.
fn lean_on_edge(rng: &mut Rng, side: usize, field: &mut [f32]) {
    let along = rng.range(0.0, 1.0);
    let beyond = rng.range(-0.3, 0.1);
    let (row, col) = match rng.below(4) {
        0 => (beyond, along),
        1 => (1.0 - beyond, along),
        2 => (along, beyond),
        _ => (along, 1.0 - beyond),
    };
    let weight = rng.range(2.0, 6.0);
    for (i, value) in field.iter_mut().enumerate() {
        let dr = (i / side) as f32 / side as f32 - row;
        let dc = (i % side) as f32 / side as f32 - col;
        *value -= weight * (dr * dr + dc * dc).sqrt();
    }
}

/// True at the `count` highest values; ties go to the lower index.
fn highest(field: &[f32], count: usize) -> Vec<bool> {
    let mut flags = vec![false; field.len()];
    let count = count.min(field.len());
    if count == 0 {
        return flags;
    }
    let mut order: Vec<usize> = (0..field.len()).collect();
    order.select_nth_unstable_by(count - 1, |&a, &b| {
        field[b].total_cmp(&field[a]).then(a.cmp(&b))
    });
    for &i in &order[..count] {
        flags[i] = true;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_as_many_pixels_as_asked_for() {
        let mut rng = Rng::new(3);
        for side in [8, 33, 64, 256] {
            for masked in [0, 1, side, side * side / 2, side * side - 1, side * side] {
                let mask = draw(&mut rng, side, masked);
                assert_eq!(mask.data.iter().filter(|&&m| m).count(), masked);
                assert_eq!((mask.height, mask.width), (side, side));
            }
        }
    }

    #[test]
    fn masks_are_blobs_not_speckle() {
        let mut rng = Rng::new(4);
        let (mut changes, side, n) = (0, 64, 50);
        for _ in 0..n {
            let mask = draw(&mut rng, side, side * side / 3);
            for row in mask.data.chunks_exact(side) {
                changes += row.windows(2).filter(|w| w[0] != w[1]).count();
            }
        }
        // Independent pixels at this cover would change 28 times a row.
        let per_row = changes as f64 / (n * side) as f64;
        assert!((0.5..8.0).contains(&per_row), "{per_row}");
    }
}
