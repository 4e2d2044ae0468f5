#!/usr/bin/env python3
"""Counts clear pixels that a restoration changed; shares no code with the program it checks.

    python3 check_clear_pixels.py SCENE MASK RESTORED [--mask-values 1,2] [--dilate-px N]

A pixel is clear when its mask value is none of the given values (with --dilate-px, when none
within N pixels in rows and columns is). Values are compared bit for bit, so NaN equals NaN and
0.0 differs from -0.0. Prints «0 of N clear pixels changed»; exit 1 when some changed, or when
size, bands, types, CRS or geotransform differ. Needs numpy and GDAL's Python bindings.
"""

import argparse
import sys

import numpy as np
from osgeo import gdal

gdal.UseExceptions()


def values_of(text):
    """Mask values from «1,2»."""
    return [float(value) for value in text.split(",")]


def read(path):
    """The dataset and its pixels as [bands, height, width] in its own type."""
    dataset = gdal.Open(path)
    pixels = dataset.ReadAsArray()
    return dataset, pixels[np.newaxis] if pixels.ndim == 2 else pixels


def described(dataset):
    """What has to survive apart from the pixels."""
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    return {
        "size": (dataset.RasterXSize, dataset.RasterYSize),
        "CRS": dataset.GetProjection(),
        "geotransform": dataset.GetGeoTransform(),
        "types": [gdal.GetDataTypeName(band.DataType) for band in bands],
        "descriptions": [band.GetDescription() for band in bands],
        "nodata": [repr(band.GetNoDataValue()) for band in bands],
    }


def grow(mask, pixels):
    """The mask grown by this many pixels in rows and columns."""
    height, width = mask.shape
    padded = np.pad(mask, pixels)
    grown = np.zeros_like(mask)
    for row in range(2 * pixels + 1):
        for col in range(2 * pixels + 1):
            grown |= padded[row : row + height, col : col + width]
    return grown


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene")
    parser.add_argument("mask")
    parser.add_argument("restored")
    parser.add_argument("--mask-values", type=values_of, default=[1.0])
    parser.add_argument("--dilate-px", type=int, default=0)
    arguments = parser.parse_args()

    (scene, before), (restored, after) = read(arguments.scene), read(arguments.restored)
    kept, found = described(scene), described(restored)
    differing = [key for key in kept if kept[key] != found[key]]
    for key in differing:
        print(f"{key}: expected {kept[key]}, got {found[key]}", file=sys.stderr)
    if before.shape != after.shape or before.dtype != after.dtype:
        return 1

    masked = np.isin(read(arguments.mask)[1][0], arguments.mask_values)
    clear = ~grow(masked, arguments.dilate_px) if arguments.dilate_px else ~masked

    def bits(pixels):
        size = pixels.dtype.itemsize
        return np.ascontiguousarray(pixels).view(np.uint8).reshape(*pixels.shape, size)

    changed = (bits(before) != bits(after)).any(axis=(0, 3)) & clear
    valid = clear.copy()
    for index in range(scene.RasterCount):
        nodata = scene.GetRasterBand(index + 1).GetNoDataValue()
        if nodata is not None:
            plane = before[index]
            valid &= ~(np.isnan(plane) if np.isnan(nodata) else plane == nodata)
    print(f"{changed.sum()} of {valid.sum()} clear pixels changed")
    print(f"{(~clear).sum()} pixels masked, {(clear & ~valid).sum()} without data")
    return 1 if changed.any() or differing else 0


if __name__ == "__main__":
    sys.exit(main())
