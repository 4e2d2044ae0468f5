//! A mask of a whole scene in one bit a pixel, allocated only where something is marked.

use super::{Mask, Window};

/// Rows that are allocated together.
pub const STRIP_ROWS: usize = 64;
const WORD: usize = 64;

/// One flag for every pixel of a scene: at most an eighth of a byte a pixel (15 MB for a full
/// Sentinel-2 tile of 10980 x 10980), and nothing for strips of rows without a set flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitMask {
    height: usize,
    width: usize,
    words: usize,
    strips: Vec<Option<Vec<u64>>>,
}

impl BitMask {
    /// A mask without a set flag.
    pub fn new(height: usize, width: usize) -> Self {
        BitMask {
            height,
            width,
            words: width.div_ceil(WORD),
            strips: vec![None; height.div_ceil(STRIP_ROWS)],
        }
    }

    /// Height and width in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// How many flags are set.
    pub fn count(&self) -> u64 {
        let strips = self.strips.iter().flatten();
        strips
            .flatten()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// Whether any flag is set.
    pub fn any(&self) -> bool {
        let mut words = self.strips.iter().flatten().flatten();
        words.any(|word| *word != 0)
    }

    /// Sets the flags that `part` sets; its upper left pixel lies at `row`, `col`, and it must
    /// not leave the scene. Flags already set stay set.
    pub fn set(&mut self, row: usize, col: usize, part: &Mask) {
        if part.width == 0 {
            return;
        }
        for (r, line) in part.data.chunks_exact(part.width).enumerate() {
            if !line.contains(&true) {
                continue;
            }
            let words = self.row_mut(row + r);
            for (c, _) in line.iter().enumerate().filter(|(_, flag)| **flag) {
                words[(col + c) / WORD] |= 1 << ((col + c) % WORD);
            }
        }
    }

    /// The flags of a window, which must not leave the scene.
    pub fn read(&self, window: Window) -> Mask {
        let mut data = Vec::with_capacity(window.pixels());
        for row in window.row..window.row_end() {
            match self.row(row) {
                None => data.resize(data.len() + window.width, false),
                Some(words) => data.extend(
                    (window.col..window.col_end())
                        .map(|col| words[col / WORD] >> (col % WORD) & 1 == 1),
                ),
            }
        }
        Mask {
            height: window.height,
            width: window.width,
            data,
        }
    }

    /// Drops groups of fewer than `least_px` flags; pixels that touch, also at a corner, belong
    /// together. Returns how many groups were dropped. Memory grows with the number of runs of
    /// set flags in the rows, not with the pixels.
    pub fn remove_small(&mut self, least_px: u64) -> u64 {
        if least_px <= 1 {
            return 0;
        }
        let mut groups = self.groups();
        let mut number = 0;
        for row in 0..self.height {
            let small: Vec<Run> = self
                .runs(row)
                .filter(|_| {
                    number += 1;
                    groups.area(number - 1) < least_px
                })
                .collect();
            self.clear(row, &small);
        }
        groups.smaller_than(least_px)
    }

    /// Keeps the groups (as in [`BitMask::remove_small`]) in which some pixel is also set in
    /// `seeds`, a mask of the same size.
    pub fn keep_touching(&mut self, seeds: &BitMask) {
        let mut groups = self.groups();
        let mut keep = vec![false; groups.parent.len()];
        let mut number = 0;
        for row in 0..self.height {
            for run in self.runs(row) {
                let seeded = seeds.row(row).is_some_and(|words| {
                    next(words, run.start, self.width, true).is_some_and(|col| col < run.end)
                });
                if seeded {
                    let root = groups.root(number);
                    keep[root] = true;
                }
                number += 1;
            }
        }
        let mut number = 0;
        for row in 0..self.height {
            let lost: Vec<Run> = self
                .runs(row)
                .filter(|_| {
                    number += 1;
                    !keep[groups.root(number - 1)]
                })
                .collect();
            self.clear(row, &lost);
        }
    }

    /// Sets what `other`, a mask of the same size, sets.
    pub fn or(&mut self, other: &BitMask) {
        self.combine(other, |own, other| own | other);
    }

    /// Keeps what `other`, a mask of the same size, sets too.
    pub fn and(&mut self, other: &BitMask) {
        debug_assert_eq!(self.size(), other.size());
        for (own, other) in self.strips.iter_mut().zip(&other.strips) {
            match (own.as_mut(), other) {
                (Some(words), Some(other)) => words
                    .iter_mut()
                    .zip(other)
                    .for_each(|(own, other)| *own &= other),
                _ => *own = None,
            }
        }
    }

    /// Clears what `other`, a mask of the same size, sets.
    pub fn and_not(&mut self, other: &BitMask) {
        self.combine(other, |own, other| own & !other);
    }

    fn combine(&mut self, other: &BitMask, of: impl Fn(u64, u64) -> u64) {
        debug_assert_eq!(self.size(), other.size());
        let size = STRIP_ROWS * self.words;
        for (own, other) in self.strips.iter_mut().zip(&other.strips) {
            if let Some(other) = other {
                let own = own.get_or_insert_with(|| vec![0; size]);
                own.iter_mut()
                    .zip(other)
                    .for_each(|(own, other)| *own = of(*own, *other));
            }
        }
    }

    /// Clears runs of a row.
    fn clear(&mut self, row: usize, runs: &[Run]) {
        for run in runs {
            let words = self.row_mut(row);
            for col in run.start..run.end {
                words[col / WORD] &= !(1 << (col % WORD));
            }
        }
    }

    /// Which runs, counted from top to bottom and left to right, hang together.
    fn groups(&self) -> Groups {
        let mut groups = Groups::default();
        let mut above: Vec<(Run, usize)> = Vec::new();
        for row in 0..self.height {
            let mut line: Vec<(Run, usize)> = Vec::new();
            let mut first = 0;
            for run in self.runs(row) {
                let own = groups.add(run.len() as u64);
                while above
                    .get(first)
                    .is_some_and(|(other, _)| other.end < run.start)
                {
                    first += 1;
                }
                // `end` is one past the last pixel: equal means touching at a corner.
                for (other, group) in &above[first..] {
                    if other.start > run.end {
                        break;
                    }
                    groups.join(*group, own);
                }
                line.push((run, own));
            }
            above = line;
        }
        groups
    }

    fn row(&self, row: usize) -> Option<&[u64]> {
        let strip = self.strips[row / STRIP_ROWS].as_ref()?;
        Some(&strip[(row % STRIP_ROWS) * self.words..][..self.words])
    }

    fn row_mut(&mut self, row: usize) -> &mut [u64] {
        let size = STRIP_ROWS * self.words;
        let strip = self.strips[row / STRIP_ROWS].get_or_insert_with(|| vec![0; size]);
        &mut strip[(row % STRIP_ROWS) * self.words..][..self.words]
    }

    /// Runs of set flags of a row, from left to right.
    pub(super) fn runs(&self, row: usize) -> impl Iterator<Item = Run> {
        let words = self.row(row);
        let width = self.width;
        let mut col = 0;
        std::iter::from_fn(move || {
            let words = words?;
            let start = next(words, col, width, true)?;
            let end = next(words, start, width, false).unwrap_or(width);
            col = end;
            Some(Run { start, end })
        })
    }
}

/// The first column from `col` on whose flag is `value`.
fn next(words: &[u64], mut col: usize, width: usize, value: bool) -> Option<usize> {
    while col < width {
        let word = words[col / WORD];
        let word = if value { word } else { !word } >> (col % WORD);
        if word != 0 {
            let found = col + word.trailing_zeros() as usize;
            return (found < width).then_some(found);
        }
        col = (col / WORD + 1) * WORD;
    }
    None
}

/// Set flags `start..end` of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Run {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

/// Which runs hang together (union-find, Tarjan 1975), and the area of each group.
#[derive(Debug, Default)]
struct Groups {
    parent: Vec<usize>,
    area: Vec<u64>,
}

impl Groups {
    fn add(&mut self, area: u64) -> usize {
        self.parent.push(self.parent.len());
        self.area.push(area);
        self.parent.len() - 1
    }

