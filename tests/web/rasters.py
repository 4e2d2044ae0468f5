#!/usr/bin/env python3
"""Makes and compares rasters for the tests of the page, with GDAL; prints JSON.

rasters.py crop SCENE OUT COL ROW WIDTH HEIGHT [TYPE] [OPTION=VALUE ...]
rasters.py huge OUT SIDE
rasters.py compare A B [MASK VALUES]     largest difference, relative to the range of A
rasters.py tag FILE NAME
rasters.py round-trip SCENE RESULT MASK VALUES COL ROW
rasters.py window-trip SCENE RESULT PROVENANCE COL ROW
rasters.py dress SCENE NODATA            names, scale, nodata and tags to keep
rasters.py nodata-filled RESULT MASK VALUES
rasters.py png SCENE OUT                 bands 4, 3, 2 as an 8-bit picture
rasters.py iou A B VALUES_OF_B
"""

import json
import sys

import numpy as np
from osgeo import gdal, osr

gdal.UseExceptions()


def pixels(path, window=None):
    """[bands, height, width] in the file's own type."""
    values = gdal.Open(path).ReadAsArray(*(window or ()))
    return values[np.newaxis] if values.ndim == 2 else values


def crop(scene, out, col, row, width, height, kind=None, *options):
    """A part of a scene as a GeoTIFF with creation options."""
    gdal.Translate(
        out,
        scene,
        srcWin=[int(v) for v in (col, row, width, height)],
        outputType=gdal.GetDataTypeByName(kind) if kind else gdal.GDT_Unknown,
        creationOptions=list(options),
    )


def huge(out, side):
    """A tiled scene of Sentinel-2's full size: 3 bands uint16, 2048 x 2048 of it filled."""
    side = int(side)
    options = ["TILED=YES", "COMPRESS=DEFLATE", "SPARSE_OK=TRUE", "BIGTIFF=YES"]
    made = gdal.GetDriverByName("GTiff").Create(
        out, side, side, 3, gdal.GDT_UInt16, options
    )
    made.SetGeoTransform((300000, 10, 0, 4500000, 0, -10))
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32643)
    made.SetProjection(reference.ExportToWkt())
    rng = np.random.default_rng(1)
    at = (side - 2048) // 2
    for band in range(3):
        ground = 800 + 40 * band + rng.integers(0, 300, (2048, 2048))
        made.GetRasterBand(band + 1).WriteArray(ground.astype(np.uint16), at, at)


def flags(path, values, window=None):
    """Where a mask has one of the values «1,2»."""
    return np.isin(pixels(path, window)[0], [float(v) for v in values.split(",")])


def compare(a, b, mask=None, values=None):
    """Largest and mean difference, relative to the range of A's visible values."""
    one, other = pixels(a).astype(np.float64), pixels(b).astype(np.float64)
    assert one.shape == other.shape, (one.shape, other.shape)
    masked = flags(mask, values) if mask else np.ones(one.shape[1:], bool)
    seen = one[:, ~masked] if mask else one
    spans = [float(band.max() - band.min()) for band in seen]
    worst = [float(np.abs(p - q).max()) / span for p, q, span in zip(one, other, spans)]
    # Pixels that are the same but for rounding, in every band.
    whole = np.issubdtype(pixels(a).dtype, np.integer)
    near = np.maximum(1e-3 * np.array(spans), float(whole))[:, np.newaxis]
    agreeing = (np.abs(one - other)[:, masked] <= near).all(axis=0)
    clear = 0
    if mask:
        clear = int((pixels(a) != pixels(b)).any(axis=0)[~masked].sum())
    filled = float(np.abs(one - other)[:, masked].mean())
    return {
        "max": max(worst),
        "absolute": float(np.abs(one - other).max()),
        "mean": filled,
        "agreeing": float(agreeing.mean()),
        "clear_changed": clear,
    }


def tag(path, name):
    """An item of a file's metadata."""
    return {"value": gdal.Open(path).GetMetadataItem(name)}


