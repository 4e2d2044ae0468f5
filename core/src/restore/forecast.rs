//! What a restoration would do, without doing it.

use super::bands::RestoredBands;
use super::survey::Survey;
use super::{RestoreSettings, SceneSource, check, wants};
use crate::error::Result;
use crate::model::Model;
use crate::raster::tiler::Tiling;

/// How much work a scene is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forecast {
    /// Tiles that would go through the network at the scene's own scale.
    pub tiles: usize,
    /// The same at coarser scales, for wide holes.
    pub coarse_tiles: usize,
    /// All tiles of the scene.
    pub tiles_of_scene: usize,
}

/// Counts the tiles that [`restore`](super::restore()) would compute.
///
/// # Errors
/// As the run itself would give them before its first tile.
pub fn forecast(
    source: &mut dyn SceneSource,
    model: &Model,
    settings: &RestoreSettings,
) -> Result<Forecast> {
    check::settings(settings, source.bands(), model)?;
    check::fills(model)?;
    let references = source.references();
    settings.written.check(references.len())?;
    check::dates(settings, source.bands(), &references)?;
    let (height, width) = source.size();
    let tiling = Tiling::new(height, width, settings.tile_px, settings.overlap_px)?;
    let restored = RestoredBands::new(&settings.model_bands);
    let wants = wants(settings, references.len(), model);
    let survey = Survey::run(source, &tiling, &restored.bands, wants)?;
    let mut forecast = Forecast {
        tiles: survey.count(0..tiling.rows()),
        coarse_tiles: 0,
        tiles_of_scene: tiling.rows() * tiling.col_starts().len(),
    };
    if let Some(small) = survey.small.as_ref().filter(|small| small.is_wanted()) {
        let settings = RestoreSettings {
            model_bands: restored.sources.clone(),
            ..settings.clone()
        };
        let coarse = self::forecast(&mut small.source(&*source), model, &settings)?;
        forecast.coarse_tiles = coarse.tiles + coarse.coarse_tiles;
    }
    Ok(forecast)
}
