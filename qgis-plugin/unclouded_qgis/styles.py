"""How results look: legends that explain themselves, colours that do not need colour vision."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import (
    QgsColorRampLegendNodeSettings,
    QgsColorRampShader,
    QgsPalettedRasterRenderer,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterShader,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtGui import QColor

from .compat import RAMP_CONTINUOUS, RAMP_INTERPOLATED, tr

# QGIS keeps a bare pointer to a post-processor, so somebody else has to keep it alive.
_alive = []

# Viridis: even steps in lightness, readable without colour vision and in print.
VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")


class PostProcessor(QgsProcessingLayerPostProcessorInterface):
    """Styles a result when QGIS has loaded it, on the main thread."""

    def __init__(self):
        super().__init__()
        self.done = False
        # Those that have run are let go now, not from inside their own call.
        _alive[:] = [one for one in _alive if not one.done]
        _alive.append(self)

    def postProcessLayer(self, layer, _context, feedback):
        """Called by QGIS once for each loaded result."""
        try:
            self.style(layer)
            layer.triggerRepaint()
            layer.emitStyleChanged()
        except Exception as error:  # noqa: BLE001 (a plain look is no reason to fail a run)
            feedback.pushWarning(tr("The result could not be styled: {}").format(error))
        self.done = True

    def style(self, layer):
        """Give the layer its look."""
        raise NotImplementedError


def attach(context, destination, processor):
    """Let QGIS call the post-processor if it is going to load the result."""
    if destination and context.willLoadLayerOnCompletion(destination):
        context.layerToLoadOnCompletionDetails(destination).setPostProcessor(processor)


def uncertainty(layer, band):
    """A perceptual ramp from see-through (observed, 0) to bright (a guess), with its meaning.

    Args:
        band: whose standard deviation is shown, from 1.
    """
    provider = layer.dataProvider()
    high = provider.cumulativeCut(band, 0.0, 0.98, layer.extent(), 250_000)[1]
    if not high > 0:
        high = provider.bandStatistics(band).maximumValue
    if not high > 0:
        high = 1.0
    # Clear pixels are exactly 0: from transparent to the ramp within a thousandth of it.
    items = [
        QgsColorRampShader.ColorRampItem(0.0, QColor(68, 1, 84, 0), tr("0: observed"))
    ]
    for step, colour in enumerate(VIRIDIS):
        value = max(high / 1000, high * step / (len(VIRIDIS) - 1))
        items.append(
            QgsColorRampShader.ColorRampItem(value, QColor(colour), short(value))
        )
    ramp = QgsColorRampShader(0.0, high)
    ramp.setColorRampType(RAMP_INTERPOLATED)
    ramp.setClassificationMode(RAMP_CONTINUOUS)
    ramp.setColorRampItemList(items)
    legend = QgsColorRampLegendNodeSettings()
    legend.setMinimumLabel(tr("0: the samples agree"))
    legend.setMaximumLabel(
        tr("{} or more (scene's units): a guess").format(short(high))
    )
    ramp.setLegendSettings(legend)
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(ramp)
    renderer = QgsSingleBandPseudoColorRenderer(provider, band, shader)
    renderer.setClassificationMin(0.0)
    renderer.setClassificationMax(high)
    layer.setRenderer(renderer)


def short(value):
    """A number with three digits that count, without an exponent where people write none."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def classes(layer, entries):
    """A raster of few values with a legend.

    Args:
        entries: list of (value, colour with alpha as #aarrggbb, label).
    """
    made = [
        QgsPalettedRasterRenderer.Class(value, QColor(colour), label)
        for value, colour, label in entries
    ]
    layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, made))


def cloud_classes(layer, alpha="ff"):
    """Clouds and their shadows over a see-through ground.

    Args:
        alpha: opacity of the colours, two hexadecimal digits.
    """
    classes(
        layer,
        [
            (0, "#00000000", tr("0: clear")),
            (1, f"#{alpha}d7301f", tr("1: cloud, to fill")),
            (2, f"#{alpha}542788", tr("2: shadow, to fill")),
        ],
    )


class CloudMask(PostProcessor):
    """The output of 'Cloud mask'.

    Args:
        name: how the layer is called.
    """

    def __init__(self, name):
        super().__init__()
        self.name = name

    def style(self, layer):
        """See the class."""
        layer.setName(self.name)
        cloud_classes(layer, "b3")
