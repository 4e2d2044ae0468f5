//! The training loop: reproducible, resumable, interruptible.
//!
//! Every step is a pure function of (recipe, seed, step, state), so a run that is stopped and
//! resumed takes the same path as one that is not.

mod batches;
mod continuity;
mod init;
pub mod optimizer;
pub mod report;
mod state;
mod validation;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use serde_json::Value;
use unclouded_core::diffusion::loss;
use unclouded_core::model::{self, CARD_FORMAT, ModelCard, Training, TrainingData};
use unclouded_core::network::params::{self, Storage};
use unclouded_core::network::unet::{UNet, UNetConfig};

use crate::dataset::{BatchBuilder, MaskPool, Prefetch, Tiles};
use crate::device::Chosen;
use crate::failure::{Exit, Failure, Result};
use crate::gdal_io::pending;
use crate::interrupt;
use crate::progress::Reporter;
use crate::recipe::TrainConfig;
use batches::Stream;
use init::Channels;
use optimizer::{AdamW, AdamWSettings};
use report::{LogRow, TrainLog, plot_losses, write_grid};
use state::{Losses, State};

/// Batches that each thread prepares ahead of the network.
const PREFETCH: usize = 3;

/// What a finished run has to say.
pub struct Trained {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// Steps done.
    pub steps: u64,
    /// Last validation loss.
    pub val_loss: Option<f64>,
    /// Share of this run's time in which the network waited for batches.
    pub waited: f64,
}

/// A run in progress.
struct Run<'a> {
    config: &'a TrainConfig,
    recipe: &'a str,
    architecture: UNetConfig,
    device: Device,
    builder: BatchBuilder,
    unet: UNet,
    optimizer: AdamW,
    log: TrainLog,
    step: u64,
    seconds_before: f64,
    started: Instant,
    /// How long the network waited for batches.
    waited: Duration,
    metrics: BTreeMap<String, f64>,
    val_loss: Option<f64>,
    unlogged: Losses,
    /// The recipe as the state keeps it.
    comparable: Value,
}

/// Whether an earlier run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// A new run.
    No,
    /// With the recipe it was begun with.
    Same,
    /// Whatever the recipe.
    Forced,
}

/// Trains as the recipe says, on a device; `recipe` is its text, kept in the checkpoint.
///
/// # Errors
/// Exit 2 for a recipe or data that cannot be used, 130 when interrupted (the state is saved
/// first), 1 when a file cannot be written.
pub fn train(
    config: &TrainConfig,
    recipe: &str,
    on: &Chosen,
    resume: Resume,
    reporter: &mut Reporter,
) -> Result<Trained> {
    let mut run = Run::start(config, recipe, &on.device, resume, reporter)?;
    let outcome = run.steps(on.loaders(), reporter);
    // Finished or stopped by the user, the work is kept; what a failure left may be worth less
    // than the state saved last.
    if outcome
        .as_ref()
        .err()
        .is_none_or(|failure| failure.exit == Exit::Interrupted)
    {
        run.save()?;
    }
    outcome?;
    Ok(Trained {
        checkpoint: run.checkpoint_path(),
        steps: run.step,
        val_loss: run.val_loss,
        waited: run.waited.as_secs_f64() / run.started.elapsed().as_secs_f64(),
    })
}

