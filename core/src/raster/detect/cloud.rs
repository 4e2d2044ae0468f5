//! Which pixels are cloud: bright, white, bluish for their redness, and not snow.

use super::Walk;
use super::levels::Ground;
use super::pixel::{Roles, Slots, contrast, for_each_valid, hot, is_snow, mean, median3, ratio};
use crate::error::Result;
use crate::raster::bits::BitMask;
use crate::raster::{Mask, Raster};

/// Fmask's basic test: vegetation and snow have a higher index than any cloud.
const NDVI_MOST: f32 = 0.8;
const NDSI_MOST: f32 = 0.8;
/// Fmask's basic test: a cloud is not black at 2.2 micrometres.
const SWIR2_LEAST: f32 = 0.03;
/// Fmask's whiteness: mean deviation of the visible bands from their mean, of three bands.
const WHITENESS_MOST: f32 = 0.7;
/// The same where there are visible bands only: blue water is bright too, and no other band says
/// that it is water.
const VISIBLE_WHITENESS_MOST: f32 = 0.35;
/// Then a sure pixel, and one that belongs to it, are also this much brighter.
const VISIBLE_BRIGHTER: f32 = 0.03;
/// Fmask's test for bright rock and sand: they are brighter at 1.6 than at 0.84 micrometres.
const NIR_SWIR_LEAST: f32 = 0.7;
/// Clouds are no redder than this; sand, quarries and roofs are.
const BLUE_RED_LEAST: f32 = 0.85;
/// Nothing but snow and cloud is as bright in blue; a low sun reddens clouds.
const BLUE_CERTAIN: f32 = 0.40;
/// HOT above that of clear ground: a sure pixel, and one that belongs to it.
const HOT_SEED: f32 = 0.030;
const HOT_GROW: f32 = 0.016;
/// Where half of a place is overcast the clear-sky level found there is a cloud's; clear sky is
/// not hazier than this.
const CLEAR_HOT_MOST: f32 = 0.10;
/// Blue reflectance of a sure pixel, and of one that belongs to it.
const BLUE_SEED: f32 = 0.13;
const BLUE_GROW: f32 = 0.12;
/// High cloud at 1.38 micrometres, mean of 5 x 5 pixels, above what the band shows in the clearest
/// part of the scene, as in Fmask 4 (Fmask for Sentinel-2: 0.01; below 0.02 it hides nothing worth
/// filling). Dry air, high ground and a thin even veil lift the band everywhere, and all but the
/// ground is seen through them.
const CIRRUS_LEAST: f32 = 0.02;
/// A veil that is everywhere brighter than this is no clear sky: what exceeds it is high cloud,
/// though no part of the scene is without. Clear frames have up to 0.04.
const VEIL_MOST: f32 = 0.045;
/// A scene with more snow than this holds pixels of snow and ground mixed, too: a cloud has to
/// be bright at 1.6 micrometres there.
const SNOWY: f64 = 0.05;
const SNOWY_SWIR1_LEAST: f32 = 0.14;
/// Smaller groups are roofs and cars, not clouds.
const SEED_LEAST_PX: u64 = 4;
const CLOUD_LEAST_PX: u64 = 8;

/// Fmask's basic test and those against bright ground, as far as there are bands for them.
fn may_be_cloud(image: &Raster, slots: &Slots, at: usize) -> bool {
    let [blue, green, red] = [0, 1, 2].map(|band| image.band(band)[at]);
    let average = (blue + green + red) / 3.0;
    let spread = [blue, green, red].map(|value| (value - average).abs());
    let whiteness = match slots.nir {
        Some(_) => WHITENESS_MOST,
        None => VISIBLE_WHITENESS_MOST,
    };
    let white = ratio(spread.iter().sum(), average) < whiteness;
    let nir = slots.nir.map(|slot| image.band(slot)[at]);
    let swir1 = slots.swir1.map(|slot| image.band(slot)[at]);
    let swir2 = slots.swir2.map(|slot| image.band(slot)[at]);
    white
        && nir.is_none_or(|nir| contrast(nir, red) < NDVI_MOST)
        && swir1.is_none_or(|swir1| contrast(green, swir1) < NDSI_MOST)
        && swir2.is_none_or(|swir2| swir2 > SWIR2_LEAST)
        && match (nir, swir1) {
            (Some(nir), Some(swir1)) => ratio(nir, swir1) > NIR_SWIR_LEAST,
            _ => true,
        }
        && !is_snow(image, slots, at)
}

/// The clouds of a scene.
pub(super) fn find(walk: &mut Walk, roles: &Roles, ground: &Ground) -> Result<BitMask> {
    let slots = roles.slots();
    let (height, width) = walk.size();
    let [mut sure, mut likely, mut high] = [(); 3].map(|()| BitMask::new(height, width));
    let gain = ground.gain;
    let snowy = ground.snow > SNOWY;
    let cirrus_least = CIRRUS_LEAST + ground.cirrus.min(VEIL_MOST);
    let more = if slots.nir.is_none() {
        VISIBLE_BRIGHTER
    } else {
        0.0
    };
    walk.windows(2, &mut |window, around, image: &Raster, valid: &Mask| {
        let hot = median3(window, around, valid, |at| hot(image, at));
        let blue = median3(window, around, valid, |at| image.band(0)[at]);
        let red = median3(window, around, valid, |at| image.band(2)[at]);
        let swir1 = slots
            .swir1
            .map(|slot| median3(window, around, valid, |at| image.band(slot)[at]));
        let cirrus = slots
            .cirrus
            .map(|slot| mean(window, around, valid, 2, |at| image.band(slot)[at]));
        let [mut seeds, mut grown, mut cirri] =
            [(); 3].map(|()| Mask::new(window.height, window.width, false));
        for_each_valid(window, around, valid, |index, at| {
            let row = window.row + index / window.width;
            let col = window.col + index % window.width;
            let dark = swir1
                .as_ref()
                .is_some_and(|swir1| swir1[index] < SNOWY_SWIR1_LEAST);
            let fits = may_be_cloud(image, &slots, at)
                && (ratio(blue[index], red[index]) > BLUE_RED_LEAST
                    || blue[index] * gain > BLUE_CERTAIN)
                && !(snowy && dark);
            let clear = ground.hot.at(row, col).unwrap_or(CLEAR_HOT_MOST);
            let excess = hot[index] * gain - (clear * gain).min(CLEAR_HOT_MOST);
            let bright = blue[index] * gain - more;
            seeds.data[index] = fits && excess > HOT_SEED && bright > BLUE_SEED;
            grown.data[index] = fits && excess > HOT_GROW && bright > BLUE_GROW;
            cirri.data[index] = cirrus
                .as_ref()
                .is_some_and(|cirrus| cirrus[index] > cirrus_least)
                && !is_snow(image, &slots, at);
        });
        sure.set(window.row, window.col, &seeds);
        likely.set(window.row, window.col, &grown);
        high.set(window.row, window.col, &cirri);
    })?;
    sure.remove_small(SEED_LEAST_PX);
    likely.or(&sure);
    likely.keep_touching(&sure);
    likely.or(&high);
    likely.remove_small(CLOUD_LEAST_PX);
    Ok(likely)
}
