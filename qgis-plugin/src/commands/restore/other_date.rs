//! Whether a reference helps to fill the holes of a scene, and what the user should know of it.

use crate::failure::{Failure, Result};
use crate::gdal_io::mask::MaskReader;
use crate::gdal_io::reference::{ReferenceReader, Shown};
use crate::gdal_io::scene::Scene;
use crate::progress::Reporter;

/// The reference, if it has anything to say about the holes. Without it wide holes are filled
/// coarse to fine, which is better than following an image that is not there.
///
/// # Errors
/// Exit 2 if it is the scene itself, shows nothing or cannot be read; 130 when interrupted.
pub fn useful(
    reference: ReferenceReader,
    scene: &Scene,
    mask: &MaskReader,
    reporter: &Reporter,
) -> Result<Option<ReferenceReader>> {
    let why = match reference.shown(scene, mask)? {
        Shown::Holes => {
            say_clouded(&reference, mask, reporter)?;
            return Ok(Some(reference));
        }
        Shown::NoHole => "shows the ground at none of the pixels to fill",
        Shown::NothingInCommon => "shows no ground that the scene shows as well",
        Shown::SamePixels => {
            return Err(Failure::mismatch(
                format!("reference {}", reference.path().display()),
                "an image of another date",
                "the very pixels of the scene wherever it is to be filled",
            )
            .hint(
                "it would paint the clouds back; choose another date, or leave out --reference",
            ));
        }
    };
    reporter.warning(format!(
        "the reference {} {why}: it adds nothing and is left out",
        reference.path().display()
    ));
    Ok(None)
}

/// Clouds of the reference where the scene is to be filled: filled without it if they are known,
/// painted into the scene if they are not.
fn say_clouded(reference: &ReferenceReader, mask: &MaskReader, reporter: &Reporter) -> Result<()> {
    let Some(share) = reference.clouded_share(mask)? else {
        return Ok(());
    };
    let percent = 100.0 * share;
    if reference.clouds_known() {
        reporter.info(format!(
            "reference: clouded itself at {percent:.0} % of the pixels to fill; these are filled without it"
        ));
    } else {
        reporter.warning(format!(
            "the reference looks clouded itself at {percent:.0} % of the pixels to fill, and its clouds would be \
             painted into the scene: --reference-mask-from auto leaves them out, --reference-mask says where they are"
        ));
    }
    Ok(())
}
