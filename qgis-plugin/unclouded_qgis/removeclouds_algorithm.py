"""unclouded:removeclouds: fill clouds and their shadows in a scene."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import QgsProcessingParameterRasterLayer

from .compat import tr
from .restore_algorithm import FROM_VALUES, RestoreAlgorithm

WAYS = (FROM_VALUES, "scl", "qa-pixel", "auto")


class RemoveClouds(RestoreAlgorithm):
    """Fills what a cloud mask marks, or what is found to be cloud."""

    NAME = "removeclouds"

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
            "Clear pixels stay as they are, to the bit, and the run verifies it. Every band "
            "is filled; CRS, data type, nodata and metadata survive.\n\n"
            "What lies under a thick cloud is unknown to everybody: filled pixels are "
            "estimates that continue what is visible around them, not measurements. The "
            "outputs Uncertainty and Provenance say how far the samples disagree and which "
            "pixels are filled.\n\n"
            "The mask says where the clouds are. It is a raster (its values that mean cloud "
            "stand in 'Mask values', by default 1), polygons you drew, the scene "
            "classification (SCL) of Sentinel-2 L2A or QA_PIXEL of Landsat. A mask on "
            "another grid or in another CRS is brought onto the scene's.\n\n"
            "Example: scene L2A.tif, mask SCL.tif, mask values 3,8,9,10, grow by 8 pixels."
        )

    def initAlgorithm(self, _configuration=None):
        """See QgsProcessingAlgorithm."""
        self.add_scene()
        self.add_mask(
            True,
            tr(
                "A raster or polygons that mark clouds and shadows. Unsaved edits and filters "
                "of a polygon layer count. May stay empty where 'Mask from' finds the clouds "
                "in the scene."
            ),
        )
        self.add_choice(
            "MASK_FROM",
            tr("Mask from"),
            [
                (FROM_VALUES, tr("mask values or polygons")),
                ("scl", tr("Sentinel-2 scene classification (SCL)")),
                ("qa-pixel", tr("Landsat QA_PIXEL")),
                ("auto", tr("detect clouds in the scene (no mask needed)")),
            ],
            tr(
                "How the mask is read. SCL and QA_PIXEL know which of their values are clouds "
                "and shadows; without a mask the scene's own band of that name is used."
            ),
        )
        self.add(
            QgsProcessingParameterRasterLayer(
                "REFERENCE", tr("Reference of another date"), optional=True
            ),
            tr(
                "An image of the same place, grid and bands in which the clouded ground is "
                "visible. The fill then follows what stood there."
            ),
        )
        self.add_model()
        self.add_advanced()
        self.add(
            QgsProcessingParameterRasterLayer(
                "REFERENCE_MASK", tr("Clouds of the reference"), optional=True
            ),
            tr("A raster that is 1 where the reference itself is clouded."),
            advanced=True,
        )
        self.add_number(
            "MIN_AREA",
            tr("Smallest cloud (pixels)"),
            tr("Masked patches with fewer pixels are left alone."),
            0,
            2**31 - 1,
            advanced=True,
        )
        self.add_outputs(tr("Scene without clouds"))

    def mask_from(self, parameters, context):
        """See RestoreAlgorithm."""
        return self.choice(parameters, "MASK_FROM", context)

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
