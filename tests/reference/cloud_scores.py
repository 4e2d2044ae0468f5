#!/usr/bin/env python3
"""Precision and recall of `unclouded mask --from auto` on SEN12MS-CR and on the demo scene.

    python3 cloud_scores.py UNCLOUDED SEN12MS_CR_DIR

SEN12MS_CR_DIR holds s2/ and s2_cloudy/ with 24 pairs of ROIs1868_summer and ROIs1970_fall, 13 bands.
Needs numpy, scipy and rasterio.

The reference comes from the PAIR, which the detector never sees: cloud is where blue rose against
the clear date (and short-wave infrared with it), shadow where near and short-wave infrared fell to
less than 72 % of what they did elsewhere. Where the cloudy date has snow and the clear one has not,
blue says nothing; there cloud is what is bright in blue AND at 1.6 micrometres, which is nearer to
what the detector itself looks at: these figures stand apart. The clear date is hazy in half of the
pairs. Shadows are scored on pairs without snow. The thresholds of the detector were chosen on the
pairs of TUNED and on the demo scene; the others are held out.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from scipy import ndimage

TUNED = ["100_p840", "136_p100", "136_p139", "136_p140", "136_p500", "85_p753", "85_p782", "148_p521"]  # fmt: skip
# All of place 136: snow on the cloudy date.
SNOWY = "136_"
# The whole frame lies in shadow, or the clear date shows another sea: no shadow to score.
NO_SHADOWS = ["100_p100", "100_p500"]
# Its cloudy frame is half as bright as the clear one everywhere; nobody could say what is clear.
LEFT_OUT = ["100_p500"]
DEMO = Path(__file__).parent.parent / "data/demo"
# What is written: bands (from 0), 8 bits or not.
VARIANTS = {
    "13 bands": (list(range(13)), False),
    "4 bands (B02 B03 B04 B08)": ([1, 2, 3, 7], False),
    "RGB": ([3, 2, 1], False),
    "RGB, 8 bits": ([3, 2, 1], True),
}
NAMES = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]  # fmt: skip
# Reflectance that an 8-bit true-colour image shows as white.
WHITE = 0.3559


def median3(plane):
    return ndimage.median_filter(plane, 3)


def reference(cloudy, clear, snowy):
    """Cloud, and shadow or None, by comparison of the two dates."""
    if snowy:
        bright = median3(cloudy[11]) - np.percentile(median3(cloudy[11]), 5) > 0.12
        return bright & (median3(cloudy[1]) > 0.20), None
    blue, swir = (median3(cloudy[band] - clear[band]) for band in (1, 11))
    rise = blue - np.percentile(blue, 30)
    cloud = (rise > 0.04) & ((swir > 0.02) | (rise > 0.12))
    cloud = ndimage.binary_opening(cloud, np.ones((2, 2)))
    far = ~ndimage.binary_dilation(cloud, iterations=6)
    if far.mean() < 0.02:
        far = ~cloud
    dark = ~cloud
    for band in (7, 11):
        share = median3(cloudy[band]) / np.maximum(median3(clear[band]), 1e-4)
        dark &= share / np.percentile(share[far], 60) < 0.72
    return cloud, ndimage.binary_opening(dark, np.ones((3, 3)))


def detect(program, image, profile, variant, folder):
    """The detector's classes for a variant of an image of 13 bands of reflectance."""
    bands, eight_bits = VARIANTS[variant]
    chosen = image[bands]
    if eight_bits:
        stored = np.clip(chosen / WHITE * 255, 0, 255).astype(np.uint8)
    else:
        stored = np.rint(chosen * 10000).astype(np.uint16)
    scene, mask = folder / "scene.tif", folder / "mask.tif"
    with rasterio.open(
        scene, "w", driver="GTiff", count=len(bands), height=image.shape[1],
        width=image.shape[2], dtype=stored.dtype, **profile,
    ) as sink:  # fmt: skip
        sink.write(stored)
        sink.descriptions = [NAMES[band] for band in bands]
    subprocess.run(
        [program, "mask", scene, "-o", mask, "--from", "auto", "--classes", "--overwrite"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    with rasterio.open(mask) as source:
        return source.read(1)


def load(path):
    with rasterio.open(path) as source:
        profile = {"crs": source.crs, "transform": source.transform}
        return source.read().astype(np.float64) / 10000, profile


def counts(found, truth):
    """Found and true, found and false, missed."""
    return np.array(
        [(found & truth).sum(), (found & ~truth).sum(), (~found & truth).sum()]
    )


def show(total):
    hit, wrong, missed = total
    if hit + missed == 0:
        return f"none there, {wrong} px found"
    return (
        f"precision {hit / max(hit + wrong, 1):.3f}, recall {hit / (hit + missed):.3f}"
    )


def main(program, folder):
    folder = Path(folder)
    pairs = []
    for clear in sorted((folder / "s2").glob("*.tif")):
        name = clear.stem.split("_s2_")[1]
        if name in LEFT_OUT:
            continue
        cloudy = folder / "s2_cloudy" / clear.name.replace("_s2_", "_s2_cloudy_")
        image, profile = load(cloudy)
        truth = reference(image, load(clear)[0], name.startswith(SNOWY))
        pairs.append((name, image, profile, *truth))
    demo, demo_profile = load(DEMO / "punjab_20200823.tif")
    with rasterio.open(DEMO / "punjab_20200823_mask.tif") as source:
        demo_truth = source.read(1)
    with tempfile.TemporaryDirectory() as temporary:
        for variant in VARIANTS:
            print(f"== {variant}")
            totals = {}
            for name, image, profile, cloud, shadow in pairs:
                found = detect(program, image, profile, variant, Path(temporary))
                split = "tuned on" if name in TUNED else "held out"
                ground = "snow" if name.startswith(SNOWY) else "no snow"
                add = [((split, "cloud", ground), counts(found == 1, cloud))]
                if shadow is not None and name not in NO_SHADOWS:
                    add.append(((split, "shadow", ground), counts(found == 2, shadow)))
                for key, value in add:
                    totals[key] = totals.get(key, 0) + value
            for key in sorted(totals):
                print(f"{', '.join(key)}: {show(totals[key])}")
            found = detect(program, demo, demo_profile, variant, Path(temporary))
            for number, kind in ((1, "cloud"), (2, "shadow")):
                print(f"demo scene, tuned on, {kind}: {show(counts(found == number, demo_truth == number))}")  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
