"""One name for what QGIS 3.22 to 4 and Qt 5 and 6 call differently, and how to translate."""

# SPDX-License-Identifier: GPL-2.0-or-later

import qgis.core
from qgis.PyQt.QtCore import QCoreApplication

CONTEXT = "unclouded"


def tr(text):
    """`text` in the user's language, if i18n/ has it."""
    return QCoreApplication.translate(CONTEXT, text)


def _first(*names):
    """The first of these dotted names that this QGIS has."""
    for name in names:
        found = qgis.core
        for part in name.split("."):
            found = getattr(found, part, None)
            if found is None:
                break
        else:
            return found
    raise ImportError(f"this version of QGIS has none of {', '.join(names)}")


FLAG_ADVANCED = _first(
    "Qgis.ProcessingParameterFlag.Advanced",
    "QgsProcessingParameterDefinition.FlagAdvanced",
)
NUMBER_INTEGER = _first(
    "Qgis.ProcessingNumberParameterType.Integer",
    "QgsProcessingParameterNumber.Integer",
)
NUMBER_DOUBLE = _first(
    "Qgis.ProcessingNumberParameterType.Double",
    "QgsProcessingParameterNumber.Double",
)
FILE = _first(
    "Qgis.ProcessingFileParameterBehavior.File", "QgsProcessingParameterFile.File"
)
TYPE_RASTER = _first("Qgis.ProcessingSourceType.Raster", "QgsProcessing.TypeRaster")
TYPE_POLYGON = _first(
    "Qgis.ProcessingSourceType.VectorPolygon", "QgsProcessing.TypeVectorPolygon"
)
MESSAGE_WARNING = _first("Qgis.MessageLevel.Warning", "Qgis.Warning")
MESSAGE_INFO = _first("Qgis.MessageLevel.Info", "Qgis.Info")
TYPE_ARGB = _first("Qgis.DataType.ARGB32", "Qgis.ARGB32")
TYPE_ARGB_PRE = _first(
    "Qgis.DataType.ARGB32_Premultiplied", "Qgis.ARGB32_Premultiplied"
)
RAMP_INTERPOLATED = _first(
    "Qgis.ShaderInterpolationMethod.Linear", "QgsColorRampShader.Interpolated"
)
RAMP_CONTINUOUS = _first(
    "Qgis.ShaderClassificationMethod.Continuous", "QgsColorRampShader.Continuous"
)
GEOMETRY_POLYGON = _first("Qgis.GeometryType.Polygon", "QgsWkbTypes.PolygonGeometry")
WRITER_NO_ERROR = _first(
    "Qgis.RasterFileWriterResult.Success", "QgsRasterFileWriter.NoError"
)
