//! The ranges of a recipe's values, checked once.

use unclouded_core::diffusion::loss::Kind;
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::schedule::Schedule;
use unclouded_core::model::Conditioning;
use unclouded_core::model::task::Task;
use unclouded_core::network::unet::UNetConfig;

use super::TrainConfig;
use crate::failure::{Failure, Result};

impl TrainConfig {
    /// Checks every range once, so that later code need not.
    pub(super) fn validate(&self) -> Result<()> {
        self.validate_data()?;
        self.validate_variation()?;
        self.validate_objective()?;
        self.validate_steps()?;
        let name = &self.output.name;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        check(
            !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed),
            "[output] name",
            "letters, digits, '-', '_' and '.', not starting with '.'",
            format!("{name:?}"),
            "the name becomes part of file names",
        )
    }

    fn validate_data(&self) -> Result<()> {
        let data = &self.data;
        check(
            !data.sources.is_empty(),
            "[data] sources",
            "at least one folder or .tar(.gz)",
            "none",
            "e.g. sources = [\"tiles\"]",
        )?;
        if let Some(bands) = &data.bands {
            check(
                !bands.is_empty() && !bands.contains(&0),
                "[data] bands",
                "a list of band numbers from 1",
                format!("{bands:?}"),
                "bands count from 1 as in GDAL; leave the line out for all bands",
            )?;
            check(
                data.band_names.is_empty() || data.band_names.len() == bands.len(),
                "[data] band_names",
                format!("{} names", bands.len()),
                data.band_names.len(),
                "one name for each band, in the same order",
            )?;
        }
        check(
            (8..=1024).contains(&data.tile_px),
            "[data] tile_px",
            "8..=1024",
            data.tile_px,
            "64 suits a small model",
        )?;
        // The bands come with the data; everything else of the network is checked here.
        let network = UNetConfig {
            bands: 1,
            ..self.model.clone()
        };
        network.validate()?;
        let multiple = network.size_multiple();
        check(
            data.tile_px.is_multiple_of(multiple),
            "[data] tile_px",
            format!("a multiple of {multiple}"),
            data.tile_px,
            "the stem and every level but the first halve the tile",
        )?;
        check(
            data.validate_every >= 2,
            "[data] validate_every",
            "at least 2",
            data.validate_every,
            "10 keeps every tenth tile for validation",
        )?;
        for (what, remainder) in
            std::iter::once(("[data] validate_remainder", data.validate_remainder)).chain(
                data.exclude_remainders
                    .iter()
                    .map(|&r| ("[data] exclude_remainders", r)),
            )
        {
            check(
                remainder < data.validate_every,
                what,
                format!("0..={}", data.validate_every - 1),
                remainder,
                "a remainder is smaller than validate_every",
            )?;
        }
        check(
            !data.exclude_remainders.contains(&data.validate_remainder),
            "[data] exclude_remainders",
            "not to hold validate_remainder",
            format!("{:?}", data.exclude_remainders),
            "a tile is either for validation or excluded",
        )?;
        let holdout = data.holdout();
        check(
            // More remainders than a recipe can list leave some for training.
            data.validate_every > 1000
                || (0..data.validate_every).any(|r| {
                    r != holdout.validate_remainder && !holdout.exclude_remainders.contains(&r)
                }),
            "[data] exclude_remainders",
            "to leave a remainder for training",
            format!("{:?} of {}", data.exclude_remainders, data.validate_every),
            "exclude fewer remainders",
        )?;
        check(
            data.reflectance_scale
                .is_none_or(|s| s.is_finite() && s > 0.0),
            "[data] reflectance_scale",
            "above 0",
            format!("{:?}", data.reflectance_scale),
            "10000 for Sentinel-2 digital numbers",
        )?;
        check(
            data.limit != Some(0),
            "[data] limit",
            "at least 1",
            0,
            "leave the line out for all tiles",
        )
    }

    fn validate_variation(&self) -> Result<()> {
        let augment = &self.augment;
        for (what, value) in [
            ("[masks] noise_fraction", self.masks.noise_fraction),
            ("[hints] reference", self.hints.reference),
            ("[hints] coarse", self.hints.coarse),
            ("[diffusion] class_drop", self.diffusion.class_drop),
            ("[diffusion] direct", self.diffusion.direct),
            ("[augment] mosaic", augment.mosaic),
            ("[augment] band_permutation", augment.band_permutation),
            ("[augment] band_mix", augment.band_mix),
            ("[augment] band_repeat", augment.band_repeat),
        ] {
            check(
                (0.0..=1.0).contains(&value),
                what,
                "0..=1",
                value,
                "it is a probability",
            )?;
        }
        check(
            augment.band_mix + augment.band_repeat <= 1.0,
            "[augment] band_mix + band_repeat",
            "at most 1",
            augment.band_mix + augment.band_repeat,
            "a tile is mixed, repeated or left alone",
        )?;
        let hints = self.hints.reference + self.hints.coarse;
        check(
            hints <= 1.0,
            "[hints] reference + coarse",
            "at most 1",
            hints,
            "an example has one hint or none",
        )?;
        let guided = self.diffusion.conditioning == Conditioning::Guided;
        check(
            guided == self.hints.any(),
            "[diffusion] conditioning",
            "guided with [hints], concat or none without",
            format!("{:?} with hints {hints}", self.diffusion.conditioning).to_lowercase(),
            "a guided network learns from hints, others cannot take them",
        )?;
        self.task.validate()?;
        let conditional = self.diffusion.conditioning != Conditioning::None;
        let cold = self.task.cold();
        check(
            conditional || cold.is_some() || self.task == Task::default(),
            "[task]",
            "conditioning = \"concat\"",
            "conditioning = \"none\"",
            "an unconditional network is shown nothing: leave [task] out, or name cold-diffusion",
        )?;
        if let Some((kind, steps)) = cold {
            let simple = self.diffusion.objective == Kind::Simple;
            check(
                !conditional && self.diffusion.prediction == Prediction::X0 && simple,
                "[diffusion]",
                "conditioning = \"none\", prediction = \"x0\" and the simple objective",
                "others with cold-diffusion",
                "a network that undoes a degradation sees the degraded image and no noise",
            )?;
            check(
                self.data.tile_px.is_multiple_of(kind.size_multiple(steps)),
                "[data] tile_px",
                format!("a multiple of {}", kind.size_multiple(steps)),
                self.data.tile_px,
                "every step of downsample halves the tile",
            )?;
        }
        check(
            !(self.task.redraws() && guided),
            "[diffusion] conditioning",
            format!("concat for {}", self.task.name()),
            "guided",
            "hints are for holes",
        )?;
        check(
            self.model.classes.is_none(),
            "[model] classes",
            "nothing",
            format!("{:?}", self.model.classes),
            "set [data] class_folders = true: the folders say how many classes there are",
        )?;
        for (what, value) in [
            ("[augment] gain_jitter", augment.gain_jitter),
            ("[augment] gamma_jitter", augment.gamma_jitter),
        ] {
            check(
                (0.0..=4.0).contains(&value),
                what,
                "0..=4",
                value,
                "0.2 varies by a fifth",
            )?;
        }
        let masks = &self.masks;
        check(
            masks.min_cover > 0.0 && masks.min_cover < masks.max_cover && masks.max_cover < 1.0,
            "[masks] min_cover, max_cover",
            "0 < min_cover < max_cover < 1",
            format!("{}, {}", masks.min_cover, masks.max_cover),
            "a tile needs both a hole and visible pixels",
        )?;
        let smallest = 1.0 / (self.data.tile_px * self.data.tile_px) as f32;
        check(
            masks.max_cover - masks.min_cover >= smallest,
            "[masks] max_cover - min_cover",
            format!("at least one pixel of the tile ({smallest})"),
            masks.max_cover - masks.min_cover,
            "widen the range",
        )
    }

    fn validate_objective(&self) -> Result<()> {
        let diffusion = &self.diffusion;
        diffusion.schedule.validate()?;
        let learned = self.model.learned_variance;
        check(
            learned == (diffusion.objective != Kind::Simple),
            "[diffusion] objective",
            "vlb or hybrid with learned_variance in [model], simple without",
            format!(
                "{:?} with learned_variance = {learned}",
                diffusion.objective
            )
            .to_lowercase(),
            "only the variational bound teaches a variance",
        )?;
        check(
            !learned || !diffusion.schedule.betas().is_empty(),
            "[diffusion] schedule",
            "one with betas, for a learned variance",
            format!("{:?}", diffusion.schedule),
            "e.g. schedule = { name = \"cosine\" }",
        )?;
        check(
            diffusion.weighting.is_sound(),
            "[diffusion] weighting",
            "a gamma above 0, a power of 0 to 8",
            format!("{:?}", diffusion.weighting),
            "min-snr with gamma 5 is usual",
        )?;
        check(
            self.model.spread == (diffusion.direct > 0.0),
            "[diffusion] direct",
            "above 0 with spread in [model], 0 without",
            format!("{} with spread = {}", diffusion.direct, self.model.spread),
            "0.5 teaches the direct estimate and the samples alike",
        )?;
        let edm = matches!(diffusion.prediction, Prediction::Edm { .. });
        check(
            diffusion.direct == 0.0 || (edm && diffusion.conditioning != Conditioning::None),
            "[diffusion] direct",
            "0, or prediction edm and a conditioning",
            diffusion.direct,
            "without an image or conditioning a network has nothing to go by",
        )?;
        check(
            diffusion.direct_factor.is_finite() && diffusion.direct_factor > 0.0,
            "[diffusion] direct_factor",
            "above 0",
            diffusion.direct_factor,
            "1 while it is not measured yet",
        )?;
        let pure_noise = matches!(diffusion.schedule, Schedule::ZeroTerminalSnr { .. });
        check(
            !(pure_noise && diffusion.prediction == Prediction::Eps),
            "[diffusion] prediction",
            "v or x0 with zero-terminal-snr",
            "eps",
            "from pure noise, the noise alone says nothing about the image",
        )
    }

    fn validate_steps(&self) -> Result<()> {
        let train = &self.train;
        let minutes = train.checkpoint_minutes;
        check(
            (0.0..=1e6).contains(&minutes),
            "[train] checkpoint_minutes",
            "0 to 1000000",
            minutes,
            "0 leaves it to checkpoint_every",
        )?;
        for (what, value) in [
            ("[train] steps", train.steps),
            ("[train] batch", train.batch as u64),
            ("[train] log_every", train.log_every),
            ("[train] validate_every_steps", train.validate_every_steps),
            ("[train] validate_tiles", train.validate_tiles as u64),
            ("[train] checkpoint_every", train.checkpoint_every),
        ] {
            check(
                value >= 1,
                what,
                "at least 1",
                value,
                "use a larger number than steps for never",
            )?;
        }
        check(
            train.learning_rate > 0.0 && train.learning_rate < 1.0,
            "[train] learning_rate",
            "above 0, below 1",
            train.learning_rate,
            "3e-4 suits AdamW",
        )?;
        check(
            (0.0..=train.learning_rate).contains(&train.min_learning_rate),
            "[train] min_learning_rate",
            "0..=learning_rate",
            train.min_learning_rate,
            "the cosine falls to it",
        )?;
        check(
            (0.0..1.0).contains(&train.weight_decay),
            "[train] weight_decay",
            "0 or more, below 1",
            train.weight_decay,
            "0 switches it off",
        )?;
        check(
            train.grad_clip >= 0.0 && train.grad_clip.is_finite(),
            "[train] grad_clip",
            "0 or more",
            train.grad_clip,
            "0 switches it off",
        )?;
        check(
            (0.0..1.0).contains(&train.ema_decay),
            "[train] ema_decay",
            "0 or more, below 1",
            train.ema_decay,
            "0.999 for short runs, 0.9999 for long ones",
        )
    }
}

/// An [`Failure`] unless `ok`.
fn check(
    ok: bool,
    what: &str,
    expected: impl std::fmt::Display,
    got: impl std::fmt::Display,
    hint: &str,
) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Failure::mismatch(what, expected, got).hint(hint))
}
