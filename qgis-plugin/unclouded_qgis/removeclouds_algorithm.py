"""unclouded:removeclouds: fill clouds and their shadows in a scene."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import (
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
)

from .compat import TYPE_POLYGON, TYPE_RASTER, tr
from .restore_algorithm import DETECT, FROM_VALUES, RestoreAlgorithm


class RemoveClouds(RestoreAlgorithm):
    """Fills what is found to be cloud, or what a cloud mask marks."""

    NAME = "removeclouds"
    # As the program grows polygons it is given itself; test_masks compares.
    DRAWN_GROWTH_M = 40.0

    def displayName(self):
        """See QgsProcessingAlgorithm."""
        return tr("Remove clouds")

    def shortDescription(self):
        """See QgsProcessingAlgorithm."""
        return tr("Fills clouds and their shadows with estimates, and marks them")

    def shortHelpString(self):
        """See QgsProcessingAlgorithm."""
        return tr(
            "Fills clouds and their shadows in a satellite image with a diffusion model. "
            "Everything is computed on this machine.\n\n"
            "Choose the scene and press Run: the clouds are detected. Better is a mask of your "
            "own: draw polygons over the clouds and their shadows (Layer > Create Layer > New "
            "Temporary Scratch Layer), or take the scene classification (SCL) of Sentinel-2 "
            "L2A or QA_PIXEL of Landsat. A mask on another grid or in another CRS is brought "
            "onto the scene's.\n\n"
            "Another date of the same place that shows the ground under the clouds helps more "
            "than anything else: the fill follows it.\n\n"
            "Clear pixels stay as they are, to the bit, and the run verifies it. Every band "
            "is filled; CRS, data type, nodata and metadata survive.\n\n"
            "What lies under a thick cloud is unknown to everybody: filled pixels are "
            "estimates, not measurements. The outputs Uncertainty and Provenance, loaded "
            "switched off, say how far the samples disagree and which pixels are filled.\n\n"
            "Example: scene L2A.tif, clouds by the Sentinel-2 scene classification, mask "
            "SCL.tif."
        )

    def initAlgorithm(self, _configuration=None):
        """See QgsProcessingAlgorithm."""
        self.add_scene()
        self.add_choice(
            "MASK_FROM",
            tr("Clouds"),
            [
                (DETECT, tr("detect them in the scene")),
                (FROM_VALUES, tr("a mask: polygons you drew, or a raster")),
                ("scl", tr("Sentinel-2 scene classification (SCL)")),
                ("qa-pixel", tr("Landsat QA_PIXEL")),
            ],
            tr(
                "Where the clouds and their shadows are. SCL and QA_PIXEL know which of their "
                "values are clouds; without a mask the scene's own band of that name is used."
            ),
        )
        self.add_mask(
            True,
            tr(
                "Polygons or a raster that mark clouds and shadows. Unsaved edits and filters "
                "of a polygon layer count. Stays empty where the clouds are detected."
            ),
        )
        self.add(
            QgsProcessingParameterRasterLayer(
                "REFERENCE", tr("Other date"), optional=True
            ),
            tr(
                "An image of the same place in which the clouded ground is visible: any bands "
                "of any sensor, two dates stacked into one file as well. The fill then follows "
                "what stood there. Another grid or CRS is brought onto the scene's."
            ),
        )
        self.add(
            QgsProcessingParameterMultipleLayers(
                "REFERENCES",
                tr("More other dates"),
                TYPE_RASTER,
                optional=True,
            ),
            tr(
                "Several dates fill far better than one. Those that explain the visible ground "
                "best are asked, all bands of them together; clouds are looked for in each. Name "
                "as many as you have, cloudy ones as well."
            ),
        )
        self.add_write()
        self.add_growth(
            tr(
                "Not set: drawn polygons and detected or classified clouds grow by a usual "
                "amount, which the log names; mask rasters are taken as they are."
            )
        )
        self.add_number(
            "MIN_AREA",
            tr("Smallest cloud (pixels)"),
            tr("Masked patches with fewer pixels are left alone."),
            0,
            2**31 - 1,
            default=0,
            advanced=True,
        )
        self.add_extent()
        self.add_choice(
            "REFERENCE_CLOUDS",
            tr("Clouds of the other date"),
            [
                ("none", tr("none, or a mask below")),
                (DETECT, tr("detect them in the other date")),
            ],
            tr(
                "Where the other date is clouded itself. Filled pixels that neither date shows "
                "are filled as without it."
            ),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterMapLayer(
                "REFERENCE_MASK",
                tr("Mask of its clouds"),
                optional=True,
                types=[TYPE_RASTER, TYPE_POLYGON],
            ),
            tr("Polygons, or a raster that is 1, where the other date is clouded."),
            advanced=True,
        )
        self.add_encoding()
        self.add_computing()
        self.add_model()
        self.add_outputs(tr("Scene without clouds"))

    def mask_from(self, parameters, context):
        """See RestoreAlgorithm. Unless told, a mask that is given is what to fill."""
        if self.is_set(parameters, "MASK_FROM"):
            return self.choice(parameters, "MASK_FROM", context)
        return FROM_VALUES if self.is_set(parameters, "MASK") else DETECT

    def result_name(self, scene):
        """See RestoreAlgorithm."""
        return tr("{}: without clouds").format(scene)

    def problem(self, parameters, context):
        """See RestoreAlgorithm."""
        if self.parameterAsInt(parameters, "MIN_AREA", context) > 0:
            self.backend().require(
                tr("Leaving small clouds alone"), "restore", "--min-area-px"
            )
        return super().problem(parameters, context)

    def mask_words(self, parameters, context, scene, folder, feedback):
        """See RestoreAlgorithm."""
        words = super().mask_words(parameters, context, scene, folder, feedback)
        least = self.parameterAsInt(parameters, "MIN_AREA", context)
        return [*words, "--min-area-px", str(least)] if least > 0 else words
