//! The main job: fill the masked pixels of a scene. The only file that knows the whole order.
//!
//! `survey (what is masked, value ranges, spectral fit, fit to a reference) → for wide holes: the
//! same at a quarter of the size → for each row of tiles: for neighbouring tiles with holes: read
//! with a halo → soft fill → guide → normalise → condition → sample → blend → composite; → sink`.
//! A scene is read by windows and never whole. In memory are the tiles in flight, the rows that
//! are being finished and one bit a pixel of the coarser images; their pixels are in a scratch.

mod bands;
mod check;
mod coarse;
mod compose;
mod dates;
mod ensemble;
mod eta;
mod forecast;
mod group;
mod in_flight;
mod io;
mod memory;
mod method;
mod pause;
mod predict;
mod progress;
pub mod provenance;
mod redraw;
mod scratch;
mod segments;
mod self_test;
mod settings;
mod survey;
#[cfg(test)]
mod tests;
mod texture;
mod view;

use std::ops::ControlFlow;

pub use dates::Choice;
pub use eta::{Eta, Expected};
pub use forecast::{Forecast, forecast};
pub use io::{FilledRows, OtherDate, Reference, SceneSink, SceneSource, SceneWindow, StepPreview};
pub use memory::{MemorySink, MemorySource};
pub use method::Method;
pub use progress::{Progress, Share};
pub use provenance::Provenance;
#[cfg(not(target_family = "wasm"))]
pub use redraw::redraw;
pub use redraw::redraw_async;
pub use scratch::{MemoryScratch, Scratch};
pub use segments::{tiles_in_flight, widest_segment_px};
#[cfg(not(target_family = "wasm"))]
pub use self_test::self_test;
pub use self_test::{SelfTest, Tested, self_test_async};
pub use settings::{Effort, Quality, RestoreSettings, Subject, Wish, Written};
pub use texture::{texture_bytes, usual_tile_px};

use crate::error::Result;
use crate::model::{Conditioning, Model, Space};
use crate::raster::tiler::Tiling;
use crate::raster::{Mask, fill};
use bands::RestoredBands;
use dates::Dates;
use group::Group;
use in_flight::InFlight;
use pause::Pause;
use progress::Meter;
use survey::{Survey, Wants};

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Pixels that were filled.
    pub filled_px: usize,
    /// Pixels that hold data.
    pub valid_px: usize,
    /// Tiles that went through the network.
    pub tiles: usize,
}

