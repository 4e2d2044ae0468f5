//! Growing two masks at once: what lies near both goes to the nearer.

use super::Mask;

/// Grows clouds and their shadows by `px` pixels, so that the rim of a shadow is shadow.
///
/// Together the two cover what [`Mask::dilate`] makes of both; a pixel that lies as near to one
/// as to the other is cloud, and no pixel is both. The masks must be of one size; where both are
/// set, `cloud` wins.
///
/// Returns the grown cloud and the grown shadow.
pub fn grow_classes(cloud: &Mask, shadow: &Mask, px: usize) -> (Mask, Mask) {
    let (to_cloud, to_shadow) = (squared_distances(cloud), squared_distances(shadow));
    let reach = (px as u64).pow(2);
    let of = |belongs: &dyn Fn(u64, u64) -> bool| Mask {
        height: cloud.height,
        width: cloud.width,
        data: to_cloud
            .iter()
            .zip(&to_shadow)
            .map(|(cloud, shadow)| cloud.min(shadow) <= &reach && belongs(*cloud, *shadow))
            .collect(),
    };
    (
        of(&|cloud, shadow| cloud <= shadow),
        of(&|cloud, shadow| shadow < cloud),
    )
}

/// Squared Euclidean distance, in pixels, from each pixel to the nearest set one; `u64::MAX`
/// everywhere if none is set. Linear in the pixels (Felzenszwalb and Huttenlocher 2012,
/// "Distance transforms of sampled functions", section 2.1).
fn squared_distances(mask: &Mask) -> Vec<u64> {
    let (height, width) = (mask.height, mask.width);
    if !mask.any() {
        return vec![u64::MAX; height * width];
    }
    // Rows to the nearest set pixel of the same column; farther than any if there is none.
    let far = (height + width) as u64;
    let mut rows = vec![far; height * width];
    for at in 0..height * width {
        if mask.data[at] {
            rows[at] = 0;
        } else if at >= width {
            rows[at] = (rows[at - width] + 1).min(far);
        }
    }
    for at in (0..height.saturating_sub(1) * width).rev() {
        rows[at] = rows[at].min(rows[at + width] + 1);
    }
    let mut squared = Vec::with_capacity(height * width);
    let mut envelope = Envelope::default();
    for line in rows.chunks_exact(width) {
        envelope.of(line);
        squared.extend(envelope.heights());
    }
    squared
}

/// The lowest of the parabolas `(x - column)^2 + rows^2` of one line.
#[derive(Default)]
struct Envelope {
    /// Column and height of those that are lowest somewhere.
    lowest: Vec<(i64, i64)>,
    /// Where each begins to be the lowest.
    begins: Vec<i64>,
    width: i64,
}

impl Envelope {
    fn of(&mut self, line: &[u64]) {
        self.lowest.clear();
        self.begins.clear();
        self.width = line.len() as i64;
        for (column, rows) in (0..).zip(line) {
            let height = (*rows as i64).pow(2);
            let mut begin = 0;
            while let Some(&(other, lower)) = self.lowest.last() {
                // The first whole column at which this one is not higher than the other.
                let (rise, run) = (
                    height + column * column - lower - other * other,
                    2 * (column - other),
                );
                begin = rise.div_euclid(run) + i64::from(rise.rem_euclid(run) != 0);
                if self.begins.last().is_some_and(|last| begin <= *last) {
                    self.lowest.pop();
                    self.begins.pop();
                    begin = 0;
                } else {
                    break;
                }
            }
            if begin < self.width {
                self.lowest.push((column, height));
                self.begins.push(begin);
            }
        }
    }

    fn heights(&self) -> impl Iterator<Item = u64> + '_ {
        let mut at = 0;
        (0..self.width).map(move |column| {
            while self.begins.get(at + 1).is_some_and(|next| *next <= column) {
                at += 1;
            }
            let (own, height) = self.lowest[at];
            ((column - own).pow(2) + height) as u64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classes() -> impl Strategy<Value = (Mask, Mask)> {
        (1usize..16, 1usize..16).prop_flat_map(|(height, width)| {
            prop::collection::vec(0u8..12, height * width).prop_map(move |values| {
                let of = |wanted: u8| Mask {
                    height,
                    width,
                    data: values.iter().map(|value| *value == wanted).collect(),
                };
                (of(1), of(2))
            })
        })
    }

    fn nearest(mask: &Mask, row: usize, col: usize) -> u64 {
        let mut least = u64::MAX;
        for r in 0..mask.height {
            for c in 0..mask.width {
                if mask.at(r, c) {
                    least = least.min((r.abs_diff(row).pow(2) + c.abs_diff(col).pow(2)) as u64);
                }
            }
        }
        least
    }

    #[test]
    fn the_rim_of_a_shadow_is_shadow() {
        let cloud = Mask::from_fn(9, 30, |row, col| row == 4 && col == 4);
        let shadow = Mask::from_fn(9, 30, |row, col| row == 4 && col == 20);
        let (cloud, shadow) = grow_classes(&cloud, &shadow, 3);
        assert_eq!((cloud.count(), shadow.count()), (29, 29));
        assert!(shadow.at(4, 23) && !shadow.at(4, 24) && !cloud.at(4, 17));
    }

    proptest! {
        #[test]
        fn distances_are_those_to_the_nearest_set_pixel((mask, _) in classes()) {
            let found = squared_distances(&mask);
            for row in 0..mask.height {
                for col in 0..mask.width {
                    prop_assert_eq!(found[row * mask.width + col], nearest(&mask, row, col));
                }
            }
        }

        #[test]
        fn each_grown_pixel_goes_to_the_nearer_class((cloud, shadow) in classes(), px in 0usize..6) {
            let (grown_cloud, grown_shadow) = grow_classes(&cloud, &shadow, px);
            prop_assert_eq!(&grown_cloud.or(&grown_shadow).data, &cloud.or(&shadow).dilate(px).data);
            prop_assert!(!grown_cloud.and(&grown_shadow).any());
            for row in 0..cloud.height {
                for col in 0..cloud.width {
                    let nearer = nearest(&shadow, row, col) < nearest(&cloud, row, col);
                    if grown_cloud.at(row, col) || grown_shadow.at(row, col) {
                        prop_assert_eq!(grown_shadow.at(row, col), nearer);
                    }
                }
            }
        }
    }
}
