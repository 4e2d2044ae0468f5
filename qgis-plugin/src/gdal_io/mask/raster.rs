//! A mask raster of any grid and CRS, brought onto the scene's pixels (nearest neighbour).

use std::collections::BTreeMap;
use std::path::Path;

use gdal::Dataset;
use unclouded_core::raster::bits::BitMask;
use unclouded_core::raster::{Mask, Window};

use super::super::scene::Scene;
use super::super::{source, unreadable};
use super::grid::{GridMap, Warp};
use super::rule::Rule;
use crate::failure::{Failure, Result};

/// Values of a wrong mask that a message names at most.
const VALUES_SHOWN: usize = 12;
/// Pixels of the mask that are held at once: 32 MB.
const MOST_PIXELS: usize = 4 << 20;

/// A band of a raster that says where to fill.
pub struct RasterMask<'a> {
    dataset: &'a Dataset,
    /// Counted from 1.
    band: usize,
    rule: &'a Rule,
    map: GridMap,
    /// Columns and rows of the mask.
    size: (usize, usize),
    /// What was seen so far, for the message when nothing is marked.
    found: BTreeMap<u64, (f64, u64)>,
    /// Pixels of the scene that lie outside the mask.
    outside: u64,
}

impl<'a> RasterMask<'a> {
    /// Take band `band` (from 1) of an open raster.
    ///
    /// # Errors
    /// Exit 2 if it cannot be brought onto the scene's grid.
    pub fn new(scene: &Scene, dataset: &'a Dataset, band: usize, rule: &'a Rule) -> Result<Self> {
        Ok(RasterMask {
            dataset,
            band,
            rule,
            map: GridMap::new(scene, dataset, "mask")?,
            size: dataset.raster_size(),
            found: BTreeMap::new(),
            outside: 0,
        })
    }

    /// Mark the pixels of the scene.
    ///
    /// # Errors
    /// Exit 2 if the mask cannot be read or does not meet the scene.
    pub fn mark(
        &mut self,
        bits: &mut BitMask,
        path: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let (height, width) = bits.size();
        for window in source::strips(height, width) {
            crate::interrupt::check()?;
            self.window(window, bits)?;
            progress(window.row_end() as u64);
        }
        if self.outside == height as u64 * width as u64 {
            return Err(Failure::mismatch(
                format!("mask {}", path.display()),
                "a raster that meets the scene",
                "one that lies elsewhere: no pixel of the scene is inside it",
            )
            .hint("compare the two with gdalinfo: CRS, origin and pixel size"));
        }
        Ok(())
    }

    /// Part of the scene that lies outside the mask, 0 to 1.
    pub fn share_outside(&self, pixels: u64) -> f64 {
        self.outside as f64 / pixels.max(1) as f64
    }

    fn window(&mut self, window: Window, bits: &mut BitMask) -> Result<()> {
        let flags = match &self.map {
            GridMap::Same if window.pixels() > MOST_PIXELS => return self.halves(window, bits),
            GridMap::Same => {
                let values = self.values(window)?;
                values.iter().map(|value| self.see(*value)).collect()
            }
            GridMap::Warped(_) if window.pixels() > MOST_PIXELS / 4 => {
                return self.halves(window, bits);
            }
            GridMap::Warped(warp) => {
                let places = places(warp, window, self.size);
                let Some(around) = bounds(&places) else {
                    self.outside += window.pixels() as u64;
                    return Ok(());
                };
                // A much finer mask: read it in smaller pieces.
                if around.pixels() > MOST_PIXELS && window.pixels() > 1 {
                    return self.halves(window, bits);
                }
                let values = self.values(around)?;
                let mut flags = Vec::with_capacity(places.len());
                for place in places {
                    flags.push(match place {
                        None => {
                            self.outside += 1;
                            false
                        }
                        Some((row, col)) => {
                            let at = (row - around.row) * around.width + col - around.col;
                            self.see(values[at])
                        }
                    });
                }
                flags
            }
        };
        let (height, width) = (window.height, window.width);
        bits.set(
            window.row,
            window.col,
            &Mask {
                height,
                width,
                data: flags,
            },
        );
        Ok(())
    }