    fn root(&mut self, mut run: usize) -> usize {
        while self.parent[run] != run {
            self.parent[run] = self.parent[self.parent[run]];
            run = self.parent[run];
        }
        run
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            let (small, large) = if self.area[a] < self.area[b] {
                (a, b)
            } else {
                (b, a)
            };
            self.parent[small] = large;
            self.area[large] += self.area[small];
        }
    }

    fn area(&mut self, run: usize) -> u64 {
        let root = self.root(run);
        self.area[root]
    }

    fn smaller_than(&self, area: u64) -> u64 {
        let roots = (0..self.parent.len()).filter(|run| self.parent[*run] == *run);
        roots.filter(|root| self.area[*root] < area).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(mask: &Mask) -> BitMask {
        let mut bits = BitMask::new(mask.height, mask.width);
        bits.set(0, 0, mask);
        bits
    }

    /// The plain way: flood each group with a stack.
    fn without_small(mask: &Mask, least: u64) -> Mask {
        let (height, width) = (mask.height as isize, mask.width as isize);
        let mut out = mask.clone();
        let mut seen = vec![false; mask.data.len()];
        for start in 0..mask.data.len() {
            if !mask.data[start] || seen[start] {
                continue;
            }
            let (mut stack, mut group) = (vec![start], Vec::new());
            seen[start] = true;
            while let Some(at) = stack.pop() {
                group.push(at);
                let (row, col) = (at as isize / width, at as isize % width);
                for (r, c) in (-1..=1).flat_map(|r| (-1..=1).map(move |c| (row + r, col + c))) {
                    if (0..height).contains(&r) && (0..width).contains(&c) {
                        let next = (r * width + c) as usize;
                        if mask.data[next] && !seen[next] {
                            seen[next] = true;
                            stack.push(next);
                        }
                    }
                }
            }
            if (group.len() as u64) < least {
                group.iter().for_each(|at| out.data[*at] = false);
            }
        }
        out
    }

    fn masks() -> impl Strategy<Value = Mask> {
        (1usize..150, 1usize..150, 0.02..0.7f64).prop_flat_map(|(height, width, share)| {
            prop::collection::vec(prop::bool::weighted(share), height * width).prop_map(
                move |data| Mask {
                    height,
                    width,
                    data,
                },
            )
        })
    }

    #[test]
    fn an_empty_scene_takes_no_memory() {
        let mut bits = BitMask::new(1_000_000, 1_000_000);
        assert!(!bits.any() && bits.strips.iter().all(Option::is_none));
        bits.set(
            999_999,
            999_998,
            &Mask {
                height: 1,
                width: 2,
                data: vec![false, true],
            },
        );
        assert_eq!(bits.count(), 1);
        assert_eq!(bits.strips.iter().flatten().count(), 1);
    }

    #[test]
    fn a_ring_is_one_group_and_corners_touch() {
        let ring = Mask::from_fn(5, 5, |row, col| row.abs_diff(2).max(col.abs_diff(2)) == 2);
        let mut bits = of(&ring);
        assert_eq!(bits.remove_small(16), 0);
        assert_eq!(bits.remove_small(17), 1);
        assert!(!bits.any());
        let mut diagonal = of(&Mask::from_fn(4, 4, |row, col| row == col));
        assert_eq!((diagonal.remove_small(4), diagonal.count()), (0, 4));
    }

    #[test]
    fn seeds_choose_groups() {
        let bars = of(&Mask::from_fn(9, 70, |row, _| row % 3 == 0));
        let mut kept = bars.clone();
        kept.keep_touching(&of(&Mask::from_fn(9, 70, |row, col| (row, col) == (3, 69))));
        let expected = of(&Mask::from_fn(9, 70, |row, _| row == 3));
        assert_eq!(kept.count(), 70);
        kept.and_not(&expected);
        assert!(!kept.any());
        kept.or(&bars);
        assert_eq!(kept.count(), 210);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn flags_come_back(mask in masks(), cut in (0.0..1.0f64, 0.0..1.0f64)) {
            let bits = of(&mask);
            prop_assert_eq!(bits.count(), mask.count() as u64);
            let (row, col) = (
                (cut.0 * mask.height as f64) as usize, (cut.1 * mask.width as f64) as usize,
            );
            let window = Window { row, col, height: mask.height - row, width: mask.width - col };
            prop_assert_eq!(bits.read(window), mask.crop(window));
        }

        #[test]
        fn small_groups_go_and_others_stay(mask in masks(), least in 0u64..40) {
            let mut bits = of(&mask);
            bits.remove_small(least);
            let all = Window::full(mask.height, mask.width);
            prop_assert_eq!(bits.read(all), without_small(&mask, least));
        }
    }
}
