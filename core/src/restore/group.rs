//! Neighbouring tiles that are read together, and their ensembles.

use super::compose::Part;
use super::dates::Dates;
use super::pause::Pause;
use super::predict::{Tile, residuals};
use super::progress::Meter;
use super::segments::Segment;
use super::texture::Surroundings;
use super::view::View;
use super::{Plan, RestoreSettings, SceneSink, SceneSource};
use crate::diffusion::denoiser::NoiseLevel;
use crate::error::Result;
use crate::model::Model;
use crate::raster::{Window, fill};

/// Tiles of a row with what surrounds them.
pub(super) struct Group {
    /// As the network sees them.
    pub tiles: Vec<Tile>,
    /// What of the finished rows they compose.
    pub parts: Vec<Part>,
    /// What they are textured from; nothing where no texture is drawn.
    pub surroundings: Vec<Surroundings>,
}

impl Group {
    /// Reads the segments of a group that lie in the rows `finished`.
    pub fn read(
        (source, mut dates): (&mut dyn SceneSource, Option<&mut Dates>),
        segments: &[Segment],
        finished: Window,
        plan: &Plan,
        textured: bool,
        meter: &mut Meter,
    ) -> Result<Self> {
        let (height, width) = source.size();
        let mut group = Group {
            tiles: Vec::new(),
            parts: Vec::new(),
            surroundings: Vec::new(),
        };
        for segment in segments {
            let filled = segment.window().grow(fill::REACH_PX, height, width);
            let context = filled.grow(plan.space.reach_px(), height, width);
            let dates = dates.as_deref_mut();
            let view = View::read(source, context, filled, plan, dates)?;
            // Without a say there is nothing to compute.
            let tiles = segment
                .tiles
                .iter()
                .filter(|tile| !view.is_told(**tile, plan));
            let before = group.tiles.len();
            group
                .tiles
                .extend(tiles.map(|window| view.tile(*window, plan)));
            let left_out = segment.tiles.len() - (group.tiles.len() - before);
            if textured {
                let around = |window: &Window| view.surroundings(*window, (height, width));
                group.surroundings.extend(segment.tiles.iter().map(around));
            }
            let part = Window {
                col: segment.finishes.0,
                width: segment.finishes.1 - segment.finishes.0,
                ..finished
            };
            group.parts.push(Part::new(&view, part));
            meter.leave_out(left_out);
            meter.read(segment.tiles.len())?;
        }
        Ok(group)
    }

    /// Every member of every tile's ensemble, as residuals to the smooth fill in scene units:
    /// `[members, restored bands, height, width]` a tile. Where the network says its own spread,
    /// its standard deviation comes last, the mean over the members' variances.
    pub async fn ensembles(
        &self,
        (model, settings): (&Model, &RestoreSettings),
        levels: &[NoiseLevel],
        plan: &Plan<'_>,
        sink: &mut dyn SceneSink,
        meter: &mut Meter<'_>,
    ) -> Result<Vec<Vec<f32>>> {
        let mut ensembles: Vec<Vec<f32>> = vec![Vec::new(); self.tiles.len()];
        let mut variances: Vec<Vec<f32>> = vec![Vec::new(); self.tiles.len()];
        let share = 1.0 / settings.samples as f32;
        let jobs: Vec<(usize, u64)> = (0..self.tiles.len())
            .flat_map(|tile| (0..settings.samples as u64).map(move |sample| (tile, sample)))
            .collect();
        for batch in jobs.chunks(settings.batch) {
            let tile_of = |&(tile, sample): &(usize, u64)| (&self.tiles[tile], sample);
            let items: Vec<(&Tile, u64)> = batch.iter().map(tile_of).collect();
            let keep_steps = sink.wants_previews() && batch.iter().any(|(_, sample)| *sample == 0);
            let on_step = &mut || meter.step(items.len());
            let predicted = residuals(model, settings, levels, &items, keep_steps, on_step).await?;
            for (step, estimate) in predicted.steps.iter().enumerate() {
                let first_members = items.iter().zip(estimate).filter(|((_, s), _)| *s == 0);
                for ((tile, _), residual) in first_members {
                    let of = (step, predicted.steps.len());
                    sink.preview(plan.restored.preview(tile, residual, of));
                }
            }
            Pause::new().await;
            let pixels = |tile: usize| self.tiles[tile].window.pixels();
            for (&(tile, _), residual) in batch.iter().zip(&predicted.residuals) {
                ensembles[tile].extend(plan.restored.fold(residual, pixels(tile)));
            }
            for (&(tile, _), spread) in batch.iter().zip(&predicted.spreads) {
                let spread = plan.restored.fold(spread, pixels(tile));
                let sum = &mut variances[tile];
                sum.resize(spread.len(), 0.0);
                let terms = sum.iter_mut().zip(&spread);
                terms.for_each(|(sum, s)| *sum += share * s * s);
            }
        }
        for (planes, variance) in ensembles.iter_mut().zip(&variances) {
            planes.extend(variance.iter().map(|v| v.sqrt()));
        }
        Ok(ensembles)
    }
}
