//! The scores of an evaluation, as a table for people and as JSON for programs.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use unclouded_core::metrics::{IndexError, Scores, mean_scores};
use unclouded_core::model::ModelCard;
use unclouded_core::restore::RestoreSettings;

use super::pair::Fill;
use super::uncertainty::Figures;
use crate::cli::EvaluateArgs;
use crate::device::Chosen;

/// The scores of a method, one an image.
#[derive(Default)]
pub struct Method {
    /// Over the whole image.
    pub full: Vec<Scores>,
    /// Inside the mask.
    pub masked: Vec<Scores>,
    /// PSNR of the bands the model restores, inside the mask, dB.
    pub model_psnr_db: Vec<f64>,
    /// How far NDVI is off inside the mask, where there is one.
    pub ndvi: Vec<IndexError>,
    /// Seconds for all images.
    pub seconds: f64,
}

impl Method {
    /// Adds what the method made of one image.
    pub fn add(&mut self, fill: &Fill) {
        self.full.push(fill.scores.0);
        self.masked.push(fill.scores.1);
        self.model_psnr_db.push(fill.model_psnr_db);
        self.ndvi.extend(fill.ndvi);
        self.seconds += fill.seconds;
    }

    /// Mean error of NDVI; none without one.
    fn ndvi(&self) -> Option<IndexError> {
        let n = self.ndvi.len() as f64;
        let mean = |of: fn(&IndexError) -> f64| self.ndvi.iter().map(of).sum::<f64>() / n;
        (n > 0.0).then(|| IndexError {
            mae: mean(|error| error.mae),
            bias: mean(|error| error.bias),
        })
    }

    /// Mean PSNR of the bands the model restores, inside the mask, dB.
    fn model_psnr_db(&self) -> f64 {
        self.model_psnr_db.iter().sum::<f64>() / self.model_psnr_db.len() as f64
    }
}

/// Shares of an image that are hidden, up to which the scores are told apart.
const COVERS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 1.0];

/// What was evaluated, and how.
pub struct Report {
    /// Images that were scored.
    pub images: usize,
    /// Images left out because their mask hides nothing.
    pub skipped: usize,
    /// Images left out because they cannot be worked with: the file and the reason.
    pub failed: Vec<(String, String)>,
    model: Value,
    settings: Value,
    methods: Map<String, Value>,
    uncertainty: Option<Figures>,
    /// The share of each image that was hidden.
    covers: Vec<f64>,
}

impl Report {
    /// An empty report that knows the settings.
    pub fn new(
        args: &EvaluateArgs,
        card: &ModelCard,
        sha256: &str,
        settings: &RestoreSettings,
        device: &Chosen,
    ) -> Self {
        Report {
            images: 0,
            skipped: 0,
            failed: Vec::new(),
            model: json!({
                "name": card.name, "sha256": sha256, "bands": card.bands, "version": card.version,
                "trained_steps": card.training.steps,
            }),
            settings: json!({
                "clear": args.clear, "masks": args.masks, "reference": args.reference,
                "series": args.series, "seed": settings.seed,
                "samples": settings.samples, "steps": settings.steps,
                "write": settings.written.name(),
                "method": settings.method_for(card).name(),
                "sampler": settings.sampler.name(), "tile_px": settings.tile_px,
                "overlap_px": settings.overlap_px, "device": device,
                "version": env!("CARGO_PKG_VERSION"),
            }),
            methods: Map::new(),
            uncertainty: None,
            covers: Vec::new(),
        }
    }

    /// Another image was scored, of which this share was hidden.
    pub fn scored(&mut self, cover: f64) {
        self.images += 1;
        self.covers.push(cover);
    }