impl<'a> Run<'a> {
    fn start(
        config: &'a TrainConfig,
        recipe: &'a str,
        device: &Device,
        resume: Resume,
        reporter: &mut Reporter,
    ) -> Result<Self> {
        let dir = &config.output.dir;
        let state_path = dir.join("state.safetensors");
        let checkpoint_path = dir.join(format!("{}.safetensors", config.output.name));
        let earlier = [&state_path, &checkpoint_path];
        if let Some(old) = earlier
            .into_iter()
            .find(|path| resume == Resume::No && path.exists())
        {
            return Err(Failure::mismatch(
                "[output] dir",
                "a folder without an earlier run",
                old.display(),
            )
            .hint("add --resume to go on with it, or choose another folder"));
        }
        std::fs::create_dir_all(dir).map_err(|error| {
            Failure::failed(format!("cannot create {}: {error}", dir.display()))
        })?;
        let tiles = Arc::new(Tiles::load(&config.data)?);
        reporter.info(format!(
            "{} tiles to train on, {} to validate on, {} skipped",
            tiles.train().len(),
            tiles.validation().len(),
            tiles.skipped().len()
        ));
        let masks = Arc::new(MaskPool::load(&config.masks)?.for_task(config.task));
        let architecture = architecture(config, &tiles);
        // The seed decides the first weights; device generators differ, so build on the CPU.
        let cpu = Device::flex();
        cpu.seed(config.train.seed);
        let fresh = params::collect(&architecture.init(&cpu)?.materialize());
        let device = device.clone().autodiff();
        let comparable = continuity::of(config)?;
        let state = match resume {
            Resume::Same | Resume::Forced => {
                let state = State::load(&state_path)?;
                goes_on(&state, &comparable, resume, reporter)?;
                state
            }
            Resume::No => match &config.train.init {
                Some(path) => {
                    let channels = Channels {
                        bands: band_names(config, architecture.bands),
                        conditioning: config.diffusion.conditioning,
                        spread: architecture.spread,
                    };
                    State::new(init::from_checkpoint(path, fresh, &channels)?)
                }
                None => State::new(fresh),
            },
        };
        let step = state.step;
        let unet = params::assign(architecture.init(&device)?, &state.weights)?;
        let t = &config.train;
        let mut optimizer = AdamW::new(AdamWSettings {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: t.weight_decay,
            grad_clip: match t.grad_clip {
                0.0 => f64::from(f32::MAX),
                clip => clip,
            },
            ema_decay: t.ema_decay,
        });
        optimizer.load(&state.optimizer, step, &device.clone().inner());
        let log_path = dir.join("log.csv");
        let log = match resume {
            Resume::Same | Resume::Forced => TrainLog::resume(&log_path, step)?,
            Resume::No => TrainLog::create(&log_path)?,
        };
        reporter.info(format!(
            "{} parameters, starting at step {step}",
            unet.num_params()
        ));
        let run = Self {
            config,
            recipe,
            architecture,
            builder: BatchBuilder::new(
                tiles,
                masks,
                config.augment.clone(),
                config.hints,
                t.seed,
                t.batch,
            )
            .with_class_drop(config.diffusion.class_drop),
            device,
            unet,
            optimizer,
            log,
            step,
            seconds_before: state.seconds,
            started: Instant::now(),
            waited: Duration::ZERO,
            val_loss: state.metrics.get("val_loss").copied(),
            unlogged: state.unlogged,
            metrics: state.metrics,
            comparable,
        };
        // A recipe whose model card is refused is refused now, not at the first save.
        model::to_bytes(&run.card(), &state.weights, Storage::F16)?;
        Ok(run)
    }

    /// Trains to the end; `loaders` threads prepare the batches.
    fn steps(&mut self, loaders: usize, reporter: &mut Reporter) -> Result<()> {
        let t = &self.config.train;
        let (builder, diffusion) = (self.builder.clone(), self.config.diffusion.clone());
        let task = self.config.task;
        let mut prepared = Prefetch::start(self.step, loaders, PREFETCH, move |step| {
            batches::prepare(&builder.train(step).examples, &diffusion, task)
        });
        reporter.stage_from("training", t.steps, self.step);
        let objective = self.config.diffusion.objective();
        let trained = batches::training_levels(&self.config.diffusion, task);
        let mut saved = Instant::now();
        while self.step < t.steps {
            interrupt::check()?;
            let learning_rate = learning_rate(self.config, self.step);
            let asked = Instant::now();
            let examples = prepared.next();
            self.waited += asked.elapsed();
            let examples = examples
                .ok_or_else(|| Failure::failed("the thread that prepares batches has died"))?;
            let key = (t.seed, Stream::Train, self.step);
            let batch =
                batches::to_device(&examples, &self.config.diffusion, task, key, &self.device)
                    .ok_or_else(|| Failure::failed("an empty batch"))?;
            let loss = loss::training(&self.unet, &objective, &trained, batch);
            let grads = loss.backward();
            let value = f64::from(loss.into_scalar::<f32>());
            if !value.is_finite() {
                return Err(
                    Failure::failed(format!("the loss is {value} at step {}", self.step))
                        .hint("lower learning_rate, then go on from the last state with --resume"),
                );
            }
            self.unet = self
                .optimizer
                .step(self.unet.clone(), &grads, learning_rate);
            self.step += 1;
            self.unlogged.add(value);
            let step = self.step;
            let every = |n: u64| n > 0 && step.is_multiple_of(n);
            let validated = every(t.validate_every_steps) || self.step == t.steps;
            if validated {
                self.validate(reporter)?;
            }
            if every(t.log_every) || validated {
                self.log.push(LogRow {
                    step: self.step,
                    samples: self.step * t.batch as u64,
                    train_loss: std::mem::take(&mut self.unlogged).mean(),
                    val_loss: self.val_loss.filter(|_| validated),
                    learning_rate,
                    seconds: self.seconds(),
                })?;
            }
            if validated {
                plot_losses(&self.config.output.dir.join("loss.svg"), self.log.rows())?;
            }
            let late = Duration::from_secs_f64(60.0 * t.checkpoint_minutes);
            if every(t.checkpoint_every) || (!late.is_zero() && saved.elapsed() >= late) {
                self.save()?;
                saved = Instant::now();
            }
            reporter.advance(self.step);
        }
        Ok(())
    }

