//! What the tiles of the rows in flight add up to: blended members, and a texture where one is
//! drawn.

use super::texture::Textures;
use super::{RestoreSettings, Written};
use crate::raster::Window;
use crate::raster::blend::{Blended, Blender};
use crate::raster::tiler::Tiling;

/// The rows that tiles were added to and that are not finished.
pub(super) struct InFlight {
    members: Blender,
    /// The textured tiles, where that is what is written.
    pub textures: Option<Textures>,
}

impl InFlight {
    /// For a scene of which `bands` are restored.
    pub fn new(tiling: &Tiling, settings: &RestoreSettings, bands: usize) -> Self {
        let planes = settings.planes() * bands;
        let textured = settings.written == Written::Texture;
        Self {
            members: Blender::new(planes, tiling.width, settings.overlap_px),
            textures: textured.then(|| Textures::new(tiling, bands)),
        }
    }

    /// Adds the ensemble of a tile, `[planes, bands, height, width]`, see
    /// [`RestoreSettings::planes`].
    pub fn add(&mut self, tile: Window, planes: &[f32]) {
        self.members.add(tile, planes);
    }

    /// A part of the rows that no further tile will touch. A texture is one more member.
    pub fn read(&self, window: Window) -> Blended {
        let mut blended = self.members.read(window);
        if let Some(textures) = &self.textures {
            blended.values.extend(textures.read(window));
        }
        blended
    }

    /// Forgets the rows up to `row_end`.
    pub fn drop_rows(&mut self, row_end: usize) {
        self.members.drop_rows(row_end);
        if let Some(textures) = &mut self.textures {
            textures.drop_rows(row_end);
        }
    }
}