    /// Average the scores.
    pub fn finish(&mut self, names: &[&str], methods: &[Method], uncertainty: Option<Figures>) {
        self.uncertainty = uncertainty;
        for (name, method) in names.iter().zip(methods) {
            self.methods.insert(
                (*name).to_owned(),
                json!({
                    "full": mean_scores(&method.full), "masked": mean_scores(&method.masked),
                    "masked_model_psnr_db": method.model_psnr_db(),
                    "masked_ndvi": method.ndvi(),
                    "masked_psnr_db_by_cover": self.by_cover(method),
                    "seconds_per_image": method.seconds / self.images as f64,
                }),
            );
        }
        if let Some(settings) = self.settings.as_object_mut() {
            settings.insert("skipped_empty_masks".into(), json!(self.skipped));
        }
    }

    /// Mean PSNR inside the mask for images of which so much was hidden.
    fn by_cover(&self, method: &Method) -> Vec<Value> {
        let mut from = 0.0;
        let mut bins = Vec::new();
        for to in COVERS {
            let inside = self.covers.iter().zip(&method.masked);
            let scores: Vec<Scores> = inside
                .filter(|(cover, _)| **cover > from && **cover <= to)
                .map(|(_, scores)| *scores)
                .collect();
            if !scores.is_empty() {
                bins.push(json!({
                    "from": from, "to": to, "images": scores.len(),
                    "psnr_db": mean_scores(&scores).psnr_db,
                }));
            }
            from = to;
        }
        bins
    }

    /// In one line: which model, with which settings, on how much.
    pub fn title(&self) -> String {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!(
            "{}: {} images, {} samples of {} steps",
            text(&self.model["name"]),
            self.images,
            self.settings["samples"],
            self.settings["steps"]
        )
    }

    /// What is known before the first image.
    pub fn header(&self) -> Value {
        json!({"model": self.model, "settings": self.settings})
    }

    /// The contract: `images`, `failed`, `methods`, `uncertainty`, `model`, `settings`.
    pub fn json(&self) -> Value {
        let failed = self.failed.iter();
        let failed: Vec<Value> = failed
            .map(|(image, reason)| json!({"image": image, "reason": reason}))
            .collect();
        json!({
            "images": self.images, "failed": failed, "methods": self.methods, "model": self.model,
            "settings": self.settings,
            "uncertainty": self.uncertainty.as_ref().map(Figures::json),
        })
    }

    /// For people.
    pub fn table(&self, names: &[&str], methods: &[Method]) -> String {
        let left_out = match self.failed.len() {
            0 => String::new(),
            failed => format!(", {failed} left out (see the warnings)"),
        };
        let mut text = format!(
            "{} images, {} skipped (empty mask){left_out}\n{:<12}{:^32}{:^50}\n{:<12}{:>8}{:>8}{:>7}{:>9}  {:>8}{:>8}{:>7}{:>9}{:>8}{:>8}{:>9}\n",
            self.images,
            self.skipped,
            "",
            "full image",
            "inside the mask",
            "method",
            "PSNR dB",
            "SSIM",
            "SAM",
            "MAE",
            "PSNR dB",
            "SSIM",
            "SAM",
            "MAE",
            "model",
            "NDVI",
            "s/image",
        );
        for (name, method) in names.iter().zip(methods) {
            let _ = write!(text, "{name:<12}");
            for (scores, gap) in [(&method.full, "  "), (&method.masked, "")] {
                let mean = mean_scores(scores);
                let _ = write!(
                    text,
                    "{:>8.2}{:>8.4}{:>7.2}{:>9.4}{gap}",
                    mean.psnr_db, mean.ssim, mean.sam_deg, mean.mae
                );
            }
            let ndvi = method
                .ndvi()
                .map_or("-".to_owned(), |error| format!("{:.4}", error.mae));
            let _ = writeln!(
                text,
                "{:>8.2}{ndvi:>8}{:>9.3}",
                method.model_psnr_db(),
                method.seconds / self.images as f64
            );
        }
        if let Some(figures) = &self.uncertainty {
            let _ = writeln!(
                text,
                "uncertainty: rank correlation with the error {:.2}, {:.0} % of errors in the 90 % interval",
                figures.spearman,
                100.0 * figures.coverage_90
            );
        }
        text += "inside the mask, model is PSNR of the bands the model restores, NDVI its mean absolute error\n";
        text
    }
}
