//! The scores against scikit-image and NumPy (arrays made by `reference/metrics.py`).

use safetensors::SafeTensors;
use unclouded_core::metrics::{Scores, score, score_both, score_masked, ssim_map};
use unclouded_core::raster::{Mask, Raster};

fn raster(arrays: &SafeTensors, name: &str) -> Raster {
    let view = arrays.tensor(name).unwrap();
    let floats = view.data().chunks_exact(4);
    let data = floats
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let shape = view.shape();
    Raster::from_vec(shape[0], shape[1], shape[2], data).unwrap()
}

fn expect(arrays: &SafeTensors, name: &str, got: Scores) {
    let view = arrays.tensor(name).unwrap();
    let doubles = view.data().chunks_exact(8);
    let expected: Vec<f64> = doubles
        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let got = [got.psnr_db, got.ssim, got.sam_deg, got.mae];
    for (a, b) in got.iter().zip(&expected) {
        assert!(
            (a - b).abs() <= 1e-6 * b.abs().max(1.0),
            "{name}: {got:?}, expected {expected:?}"
        );
    }
}

#[test]
fn scores_are_scikit_images() {
    let bytes = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/metrics.safetensors"
    ));
    let bytes = bytes.unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let view = arrays.tensor("mask").unwrap();
    let flags = view.data().iter().map(|&v| v != 0).collect();
    let mask = Mask::from_vec(view.shape()[0], view.shape()[1], flags).unwrap();
    for (name, range) in [("unit", 1.0), ("bytes", 255.0)] {
        let truth = raster(&arrays, &format!("truth_{name}"));
        let pred = raster(&arrays, &format!("pred_{name}"));
        let map = ssim_map(&truth, &pred, range);
        let expected = raster(&arrays, &format!("ssim_{name}"));
        for (a, b) in map.data.iter().zip(&expected.data) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        let full = score(&truth, &pred, None, range);
        let masked = score_masked(&truth, &pred, &mask, range);
        expect(&arrays, &format!("scores_{name}_full"), full);
        expect(&arrays, &format!("scores_{name}_masked"), masked);
        assert_eq!(
            score_both(&truth, &pred, &mask, None, range),
            (full, masked)
        );
    }
}
