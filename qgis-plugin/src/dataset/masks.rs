//! Where the holes of training tiles come from: real mask frames and procedural noise.

use std::path::Path;

use unclouded_core::model::task::Task;
use unclouded_core::raster::Mask;
use unclouded_core::raster::turn::turned;

use super::augment::random_turn;
use super::file_problem;
use super::noise_mask;
use super::rng::Rng;
use crate::failure::Result;
use crate::npy;
use crate::recipe::MaskConfig;

/// Crops that are tried before a procedural mask takes their place.
const TRIES: usize = 12;

/// A source of random masks with a cover inside the recipe's range.
#[derive(Debug)]
pub struct MaskPool {
    frames: Vec<Mask>,
    noise_fraction: f32,
    min_cover: f32,
    max_cover: f32,
    /// Whether all but a rectangle is masked.
    rectangles: bool,
}

impl MaskPool {
    /// Reads the mask files. Frames that are all clear or all masked are left out: no crop
    /// of theirs is of use.
    ///
    /// # Errors
    /// A file cannot be read, is not 0/1 of `[N, H, W]` or `[N, H, W, 1]`, or none of its
    /// frames is partly masked.
    pub fn load(config: &MaskConfig) -> Result<Self> {
        let mut frames = Vec::new();
        for path in &config.files {
            let before = frames.len();
            frames.extend(read_npy(path)?.into_iter().filter(is_partial));
            if frames.len() == before {
                return Err(file_problem(
                    path,
                    "frames that are partly masked",
                    "only frames that are all clear or all masked",
                    "leave this file out",
                ));
            }
        }
        Ok(Self {
            noise_fraction: if frames.is_empty() {
                1.0
            } else {
                config.noise_fraction
            },
            frames,
            min_cover: config.min_cover,
            max_cover: config.max_cover,
            rectangles: false,
        })
    }

    /// The masks of a task.
    pub fn for_task(self, task: Task) -> Self {
        let rectangles = task == Task::Uncropping;
        Self { rectangles, ..self }
    }

    /// Number of partly masked frames.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// A random mask of `side` by `side` pixels, true = fill, with a cover in the range of the
    /// recipe, at least one pixel masked and one visible.
    pub fn draw(&self, rng: &mut Rng, side: usize) -> Mask {
        if self.rectangles {
            return self.draw_rectangle(rng, side);
        }
        if !rng.chance(self.noise_fraction) {
            for _ in 0..TRIES {
                let mask = self.crop_frame(rng, side);
                if self.in_range(&mask) {
                    return mask;
                }
            }
        }
        let total = (side * side) as f32;
        let least = ((self.min_cover * total).ceil() as usize).max(1);
        let most = ((self.max_cover * total).floor() as usize).min(side * side - 1);
        let masked = least + rng.below((most + 1).saturating_sub(least));
        noise_mask::draw(rng, side, masked)
    }

    /// Visible inside a rectangle whose sides differ by up to a factor of two.
    fn draw_rectangle(&self, rng: &mut Rng, side: usize) -> Mask {
        let (low, high) = (1.0 - self.max_cover, 1.0 - self.min_cover);
        let visible = (low + rng.unit() * (high - low)) * (side * side) as f32;
        let ratio = (2.0f32).powf(rng.unit() - 0.5);
        let clamped = |length: f32| (length.round() as usize).clamp(1, side);
        let height = clamped(visible.sqrt() * ratio);
        // What the height was cut by goes to the width; both cannot be the whole side.
        let width =
            clamped(visible / height as f32).min(if height == side { side - 1 } else { side });
        let row = rng.below(side - height + 1);
        let col = rng.below(side - width + 1);
        let inside = |r: usize, c: usize| {
            (row..row + height).contains(&r) && (col..col + width).contains(&c)
        };
        Mask::from_fn(side, side, |r, c| !inside(r, c))
    }

    fn in_range(&self, mask: &Mask) -> bool {
        let cover = mask.data.iter().filter(|&&m| m).count() as f32 / mask.data.len() as f32;
        (self.min_cover..=self.max_cover).contains(&cover)
    }

    /// A random crop of a random frame, turned; frames smaller than the tile are continued by
    /// their mirror image.
    fn crop_frame(&self, rng: &mut Rng, side: usize) -> Mask {
        let frame = &self.frames[rng.below(self.frames.len())];
        let mut positions = |len: usize| -> Vec<usize> {
            let start = rng.below(if len >= side { len - side + 1 } else { len });
            (start..start + side).map(|i| mirrored(i, len)).collect()
        };
        let (rows, cols) = (positions(frame.height), positions(frame.width));
        let data: Vec<bool> = rows
            .iter()
            .flat_map(|&row| {
                cols.iter()
                    .map(move |&col| frame.data[row * frame.width + col])
            })
            .collect();
        Mask {
            height: side,
            width: side,
            data: turned(&data, side, side, random_turn(rng, true, true)),
        }
    }
}

/// Index `i` of an endless mirror tiling of `0..len`.
fn mirrored(i: usize, len: usize) -> usize {
    let within = i % (2 * len);
    if within < len {
        within
    } else {
        2 * len - 1 - within
    }
}

fn is_partial(mask: &Mask) -> bool {
    mask.data.contains(&true) && mask.data.contains(&false)
}

/// Reads frames of `[N, H, W]` or `[N, H, W, 1]`, uint8 0/1 or bool; true = fill.
///
/// # Errors
/// The file cannot be read, has another shape or type, or values other than 0 and 1.
pub fn read_npy(path: &Path) -> Result<Vec<Mask>> {
    const EXPECTED: &str = "a .npy of uint8 0/1 or bool, [N, H, W] or [N, H, W, 1]";
    const HINT: &str = "save it with numpy.save(path, masks.astype('uint8'))";
    let wrong = |got: String| file_problem(path, EXPECTED, got, HINT);
    let bytes = npy::bytes(path).map_err(wrong)?;
    let stack = npy::Stack::parse(&bytes).map_err(wrong)?;
    if let Some(other) = stack.values.iter().find(|&&v| v > 1) {
        return Err(wrong(format!("a value {other}")));
    }
    let frames = stack.frames().map(|frame| Mask {
        height: stack.height,
        width: stack.width,
        data: frame.iter().map(|&v| v == 1).collect(),
    });
    Ok(frames.collect())
}
