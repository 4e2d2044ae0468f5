//! The masks of an evaluation: files beside the images, or frames drawn from a stack.

use std::path::{Path, PathBuf};

use gdal::errors::GdalError;
use unclouded_core::model::task::Task;
use unclouded_core::raster::Mask;

use super::images::{Example, Images, stem};
use crate::failure::{Failure, Result};
use crate::gdal_io::{open_raster, unreadable};
use crate::npy;

/// Least and largest share of an image that a drawn mask covers.
const COVER: std::ops::RangeInclusive<f64> = 0.05..=0.70;
/// Draws for one image before the stack is given up.
const MOST_DRAWS: usize = 2000;

/// Where the masks come from.
pub enum MaskSource {
    /// A mask file for the one image.
    File(PathBuf),
    /// A folder of masks with the names of their images, and which image is which.
    Folder(PathBuf, Vec<PathBuf>),
    /// Frames to draw from.
    Stack(Stack),
    /// Everything.
    Whole,
}

/// Masks drawn from frames; the same seed and image number give the same mask.
pub struct Stack {
    frames: Vec<Mask>,
    seed: u64,
}

impl MaskSource {
    /// What a task asks for: masks, or for one that draws all of the image none.
    ///
    /// # Errors
    /// Exit 2 if there are masks too many or too few, and as [`open`](Self::open).
    pub fn of(path: Option<&Path>, task: Task, images: &Images, seed: u64) -> Result<Self> {
        match (path, task.redraws()) {
            (Some(path), false) => Self::open(path, images, seed),
            (None, true) => Ok(MaskSource::Whole),
            (Some(path), true) => Err(Failure::mismatch(
                "--masks",
                format!("nothing for a model for {}", task.name()),
                path.display(),
            )
            .hint("it draws all of the image: leave --masks out")),
            (None, false) => Err(Failure::mismatch(
                "--masks",
                "masks to put over the images",
                "none",
            )
            .hint("e.g. --masks clouds.npy; only models that draw whole images go without")),
        }
    }

    /// A folder of `NAME.png` or `NAME.tif`, one mask file for one image, or an .npy stack.
    ///
    /// # Errors
    /// Exit 2 for one mask with several images, and if the stack is no stack of masks.
    pub fn open(path: &Path, images: &Images, seed: u64) -> Result<Self> {
        if path.extension().is_some_and(|ending| ending == "npy") {
            return Ok(MaskSource::Stack(Stack::read(path, seed)?));
        }
        if path.is_dir() {
            let images = images.files().to_vec();
            return Ok(MaskSource::Folder(path.to_owned(), images));
        }
        if images.files().len() != 1 {
            return Err(Failure::mismatch(
                "--masks",
                format!(
                    "a folder or an .npy stack for {} images",
                    images.files().len()
                ),
                path.display(),
            )
            .hint(
                "one mask file goes with one image: name it with --clear FILE, or use --limit 1",
            ));
        }
        Ok(MaskSource::File(path.to_owned()))
    }

    /// The mask of an image (true = hidden).
    ///
    /// # Errors
    /// Exit 2 if it is missing, cannot be read, differs from the image in size, or no frame covers enough.
    pub fn draw(&self, index: usize, example: &Example) -> Result<Mask> {
        let (height, width) = (example.image.height, example.image.width);
        match self {
            MaskSource::File(path) => read(path, height, width),
            MaskSource::Folder(folder, images) => {
                read(&beside(folder, &images[index])?, height, width)
            }
            MaskSource::Stack(stack) => stack.draw(index, height, width),
            MaskSource::Whole => Ok(Mask::new(height, width, true)),
        }
    }
}

fn beside(folder: &Path, image: &Path) -> Result<PathBuf> {
    let name = stem(image);
    ["png", "tif", "tiff"]
        .map(|ending| folder.join(format!("{name}.{ending}")))
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| {
            Failure::mismatch(
                format!("mask of {}", image.display()),
                format!("{name}.png or {name}.tif in {}", folder.display()),
                "neither",
            )
            .hint("a mask has the name of its image; --limit N takes the first N images only")
        })
}

fn read(path: &Path, height: usize, width: usize) -> Result<Mask> {
    let dataset = open_raster(path, "mask")?;
    // (cols, rows)
    let size = dataset.raster_size();
    if size != (width, height) {
        return Err(Failure::mismatch(
            format!("size of mask {}", path.display()),
            format!("{width} x {height} px as the image (width x height)"),
            format!("{} x {}", size.0, size.1),
        )
        .hint("a mask lies on the grid of its image: cut or warp it, e.g. gdalwarp -r near -ts"));
    }
    let values = || -> std::result::Result<_, GdalError> {
        let band = dataset.rasterband(1)?;
        let values = band.read_as::<f64>((0, 0), size, size, None)?;
        Ok((values.into_shape_and_vec().1, band.no_data_value()))
    };
    let (values, nodata) = values().map_err(|error| unreadable("mask", &error))?;
    let says_cloud = |value: &f64| *value != 0.0 && !value.is_nan() && Some(*value) != nodata;
    let data = values.iter().map(says_cloud).collect();
    Ok(Mask {
        height,
        width,
        data,
    })
}

