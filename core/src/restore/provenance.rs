//! Which pixels are observed and which are filled, and by what: the provenance raster and tags.

use serde::{Deserialize, Serialize};

use super::RestoreSettings;
use crate::model::ModelCard;
use crate::raster::Mask;

/// Provenance value of a pixel without data.
pub const NODATA: u8 = 0;
/// Provenance value of a pixel that is as it was observed.
pub const OBSERVED: u8 = 1;
/// Provenance value of a pixel that was filled, that is, invented.
pub const FILLED: u8 = 2;

/// Provenance value of a masked pixel that was left, since its fill would be too uncertain.
pub const LEFT: u8 = 3;

/// The provenance raster, `[height, width]`: [`FILLED`] where masked (true = fill) and valid
/// (true = data), [`OBSERVED`] at the other valid pixels, [`NODATA`] elsewhere.
/// Both masks are of one size.
pub fn classify(mask: &Mask, valid: &Mask) -> Vec<u8> {
    debug_assert_eq!((mask.height, mask.width), (valid.height, valid.width));
    let pixels = mask.data.iter().zip(&valid.data);
    pixels
        .map(|(&masked, &has_data)| match (has_data, masked) {
            (false, _) => NODATA,
            (true, false) => OBSERVED,
            (true, true) => FILLED,
        })
        .collect()
}

/// How a scene was filled: enough to do it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this software.
    pub version: String,
    /// Name of the checkpoint, e.g. that of a bundled model.
    pub checkpoint_name: String,
    /// SHA-256 of the checkpoint file, 64 hexadecimal digits.
    pub checkpoint_sha256: String,
    /// How it was filled, e.g. `concat`.
    #[serde(default)]
    pub method: String,
    /// How the ground followed from other dates, e.g. `regression`, where they filled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates: Option<String>,
    /// Name of the sampler.
    pub sampler: String,
    /// Steps of the sampler.
    pub steps: usize,
    /// Ensemble members averaged.
    pub samples: usize,
    /// What was written of them: `mean` or `sample`.
    #[serde(default)]
    pub written: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Side of a tile in pixels.
    pub tile_px: usize,
    /// Overlap of tiles in pixels.
    pub overlap_px: usize,
    /// Scene bands (1-based, as GDAL counts) that the model restored itself; the others follow
    /// them by spectral transfer.
    pub model_bands: Vec<usize>,
    /// How many pixels were filled.
    pub filled_px: u64,
    /// What ran the network, e.g. "cpu".
    pub device: String,
}

impl Provenance {
    /// How a run with these settings fills `filled_px` pixels.
    ///
    /// `model_bands` are numbered as GDAL counts; `device` is what runs the network.
    pub fn of(
        (card, sha256): (&ModelCard, &str),
        settings: &RestoreSettings,
        model_bands: Vec<usize>,
        filled_px: u64,
        device: String,
    ) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            checkpoint_name: card.name.clone(),
            checkpoint_sha256: sha256.into(),
            method: settings.method_for(card).name().into(),
            dates: settings.dates.map(|choice| choice.to_string()),
            sampler: settings.sampler.name().into(),
            steps: settings.steps,
            samples: settings.samples,
            written: settings.written.name().into(),
            seed: settings.seed,
            tile_px: settings.tile_px,
            overlap_px: settings.overlap_px,
            model_bands,
            filled_px,
            device,
        }
    }

    /// Metadata tags for the output file: names beginning with `UNCLOUDED_` and their values, in
    /// a fixed order, with the meaning of the provenance values at the end.
    pub fn tags(&self) -> Vec<(String, String)> {
        let bands: Vec<_> = self.model_bands.iter().map(usize::to_string).collect();
        let values = format!("{NODATA}=nodata {OBSERVED}=observed {FILLED}=filled");
        [
            ("VERSION", self.version.clone()),
            ("CHECKPOINT", self.checkpoint_name.clone()),
            ("CHECKPOINT_SHA256", self.checkpoint_sha256.clone()),
            ("METHOD", self.method.clone()),
            ("SAMPLER", self.sampler.clone()),
            ("STEPS", self.steps.to_string()),
            ("SAMPLES", self.samples.to_string()),
            ("WRITTEN", self.written.clone()),
            ("SEED", self.seed.to_string()),
            ("TILE_PX", self.tile_px.to_string()),
            ("OVERLAP_PX", self.overlap_px.to_string()),
            ("MODEL_BANDS", bands.join(",")),
            ("FILLED_PX", self.filled_px.to_string()),
            ("DEVICE", self.device.clone()),
            ("PROVENANCE_VALUES", values),
        ]
        .into_iter()
        .chain(self.dates.iter().map(|dates| ("DATES", dates.clone())))
        .map(|(key, value)| (format!("UNCLOUDED_{key}"), value))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Provenance {
        Provenance {
            version: "0.1.0".into(),
            checkpoint_name: "s2-rgb".into(),
            checkpoint_sha256: "ab".repeat(32),
            method: "concat".into(),
            dates: None,
            sampler: "heun".into(),
            steps: 5,
            samples: 4,
            written: "mean".into(),
            seed: 7,
            tile_px: 64,
            overlap_px: 16,
            model_bands: vec![4, 3, 2],
            filled_px: 12,
            device: "cpu".into(),
        }
    }

    #[test]
    fn nodata_wins_over_the_mask() {
        let mask = Mask::from_vec(1, 4, vec![true, false, true, false]).unwrap();
        let valid = Mask::from_vec(1, 4, vec![true, true, false, false]).unwrap();
        assert_eq!(classify(&mask, &valid), [FILLED, OBSERVED, NODATA, NODATA]);
    }

    #[test]
    fn tags_name_everything_once() {
        let tags = sample().tags();
        let find = |key: &str| tags.iter().filter(|(k, _)| k == key).count();
        for key in [
            "SEED",
            "STEPS",
            "METHOD",
            "SAMPLER",
            "CHECKPOINT_SHA256",
            "VERSION",
        ] {
            assert_eq!(find(&format!("UNCLOUDED_{key}")), 1, "{key}");
        }
        assert!(tags.contains(&("UNCLOUDED_MODEL_BANDS".into(), "4,3,2".into())));
        let last = tags.last().unwrap();
        assert_eq!(last.1, "0=nodata 1=observed 2=filled");
    }

    #[test]
    fn json_round_trip() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&text).unwrap(), sample());
    }
}
