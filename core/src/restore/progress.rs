//! How far a run is: counts of the kinds of work that take time.
//!
//! A run reads and smoothly fills tiles, takes sampler steps, textures and copies rows, in turns. What
//! each of these costs depends on model, settings, scene and machine, so that a count of one of
//! them says little about the time that is left: a face that tells it measures what each takes.
//! Every report follows work of at most one kind, so the time since the last one was for that.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::raster::tiler::Tiling;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Units of work done.
    pub done: usize,
    /// All units: one for each sampler step of each member of each tile.
    pub total: usize,
    /// Pixels of tiles that were read and smoothly filled, those of coarser scales included.
    pub read: Share,
    /// Pixels of tiles that went through a sampler step, once for each step and member, those of
    /// coarser scales included.
    pub sampled: Share,
    /// Pixels of tiles that were textured, where that was asked for.
    pub textured: Share,
    /// Whether tiles are being textured: the next report comes when one of them is.
    pub texturing: bool,
    /// Pixels of the rows that are finished, once when they were read and once when the sink took
    /// them. Those of coarser scales do not count: they are few and go elsewhere.
    pub copied: Share,
}

/// A part of some work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// What is done.
    pub done: u64,
    /// All of it.
    pub total: u64,
}

impl Share {
    fn of(total: usize) -> Self {
        Share {
            done: 0,
            total: total as u64,
        }
    }

    fn plus(self, other: Share) -> Self {
        Share {
            done: self.done + other.done,
            total: self.total + other.total,
        }
    }
}

/// Counts work and passes the caller's wish to stop on.
pub(super) struct Meter<'a> {
    at: Progress,
    /// Pixels of a tile as the network takes it.
    tile: usize,
    /// Sampler steps of a tile.
    units: usize,
    /// Tiles that are being textured.
    waiting: usize,
    report: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl<'a> Meter<'a> {
    /// For `tiles` of a tiling, brought to a multiple of so many pixels, with `units` sampler
    /// steps each; the first rows of tiles are `recalled`.
    pub fn new(
        tiling: &Tiling,
        multiple: usize,
        tiles: usize,
        units: usize,
        recalled: usize,
        report: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Self {
        let side = |px: usize| tiling.tile_px.min(px).next_multiple_of(multiple);
        let tile = side(tiling.height) * side(tiling.width);
        let rows = tiling.height - tiling.finished(recalled).row;
        let at = Progress {
            done: 0,
            total: tiles * units,
            read: Share::of(tiles * tile),
            sampled: Share::of(tiles * units * tile),
            textured: Share::of(0),
            texturing: false,
            copied: Share::of(2 * rows * tiling.width),
        };
        Self {
            at,
            tile,
            units,
            waiting: 0,
            report,
        }
    }

    /// The tiles that are read will be textured, too.
    pub fn expect_textures(&mut self) {
        self.at.textured.total = self.at.read.total;
    }

    /// The work begins.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the caller breaks off.
    pub fn begin(&mut self) -> Result<()> {
        match (self.report)(self.at) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }

    /// So many tiles were read and smoothly filled.
    ///
    /// # Errors
    /// As [`Meter::begin`].
    pub fn read(&mut self, tiles: usize) -> Result<()> {
        self.at.read.done += (tiles * self.tile) as u64;
        self.begin()
    }

    /// So many tiles need no network.
    pub fn leave_out(&mut self, tiles: usize) {
        let units = tiles * self.units;
        self.at.total -= units.min(self.at.total);
        let pixels = (units * self.tile) as u64;
        self.at.sampled.total -= pixels.min(self.at.sampled.total);
    }

    /// Another step of `members` is done.
    pub fn step(&mut self, members: usize) -> ControlFlow<()> {
        self.at.done += members;
        self.at.total = self.at.total.max(self.at.done);
        self.at.sampled.done += (members * self.tile) as u64;
        self.at.sampled.total = self.at.sampled.total.max(self.at.sampled.done);
        (self.report)(self.at)
    }

    /// So many tiles are going to be textured, one after the other.
    ///
    /// # Errors
    /// As [`Meter::begin`].
    pub fn texturing(&mut self, tiles: usize) -> Result<()> {
        self.waiting = tiles;
        self.at.texturing = tiles > 0;
        self.begin()
    }

    /// One of them was textured.
    ///
    /// # Errors
    /// As [`Meter::begin`].
    pub fn textured(&mut self) -> Result<()> {
        self.waiting -= 1;
        self.at.texturing = self.waiting > 0;
        self.at.textured.done += self.tile as u64;
        self.begin()
    }

    /// Rows of so many pixels were read, or are with the sink.
    ///
    /// # Errors
    /// As [`Meter::begin`].
    pub fn copied(&mut self, pixels: usize) -> Result<()> {
        self.at.copied.done += pixels as u64;
        self.begin()
    }

    /// The meter of a run that comes before this one and counts together with it.
    pub fn before(&mut self) -> impl FnMut(Progress) -> ControlFlow<()> {
        let own = self.at;
        move |part: Progress| {
            self.at = Progress {
                done: part.done,
                total: own.total + part.total,
                read: own.read.plus(part.read),
                sampled: own.sampled.plus(part.sampled),
                textured: own.textured,
                texturing: own.texturing,
                copied: own.copied,
            };
            (self.report)(self.at)
        }
    }
}