    /// Scores the averaged weights.
    fn validate(&mut self, reporter: &mut Reporter) -> Result<()> {
        let device = self.device.clone().inner();
        let weights = self.optimizer.ema(&params::collect(&self.unet));
        let unet = params::assign(self.architecture.init(&device)?, &weights)?;
        let v = validation::run(&unet, self.config, &self.builder, &device)?;
        self.val_loss = Some(v.loss);
        self.metrics = BTreeMap::from([("val_loss".into(), v.loss)]);
        let mut text = format!("step {}: validation loss {:.4}", self.step, v.loss);
        for (kind, psnr) in v.psnr {
            let (ours, fill) = (psnr.one_step_db, psnr.fill_db);
            let key = |what: &str| format!("val_masked_psnr_db_{kind}_{what}");
            self.metrics.insert(key("one_step"), ours);
            self.metrics.insert(key("fill"), fill);
            text += &format!(", {kind} {ours:.2} dB (fill {fill:.2})");
        }
        reporter.info(text);
        if !v.grid.is_empty() {
            let name = format!("grid_{:07}.png", self.step);
            write_grid(&self.config.output.dir.join(name), &v.grid, 2)?;
        }
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.config
            .output
            .dir
            .join(format!("{}.safetensors", self.config.output.name))
    }

    /// Writes the state to go on from and the checkpoint of the averaged weights.
    fn save(&self) -> Result<()> {
        let weights = params::collect(&self.unet);
        let ema = self.optimizer.ema(&weights);
        let (optimizer, _) = self.optimizer.save();
        let state = State {
            step: self.step,
            seconds: self.seconds(),
            weights,
            optimizer,
            metrics: self.metrics.clone(),
            unlogged: self.unlogged,
            recipe: Some(self.comparable.clone()),
        };
        state.save(&self.config.output.dir.join("state.safetensors"))?;
        let bytes = model::to_bytes(&self.card(), &ema, Storage::F16)?;
        pending::write(&self.checkpoint_path(), true, &bytes)
    }

    fn card(&self) -> ModelCard {
        let (data, diffusion) = (&self.config.data, &self.config.diffusion);
        ModelCard {
            format: CARD_FORMAT,
            name: self.config.output.name.clone(),
            description: self.config.output.description.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            architecture: self.architecture.clone().into(),
            bands: band_names(self.config, self.architecture.bands),
            conditioning: diffusion.conditioning,
            task: self.config.task,
            classes: self.builder.tiles().classes().to_vec(),
            normalization: diffusion.space(),
            brightness: self.builder.tiles().brightness(),
            prediction: diffusion.prediction,
            schedule: diffusion.schedule,
            defaults: diffusion.defaults,
            uncertainty_factor: diffusion.uncertainty_factor,
            direct_factor: (diffusion.direct > 0.0).then_some(diffusion.direct_factor),
            training: Training {
                data: vec![TrainingData {
                    name: data.name.clone(),
                    licence: data.licence.clone(),
                    attribution: data.attribution.clone(),
                }],
                steps: self.step,
                samples_seen: self.step * self.config.train.batch as u64,
                recipe: self.recipe.to_owned(),
            },
            metrics: self.metrics.clone(),
        }
    }
}

/// Fails where the run would go on with another recipe, unless that is forced.
fn goes_on(state: &State, now: &Value, resume: Resume, reporter: &Reporter) -> Result<()> {
    let Some(earlier) = &state.recipe else {
        reporter.warning("the state is of a version that kept no recipe: nothing is compared");
        return Ok(());
    };
    match (continuity::check(earlier, now), resume) {
        (Err(failure), Resume::Forced) => {
            reporter.warning(failure.message);
            Ok(())
        }
        (outcome, _) => outcome,
    }
}

/// The names of the recipe's bands.
fn band_names(config: &TrainConfig, bands: usize) -> Vec<String> {
    match config.data.band_names.is_empty() {
        true => (1..=bands).map(|b| format!("band {b}")).collect(),
        false => config.data.band_names.clone(),
    }
}

/// The recipe's architecture with the bands and classes of its data.
fn architecture(config: &TrainConfig, tiles: &Tiles) -> UNetConfig {
    let bands = tiles.bands();
    UNetConfig {
        bands,
        conditioning_bands: config.diffusion.conditioning.channels(bands),
        classes: Some(tiles.classes().len()).filter(|count| *count > 0),
        ..config.model.clone()
    }
}

/// Linear warm-up, then a cosine from `learning_rate` to `min_learning_rate`
/// (Loshchilov & Hutter 2017).
fn learning_rate(config: &TrainConfig, step: u64) -> f64 {
    let t = &config.train;
    if step < t.warmup_steps {
        return t.learning_rate * (step + 1) as f64 / t.warmup_steps as f64;
    }
    let span = t.steps.saturating_sub(t.warmup_steps).max(1) as f64;
    let done = ((step - t.warmup_steps) as f64 / span).min(1.0);
    let cosine = (1.0 + (std::f64::consts::PI * done).cos()) / 2.0;
    t.min_learning_rate + (t.learning_rate - t.min_learning_rate) * cosine
}