impl Stack {
    fn read(path: &Path, seed: u64) -> Result<Self> {
        let name = path.display();
        let expected = "uint8 [frames, height, width] or [frames, height, width, 1]";
        let wrong = |got: String| {
            Failure::mismatch(format!("mask stack {name}"), expected, got)
                .hint("save it with numpy.save(path, masks.astype('uint8')), 1 where hidden")
        };
        let bytes = npy::bytes(path).map_err(wrong)?;
        let stack = npy::Stack::parse(&bytes).map_err(wrong)?;
        let frames: Vec<Mask> = (stack.frames())
            .map(|frame| Mask {
                height: stack.height,
                width: stack.width,
                data: frame.iter().map(|v| *v != 0).collect(),
            })
            .filter(Mask::any)
            .collect();
        if frames.is_empty() {
            return Err(wrong("empty frames only".into()));
        }
        Ok(Stack { frames, seed })
    }

    /// A crop of a random frame, randomly flipped; smaller frames go on mirrored.
    fn draw(&self, index: usize, height: usize, width: usize) -> Result<Mask> {
        let mut random = SplitMix64::new(self.seed, index as u64);
        for _ in 0..MOST_DRAWS {
            let frame = &self.frames[random.below(self.frames.len())];
            let row = random.below(frame.height.saturating_sub(height) + 1);
            let col = random.below(frame.width.saturating_sub(width) + 1);
            let (flip_rows, flip_cols) = (random.below(2) == 1, random.below(2) == 1);
            let mask = Mask::from_fn(height, width, |r, c| {
                let r = if flip_rows { height - 1 - r } else { r };
                let c = if flip_cols { width - 1 - c } else { c };
                frame.at(
                    mirrored(row + r, frame.height),
                    mirrored(col + c, frame.width),
                )
            });
            if COVER.contains(&(mask.count() as f64 / mask.data.len() as f64)) {
                return Ok(mask);
            }
        }
        Err(Failure::mismatch(
            "mask stack",
            "frames that cover 5 to 70 % of an image",
            format!("none in {MOST_DRAWS} draws of {width} x {height} px"),
        )
        .hint("use a stack with more partly cloudy frames"))
    }
}

/// 0 1 .. n-1 n-1 .. 1 0 0 1 ..
fn mirrored(index: usize, size: usize) -> usize {
    let place = index % (2 * size);
    if place < size {
        place
    } else {
        2 * size - 1 - place
    }
}

/// Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
struct SplitMix64(u64);

impl SplitMix64 {
    fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = SplitMix64(seed);
        SplitMix64(mixed.next() ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is at least 1; the bias is below 2^-32 for any mask.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        let frame = Mask::from_fn(20, 30, |row, col| (row / 4 + col / 5) % 3 == 0);
        Stack {
            frames: vec![frame],
            seed: 3,
        }
    }

    #[test]
    fn draws_are_repeatable_and_cover_enough() -> Result<()> {
        let stack = stack();
        for index in 0..20 {
            let mask = stack.draw(index, 16, 50)?;
            assert_eq!(mask, stack.draw(index, 16, 50)?);
            let cover = mask.count() as f64 / mask.data.len() as f64;
            assert!(COVER.contains(&cover), "{cover}");
        }
        assert_ne!(stack.draw(0, 16, 16)?, stack.draw(1, 16, 16)?);
        Ok(())
    }

    #[test]
    fn wrong_masks_are_refused_with_a_hint() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (png, npy) = (folder.path().join("m.png"), folder.path().join("m.npy"));
        let saved = image::GrayImage::new(3, 2).save_with_format(&png, image::ImageFormat::Png);
        saved.expect("written");
        std::fs::write(&npy, "no array").expect("written");
        let refused = [
            read(&png, 3, 2).expect_err("another size"),
            Stack::read(&npy, 0).err().expect("no stack"),
            beside(folder.path(), Path::new("other.jpg")).expect_err("no mask"),
        ];
        for failure in refused {
            assert!(
                failure.exit as u8 == 2 && failure.hint.is_some(),
                "{failure}"
            );
        }
    }

    #[test]
    fn small_frames_are_mirrored() {
        let places: Vec<usize> = (0..7).map(|index| mirrored(index, 3)).collect();
        assert_eq!(places, [0, 1, 2, 2, 1, 0, 0]);
    }

    #[test]
    fn a_stack_that_covers_everything_is_refused() {
        let stack = Stack {
            frames: vec![Mask::new(8, 8, true)],
            seed: 0,
        };
        assert!(
            stack
                .draw(0, 8, 8)
                .is_err_and(|failure| failure.exit as u8 == 2)
        );
    }
}