def round_trip(scene, result, mask, values, col="0", row="0"):
    """What must survive: problems by name, empty when all did."""
    before, after = gdal.Open(scene), gdal.Open(result)
    window = (int(col), int(row), after.RasterXSize, after.RasterYSize)
    problems = {}

    def same(what, expected, got):
        if expected != got:
            problems[what] = [str(expected), str(got)]

    old, transform = before.GetGeoTransform(), after.GetGeoTransform()
    x = old[0] + old[1] * window[0] + old[2] * window[1]
    y = old[3] + old[4] * window[0] + old[5] * window[1]
    expected = (x, old[1], old[2], y, old[4], old[5])
    if not np.allclose(expected, transform, rtol=1e-13, atol=0):
        problems["geotransform"] = [str(expected), str(transform)]
    if window[:2] == (0, 0):
        same("geotransform", old, transform)
    same("CRS", before.GetProjection(), after.GetProjection())
    same("bands", before.RasterCount, after.RasterCount)
    metadata = {
        k: v for k, v in after.GetMetadata().items() if not k.startswith("UNCLOUDED_")
    }
    same("metadata", before.GetMetadata(), metadata)
    for i in range(1, min(before.RasterCount, after.RasterCount) + 1):
        a, b = before.GetRasterBand(i), after.GetRasterBand(i)
        for what in (
            "DataType",
            "GetDescription",
            "GetNoDataValue",
            "GetColorInterpretation",
            "GetScale",
            "GetOffset",
        ):
            one, other = getattr(a, what), getattr(b, what)
            same(f"{what} {i}", *(v() if callable(v) else v for v in (one, other)))
    tags = sorted(k for k in after.GetMetadata() if k.startswith("UNCLOUDED_"))
    masked = flags(mask, values, window)
    was, now = pixels(scene, window), pixels(result)
    clear = ~masked
    return {
        "problems": problems,
        "tags": tags,
        "clear": int(clear.sum()),
        "clear_changed": int((was != now).any(axis=0)[clear].sum()),
        "filled_changed": int((was != now).any(axis=0)[masked].sum()),
    }


def window_trip(scene, result, provenance, col, row):
    """As round_trip, with the mask the page wrote itself."""
    marked = pixels(provenance)[0]
    path = "/vsimem/mask.tif"
    size = gdal.Open(scene)
    made = gdal.GetDriverByName("GTiff").Create(
        path, size.RasterXSize, size.RasterYSize, 1, options=["SPARSE_OK=TRUE"]
    )
    made.GetRasterBand(1).WriteArray((marked == 2).astype(np.uint8), int(col), int(row))
    made = None
    report = round_trip(scene, result, path, "1", col, row)
    if gdal.Open(provenance).GetGeoTransform() != gdal.Open(result).GetGeoTransform():
        report["problems"]["provenance geotransform"] = []
    if report["filled_changed"] == 0 or set(np.unique(marked)) - {0, 1, 2}:
        report["problems"]["provenance"] = [str(np.unique(marked))]
    return report


def dress(scene, nodata):
    """Gives a scene what a careful file has."""
    file = gdal.Open(scene, gdal.GA_Update)
    file.SetMetadata({"AREA_OR_POINT": "Area", "SOURCE": "<test> & more"})
    for i in range(1, file.RasterCount + 1):
        band = file.GetRasterBand(i)
        band.SetDescription(f"band {i} & co")
        band.SetScale(0.0001)
        band.SetOffset(-0.1)
        band.SetNoDataValue(float(nodata))


def nodata_filled(result, mask, values):
    """Pixels of the mask that are nodata in a band although the scene had data there."""
    file = gdal.Open(result)
    nodata = file.GetRasterBand(1).GetNoDataValue()
    masked = flags(mask, values)
    return {"count": int((pixels(result)[:, masked] == nodata).sum())}


def png(scene, out):
    """A picture of the scene's visible bands."""
    gdal.Translate(
        out,
        scene,
        format="PNG",
        bandList=[4, 3, 2],
        scaleParams=[[0, 2750]] * 3,
        outputType=gdal.GDT_Byte,
    )


def iou(a, b, values):
    """Intersection over union of a provenance raster (2 = filled) and a mask."""
    found, true = pixels(a)[0] == 2, flags(b, values)
    return {"iou": float((found & true).sum() / (found | true).sum())}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    result = {
        "crop": crop,
        "huge": huge,
        "compare": compare,
        "tag": tag,
        "round-trip": round_trip,
        "window-trip": window_trip,
        "dress": dress,
        "nodata-filled": nodata_filled,
        "png": png,
        "iou": iou,
    }[command](*arguments)
    if result is not None:
        print(json.dumps(result))
