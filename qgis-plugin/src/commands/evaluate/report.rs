//! The scores of an evaluation, as a table for people and as JSON for programs.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use unclouded_core::metrics::{Scores, mean_scores};
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
    /// Seconds for all images.
    pub seconds: f64,
}

impl Method {
    /// Adds what the method made of one image.
    pub fn add(&mut self, fill: &Fill) {
        self.full.push(fill.scores.0);
        self.masked.push(fill.scores.1);
        self.seconds += fill.seconds;
    }
}

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
                "clear": args.clear, "masks": args.masks, "reference": args.reference, "seed": settings.seed,
                "samples": settings.samples, "steps": settings.steps,
                "write": settings.written.name(),
                "method": settings.method_for(card).name(),
                "sampler": settings.sampler.name(), "tile_px": settings.tile_px,
                "overlap_px": settings.overlap_px, "device": device,
                "version": env!("CARGO_PKG_VERSION"),
            }),
            methods: Map::new(),
            uncertainty: None,
        }
    }

    /// Average the scores.
    pub fn finish(&mut self, names: &[&str], methods: &[Method], uncertainty: Option<Figures>) {
        self.uncertainty = uncertainty;
        for (name, method) in names.iter().zip(methods) {
            self.methods.insert(
                (*name).to_owned(),
                json!({
                    "full": mean_scores(&method.full), "masked": mean_scores(&method.masked),
                    "seconds_per_image": method.seconds / self.images as f64,
                }),
            );
        }
        if let Some(settings) = self.settings.as_object_mut() {
            settings.insert("skipped_empty_masks".into(), json!(self.skipped));
        }
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
            "{} images, {} skipped (empty mask){left_out}\n{:<11}{:^31}{:^33}\n{:<11}{:>8}{:>8}{:>7}{:>8}  {:>8}{:>8}{:>7}{:>8}{:>9}\n",
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
            "s/image",
        );
        for (name, method) in names.iter().zip(methods) {
            let _ = write!(text, "{name:<11}");
            for (scores, gap) in [(&method.full, "  "), (&method.masked, "")] {
                let mean = mean_scores(scores);
                let _ = write!(
                    text,
                    "{:>8.2}{:>8.4}{:>7.2}{:>8.4}{gap}",
                    mean.psnr_db, mean.ssim, mean.sam_deg, mean.mae
                );
            }
            let _ = writeln!(text, "{:>9.3}", method.seconds / self.images as f64);
        }
        if let Some(figures) = &self.uncertainty {
            let _ = writeln!(
                text,
                "uncertainty: rank correlation with the error {:.2}, {:.0} % of errors in the 90 % interval",
                figures.spearman,
                100.0 * figures.coverage_90
            );
        }
        text
    }
}
