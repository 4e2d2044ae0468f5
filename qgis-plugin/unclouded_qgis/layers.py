"""Raster layers of QGIS as paths that a child process can open."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os
from contextlib import contextmanager

from osgeo import gdal
from qgis.core import (
    QgsProcessingException,
    QgsProviderRegistry,
    QgsRasterBlockFeedback,
    QgsRasterFileWriter,
    QgsRasterPipe,
)

from .compat import TYPE_ARGB, TYPE_ARGB_PRE, WRITER_NO_ERROR, tr


@contextmanager
def gdal_exceptions():
    """GDAL raises inside and is left as it was: other plugins share the setting.

    What it would print (warnings, and errors once more) is kept off the user's terminal.
    """
    before = gdal.GetUseExceptions()
    gdal.UseExceptions()
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        yield
    except RuntimeError as error:
        raise QgsProcessingException(str(error)) from None
    finally:
        gdal.PopErrorHandler()
        if not before:
            gdal.DontUseExceptions()


def refusal(layer):
    """Why a raster layer cannot be computed with; empty if it can."""
    provider = layer.dataProvider()
    if provider is None or not layer.isValid():
        return tr("The layer {} cannot be read; is its file still there?").format(
            layer.name()
        )
    if layer.providerType() == "gdal":
        return ""
    if provider.dataType(1) in (TYPE_ARGB, TYPE_ARGB_PRE) or provider.xSize() <= 0:
        return (
            tr("The layer {name} comes from a server as pictures ({provider}).").format(
                name=layer.name(), provider=layer.providerType()
            )
            + "\n"
            + tr(
                "Hint: pictures of a map have no pixel values to restore; download the "
                "data, or save the layer as a GeoTIFF of raw data first."
            )
        )
    return ""


class RasterInput:
    """What a run needs of a raster layer, taken on the thread where the layer lives.

    Attributes:
        name, source, provider_type: as the layer says.
        crs, extent, width, height, bands: its grid.
    """

    def __init__(self, layer):
        problem = refusal(layer)
        if problem:
            raise QgsProcessingException(problem)
        self.name = layer.name()
        self.source = layer.source()
        self.provider_type = layer.providerType()
        self.crs = layer.crs()
        self.extent = layer.extent()
        self.width = layer.width()
        self.height = layer.height()
        self.bands = layer.bandCount()
        self._provider = None
        if self.provider_type != "gdal":
            self._provider = layer.dataProvider().clone()

    def path(self, folder, transform_context, feedback):
        """A path the program can open: the layer's own file where it has one.

        Args:
            folder: for a copy, where the layer is no plain file.
            transform_context: QgsCoordinateTransformContext, for data of servers.
            feedback: QgsProcessingFeedback.
        """
        if self._provider is not None:
            return self._download(folder, transform_context, feedback)
        path, options = gdal_source(self.source)
        if not options:
            if os.path.exists(path):
                return os.path.abspath(path)
            if path.startswith("/vsi") and not path.startswith("/vsimem/"):
                return path
        return self._copy(path, options, folder, feedback)

    def _copy(self, path, options, folder, feedback):
        """A virtual raster where another process can reach the data, else a true copy."""
        with gdal_exceptions():
            dataset = gdal.OpenEx(
                path, gdal.OF_RASTER | gdal.OF_READONLY, open_options=options
            )
            if not options and "/vsimem/" not in path:
                copy = os.path.join(folder, "scene.vrt")
                made = gdal.Translate(copy, dataset, format="VRT")
            else:
                copy = os.path.join(folder, "scene.tif")
                feedback.pushInfo(tr("Copying {} to a file").format(self.name))
                made = gdal.GetDriverByName("GTiff").CreateCopy(
                    copy,
                    dataset,
                    options=["BIGTIFF=IF_SAFER", "TILED=YES"],
                    callback=gdal_callback(feedback),
                )
            del made
        return copy

    def _download(self, folder, transform_context, feedback):
        feedback.pushInfo(
            tr("Fetching the data of {name} ({width} x {height} pixels)").format(
                name=self.name, width=self.width, height=self.height
            )
        )
        copy = os.path.join(folder, "scene.tif")
        pipe = QgsRasterPipe()
        # The pipe takes it. Not a second clone: of QGIS's virtual rasters that reads garbage.
        provider, self._provider = self._provider, None
        pipe.set(provider)
        inner = QgsRasterBlockFeedback()
        feedback.canceled.connect(inner.cancel)
        code = QgsRasterFileWriter(copy).writeRaster(
            pipe,
            self.width,
            self.height,
            self.extent,
            self.crs,
            transform_context,
            inner,
        )
        if code != WRITER_NO_ERROR and not feedback.isCanceled():
            raise QgsProcessingException(
                tr("Cannot fetch the data of the layer {}.").format(self.name)
                + "\n"
                + "\n".join(inner.errors())
            )
        return copy


def gdal_source(source):
    """What GDAL opens for a layer's source, and with which open options."""
    parts = QgsProviderRegistry.instance().decodeUri("gdal", source)
    options = [str(option) for option in parts.get("openOptions") or []]
    path = source.split("|")[0]
    if path.startswith(("http://", "https://", "ftp://")):
        path = "/vsicurl/" + path
    return path, options


def gdal_callback(feedback):
    """A progress function for GDAL that stops when the user does."""
    return lambda *_: 0 if feedback.isCanceled() else 1
