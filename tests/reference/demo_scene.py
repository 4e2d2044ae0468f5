#!/usr/bin/env python3
"""Makes the demo scenes of tests/data/demo from SSL4EO-S12 and eo-learn's real cloud masks.

    python3 demo_scene.py SSL4EO_S2C_PLACE_DIR EO_LEARN_MASKS.npy OUT_DIR

SSL4EO_S2C_PLACE_DIR holds one folder a date with one GeoTIFF a band and metadata.json
(place 0000200). How each file is made stands in OUT_DIR/README.md. Needs numpy, scipy
and rasterio; runs in seconds, and its output is committed.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import rasterio
from scipy import ndimage

BANDS = [
    "B1",
    "B2",
    "B3",
    "B4",
    "B5",
    "B6",
    "B7",
    "B8",
    "B8A",
    "B9",
    "B10",
    "B11",
    "B12",
]
DESCRIPTIONS = [
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
]  # fmt: skip
SIZE_PX = 264
PIXEL_M = 9.75
# Where the corner of a band's grid lies, in 10 m pixels from the corner of the 10 m grid, by
# resampling factor. Measured on the clear date, not read from the headers, which disagree:
# correlation peaks exactly there (B8A against B8, B1 against B2, B9 against B8).
GRID_OFFSET_PX = {1: 0, 2: 0, 6: 4}

# Cloud test, in digital numbers (10000 = reflectance 1). HOT = blue - red / 2 is constant on
# clear ground and rises with haze and cloud (Zhang, Guindon and Cihlar 2002; Zhu and Woodcock
# 2012, eq. 3).
HOT_SEED, HOT_GROW = 140, 110
BLUE_MIN = 1230
CIRRUS_MIN = 40
# Shadow test: darker than this share of the clear median in NIR and in both SWIR bands.
SHADOW_SEED, SHADOW_GROW = 0.72, 0.80
CLOUD_HEIGHTS_M = np.arange(400, 3001, 50)
CLOUD_DILATE_PX, SHADOW_DILATE_PX = 3, 3


def read_stack(folder):
    """All bands of one date as float64 [13, 264, 264] on the 10 m grid, and the 10 m profile."""
    planes = []
    for name in BANDS:
        with rasterio.open(folder / f"{name}.tif") as source:
            plane = source.read(1).astype(np.float64)
            if name == "B2":
                profile = {"crs": source.crs, "transform": source.transform}
        factor = SIZE_PX // plane.shape[0]
        centre = (
            np.arange(SIZE_PX) - GRID_OFFSET_PX[factor] - (factor - 1) / 2
        ) / factor
        grid = np.meshgrid(centre, centre, indexing="ij")
        planes.append(ndimage.map_coordinates(plane, grid, order=1, mode="nearest"))
    return np.stack(planes), profile


def grow(seed, limit):
    """Connected parts of `limit` that hold a pixel of `seed`."""
    return ndimage.binary_propagation(seed & limit, mask=limit)


def disc(radius):
    """A round structuring element."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius + 1


def without_specks(mask, min_px):
    """The mask without connected parts of fewer than min_px pixels, and without such holes."""
    for value in (True, False):
        labels, count = ndimage.label(mask == value)
        sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(count + 1))
        small = (sizes < min_px)[labels] & (labels > 0)
        mask = mask ^ small
    return mask


def shift(mask, rows, cols):
    """The mask moved by whole pixels; what comes from outside the scene is False."""
    return ndimage.shift(mask.astype(np.uint8), (rows, cols), order=0, cval=0) > 0


def find_clouds(stack, band):
    """Cloud core and soft edge before dilation."""
    blue, red = stack[band["B2"]], stack[band["B4"]]
    hot = ndimage.median_filter(blue - 0.5 * red, 3)
    clear_hot = np.median(hot[hot < np.percentile(hot, 60)])
    seed = ((hot > clear_hot + HOT_SEED) & (blue > BLUE_MIN)) | (
        stack[band["B10"]] > CIRRUS_MIN
    )
    limit = (hot > clear_hot + HOT_GROW) & (blue > BLUE_MIN)
    return without_specks(grow(seed, limit), 8)


