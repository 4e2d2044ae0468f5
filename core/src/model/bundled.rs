//! The checkpoints that travel inside every face, so that a copied program works offline.

/// Bundled checkpoints by name; the first is the default.
pub fn bundled() -> &'static [(&'static str, &'static [u8])] {
    &[(
        "eurosat-rgb",
        include_bytes!("../../models/eurosat-rgb.safetensors"),
    )]
}
