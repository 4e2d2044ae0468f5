#!/usr/bin/env python3
"""Makes the first demo scene of tests/data/demo, and its mask, from two dates of SEN12MS-CR-TS.

    python3 demo_latium.py CLOUDY.tif CLEAR.tif OUT_DIR

CLOUDY and CLEAR are s2_ROIs2017_146_ImgNo_15_2018-07-05_patch_162.tif and ..._ImgNo_26_2018-11-12_
patch_162.tif. How the files are made stands in OUT_DIR/README.md. Needs numpy, scipy and rasterio;
runs in seconds, and its output is committed.
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
from demo_scene import BANDS, DESCRIPTIONS, disc, grow, without_specks, write
from scipy import ndimage

# Digital numbers by which HOT = blue - red / 2 lies above what it is there on the clear date. A seed lies as far above
# the same day's median, too (fields change between the dates, clouds are hazier than all); what grows from seeds lies
# above the frame, or above the clearest third of its neighbourhood.
HOT_SEED, HOT_GROW, HOT_LOCAL, AROUND_PX = 95, 45, 65, 81
# Share of the clear median in NIR and both SWIR bands below which ground is dark.
SHADOW_SEED, SHADOW_GROW = 0.66, 0.80
CLOUD_DILATE_PX, SHADOW_DILATE_PX = 5, 4
# A quarter of the scene is a block of its files.
BLOCK_PX = 128


def read(path):
    """All bands as float64 [13, 256, 256], and the profile of the grid."""
    with rasterio.open(path) as source:
        profile = {"crs": source.crs, "transform": source.transform}
        return source.read().astype(np.float64), profile


def haze(stack, band):
    """HOT without single pixels: roofs and walls differ, clouds are wider."""
    return ndimage.median_filter(stack[band["B2"]] - 0.5 * stack[band["B4"]], 5)


def darkness(stack, band):
    """The brightest of NIR and SWIR, each relative to its median over the frame."""
    planes = (
        ndimage.gaussian_filter(stack[band[n]], 1.0) for n in ("B8", "B11", "B12")
    )
    return np.maximum.reduce([plane / np.median(plane) for plane in planes])


def classify(cloudy, clear, band):
    """1 cloud, 2 shadow, 0 ground."""
    hot = haze(cloudy, band)
    rise = hot - haze(clear, band)
    hot, rise = hot - np.median(hot), rise - np.median(rise)
    around = rise - ndimage.percentile_filter(rise, 33, AROUND_PX)
    seed = np.minimum(hot, rise) > HOT_SEED
    cloud = without_specks(grow(seed, (rise > HOT_GROW) | (around > HOT_LOCAL)), 20)

    now, then = darkness(cloudy, band), darkness(clear, band)
    # Ground that is dark on both dates (trees along the river, water) is no shadow.
    lost = now / np.maximum(then, 0.5)
    seed = (now < SHADOW_SEED) & (lost < 0.8)
    shadow = without_specks(grow(seed, now < SHADOW_GROW) & (lost < 0.9), 40)

    cloud = ndimage.binary_dilation(cloud & ~shadow, disc(CLOUD_DILATE_PX))
    shadow = ndimage.binary_dilation(shadow, disc(SHADOW_DILATE_PX)) & ~cloud
    return np.where(cloud, 1, np.where(shadow, 2, 0)).astype(np.uint8)


def main(cloudy_path, clear_path, out):
    out = Path(out)
    band = {name: index for index, name in enumerate(BANDS)}
    cloudy, profile = read(cloudy_path)
    clear, _ = read(clear_path)
    for date, stack in (("20180705", cloudy), ("20181112", clear)):
        planes = stack.astype(np.uint16)
        write(out / f"latium_{date}.tif", planes, profile, DESCRIPTIONS, 2, BLOCK_PX)
    classes = classify(cloudy, clear, band)
    path = out / "latium_20180705_mask.tif"
    write(path, [classes], profile, ["1 cloud 2 shadow"], 1, BLOCK_PX)
    print(f"cloud {np.mean(classes == 1):.1%}, shadow {np.mean(classes == 2):.1%}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
