"""unclouded:fillmask: fill anything the user marks."""

# SPDX-License-Identifier: GPL-2.0-or-later

from .compat import tr
from .restore_algorithm import RestoreAlgorithm


class FillMask(RestoreAlgorithm):
    """Inpainting: buildings, stripes, a watermark, a ship."""

    NAME = "fillmask"
    ICON = "fillmask.svg"

    def displayName(self):
        """See QgsProcessingAlgorithm."""
        return tr("Fill mask")

    def shortDescription(self):
        """See QgsProcessingAlgorithm."""
        return tr(
            "Replaces what you mark by what could be there, judged by its surroundings"
        )

    def shortHelpString(self):
        """See QgsProcessingAlgorithm."""
        return tr(
            "Fills whatever you mark in an image: buildings you want to take out, dead "
            "stripes of a sensor, a ship, the seam of a mosaic. The model continues what is "
            "visible around the mark.\n\n"
            "Pixels outside the mask stay as they are, to the bit. Filled pixels are "
            "estimates, not measurements; the outputs Uncertainty and Provenance tell them "
            "apart.\n\n"
            "Pixels that are nodata in the scene stay nodata: give holes a value first (Fill "
            "NoData cells), then mark them.\n\n"
            "The mask is a polygon layer you drew or a raster, in any grid and CRS. Draw "
            "polygons a little larger than the thing, its shadow included."
        )

    def initAlgorithm(self, _configuration=None):
        """See QgsProcessingAlgorithm."""
        self.add_scene()
        self.add_mask(
            False,
            tr(
                "A raster or polygons that mark what to replace. Unsaved edits and filters of "
                "a polygon layer count."
            ),
        )
        self.add_write()
        self.add_growth(tr("Not set: what you mark is filled as you marked it."))
        self.add_extent()
        self.add_encoding()
        self.add_computing()
        self.add_model()
        self.add_outputs(tr("Filled image"))

    def result_name(self, scene):
        """See RestoreAlgorithm."""
        return tr("{}: filled").format(scene)
