"""Brings what the user calls a mask (a raster of any grid, polygons) onto the scene's grid."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os

import numpy as np
from osgeo import gdal, ogr, osr
from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsFeatureRequest,
    QgsProcessingException,
    QgsVectorLayerFeatureSource,
)

from .compat import GEOMETRY_POLYGON, tr
from .layers import gdal_callback, gdal_exceptions

# How far apart corresponding corners of one grid may lie, in pixels: the program's tolerance.
TOLERANCE_PX = 0.05
STRIP_ROWS = 512
CREATION = ["COMPRESS=DEFLATE", "TILED=YES", "BIGTIFF=IF_SAFER"]


class VectorInput:
    """What a run needs of a polygon layer, taken on the thread where the layer lives.

    The feature source is a snapshot: unsaved edits and the layer's filter are in it.

    Args:
        layer: QgsVectorLayer.
        selected_only: whether only the selected features count.
    """

    def __init__(self, layer, selected_only=False):
        if layer.geometryType() != GEOMETRY_POLYGON:
            raise QgsProcessingException(
                tr("The mask {} has no polygons.").format(layer.name())
                + "\n"
                + tr("Hint: a mask is an area; buffer points or lines first.")
            )
        self.name = layer.name()
        self.crs = layer.crs()
        self.features = QgsVectorLayerFeatureSource(layer)
        self.total = layer.featureCount()
        selected = layer.selectedFeatureIds()
        self.selected = len(selected)
        self.ids = selected if selected_only else None

    def request(self):
        """What to ask the snapshot for."""
        request = QgsFeatureRequest().setNoAttributes()
        return request if self.ids is None else request.setFilterFids(self.ids)

    def note(self):
        """What is worth a word about a selection; empty if there is none."""
        if not self.selected:
            return ""
        if self.ids is not None:
            return tr("mask: the {selected} selected polygons of {name}").format(
                selected=self.selected, name=self.name
            )
        return tr(
            "mask: all {total} polygons of {name} count, not the {selected} selected ones alone"
        ).format(total=self.total, selected=self.selected, name=self.name)


class Grid:
    """The pixels of a raster: size, geotransform and CRS, as GDAL says."""

    def __init__(self, path):
        with gdal_exceptions():
            dataset = gdal.OpenEx(path, gdal.OF_RASTER | gdal.OF_READONLY)
            self.width, self.height = dataset.RasterXSize, dataset.RasterYSize
            transform = dataset.GetGeoTransform(can_return_null=True)
            self.wkt = dataset.GetProjection()
            self.type = dataset.GetRasterBand(1).DataType if dataset.RasterCount else 0
        # Without georeference QGIS shows a raster with rows downwards from 0.
        self.transform = transform or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
        self.georeferenced = transform is not None

    def same_pixels(self, other):
        """Whether the other raster has the same pixels, as the program judges it."""
        if (self.width, self.height) != (other.width, other.height):
            return False
        if not (self.georeferenced and other.georeferenced):
            return True
        if self.wkt and other.wkt:
            own, theirs = (
                osr.SpatialReference(self.wkt),
                osr.SpatialReference(other.wkt),
            )
            if not own.IsSame(theirs) and own.GetName() != theirs.GetName():
                return False
        a, b = self.transform, other.transform
        pixel = min(max(abs(b[1]), abs(b[2])), max(abs(b[4]), abs(b[5])))
        apart = 0.0
        for col in (0, self.width):
            for row in (0, self.height):
                x = (a[0] - b[0]) + col * (a[1] - b[1]) + row * (a[2] - b[2])
                y = (a[3] - b[3]) + col * (a[4] - b[4]) + row * (a[5] - b[5])
                apart = max(apart, float(np.hypot(x, y)))
        return apart <= TOLERANCE_PX * pixel

    def create(self, path, data_type=gdal.GDT_Byte, fill=0):
        """A new GeoTIFF of one band on this grid, filled with one value."""
        dataset = gdal.GetDriverByName("GTiff").Create(
            path, self.width, self.height, 1, data_type, CREATION
        )
        dataset.SetGeoTransform(self.transform)
        dataset.SetProjection(self.wkt)
        if fill:
            dataset.GetRasterBand(1).Fill(fill)
        return dataset


def burn(vector, grid, crs, folder, transform_context, feedback):
    """A raster that is 1 where a pixel's centre lies in a polygon.

    Args:
        vector: VectorInput.
        grid: Grid of the scene.
        crs: QgsCoordinateReferenceSystem of the scene.

    Returns:
        The path, on the scene's grid.

    Raises:
        QgsProcessingException: no polygon covers a pixel's centre, or the CRS cannot be changed.
    """
    path = os.path.join(folder, "mask.tif")
    if vector.note():
        feedback.pushInfo(vector.note())
    with gdal_exceptions():
        memory = ogr.GetDriverByName("Memory") or ogr.GetDriverByName("MEM")
        shapes = memory.CreateDataSource("mask")
        reference = osr.SpatialReference(grid.wkt) if grid.wkt else None
        layer = shapes.CreateLayer("mask", reference, ogr.wkbUnknown)
        count = 0
        for geometry in _geometries(vector, crs, transform_context):
            if feedback.isCanceled():
                break
            feature = ogr.Feature(layer.GetLayerDefn())
            feature.SetGeometry(ogr.CreateGeometryFromWkb(bytes(geometry.asWkb())))
            layer.CreateFeature(feature)
            count += 1
        dataset = grid.create(path)
        gdal.RasterizeLayer(
            dataset, [1], layer, burn_values=[1], callback=gdal_callback(feedback)
        )
        dataset.FlushCache()
        marked = _count(dataset, feedback)
        del dataset
    feedback.pushInfo(
        tr("mask: {count} polygons of {name} cover {marked} pixels").format(
            count=count, name=vector.name, marked=marked
        )
    )
    if not marked and not feedback.isCanceled():
        raise QgsProcessingException(
            tr("The polygons of {} cover no pixel of the scene.").format(vector.name)
            + "\n"
            + tr(
                "Hint: does the layer lie over the scene, and does its filter let polygons through?"
            )
        )
    return path


def _geometries(vector, crs, transform_context):
    transform = None
    if vector.crs.isValid() and crs.isValid() and vector.crs != crs:
        transform = QgsCoordinateTransform(vector.crs, crs, transform_context)
    for feature in vector.features.getFeatures(vector.request()):
        geometry = feature.geometry()
        if geometry.isNull() or geometry.isEmpty():
            continue
        if transform:
            try:
                geometry.transform(transform)
            except QgsCsException as error:
                raise QgsProcessingException(
                    tr(
                        "A polygon of {name} cannot be brought into {crs}: {reason}"
                    ).format(name=vector.name, crs=crs.authid(), reason=error)
                ) from None
        # Curves are drawn as the lines GDAL burns.
        yield (
            geometry
            if not geometry.constGet().hasCurvedSegments()
            else _straight(geometry)
        )


def _straight(geometry):
    geometry.convertToStraightSegment()
    return geometry


def warp(path, grid, values, folder, feedback):
    """A mask raster of any grid and CRS on the scene's grid, by the nearest pixel.

    Args:
        values: those that mean "fill"; what the mask does not cover gets another.
    """
    target = os.path.join(folder, "mask_on_grid.tif")
    outside = next(value for value in range(256) if float(value) not in values)
    with gdal_exceptions():
        source = gdal.Translate(
            os.path.join(folder, "mask_band.vrt"), path, format="VRT", bandList=[1]
        )
        data_type = source.GetRasterBand(1).DataType
        dataset = grid.create(target, data_type, outside)
        gdal.Warp(
            dataset,
            source,
            resampleAlg="near",
            srcNodata="None",
            callback=gdal_callback(feedback),
        )
        dataset.FlushCache()
        del dataset, source
    feedback.pushInfo(tr("mask: brought onto the scene's grid, nearest pixel"))
    return target


def _count(dataset, feedback):
    marked = 0
    for top in range(0, dataset.RasterYSize, STRIP_ROWS):
        if feedback.isCanceled():
            break
        height = min(STRIP_ROWS, dataset.RasterYSize - top)
        strip = dataset.GetRasterBand(1).ReadAsArray(
            0, top, dataset.RasterXSize, height
        )
        marked += int(np.count_nonzero(strip))
    return marked
