"""The parameters of removing clouds and filling a mask, with their help texts."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import (
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .algorithm import UncloudedAlgorithm
from .compat import (
    FILE,
    NUMBER_INTEGER,
    TYPE_POLYGON,
    TYPE_RASTER,
    tr,
)

# A choice that leaves the decision to the settings or the model.
UNSET = "default"
# What is written of the samples unless another result is chosen.
MEAN = "mean"
# As the program lists them; test_refusals compares.
SAMPLERS = (
    "dpmpp-2m",
    "dpmpp-3m",
    "dpmpp-1s",
    "dpmpp-2s",
    "unipc-bh1",
    "unipc-bh2",
    "heun",
    "euler",
    "lms",
    "plms",
    "pndm",
    "ddim",
    "probability-flow",
    "ddpm",
    "euler-ancestral",
    "heun-churn",
    "dpmpp-2m-sde",
    "dpmpp-3m-sde",
    "reverse-diffusion",
    "predictor-corrector",
    "annealed-langevin",
    "lcm",
    "consistency",
)
METHODS = (
    "direct",
    "concat",
    "sum",
    "repaint",
    "ddnm",
    "dps",
    "cold",
    # From other dates.
    "regression",
    "clr",
    "interpolate",
    "median",
    "copy",
)


class RestoreParameters(UncloudedAlgorithm):
    """Adds the parameters, group by group, in the order of the dialog.

    The main part is what everybody answers: scene, clouds, other date, result. GROUPS says under
    which headings dialog.py puts the rest.
    """

    def groups(self):
        """Headings of the advanced part, and the parameters below each, in their order."""
        return (
            (tr("Where to fill"), ("GROW", "MIN_AREA", "EXTENT")),
            (tr("Other date"), ("REFERENCE_CLOUDS", "REFERENCE_MASK")),
            (tr("Scene"), ("BANDS", "OFFSET")),
            (tr("Speed and memory"), ("QUALITY", "DEVICE", "TILE", "OVERLAP")),
            (
                tr("Model and sampler"),
                ("MODEL", "SAMPLES", "SEED", "STEPS", "METHOD", "SAMPLER"),
            ),
        )

    def add_scene(self):
        """INPUT."""
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", tr("Scene")),
            tr(
                "The image to restore: any raster of pixel values that QGIS reads through "
                "GDAL. Every band is filled. It is never written to."
            ),
        )

    def add_mask(self, optional, help_text):
        """MASK, SELECTED_ONLY and MASK_VALUES."""
        self.add(
            QgsProcessingParameterMapLayer(
                "MASK",
                tr("Mask"),
                optional=optional,
                types=[TYPE_RASTER, TYPE_POLYGON],
            ),
            help_text,
        )
        self.add(
            QgsProcessingParameterBoolean(
                "SELECTED_ONLY", tr("Only the selected polygons"), False
            ),
            tr("Of a polygon layer, fill only what is selected in the map."),
        )
        self.add(
            QgsProcessingParameterString(
                "MASK_VALUES",
                tr("Values of the mask that mean fill"),
                "",
                optional=True,
            ),
            tr(
                "For a mask raster: the values that mark pixels to fill, with commas between "
                "them, for instance 1,2. Empty: 1, or 255 in a mask of 0 and 255."
            ),
        )

    def add_write(self):
        """WRITE."""
        self.add_choice(
            "WRITE",
            tr("Result"),
            [
                (MEAN, tr("for measuring: the mean, closest to the truth")),
                ("texture", tr("for the eye: a texture of the visible ground")),
                ("sample", tr("one draw of the network")),
            ],
            tr(
                "The mean of the samples is closest to the truth, and smooth where little is "
                "known: what is under a thick cloud nobody knows, and the mean does not "
                "pretend. A texture is the mean drawn anew from pieces of the visible ground "
                "of the scene: it looks like the scene, and goes with no other date. A draw is "
                "what the network makes of it. Both are farther from the truth than the mean."
            ),
        )

    def add_extent(self):
        """EXTENT."""
        self.add(
            QgsProcessingParameterExtent(
                "EXTENT", tr("Fill only inside"), optional=True
            ),
            tr(
                "Only masked pixels inside are filled; the result has the size of the scene "
                "all the same. Empty: the whole scene."
            ),
            advanced=True,
        )

    def add_encoding(self):
        """BANDS and OFFSET."""
        self.add(
            QgsProcessingParameterString(
                "BANDS", tr("Bands of the model (R, G, B)"), optional=True
            ),
            tr(
                "Band numbers, counted from 1, with commas between them, for instance 4,3,2. "
                "Empty: guessed from the bands' descriptions. The other bands are filled too."
            ),
            advanced=True,
        )
        self.add_offset()

    def add_computing(self):
        """QUALITY, DEVICE, TILE and OVERLAP."""
        self.add_choice(
            "QUALITY",
            tr("Quality"),
            [
                ("fast", tr("fast: one estimate")),
                ("balanced", tr("balanced: the mean of two")),
                ("best", tr("best: the mean of eight")),
            ],
            tr(
                "How a tile is filled. One call of the network estimates the mean of all fills and "
                "how far it may err; balanced takes the mean of two, between which the tile is "
                "turned; best turns it all eight ways. Samples and steps below override the quality."
            ),
            default=1,
            advanced=True,
        )
        self.add_choice(
            "DEVICE",
            tr("Device"),
            [
                (UNSET, tr("as in the settings")),
                ("auto", tr("automatic: a GPU if there is one")),
                ("cpu", tr("processor")),
                ("gpu", tr("GPU")),
            ],
            tr("Where to compute."),
            advanced=True,
        )
        self.add_number(
            "TILE",
            tr("Tile size (pixels)"),
            tr(
                "Side of the tiles the model sees. Smaller ones need less memory and see "
                "less around a cloud."
            ),
            16,
            4096,
            advanced=True,
        )
        self.add_number(
            "OVERLAP",
            tr("Tile overlap (pixels)"),
            tr("How far neighbouring tiles overlap and are blended."),
            0,
            4095,
            advanced=True,
        )

    def add_model(self):
        """MODEL, SAMPLES, SEED, STEPS, METHOD and SAMPLER."""
        self.add(
            QgsProcessingParameterFile("MODEL", tr("Model"), FILE, optional=True),
            tr(
                "A checkpoint file (.safetensors) or the name of a model inside the program. "
                "Empty: the program's default."
            ),
            advanced=True,
        )
        self.add_number(
            "SAMPLES",
            tr("Samples"),
            tr(
                "How many fills are taken; their mean is the result, unless another is chosen "
                "above. More lower the error and take proportionally longer; more than 8 are "
                "drawn as samples. Not set: as the quality says."
            ),
            1,
            1024,
            advanced=True,
        )
        self.add_number(
            "SEED",
            tr("Seed"),
            tr("The same seed and settings give the same result, to the byte."),
            0,
            2**31 - 1,
            default=0,
            advanced=True,
        )
        self.add_number(
            "STEPS",
            tr("Steps of the sampler"),
            tr("A few are enough; more add texture and lose accuracy."),
            1,
            1000,
            advanced=True,
        )
        self.add_choice(
            "METHOD",
            tr("Method of filling"),
            [(UNSET, tr("as the quality says"))] + [(name, name) for name in METHODS],
            tr(
                "From other dates: regression, clr, interpolate, median and copy (the nearest one); "
                "of several dates the best of these is taken unless you choose. By the model: "
                "direct estimates the mean of all fills at once. concat draws samples from models "
                "trained to see the scene. The others fill with an "
                "unconditional model: sum and ddnm replace the visible pixels at every step, "
                "repaint also walks back and forth, dps follows the gradient of the misfit. "
                "repaint and dps need many more steps and have a sampler of their own. cold is "
                "for models trained to undo a mask."
            ),
            advanced=True,
        )
        self.add_choice(
            "SAMPLER",
            tr("Sampler"),
            [(UNSET, tr("as the model says"))] + [(name, name) for name in SAMPLERS],
            tr(
                "How to walk from noise to image. reverse-diffusion, predictor-corrector and "
                "annealed-langevin need a hundred steps or more, the others a few."
            ),
            advanced=True,
        )

    def add_number(
        self, name, label, help_text, low, high, default=None, advanced=False
    ):
        """A whole number; without a default it may stay unset."""
        self.add(
            QgsProcessingParameterNumber(
                name, label, NUMBER_INTEGER, default, default is None, low, high
            ),
            help_text,
            advanced,
        )

    def add_outputs(self, label):
        """OUTPUT, UNCERTAINTY, PROVENANCE and the two numbers."""
        self.add(
            QgsProcessingParameterRasterDestination("OUTPUT", label),
            tr(
                "A GeoTIFF of the scene's size, type, bands and metadata in which only the "
                "masked pixels differ."
            ),
        )
        self.add(
            QgsProcessingParameterRasterDestination(
                "UNCERTAINTY", tr("Uncertainty"), optional=True, createByDefault=True
            ),
            tr(
                "The standard deviation of the fill in the scene's units, a band for each band: "
                "where it is high the model was guessing. 0 where a pixel was observed."
            ),
        )
        self.add(
            QgsProcessingParameterRasterDestination(
                "PROVENANCE", tr("Provenance"), optional=True, createByDefault=True
            ),
            tr("What every pixel is: 0 no data, 1 observed, 2 filled."),
        )
        self.addOutput(
            QgsProcessingOutputNumber("FILLED_FRACTION", tr("Filled share (0 to 1)"))
        )
        self.addOutput(
            QgsProcessingOutputNumber(
                "CLEAR_PIXELS_CHANGED", tr("Clear pixels changed")
            )
        )
