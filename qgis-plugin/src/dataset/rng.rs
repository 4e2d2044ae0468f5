//! A small counter-based random generator: every example of a training run has its own
//! generator, keyed by (seed, purpose, step, item), so that a resumed run draws the same
//! examples whatever the number of threads.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
//! number generators"), more than good enough for choosing crops and masks.

/// What a generator is used for; keeps the streams of one step independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The order in which tiles are seen.
    Order = 1,
    /// Crop, mask and augmentation of a training example.
    Example = 2,
    /// Crop and mask of a validation example.
    Validation = 3,
    /// The diffusion noise and noise levels of a step.
    Noise = 4,
}

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

/// The finaliser of SplitMix64: a bijection of 64 bits without visible structure.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// A generator from a bare seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The generator of one example: a pure function of its four keys.
    pub fn keyed(seed: u64, purpose: Purpose, step: u64, item: u64) -> Self {
        let mut state = mix(seed ^ 0x6a09_e667_f3bc_c909);
        for key in [purpose as u64, step, item] {
            // The addition keeps (0, 1) and (1, 0) apart, the mix keeps neighbours apart.
            state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(key));
        }
        Self { state }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`, 24 bits.
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform in `[low, high)`; `low` when the range is empty.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Log-uniform in `[low, high)`, both positive.
    pub fn log_range(&mut self, low: f32, high: f32) -> f32 {
        self.range(low.ln(), high.ln()).exp()
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * f64::from(1.0 - self.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * f64::from(self.unit());
        (radius * angle.cos()) as f32
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// The `position`-th item of a random permutation of `0..len` chosen by (seed, epoch): every
/// item once an epoch, without storing the permutation.
///
/// A four-round Feistel network over the next even power of two, walked until the value
/// falls inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
/// `position` must be below `len`.
pub fn permuted(seed: u64, epoch: u64, position: usize, len: usize) -> usize {
    if len < 2 {
        return 0;
    }
    let bits = usize::BITS - (len - 1).leading_zeros();
    let half = bits.div_ceil(2);
    let low = (1u64 << half) - 1;
    let mut keys = Rng::keyed(seed, Purpose::Order, epoch, 0);
    let keys = [
        keys.next_u64(),
        keys.next_u64(),
        keys.next_u64(),
        keys.next_u64(),
    ];
    let mut value = position as u64;
    loop {
        let (mut left, mut right) = (value >> half, value & low);
        for key in keys {
            (left, right) = (right, left ^ (mix(right ^ key) & low));
        }
        value = (left << half) | right;
        if (value as usize) < len {
            return value as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_reference_values() {
        // Published first outputs for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        let got: Vec<u64> = (0..5).map(|_| rng.next_u64()).collect();
        assert_eq!(
            got,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn keys_give_different_streams() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..4 {
            for purpose in [Purpose::Order, Purpose::Example, Purpose::Validation] {
                for step in 0..8 {
                    for item in 0..8 {
                        seen.insert(Rng::keyed(seed, purpose, step, item).next_u64());
                    }
                }
            }
        }
        assert_eq!(seen.len(), 4 * 3 * 8 * 8);
    }

    #[test]
    fn moments_and_bounds() {
        let mut rng = Rng::new(5);
        let n = 40_000;
        let (mut sum, mut squares, mut uniform) = (0.0f64, 0.0f64, 0.0f64);
        for _ in 0..n {
            let x = f64::from(rng.normal());
            assert!(x.is_finite());
            sum += x;
            squares += x * x;
            uniform += f64::from(rng.unit());
            assert!(rng.below(7) < 7);
        }
        assert!((sum / f64::from(n)).abs() < 0.02);
        assert!((squares / f64::from(n) - 1.0).abs() < 0.03);
        assert!((uniform / f64::from(n) - 0.5).abs() < 0.01);
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn every_item_once_an_epoch() {
        for len in [1usize, 2, 3, 5, 16, 17, 1000] {
            for epoch in 0..3 {
                let mut seen: Vec<usize> = (0..len).map(|p| permuted(7, epoch, p, len)).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..len).collect::<Vec<_>>());
            }
        }
        let order = |epoch| {
            (0..1000)
                .map(|p| permuted(7, epoch, p, 1000))
                .collect::<Vec<_>>()
        };
        assert_ne!(order(0), order(1));
    }
}
