//! The state dicts of `reference/guided_diffusion.py`, whose weights are made and not stored.

use std::collections::{BTreeMap, HashMap};

use unclouded_core::network::params::{self, Array, Arrays, Storage};

/// Arrays and texts of `data/guided_diffusion.safetensors`.
pub fn golden() -> (Arrays, HashMap<String, String>) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/guided_diffusion.safetensors"
    );
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    params::from_bytes(&bytes).expect("a golden file")
}

/// The state dict of one of its networks.
pub fn state_dict(name: &str) -> Arrays {
    let (_, texts) = golden();
    let text = |what: &str| &texts[&format!("{name}.{what}")];
    let shapes: BTreeMap<String, Vec<usize>> =
        serde_json::from_str(text("shapes")).expect("shapes");
    let norms: Vec<String> = serde_json::from_str(text("norms")).expect("names");
    let made = |(place, (name, shape)): (usize, (String, Vec<usize>))| {
        let values = weight(place as u64, &shape, norms.contains(&name));
        (name, Array { shape, values })
    };
    shapes.into_iter().enumerate().map(made).collect()
}

/// The same as a file.
pub fn file(arrays: &Arrays) -> Vec<u8> {
    params::to_bytes(arrays, HashMap::new(), Storage::F32).expect("arrays that agree")
}

/// The flags it was trained with, as the file beside it.
pub fn flags(name: &str) -> String {
    golden().1[&format!("{name}.flags")].clone()
}

/// `weight` of the script.
fn weight(place: u64, shape: &[usize], is_norm: bool) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let spread = match shape {
        [_] => 0.3,
        _ => (4.5 / (count / shape[0]) as f64).sqrt(),
    };
    let value = |i: u64| {
        let mut h = (i + place * 1_000_003) & 0xFFFF_FFFF;
        for (shift, factor) in [(16, 0x7FEB_352D), (15, 0x2C1B_3C6D), (16, 1)] {
            h ^= h >> shift;
            h = (h * factor) & 0xFFFF_FFFF;
        }
        let uniform = h as f64 / f64::from(1u32 << 31) - 1.0;
        (uniform * spread + f64::from(u8::from(is_norm))) as f32
    };
    (0..count as u64).map(value).collect()
}
