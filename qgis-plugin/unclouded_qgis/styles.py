"""How results look: the scene like its input, the others with a legend that explains them."""

# SPDX-License-Identifier: GPL-2.0-or-later

from qgis.core import (
    QgsColorRampShader,
    QgsMapLayerStyle,
    QgsPalettedRasterRenderer,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterShader,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtGui import QColor

from .compat import MESSAGE_WARNING, RAMP_CONTINUOUS, RAMP_INTERPOLATED, tr

# QGIS keeps a bare pointer to a post-processor, so somebody else has to keep it alive.
_alive = []

# Viridis: even steps in lightness, readable without colour vision and in print.
VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
MESSAGE_SECONDS = 20


class _PostProcessor(QgsProcessingLayerPostProcessorInterface):
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


class LikeInput(_PostProcessor):
    """The restored scene: looks like its input; the user is told what filled pixels are.

    Args:
        layer: the input, whose style is taken now.
        notice: text for the message bar, with {name} for the result's name.
    """

    def __init__(self, layer, notice):
        super().__init__()
        self.look = QgsMapLayerStyle()
        self.look.readFromLayer(layer)
        self.notice = notice

    def style(self, layer):
        """See the class."""
        if self.look.isValid():
            self.look.writeToLayer(layer)
        from qgis.utils import iface

        if iface is not None:
            iface.messageBar().pushMessage(
                "unclouded",
                self.notice.format(name=layer.name()),
                MESSAGE_WARNING,
                MESSAGE_SECONDS,
            )


class Uncertainty(_PostProcessor):
    """The standard deviation of the samples, in a perceptual ramp; clear pixels see-through."""

    def __init__(self):
        super().__init__()
        # The first band the model saw, known after the run.
        self.band = 1

    def style(self, layer):
        """See the class."""
        provider, band = layer.dataProvider(), min(self.band, layer.bandCount())
        stats = provider.bandStatistics(band)
        high = provider.cumulativeCut(band, 0.0, 0.98, layer.extent(), 250_000)[1]
        if not high > 0:
            high = stats.maximumValue if stats.maximumValue > 0 else 1.0
        # Clear pixels are exactly 0: from transparent to the ramp within a thousandth of it.
        items = [
            QgsColorRampShader.ColorRampItem(
                0.0, QColor(68, 1, 84, 0), tr("0 (observed)")
            )
        ]
        for step, colour in enumerate(VIRIDIS):
            value = max(high / 1000, high * step / (len(VIRIDIS) - 1))
            items.append(
                QgsColorRampShader.ColorRampItem(value, QColor(colour), f"{value:.4g}")
            )
        ramp = QgsColorRampShader(0.0, high)
        ramp.setColorRampType(RAMP_INTERPOLATED)
        ramp.setClassificationMode(RAMP_CONTINUOUS)
        ramp.setColorRampItemList(items)
        shader = QgsRasterShader()
        shader.setRasterShaderFunction(ramp)
        renderer = QgsSingleBandPseudoColorRenderer(provider, band, shader)
        renderer.setClassificationMin(0.0)
        renderer.setClassificationMax(high)
        layer.setRenderer(renderer)


class Classes(_PostProcessor):
    """A raster of few values with a legend.

    Args:
        classes: list of (value, colour with alpha as #aarrggbb, label).
    """

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def style(self, layer):
        """See the class."""
        entries = [
            QgsPalettedRasterRenderer.Class(value, QColor(colour), label)
            for value, colour, label in self.classes
        ]
        layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, entries))


def provenance():
    """The post-processor of PROVENANCE."""
    return Classes(
        [
            (0, "#00000000", tr("0: no data")),
            (1, "#ff9ecae1", tr("1: observed")),
            (2, "#ffe6550d", tr("2: filled (estimate)")),
        ]
    )


def mask():
    """The post-processor of a cloud mask."""
    return Classes(
        [
            (0, "#00000000", tr("0: clear")),
            (1, "#ffd7301f", tr("1: to fill")),
            (2, "#ff542788", tr("2: to fill, in shadow")),
        ]
    )


def attach(context, destination, processor):
    """Let QGIS call the post-processor if it is going to load the result."""
    if destination and context.willLoadLayerOnCompletion(destination):
        context.layerToLoadOnCompletionDetails(destination).setPostProcessor(processor)
