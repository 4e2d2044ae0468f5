//! Holes of any form as a degradation: they grow from where they are deepest.

use std::collections::VecDeque;

use burn::tensor::Tensor;

use super::Degradation;

/// How deep in its hole every pixel lies: its distance to the nearest visible pixel as a share of
/// the largest one, above 0 to 1; 0 where visible. Distances are counted in steps to one of four
/// neighbours; where nothing is visible every pixel is as deep.
pub fn depths(hole: &[bool], (height, width): (usize, usize)) -> Vec<f32> {
    let mut distance: Vec<usize> = vec![usize::MAX; hole.len()];
    let mut next: VecDeque<usize> = VecDeque::new();
    for (i, hidden) in hole.iter().enumerate() {
        if !hidden {
            distance[i] = 0;
            next.push_back(i);
        }
    }
    while let Some(i) = next.pop_front() {
        let (row, col) = (i / width, i % width);
        let neighbours = [
            (row > 0).then(|| i - width),
            (row + 1 < height).then(|| i + width),
            (col > 0).then(|| i - 1),
            (col + 1 < width).then(|| i + 1),
        ];
        for j in neighbours.into_iter().flatten() {
            if distance[j] == usize::MAX {
                distance[j] = distance[i] + 1;
                next.push_back(j);
            }
        }
    }
    let reached = distance.iter().filter(|d| **d != usize::MAX);
    let deepest = reached.copied().max().unwrap_or(0);
    let share = |distance: &usize| match *distance {
        usize::MAX => 1.0,
        distance => distance as f32 / deepest.max(1) as f32,
    };
    distance.iter().map(share).collect()
}

/// Holes that grow from their deepest pixels outwards; hidden pixels are 0, the mean of a
/// normalised image. After the last step all of the hole is hidden.
pub struct Growing {
    depths: Tensor<4>,
    steps: usize,
}

impl Growing {
    /// `depths`: `[batch, 1, height, width]`, see [`depths`]; at least one step.
    pub fn new(depths: Tensor<4>, steps: usize) -> Self {
        Self { depths, steps }
    }
}

impl Degradation for Growing {
    fn steps(&self) -> usize {
        self.steps
    }

    fn degrade(&self, x0: Tensor<4>, step: usize) -> Tensor<4> {
        if step == 0 {
            return x0;
        }
        // A little more than the share keeps rounding out of the comparison.
        let left = 1.0 - step.min(self.steps) as f64 / self.steps as f64;
        x0 * self.depths.clone().lower_equal_elem(left + 1e-6).float()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn holes_grow_from_their_deepest_pixels() {
        let hole: Vec<bool> = (0..7).map(|i| (1..6).contains(&i)).collect();
        let depths = depths(&hole, (1, 7));
        let third = 1.0 / 3.0;
        assert_eq!(
            depths,
            [0.0, third, 2.0 * third, 1.0, 2.0 * third, third, 0.0]
        );
        let depths = Tensor::from_data(TensorData::new(depths, [1, 1, 1, 7]), &Device::flex());
        let growing = Growing::new(depths.clone(), 3);
        let hidden = |step| -> Vec<bool> {
            let left = growing.degrade(depths.ones_like(), step).into_data();
            left.iter::<f32>().map(|v| v == 0.0).collect()
        };
        let among = |from: usize, to: usize| (0..7).map(|i| (from..to).contains(&i)).collect();
        let expected: [Vec<bool>; 4] = [among(0, 0), among(3, 4), among(2, 5), among(1, 6)];
        for (step, expected) in expected.into_iter().enumerate() {
            assert_eq!(hidden(step), expected, "step {step}");
        }
    }

    #[test]
    fn a_hole_without_an_edge_is_as_deep_everywhere() {
        assert_eq!(depths(&[true; 6], (2, 3)), [1.0; 6]);
        assert_eq!(depths(&[false; 6], (2, 3)), [0.0; 6]);
    }
}