    fn halves(&mut self, window: Window, bits: &mut BitMask) -> Result<()> {
        let (mut first, mut second) = (window, window);
        if window.height >= window.width {
            first.height = window.height / 2;
            second.row += first.height;
            second.height -= first.height;
        } else {
            first.width = window.width / 2;
            second.col += first.width;
            second.width -= first.width;
        }
        self.window(first, bits)?;
        self.window(second, bits)
    }

    /// Whether a value marks a pixel; remembers what it was.
    fn see(&mut self, value: f64) -> bool {
        let marks = self.rule.marks(value);
        // A float mask may hold as many values as pixels; a few make the point.
        if !marks
            && (self.found.len() < 4 * VALUES_SHOWN || self.found.contains_key(&value.to_bits()))
        {
            self.found.entry(value.to_bits()).or_insert((value, 0)).1 += 1;
        }
        marks
    }

    fn values(&self, window: Window) -> Result<Vec<f64>> {
        source::read_native::<f64>(self.dataset, self.band, window)
            .map_err(|error| unreadable("mask", &error))
    }

    /// Whether all values seen were 0, 255 and at most one more, its nodata value; of a mask that
    /// marks nothing.
    pub fn holds_black_and_white(&self) -> bool {
        let nodata = self.nodata();
        let mut values = self.found.values().map(|(value, _)| *value);
        self.found.contains_key(&255.0_f64.to_bits())
            && values.all(|value| value == 0.0 || value == 255.0 || Some(value) == nodata)
    }

    /// Whether it is a classification that knows no cloud; of a mask that marks nothing.
    pub fn knows_no_cloud(&self) -> bool {
        let values = self.found.values().map(|(value, _)| *value);
        self.rule.knows_no_cloud(values)
    }

    fn nodata(&self) -> Option<f64> {
        self.dataset.rasterband(self.band).ok()?.no_data_value()
    }

    /// The failure for a mask that marks nothing.
    pub fn nothing_marked(&self, path: &Path) -> Failure {
        let mut counts: Vec<(f64, u64)> = self.found.values().copied().collect();
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let expected = self.rule.expected();
        let name = path.display();
        if let [(only, count)] = counts[..]
            && only == 0.0
        {
            return Failure::mismatch(
                format!("empty mask {name}"),
                expected,
                format!("0 in all {count} pixels"),
            )
            .hint("nothing is marked, so there is nothing to fill; is it the right file?");
        }
        let shown: Vec<String> = counts
            .iter()
            .take(VALUES_SHOWN)
            .map(|(value, count)| format!("{value} ({count} px)"))
            .collect();
        let more = if counts.len() > VALUES_SHOWN {
            ", ..."
        } else {
            ""
        };
        Failure::mismatch(
            format!("mask values that never occur in {name}"),
            expected,
            format!("{}{more}", shown.join(", ")),
        )
        .hint(self.rule.hint())
    }
}

/// Row and column of the mask under each pixel of a window; `None` outside the mask.
fn places(
    warp: &Warp,
    window: Window,
    (width, height): (usize, usize),
) -> Vec<Option<(usize, usize)>> {
    let mut places = Vec::with_capacity(window.pixels());
    let mut line = Vec::with_capacity(window.width);
    for row in window.row..window.row_end() {
        line.clear();
        warp.row(row, window.col..window.col_end(), &mut line);
        places.extend(line.iter().map(|(col, row)| {
            // False for NaN.
            let inside = *col >= 0.0 && *row >= 0.0 && *col < width as f64 && *row < height as f64;
            inside.then_some((*row as usize, *col as usize))
        }));
    }
    places
}

/// The smallest window around all places.
fn bounds(places: &[Option<(usize, usize)>]) -> Option<Window> {
    let mut inside = places.iter().flatten();
    let first = *inside.next()?;
    let (mut low, mut high) = (first, first);
    for place in inside {
        low = (low.0.min(place.0), low.1.min(place.1));
        high = (high.0.max(place.0), high.1.max(place.1));
    }
    Some(Window {
        row: low.0,
        col: low.1,
        height: high.0 - low.0 + 1,
        width: high.1 - low.1 + 1,
    })
}
