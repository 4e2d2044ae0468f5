"""unclouded:cloudmask: a mask of clouds and shadows, to look at before anything is filled."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
)

from . import checks, layers, masks, process, styles
from .algorithm import UncloudedAlgorithm
from .compat import NUMBER_INTEGER, tr
from .layers import RasterInput
from .staging import Staging


class CloudMask(UncloudedAlgorithm):
    """Runs `unclouded mask`."""

    NAME = "cloudmask"
    ICON = "cloudmask.svg"
    COMMAND = "mask"

    def displayName(self):
        """See QgsProcessingAlgorithm."""
        return tr("Cloud mask")

    def shortDescription(self):
        """See QgsProcessingAlgorithm."""
        return tr("Marks clouds and shadows of a scene")

    def shortHelpString(self):
        """See QgsProcessingAlgorithm."""
        return tr(
            "Makes a raster that is 1 on clouds and their shadows and 0 elsewhere, on the "
            "scene's grid: detected in the scene itself, or read from the scene "
            "classification (SCL) of Sentinel-2 L2A or QA_PIXEL of Landsat.\n\n"
            "Look at it over the scene before you use it as the mask of 'Remove clouds': no "
            "detection is perfect. Bright roofs, sand and snow are taken for clouds, thin haze "
            "is missed."
        )

    def initAlgorithm(self, _configuration=None):
        """See QgsProcessingAlgorithm."""
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", tr("Scene")),
            tr("The image with clouds."),
        )
        self.add_choice(
            "MASK_FROM",
            tr("Clouds"),
            [
                ("auto", tr("detect them in the scene")),
                ("scl", tr("Sentinel-2 scene classification (SCL)")),
                ("qa-pixel", tr("Landsat QA_PIXEL")),
            ],
            tr("Where the clouds come from."),
        )
        self.add(
            QgsProcessingParameterRasterLayer(
                "MASK", tr("SCL or QA_PIXEL raster"), optional=True
            ),
            tr("Empty: the scene's own band of that name. Not used for detection."),
        )
        self.add_growth(
            tr(
                "Not set: a usual amount, which the log names. Around a shadow grows shadow."
            ),
            advanced=False,
        )
        self.add(
            QgsProcessingParameterNumber(
                "MIN_AREA",
                tr("Smallest cloud (pixels)"),
                NUMBER_INTEGER,
                0,
                False,
                0,
                2**31 - 1,
            ),
            tr("Patches with fewer pixels are dropped."),
        )
        self.add(
            QgsProcessingParameterBoolean(
                "CLASSES", tr("Tell shadows from clouds"), False
            ),
            tr(
                "Mark shadows as 2 instead of 1, where clouds are detected. 'Remove clouds' "
                "then needs the mask values 1,2."
            ),
            advanced=True,
        )
        self.add_offset()
        self.add(
            QgsProcessingParameterRasterDestination("OUTPUT", tr("Cloud mask")),
            tr("1 cloud or shadow, 0 clear; a GeoTIFF on the scene's grid."),
        )
        self.addOutput(
            QgsProcessingOutputNumber("MASKED_FRACTION", tr("Masked share (0 to 1)"))
        )

    def problem(self, parameters, context):
        """What speaks against the run."""
        program = self.backend()
        scene = self.parameterAsRasterLayer(parameters, "INPUT", context)
        if scene is None:
            return tr("The scene cannot be read.")
        kind = self.choice(parameters, "MASK_FROM", context)
        if kind == "auto" and self.is_set(parameters, "MASK"):
            return (
                tr("Detecting clouds in the scene uses no mask.")
                + "\n"
                + tr(
                    "Hint: leave the raster empty, or choose another answer to «Clouds»."
                )
            )
        checks.offset(self, parameters, context, program)
        if self.parameterAsBool(parameters, "CLASSES", context):
            program.require(tr("Telling shadows from clouds"), "mask", "--classes")
            if kind != "auto":
                return tr(
                    "Shadows are told from clouds only where clouds are detected."
                )
        return layers.refusal(scene) or checks.outputs(
            self, parameters, context, ("OUTPUT",)
        )

    def prepareAlgorithm(self, parameters, context, feedback):
        """Take what is needed of the layers, on their own thread."""
        self.program = self.backend_or_raise()
        _, problem = self.checkParameterValues(parameters, context)
        if problem:
            raise QgsProcessingException(problem)
        self.scene = RasterInput(
            self.parameterAsRasterLayer(parameters, "INPUT", context)
        )
        self.result_name = tr("{}: clouds").format(self.scene.name)
        self.mask = None
        if self.is_set(parameters, "MASK"):
            layer = self.parameterAsRasterLayer(parameters, "MASK", context)
            if layer is None:
                raise QgsProcessingException(tr("The mask cannot be read."))
            self.mask = RasterInput(layer)
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """Run the program."""
        # Not in prepareAlgorithm: see RestoreAlgorithm.open_targets.
        target = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        styles.attach(context, target, styles.CloudMask(self.result_name))
        transform_context = context.transformContext()
        with Staging() as staging, staging.folder() as folder:
            scene = self.scene.path(folder, transform_context, feedback)
            kind = self.choice(parameters, "MASK_FROM", context)
            words = [
                "mask",
                scene,
                "--output",
                staging.path(target),
                "--from",
                kind,
            ]
            if self.mask:
                inside = os.path.join(folder, "mask")
                os.makedirs(inside)
                path = self.mask.path(inside, transform_context, feedback)
                grid = masks.Grid(scene)
                if not grid.same_pixels(masks.Grid(path)):
                    path = masks.warp(path, grid, [], folder, feedback)
                words += ["--mask", path]
            if self.is_set(parameters, "GROW"):
                metres = self.parameterAsDouble(parameters, "GROW", context)
                words += ["--dilate-m", f"{metres:g}"]
            least = self.parameterAsInt(parameters, "MIN_AREA", context)
            if least:
                words += ["--min-area-px", str(least)]
            if self.parameterAsBool(parameters, "CLASSES", context):
                words.append("--classes")
            words += checks.offset(self, parameters, context, self.program)
            result = process.run(
                self.program, words, feedback, process.MASK_STAGES, self.dialog_words()
            )
            staging.commit()
        pixels = result.get("pixels") or {}
        fraction = pixels.get("fill", 0) / max(1, pixels.get("data", 0))
        return {"OUTPUT": target, "MASKED_FRACTION": fraction}
