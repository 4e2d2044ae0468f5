#!/usr/bin/env python3
"""Writes a tiny Sentinel-2 L2A product (.SAFE) that GDAL's SENTINEL2 driver reads, for tests.

    make_safe.py FOLDER

60 x 60 pixels at 10 m, processing baseline 05.09 (offset -1000), 2 % of the pixels nodata (0),
SCL with a block of class 9. Prints the name of the 10 m subdataset. Exit 3 when GDAL cannot
write JPEG 2000.
"""

import sys
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

PRODUCT = "S2A_MSIL2A_20230115T051121_N0509_R019_T43RCP_20230115T080000.SAFE"
GRANULE = "L2A_T43RCP_A039000_20230115T051121"
BANDS = {
    10: (60, ["B02", "B03", "B04", "B08"]),
    20: (30, ["B05", "B06", "B07", "B8A", "B11", "B12", "SCL"]),
}
CORNER = (499980, 3400020)

PRODUCT_XML = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>2023-01-15T05:11:21.024Z</PRODUCT_START_TIME><PRODUCT_URI>{product}</PRODUCT_URI>
<PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL><PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE>
<PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>
<Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>
<Product_Organisation><Granule_List>
<Granule granuleIdentifier="S2A_OPER_MSI_L2A_TL_X_T43RCP_N05.09" imageFormat="JPEG2000">{images}</Granule>
</Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>
<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST>
</Product_Image_Characteristics></n1:General_Info></n1:Level-2A_User_Product>
"""
TILE_XML = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_Tile_ID xmlns:n1="x">
<n1:General_Info><TILE_ID>S2A_OPER_MSI_L2A_TL_X_T43RCP_N05.09</TILE_ID></n1:General_Info>
<n1:Geometric_Info><Tile_Geocoding>
<HORIZONTAL_CS_NAME>WGS84 / UTM zone 43N</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>EPSG:32643</HORIZONTAL_CS_CODE>{grids}
</Tile_Geocoding></n1:Geometric_Info></n1:Level-2A_Tile_ID>
"""
GRID_XML = """
<Size resolution="{m}"><NROWS>{px}</NROWS><NCOLS>{px}</NCOLS></Size>
<Geoposition resolution="{m}"><ULX>499980</ULX><ULY>3400020</ULY><XDIM>{m}</XDIM><YDIM>-{m}</YDIM></Geoposition>"""


def values(rng, name, size_px):
    """Ground around 2000, or classes."""
    if name == "SCL":
        classes = np.full((size_px, size_px), 4, np.uint8)
        classes[10:16, 12:20] = 9
        return classes
    ground = rng.integers(1400, 4000, (size_px, size_px)).astype(np.uint16)
    ground[: size_px // 10, : size_px // 5] = 0
    return ground


def write(path, array, pixel_m, crs):
    """A lossless JPEG 2000 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = gdal.GDT_Byte if array.dtype == np.uint8 else gdal.GDT_UInt16
    memory = gdal.GetDriverByName("MEM").Create("", *array.shape[::-1], 1, kind)
    memory.GetRasterBand(1).WriteArray(array)
    memory.SetGeoTransform([CORNER[0], pixel_m, 0, CORNER[1], 0, -pixel_m])
    memory.SetProjection(crs.ExportToWkt())
    driver = gdal.GetDriverByName("JP2OpenJPEG")
    driver.CreateCopy(str(path), memory, options=["QUALITY=100", "REVERSIBLE=YES"])


def main(folder):
    if gdal.GetDriverByName("JP2OpenJPEG") is None:
        print("GDAL cannot write JPEG 2000 here", file=sys.stderr)
        return 3
    gdal.UseExceptions()
    product = Path(folder) / PRODUCT
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32643)
    rng = np.random.default_rng(1)
    images = ""
    for pixel_m, (size_px, names) in BANDS.items():
        for name in names:
            inside = f"GRANULE/{GRANULE}/IMG_DATA/R{pixel_m}m/T43RCP_20230115T051121_{name}_{pixel_m}m"
            write(product / f"{inside}.jp2", values(rng, name, size_px), pixel_m, crs)
            images += f"<IMAGE_FILE>{inside}</IMAGE_FILE>"
    offset = '<BOA_ADD_OFFSET band_id="{}">-1000</BOA_ADD_OFFSET>'
    offsets = "".join(offset.format(band) for band in range(13))
    text = PRODUCT_XML.format(product=PRODUCT, images=images, offsets=offsets)
    (product / "MTD_MSIL2A.xml").write_text(text)
    grids = "".join(GRID_XML.format(m=m, px=600 // m) for m in (10, 20, 60))
    (product / "GRANULE" / GRANULE / "MTD_TL.xml").write_text(
        TILE_XML.format(grids=grids)
    )
    print(f"SENTINEL2_L2A:{product}/MTD_MSIL2A.xml:10m:EPSG_32643")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
