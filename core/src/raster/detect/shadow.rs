//! Which pixels are in the shadow of a cloud: darker than the ground around in every infrared
//! band, not water, and where a cloud moved by the offset of the scene would throw its shadow.

use super::levels::Levels;
use super::offset;
use super::pixel::{Roles, dark_slots, for_each_valid, mean, ratio, value};
use super::{Settings, Walk};
use crate::error::Result;
use crate::raster::bits::BitMask;
use crate::raster::{Mask, Raster, Window};

/// Brightness, as a share of that of clear ground around: a sure pixel, and one that belongs to
/// it.
const DARK_SEED: f32 = 0.72;
const DARK_GROW: f32 = 0.82;
/// Water is darker in near infrared than in green; ground in shadow is not.
const NIR_GREEN_LEAST: f32 = 0.9;
/// Smaller groups are trees and houses.
const SEED_LEAST_PX: u64 = 8;
const SHADOW_LEAST_PX: u64 = 12;
/// Clouds of one scene differ in height: a shadow may lie at 0.6 to 1.45 times the offset.
const NEAREST: f64 = 0.6;
const FARTHEST: f64 = 1.45;
/// Steps from the nearest to the farthest, pixels.
const STEP_PX: f64 = 4.0;
/// How far a shadow may lie from where geometry has it.
const SLACK_PX: usize = 4;
/// With a smaller share of cloud there is no offset to be found.
const LEAST_CLOUD: f64 = 0.0005;

/// The shadows of a scene, and the offset from cloud to shadow.
pub(super) fn find(
    walk: &mut Walk,
    roles: &Roles,
    settings: &Settings,
    bright: &[Levels],
    cloud: &BitMask,
) -> Result<(BitMask, Option<(isize, isize)>)> {
    let (height, width) = walk.size();
    let nothing = BitMask::new(height, width);
    if (cloud.count() as f64) < LEAST_CLOUD * height as f64 * width as f64 || !cloud.any() {
        return Ok((nothing, None));
    }
    let (mut seeds, mut dark) = darkness(walk, roles, bright)?;
    seeds.and_not(cloud);
    dark.and_not(cloud);
    let Some(offset) = offset::best(cloud, &seeds, settings) else {
        return Ok((nothing, None));
    };
    let possible = reachable(cloud, offset, SLACK_PX);
    seeds.and(&possible);
    seeds.remove_small(SEED_LEAST_PX);
    let wider = reachable(cloud, offset, 2 * SLACK_PX);
    dark.and(&wider);
    dark.or(&seeds);
    dark.keep_touching(&seeds);
    dark.remove_small(SHADOW_LEAST_PX);
    Ok((dark, Some(offset)))
}

/// Sure and likely dark pixels.
fn darkness(walk: &mut Walk, roles: &Roles, bright: &[Levels]) -> Result<(BitMask, BitMask)> {
    let slots = roles.slots();
    let looked_at = dark_slots(&slots);
    let (height, width) = walk.size();
    let [mut seeds, mut likely] = [(); 2].map(|()| BitMask::new(height, width));
    walk.windows(1, &mut |window, around, image: &Raster, valid: &Mask| {
        let smooth: Vec<Vec<f32>> = looked_at
            .iter()
            .map(|dark| mean(window, around, valid, 1, |at| value(image, *dark, at)))
            .collect();
        let [mut sure, mut grown] = [(); 2].map(|()| Mask::new(window.height, window.width, false));
        for_each_valid(window, around, valid, |index, at| {
            let row = window.row + index / window.width;
            let col = window.col + index % window.width;
            let share = smooth.iter().zip(bright).map(|(values, levels)| {
                levels
                    .at(row, col)
                    .map_or(1.0, |level| ratio(values[index], level))
            });
            let share = share.fold(0.0, f32::max);
            let water = slots
                .nir
                .is_some_and(|nir| ratio(image.band(nir)[at], image.band(1)[at]) < NIR_GREEN_LEAST);
            sure.data[index] = share < DARK_SEED && !water;
            grown.data[index] = share < DARK_GROW && !water;
        });
        seeds.set(window.row, window.col, &sure);
        likely.set(window.row, window.col, &grown);
    })?;
    Ok((seeds, likely))
}

/// Where the shadow of a cloud, or of one beyond the edge of the scene, may fall.
fn reachable(cloud: &BitMask, (down, right): (isize, isize), slack_px: usize) -> BitMask {
    let (height, width) = cloud.size();
    let length = (down as f64).hypot(right as f64);
    let steps = (length * (FARTHEST - NEAREST) / STEP_PX).ceil() as usize + 1;
    let shifts: Vec<(isize, isize)> = (0..=steps)
        .map(|step| {
            let share = NEAREST + (FARTHEST - NEAREST) * step as f64 / steps as f64;
            (
                (down as f64 * share).round() as isize,
                (right as f64 * share).round() as isize,
            )
        })
        .collect();
    let mut out = BitMask::new(height, width);
    let strip = 256;
    for row in (0..height).step_by(strip) {
        let window = Window {
            row,
            col: 0,
            height: strip.min(height - row),
            width,
        };
        let around = window.grow(slack_px, height, width);
        let mut hit = Mask::new(around.height, around.width, false);
        for shift in &shifts {
            add_moved(cloud, *shift, around, &mut hit);
        }
        let near = hit.dilate(slack_px).crop(window.relative_to(around));
        out.set(row, 0, &near);
    }
    out
}

/// Sets the pixels of a window whose place before the move is cloud or outside the scene.
fn add_moved(cloud: &BitMask, (down, right): (isize, isize), window: Window, hit: &mut Mask) {
    let (height, width) = cloud.size();
    for (r, line) in hit.data.chunks_exact_mut(window.width).enumerate() {
        let from = (window.row + r) as isize - down;
        if !(0..height as isize).contains(&from) {
            line.fill(true);
            continue;
        }
        for run in cloud.runs(from as usize) {
            let start = (run.start as isize + right).clamp(0, width as isize) as usize;
            let end = (run.end as isize + right).clamp(0, width as isize) as usize;
            line[start..end].fill(true);
        }
        let beyond = right.unsigned_abs().min(width);
        if right > 0 {
            line[..beyond].fill(true);
        } else {
            line[width - beyond..].fill(true);
        }
    }
}
