//! The eight symmetries of a square, for planes of values.

/// One of the eight symmetries of a square: bit 0 mirrors columns, bit 1 mirrors rows, bit 2
/// swaps rows and columns (before the mirrors).
pub type Turn = u8;

/// The symmetries that a rectangle has too: those without a swap.
pub const OF_A_RECTANGLE: [Turn; 4] = [0, 3, 1, 2];

/// All eight, ordered so that the first few differ most.
pub const OF_A_SQUARE: [Turn; 8] = [0, 7, 3, 4, 1, 6, 2, 5];

/// Appends the plane `[height, width]`, turned, to `out`. A turn with a swap needs
/// `height == width`.
pub fn turn_into<T: Copy>(plane: &[T], height: usize, width: usize, turn: Turn, out: &mut Vec<T>) {
    debug_assert!(turn & 4 == 0 || height == width);
    if turn == 0 {
        out.extend_from_slice(plane);
        return;
    }
    let mirror = |i: usize, size: usize, yes: bool| if yes { size - 1 - i } else { i };
    for row in 0..height {
        let row = mirror(row, height, turn & 2 != 0);
        for col in 0..width {
            let col = mirror(col, width, turn & 1 != 0);
            let index = match turn & 4 != 0 {
                true => col * width + row,
                false => row * width + col,
            };
            out.push(plane[index]);
        }
    }
}

/// Planes `[n, height, width]`, each turned.
pub fn turned<T: Copy>(planes: &[T], height: usize, width: usize, turn: Turn) -> Vec<T> {
    let mut out = Vec::with_capacity(planes.len());
    for plane in planes.chunks_exact((height * width).max(1)) {
        turn_into(plane, height, width, turn, &mut out);
    }
    out
}

/// The turn that undoes `turn`: mirrors undo themselves; after a swap they change places.
pub fn inverse(turn: Turn) -> Turn {
    match turn & 4 != 0 {
        true => 4 | ((turn & 1) << 1) | ((turn & 2) >> 1),
        false => turn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_different_turns_and_their_inverses() {
        let plane: Vec<u8> = (0..9).collect();
        let all: std::collections::BTreeSet<Vec<u8>> =
            (0..8).map(|turn| turned(&plane, 3, 3, turn)).collect();
        assert_eq!(all.len(), 8);
        for turn in 0..8 {
            let there = turned(&plane, 3, 3, turn);
            assert_eq!(turned(&there, 3, 3, inverse(turn)), plane, "turn {turn}");
        }
    }

    #[test]
    fn rectangles_are_mirrored() {
        let planes: Vec<u8> = (0..12).collect();
        assert_eq!(
            turned(&planes, 2, 3, 1),
            [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9]
        );
        assert_eq!(
            turned(&planes, 2, 3, 2),
            [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]
        );
        assert_eq!(
            turned(&planes, 2, 3, 3),
            [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6]
        );
    }

    #[test]
    fn the_lists_hold_each_symmetry_once() {
        let mut square = OF_A_SQUARE;
        square.sort_unstable();
        assert_eq!(square, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(OF_A_RECTANGLE.iter().all(|turn| turn & 4 == 0));
    }
}
