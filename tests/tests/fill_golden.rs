//! The inverse-distance fill against GDAL's FillNodata (arrays made by `reference/fill.py`).

use safetensors::SafeTensors;
use unclouded_core::raster::{Mask, Raster, fill::inverse_distance};

fn mask(arrays: &SafeTensors, name: &str) -> Mask {
    let view = arrays.tensor(name).unwrap();
    let data = view.data().iter().map(|&v| v != 0).collect();
    Mask::from_vec(view.shape()[0], view.shape()[1], data).unwrap()
}

fn raster(arrays: &SafeTensors, name: &str) -> Raster {
    let view = arrays.tensor(name).unwrap();
    let floats = view.data().chunks_exact(4);
    let data = floats
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let shape = view.shape();
    Raster::from_vec(shape[0], shape[1], shape[2], data).unwrap()
}

#[test]
fn inverse_distance_is_gdals_fillnodata() {
    let bytes = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/fill.safetensors"
    ));
    let bytes = bytes.unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let image = raster(&arrays, "image");
    let valid = mask(&arrays, "valid");
    for name in ["blobs", "sparse", "speckle"] {
        let hole = mask(&arrays, &format!("mask_{name}"));
        for distance_px in [0, 3, 10, 100] {
            let expected = raster(&arrays, &format!("out_{name}_{distance_px}"));
            let (got, filled) = inverse_distance(&image, &hole, &valid, distance_px);
            assert!(filled.any());
            let worst = got.data.iter().zip(&expected.data);
            let worst = worst.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Values up to 10,000 in f32: one unit in the last place is 1e-3.
            assert!(worst <= 1e-3, "{name}, {distance_px} px: off by {worst}");
        }
    }
}
