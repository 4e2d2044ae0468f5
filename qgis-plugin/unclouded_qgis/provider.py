"""The Processing provider: which algorithms there are. Needs no program to load."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithm import ICON
from .cloudmask_algorithm import CloudMask
from .compat import tr
from .fillmask_algorithm import FillMask
from .modelinfo_algorithm import ModelInfo
from .removeclouds_algorithm import RemoveClouds
from .series_algorithm import Series


class UncloudedProvider(QgsProcessingProvider):
    """Algorithms `unclouded:...`."""

    def id(self):
        """First part of the algorithms' ids; never changes."""
        return "unclouded"

    def name(self):
        """Shown in the toolbox."""
        return "unclouded"

    def longName(self):
        """Shown in lists."""
        return tr("unclouded: removes clouds from satellite images")

    def icon(self):
        """The plugin's icon."""
        return QIcon(str(ICON))

    def svgIconPath(self):
        """The icon where QGIS draws it itself."""
        return str(ICON)

    def supportedOutputRasterLayerExtensions(self):
        """The program writes GeoTIFF."""
        return ["tif", "tiff"]

    def loadAlgorithms(self):
        """Called by QGIS when the provider is added or refreshed."""
        for algorithm in (RemoveClouds, Series, CloudMask, FillMask, ModelInfo):
            self.addAlgorithm(algorithm())