def find_shadows(stack, reference, cloud, metadata, band):
    """Shadow before dilation, and the cloud height (m) whose projection explains it best."""
    near_cloud = ndimage.binary_dilation(cloud, disc(3))

    def share(values, name):
        plane = ndimage.gaussian_filter(values[band[name]], 0.7)
        return plane / np.median(plane[~near_cloud])

    dark = np.maximum.reduce([share(stack, name) for name in ("B8", "B11", "B12")])
    # Ground that was as dark on the clear date (water, wet fields) is no evidence of shadow.
    june = np.maximum.reduce([share(reference, name) for name in ("B8", "B11", "B12")])
    evidence = (dark < SHADOW_SEED) & (june > SHADOW_SEED) & ~cloud

    azimuth = math.radians(metadata["MEAN_SOLAR_AZIMUTH_ANGLE"])
    slope = math.tan(math.radians(metadata["MEAN_SOLAR_ZENITH_ANGLE"])) / PIXEL_M
    # The sensor sees a cloud displaced away from itself (its own parallax).
    view_azimuth = math.radians(metadata["MEAN_INCIDENCE_AZIMUTH_ANGLE_B8"])
    view_slope = (
        math.tan(math.radians(metadata["MEAN_INCIDENCE_ZENITH_ANGLE_B8"])) / PIXEL_M
    )

    def cast(height_m):
        rows = height_m * (
            slope * math.cos(azimuth) - view_slope * math.cos(view_azimuth)
        )
        cols = height_m * (
            -slope * math.sin(azimuth) + view_slope * math.sin(view_azimuth)
        )
        return shift(cloud, rows, cols)

    def agreement(height_m):
        hit = cast(height_m) & ~cloud
        return (hit & evidence).sum() / max(1, (hit | evidence).sum())

    scores = [agreement(height) for height in CLOUD_HEIGHTS_M]
    best = CLOUD_HEIGHTS_M[int(np.argmax(scores))]
    # Clouds of one field differ in height: any height within a third of the best may cast.
    possible = np.zeros_like(cloud)
    for height in CLOUD_HEIGHTS_M[np.abs(CLOUD_HEIGHTS_M - best) <= best / 3]:
        possible |= cast(height)
    # Clouds outside the frame cast into it from the side of the sun (below and right).
    margin = int(best * slope)
    possible[-margin:, :] |= True
    possible[:, -margin:] |= True
    limit = (dark < SHADOW_GROW) & ~cloud
    shadow = grow(evidence & ndimage.binary_dilation(possible, disc(4)), limit)
    return without_specks(shadow, 12), best, max(scores)


def transplant(masks):
    """The real mask in most pieces that covers 20 to 35 %, brought to 264 px, and its date.

    2x upsampling with smooth edges, then mirrored at the right and lower edge.
    """

    def enlarge(mask):
        big = ndimage.zoom(mask.astype(np.float64), 2, order=1)
        big = ndimage.gaussian_filter(big, 1.2) > 0.5
        pad = [(0, SIZE_PX - n) for n in big.shape]
        return without_specks(np.pad(big, pad, mode="symmetric"), 12)

    candidates = [(date, enlarge(mask)) for date, mask in enumerate(masks)]
    candidates = [
        (date, mask) for date, mask in candidates if 0.20 <= mask.mean() <= 0.35
    ]
    return max(candidates, key=lambda item: ndimage.label(item[1])[1])


def write(path, planes, profile, descriptions, predictor, block_px=144):
    """A tiled, deflated GeoTIFF with band descriptions."""
    planes = np.asarray(planes)
    count, height, width = planes.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count,
        dtype=planes.dtype, compress="deflate", zlevel=9, predictor=predictor, tiled=True,
        blockxsize=block_px, blockysize=block_px, **profile,
    ) as sink:  # fmt: skip
        sink.write(planes)
        sink.descriptions = tuple(descriptions)


def main(source, masks_path, out):
    source, out = Path(source), Path(out)
    band = {name: index for index, name in enumerate(BANDS)}
    stacks = {}
    for date in ("20200604", "20200823"):
        folder = next(source.glob(f"{date}*"))
        stacks[date], profile = read_stack(folder)
        metadata = json.loads((folder / "metadata.json").read_text())
        planes = np.clip(np.rint(stacks[date]), 0, 65535).astype(np.uint16)
        write(out / f"punjab_{date}.tif", planes, profile, DESCRIPTIONS, 2)

    stack = stacks["20200823"]
    cloud = find_clouds(stack, band)
    shadow, height_m, score = find_shadows(
        stack, stacks["20200604"], cloud, metadata, band
    )
    cloud = ndimage.binary_dilation(cloud, disc(CLOUD_DILATE_PX))
    shadow = ndimage.binary_dilation(shadow, disc(SHADOW_DILATE_PX)) & ~cloud
    classes = np.where(cloud, 1, np.where(shadow, 2, 0)).astype(np.uint8)
    # Slivers of clear ground between the two are not to be trusted.
    padded = np.pad(classes > 0, 2, mode="edge")
    closed = ndimage.binary_closing(padded, disc(2))[2:-2, 2:-2]
    sliver = without_specks(closed, 60) & (classes == 0)
    nearest = ndimage.distance_transform_edt(classes == 0, return_indices=True)[1]
    classes[sliver] = classes[tuple(nearest)][sliver]
    write(out / "punjab_20200823_mask.tif", [classes], profile, ["1 cloud 2 shadow"], 1)
    print(f"cloud {np.mean(classes == 1):.1%}, shadow {np.mean(classes == 2):.1%}, "
          f"height {height_m} m (agreement {score:.2f})")  # fmt: skip

    date, mask = transplant(np.load(masks_path))
    write(
        out / "punjab_20200604_mask.tif",
        [mask.astype(np.uint8)],
        profile,
        ["1 fill"],
        1,
    )
    print(f"transplanted mask: date {date}, cover {mask.mean():.1%}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
