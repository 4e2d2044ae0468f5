#!/usr/bin/env python3
"""Makes the season of tests/data/demo from dates of one place in SEN12MS-CR-TS.

    python3 demo_season.py SERIES_DIR OUT_DIR

SERIES_DIR holds S2_L1C_2018-MM-DD.tif, half of a patch of ROI 146 of 2017, near Rome, on each date. The digital
numbers stay as they are; only the storage changes. Needs GDAL; its output is committed.
"""

import sys
from pathlib import Path

from osgeo import gdal

BANDS = [
    "B01",
    "B02",
    "B03",
    "B04",
    "B05",
    "B06",
    "B07",
    "B08",
    "B8A",
    "B09",
    "B10",
    "B11",
    "B12",
]
DATES = ("06-10", "06-25", "07-05", "07-20", "07-30")


def main(series, out):
    gdal.UseExceptions()
    for date in DATES:
        source = gdal.Open(str(Path(series) / f"S2_L1C_2018-{date}.tif"))
        stored = gdal.Translate(
            str(Path(out) / f"latium_2018-{date}.tif"),
            source,
            creationOptions=["COMPRESS=DEFLATE", "PREDICTOR=2", "ZLEVEL=9"],
        )
        for number, description in enumerate(BANDS, 1):
            stored.GetRasterBand(number).SetDescription(description)
        del stored


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
