//! Which bands of the scene the model restores.

use super::StepPreview;
use super::predict::Tile;
use crate::raster::Window;

/// The scene bands the model restores, each once, and which of its outputs they are.
pub(super) struct RestoredBands {
    pub bands: Vec<usize>,
    /// For each of `bands`, the model's bands it feeds.
    slots: Vec<Vec<usize>>,
    /// For each of the model's bands, which of `bands` feeds it.
    pub sources: Vec<usize>,
}

impl RestoredBands {
    pub fn new(model_bands: &[usize]) -> Self {
        let mut bands: Vec<usize> = Vec::new();
        let mut slots: Vec<Vec<usize>> = Vec::new();
        let mut sources = Vec::new();
        for (slot, band) in model_bands.iter().enumerate() {
            let known = bands.iter().position(|known| known == band);
            let at = known.unwrap_or_else(|| {
                bands.push(*band);
                slots.push(Vec::new());
                bands.len() - 1
            });
            slots[at].push(slot);
            sources.push(at);
        }
        Self {
            bands,
            slots,
            sources,
        }
    }

    /// `[model bands, pixels]` to `[guides, pixels]`: a band that feeds several of the model's
    /// gets their mean.
    pub fn fold(&self, residual: &[f32], pixels: usize) -> Vec<f32> {
        let plane = |slots: &Vec<usize>| {
            let share = 1.0 / slots.len() as f32;
            let value =
                |i: usize| slots.iter().map(|s| residual[s * pixels + i]).sum::<f32>() * share;
            (0..pixels).map(value).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(plane).collect()
    }

    /// The estimate of a step (of how many): the smooth fill and the residual to it.
    pub fn preview(
        &self,
        tile: &Tile,
        residual: &[f32],
        (step, steps): (usize, usize),
    ) -> StepPreview {
        let Window { height, width, .. } = tile.window;
        let slots: Vec<usize> = self.slots.iter().map(|slots| slots[0]).collect();
        let mut image = tile.shown.filled.select_bands(&slots);
        let residual = self.fold(residual, height * width);
        image
            .data
            .iter_mut()
            .zip(&residual)
            .for_each(|(value, change)| *value += change);
        StepPreview {
            window: tile.window,
            step,
            steps,
            bands: self.bands.clone(),
            image,
        }
    }
}
