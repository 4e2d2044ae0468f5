//! Neighbouring tiles with their surroundings: read, smoothly filled, guided.

use super::coarse::{Enlarged, Estimate};
use super::dates::{Carried, Dates, Told};
use super::predict::Tile;
use super::texture::{self, Surroundings};
use super::{Plan, Reference, SceneSource, SceneWindow};
use crate::error::Result;
use crate::model::Shown;
use crate::raster::guide::{self, Guide};
use crate::raster::normalize::TileNorm;
use crate::raster::{Mask, Raster, Window, coarse};

/// Neighbouring tiles with their surroundings, their holes smoothly filled.
pub(super) struct View {
    /// What was read.
    pub context: Window,
    /// All bands, smoothly filled in and around the tiles.
    pub smooth: Raster,
    /// What a coarser estimate changes about the bands the model restores.
    pub coarse: Option<Delta>,
    /// True = masked and valid.
    pub holes: Mask,
    /// What other dates say of it by themselves.
    pub told: Option<Told>,
    /// The bands that are restored, as the network sees them: `smooth` with `coarse`.
    guides: Raster,
    /// The bands that are restored as a reference suggests them, and where it was observed.
    reference: Option<(Raster, Mask)>,
    /// True = observed.
    visible: Mask,
}

/// A coarser estimate inside a view.
pub(super) struct Delta {
    /// What it changes, `[restored bands, height, width]`, scene units.
    pub change: Raster,
    /// Its standard deviation, weighted alike.
    pub std: Raster,
    /// How much it counts.
    weight: Raster,
}

impl View {
    /// Reads `context` and fills the holes of `filled`, a part of it.
    pub fn read(
        source: &mut dyn SceneSource,
        context: Window,
        filled: Window,
        plan: &Plan,
        dates: Option<&mut Dates>,
    ) -> Result<Self> {
        let SceneWindow { image, mask, valid } = source.read(context)?;
        let visible = valid.and_not(&mask);
        let holes = valid.and(&mask);
        // Nodata is filled like a hole, as in training: the network never sees its value. What
        // lies farther out is neither filled nor filled from.
        let targets = Mask::from_fn(context.height, context.width, |row, col| {
            !visible.at(row, col) && filled.contains(context.row + row, context.col + col)
        });
        let known = visible.or(&targets);
        let survey = plan.survey;
        let reach_px = plan.space.reach_px();
        let ground = Carried {
            targets: &targets,
            known: &known,
            reach_px,
        };
        let mut told = None;
        let (smooth, reference) = match (dates, &survey.reference) {
            (Some(dates), _) => {
                let suggestion = dates.suggest(source, context)?;
                let filled = dates.filled(&image, &suggestion, &ground);
                let reference = filled.as_ref().map(|(_, guides)| guides.clone());
                let smooth = match filled {
                    Some((smooth, _)) => smooth,
                    None => ground.soft(&image, &survey.mean),
                };
                told = Some(Told::new(suggestion));
                let observed = told.as_ref().map(|told| told.observed.clone());
                (smooth, reference.zip(observed))
            }
            (None, Some(fit)) => {
                let Reference {
                    image: other,
                    observed,
                } = source.read_reference(0, context)?;
                let prediction = guide::predict(&other, &observed, &fit.transfer, reach_px);
                let smooth = ground.carry(&image, &prediction, &fit.offset);
                (smooth, Some((prediction, observed)))
            }
            (None, None) => (ground.soft(&image, &survey.mean), None),
        };
        let reference = reference.map(|(prediction, observed)| {
            (prediction.select_bands(&plan.restored.bands), observed)
        });
        let mut guides = smooth.select_bands(&plan.restored.bands);
        let coarse = match plan.coarse {
            Some(estimate) => Delta::new(estimate, context, &guides, &visible.invert())?,
            None => None,
        };
        if let Some(delta) = &coarse {
            guide::add(&mut guides, &delta.change);
        }
        Ok(Self {
            context,
            smooth,
            coarse,
            holes,
            told,
            guides,
            reference,
            visible,
        })
    }

    /// Whether other dates are all of what fills a tile.
    pub fn is_told(&self, tile: Window, plan: &Plan) -> bool {
        let Some(told) = self.told.as_ref().filter(|_| plan.told_alone) else {
            return false;
        };
        let local = tile.relative_to(self.context);
        !self.holes.and_not(&told.observed).any_in(local)
    }

    /// What a tile is textured from.
    pub fn surroundings(&self, tile: Window, scene: (usize, usize)) -> Surroundings {
        let window = texture::around(tile, scene);
        let local = window.relative_to(self.context);
        let inside = |row: usize, col: usize| tile.contains(window.row + row, window.col + col);
        let spread = match &self.coarse {
            Some(delta) => delta.std.crop(local),
            None => Raster::new(self.guides.bands, window.height, window.width),
        };
        let holes = self.holes.crop(local);
        Surroundings {
            tile,
            window,
            estimate: self.guides.crop(local),
            spread,
            visible: self.visible.crop(local),
            drawn: Mask::from_fn(window.height, window.width, |row, col| {
                holes.at(row, col) && inside(row, col)
            }),
        }
    }

    /// One tile as the network sees it.
    pub fn tile(&self, window: Window, plan: &Plan) -> Tile {
        let local = window.relative_to(self.context);
        let slots = &plan.restored.sources;
        let of_scene = TileNorm {
            mean: plan
                .restored
                .bands
                .iter()
                .map(|b| plan.survey.mean[*b])
                .collect(),
            scale: plan.survey.contrast.max(plan.space.floor(plan.full)),
        };
        let space = plan.space;
        let norm = space.tile_norm(&self.guides, &self.visible, local, plan.full, of_scene);
        let guide = match (&self.reference, &self.coarse) {
            (Some((prediction, observed)), _) => Some(Guide::from_reference(
                &prediction.crop(local),
                &observed.crop(local),
            )),
            (None, Some(delta)) => Some(delta.guide(local)),
            (None, None) => None,
        };
        Tile {
            window,
            shown: Shown {
                filled: self.guides.crop(local).select_bands(slots),
                unknown: self.visible.crop(local).invert(),
                guide: guide.map(|guide| Guide {
                    detail: guide.detail.select_bands(slots),
                    ..guide
                }),
                norm: TileNorm {
                    mean: slots.iter().map(|slot| norm.mean[*slot]).collect(),
                    ..norm
                },
            },
        }
    }
}

impl Delta {
    /// `filled` holds the restored bands inside `context`. None where the estimate does not count.
    fn new(
        estimate: &Estimate,
        context: Window,
        filled: &Raster,
        unknown: &Mask,
    ) -> Result<Option<Self>> {
        let mut weight = coarse::weight(unknown);
        if weight.iter().all(|w| *w == 0.0) {
            return Ok(None);
        }
        let Enlarged {
            mean,
            mut std,
            known,
        } = estimate.enlarged(context)?;
        // Deep in nodata there is no estimate either: the smooth fill stays.
        for (weight, known) in weight.iter_mut().zip(&known.data) {
            *weight *= f32::from(u8::from(*known));
        }
        for band in 0..std.bands {
            let weighted = std.band_mut(band).iter_mut().zip(&weight);
            weighted.for_each(|(std, w)| *std *= w);
        }
        Ok(Some(Self {
            change: coarse::delta(&mean, filled, &weight),
            std,
            weight: Raster {
                bands: 1,
                height: context.height,
                width: context.width,
                data: weight,
            },
        }))
    }

    fn guide(&self, local: Window) -> Guide {
        Guide::from_coarse(self.change.crop(local), &self.weight.crop(local).data)
    }
}
