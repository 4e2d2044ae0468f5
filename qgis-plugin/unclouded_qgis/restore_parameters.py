"""The parameters of removing clouds and filling a mask, with their help texts."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import (
    QgsProcessingOutputNumber,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .algorithm import UncloudedAlgorithm
from .compat import FILE, NUMBER_INTEGER, TYPE_POLYGON, TYPE_RASTER, tr

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
METHODS = ("concat", "sum", "repaint", "ddnm", "dps", "cold")


class RestoreParameters(UncloudedAlgorithm):
    """Adds the parameters, group by group, in the order of the dialog."""

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
        """MASK and MASK_VALUES."""
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
            QgsProcessingParameterString(
                "MASK_VALUES", tr("Mask values that mean fill"), "1", optional=True
            ),
            tr(
                "For a mask raster: the values that mark pixels to fill, with commas between "
                "them, for instance 1,2. Polygons need none."
            ),
        )

    def add_model(self):
        """MODEL, QUALITY, WRITE, SAMPLES, SEED, DILATE and EXTENT."""
        self.add(
            QgsProcessingParameterFile("MODEL", tr("Model"), FILE, optional=True),
            tr(
                "A checkpoint file (.safetensors) or the name of a model inside the program. "
                "Empty: the program's default."
            ),
        )
        self.add_choice(
            "QUALITY",
            tr("Quality"),
            [
                ("fast", tr("fast: for a first look")),
                ("balanced", tr("balanced")),
                ("best", tr("best: more samples, slower")),
            ],
            tr(
                "How many samples are drawn and how carefully. Samples and steps below "
                "override it."
            ),
            default=1,
        )
        self.add_choice(
            "WRITE",
            tr("Result"),
            [
                (MEAN, tr("mean: closest to the truth")),
                ("texture", tr("texture: for the eye, from the visible ground")),
                ("sample", tr("one sample of the network")),
            ],
            tr(
                "The mean of the samples is closest to the truth, and smooth where little is "
                "known. A texture is the mean drawn anew from pieces of the visible ground of "
                "the scene: it looks like the scene, and goes with no reference of another "
                "date. A sample is what the network makes of it. Both are farther from the "
                "truth than the mean."
            ),
        )
        self.add_number(
            "SAMPLES",
            tr("Samples"),
            tr(
                "How many fills are drawn; their mean is the result, unless another is chosen "
                "above, and their spread the uncertainty. More lower the error and take "
                "proportionally longer. Not set: as the quality says."
            ),
            1,
            1024,
        )
        self.add_number(
            "SEED",
            tr("Seed"),
            tr("The same seed and settings give the same result, to the byte."),
            0,
            2**31 - 1,
            default=0,
        )
        self.add_number(
            "DILATE",
            tr("Grow the mask by (pixels)"),
            tr(
                "Cloud edges and thin haze reach farther than most masks say: 2 to 8 pixels "
                "of 10 m are usual. Growing costs clear pixels."
            ),
            0,
            1000,
            default=0,
        )
        self.add(
            QgsProcessingParameterExtent(
                "EXTENT", tr("Extent of interest"), optional=True
            ),
            tr(
                "Only masked pixels inside are filled; the result has the size of the scene "
                "all the same. Empty: the whole scene."
            ),
        )

    def add_advanced(self):
        """STEPS, SAMPLER, METHOD, TILE, OVERLAP, DEVICE, BANDS and OFFSET."""
        self.add_number(
            "STEPS",
            tr("Steps of the sampler"),
            tr("A few are enough; more add texture and lose accuracy."),
            1,
            1000,
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
        self.add_choice(
            "METHOD",
            tr("Method of filling"),
            [(UNSET, tr("what the model was made for"))]
            + [(name, name) for name in METHODS],
            tr(
                "concat is for models trained to see the scene. The others fill with an "
                "unconditional model: sum and ddnm replace the visible pixels at every step, "
                "repaint also walks back and forth, dps follows the gradient of the misfit. "
                "repaint and dps need many more steps and have a sampler of their own. cold is "
                "for models trained to undo a mask."
            ),
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
        self.add(
            QgsProcessingParameterString(
                "BANDS", tr("Bands for the model (red, green, blue)"), optional=True
            ),
            tr(
                "Band numbers, counted from 1, with commas between them, for instance 4,3,2. "
                "Empty: guessed from the bands' descriptions. The other bands are filled too."
            ),
            advanced=True,
        )
        self.add_offset()

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
                "The standard deviation of the samples in the scene's units, a band for each "
                "band: where it is high the model was guessing. Needs two samples or more."
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