/// Fills the masked pixels of `source` into `sink`, waiting for the device; for native faces.
///
/// # Errors
/// As [`restore_async`].
#[cfg(not(target_family = "wasm"))]
pub fn restore(
    source: &mut dyn SceneSource,
    sink: &mut dyn SceneSink,
    model: &Model,
    settings: &RestoreSettings,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Summary> {
    pollster::block_on(restore_async(source, sink, model, settings, progress))
}

/// Writes a scene without clouds as it is: nothing is filled, and nothing computed.
///
/// # Errors
/// Whatever source and sink return, and [`Error::Setting`](crate::Error::Setting) for tiles that are none.
pub fn pass_through(
    source: &mut dyn SceneSource,
    sink: &mut dyn SceneSink,
    settings: &RestoreSettings,
) -> Result<Summary> {
    let (height, width) = source.size();
    let tiling = Tiling::new(height, width, settings.tile_px, settings.overlap_px)?;
    let mut summary = Summary::default();
    let mut recalled = true;
    for row in 0..tiling.rows() {
        let window = tiling.finished(row);
        let mut read = source.read(window)?;
        read.mask = Mask::new(window.height, window.width, false);
        summary.valid_px += read.valid.count();
        recalled = recalled && sink.recall(window)?;
        if !recalled {
            sink.write(compose::as_read(window, read, settings.has_spread()))?;
        }
    }
    Ok(summary)
}

/// Fills the masked pixels of `source` into `sink`.
///
/// The result is a function of scene, mask, checkpoint and settings (without `batch`): the
/// noise is keyed to places of the scene. Filled values stay within the range of the band's
/// visible values. Bands the model does not know follow the ones it restored
/// ([`spectral`](crate::raster::spectral)). Where the source has a reference, all bands first
/// follow that ([`guide`](crate::raster::guide)), or the best of several
/// ([`dates`](crate::raster::dates)); without one, a guided model fills wide holes
/// coarse to fine ([`coarse`](crate::raster::coarse)).
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) and [`Error::Mismatch`](crate::Error::Mismatch) for settings that do not fit scene or model,
/// [`Error::NothingMasked`](crate::Error::NothingMasked), [`Error::NothingVisible`](crate::Error::NothingVisible), [`Error::Interrupted`](crate::Error::Interrupted) when `progress`
/// breaks off, [`Error::Device`](crate::Error::Device), and whatever source and sink return.
pub async fn restore_async(
    source: &mut dyn SceneSource,
    sink: &mut dyn SceneSink,
    model: &Model,
    settings: &RestoreSettings,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Summary> {
    let (height, width) = source.size();
    check::settings(settings, source.bands(), model)?;
    check::fills(model)?;
    let references = source.references();
    settings.written.check(references.len())?;
    check::dates(settings, source.bands(), &references)?;
    let tiling = Tiling::new(height, width, settings.tile_px, settings.overlap_px)?;
    let levels = model.levels(settings.steps)?;
    let restored = RestoredBands::new(&settings.model_bands);
    let choice = settings.dates_choice(references.len());
    let wants = wants(settings, references.len(), model);
    let survey = Survey::run(source, &tiling, &restored.bands, wants)?;
    let space = model.card.normalization;
    let reach_px = space.reach_px();
    let steps = settings.reports(&model.card, &levels);
    let mut summary = Summary {
        valid_px: survey.valid_px,
        filled_px: survey.masked_px,
        tiles: 0,
    };
    let mut recalled = 0;
    while recalled < tiling.rows() && sink.recall(tiling.finished(recalled))? {
        recalled += 1;
    }
    if recalled == tiling.rows() {
        return Ok(summary);
    }
    // Tiles of finished rows may overlap the first row that is still to be done.
    let reaches = |row: &usize| tiling.band(*row).row_end() > tiling.finished(recalled).row;
    let first = (0..recalled).find(reaches).unwrap_or(recalled);
    let multiple = model.card.architecture.size_multiple();
    let mut meter = Meter::new(
        &tiling,
        multiple,
        survey.count(first..tiling.rows()),
        settings.samples * steps,
        recalled,
        progress,
    );
    let mut in_flight = InFlight::new(&tiling, settings, restored.bands.len());
    if in_flight.textures.is_some() {
        meter.expect_textures();
    }
    let estimate = match survey.small.as_ref().filter(|small| small.is_wanted()) {
        Some(small) => {
            let mut part = meter.before();
            let sources = &restored.sources;
            Some(coarse::estimate(small, &*source, model, settings, sources, &mut part).await?)
        }
        None => {
            meter.begin()?;
            None
        }
    };
    let plan = Plan {
        survey: &survey,
        restored: &restored,
        coarse: estimate.as_ref(),
        space,
        // Without a full brightness the scene's own contrast sets the floor: neither its unit nor
        // an outlier matters.
        full: settings.reflectance_scale.unwrap_or(survey.contrast),
        uncertainty_factor: settings.spread_factor(&model.card),
        told_alone: choice.is_some() && settings.dates_alone(),
        taken: (0..source.bands())
            .map(|band| choice.is_some_and(|c| c.takes_values(restored.bands.contains(&band))))
            .collect(),
    };
    let first_member = RestoreSettings {
        written: Written::Sample,
        ..settings.clone()
    };
    in_flight.drop_rows(tiling.finished(first).row);
    let mut dates = choice.map(|choice| Dates::new(choice, &restored.bands));
    for row in first..tiling.rows() {
        let finished = tiling.finished(row);
        let mut rows = match row < recalled {
            true => None,
            false => {
                let read = source.read(finished)?;
                let rows = compose::as_read(finished, read, settings.has_spread());
                meter.copied(finished.pixels())?;
                Some(rows)
            }
        };
        let drawn = !settings.says_spread() && sink.wants_sample();
        let mut sample = rows.clone().filter(|_| drawn);
        for segments in segments::groups(&survey.tiles(&tiling, row), fill::REACH_PX + reach_px) {
            let textured = in_flight.textures.is_some();
            let group = Group::read(
                (&mut *source, dates.as_mut()),
                &segments,
                finished,
                &plan,
                textured,
                &mut meter,
            )?;
            summary.tiles += group.tiles.len();
            let how = (model, settings);
            let ensembles = group
                .ensembles(how, &levels, &plan, sink, &mut meter)
                .await?;
            let Group {
                tiles,
                parts,
                surroundings,
            } = group;
            for (tile, planes) in tiles.iter().zip(&ensembles) {
                in_flight.add(tile.window, planes);
            }
            if let Some(textures) = &mut in_flight.textures {
                meter.texturing(surroundings.len())?;
                for (ground, planes) in surroundings.into_iter().zip(&ensembles) {
                    textures.add(ground, planes, &plan, settings);
                    meter.textured()?;
                    Pause::new().await;
                }
            }
            if let Some(rows) = &mut rows {
                for part in &parts {
                    let blended = in_flight.read(part.window);
                    compose::compose(&plan, settings, part, &blended, rows);
                    if let Some(sample) = &mut sample {
                        compose::compose(&plan, &first_member, part, &blended, sample);
                    }
                }
            }
        }
        in_flight.drop_rows(finished.row_end());
        if let Some(dates) = &mut dates {
            dates.drop_rows(finished.row_end());
        }
        if let Some(sample) = sample {
            sink.sample(finished, sample.image)?;
        }
        if let Some(rows) = rows {
            sink.write(rows)?;
            meter.copied(finished.pixels())?;
        }
    }
    Ok(summary)
}

/// What a run needs of the survey: the fit to the only reference, else, to fill wide holes coarse to
/// fine, a smaller copy.
fn wants(settings: &RestoreSettings, references: usize, model: &Model) -> Wants {
    Wants {
        fit: references == 1 && settings.dates_choice(references).is_none(),
        smaller: model.card.conditioning == Conditioning::Guided && references == 0,
    }
}

/// What holds for every row of tiles.
struct Plan<'a> {
    survey: &'a Survey,
    /// The bands that are restored.
    restored: &'a RestoredBands,
    /// The scene at a coarser scale, where a hole is wide.
    coarse: Option<&'a coarse::Estimate>,
    /// How pixels become the network's numbers.
    space: Space,
    /// Full brightness, scene units.
    full: f32,
    /// What the ensemble's standard deviation, or the network's own, is multiplied with.
    uncertainty_factor: f32,
    /// Whether the network has no say where other dates show the ground.
    told_alone: bool,
    /// The bands whose values are there taken from other dates as they are.
    taken: Vec<bool>,
}
