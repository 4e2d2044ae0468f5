"""Results in the layer tree: one group a run, the result on top, what explains it switched off."""

# SPDX-License-Identifier: GPL-2.0-or-later

import datetime

from qgis.core import QgsMapLayerStyle, QgsProject
from qgis.PyQt.QtCore import QTimer

from . import styles
from .compat import MESSAGE_INFO, tr

# From top to bottom, and whether it is seen at once.
ORDER = (("OUTPUT", True), ("UNCERTAINTY", False), ("PROVENANCE", False))
MESSAGE_SECONDS = 30


class Results:
    """The loaded outputs of one run.

    Args:
        scene: QgsRasterLayer, the input, whose style is taken now.
        name: how the result is called.
    """

    def __init__(self, scene, name):
        self.scene = scene.name()
        self.name = name
        self.look = QgsMapLayerStyle()
        self.look.readFromLayer(scene)
        self.began = datetime.datetime.now()
        self.filled = 0.0
        self.band = 1
        self.group = None

    def know(self, filled, band):
        """What the run found out.

        Args:
            filled: share of the pixels that are filled, 0 to 1.
            band: first band the model saw, from 1.
        """
        self.filled = filled
        self.band = band

    def summary(self):
        """What everybody should know about the result."""
        if not self.filled:
            return tr("{}: no clouds found, nothing is filled.").format(self.name)
        return tr(
            "{name}: {percent:.1f} % of the pixels are filled. They are estimates, not "
            "measurements; the layers Uncertainty and Provenance of the group tell which and "
            "how sure."
        ).format(name=self.name, percent=100 * self.filled)

    def processor(self, output):
        """What QGIS calls when it has loaded an output."""
        return {
            "OUTPUT": LikeInput,
            "UNCERTAINTY": Uncertainty,
            "PROVENANCE": Provenance,
        }[output](self)

    def place(self, layer, output):
        """Put a loaded layer into the group of this run, in its order."""
        root = QgsProject.instance().layerTreeRoot()
        node = root.findLayer(layer.id())
        if node is None:
            return
        group = self._group(root)
        rank = [name for name, _ in ORDER].index(output)
        # Below those that come before it; QGIS may have put the node itself into this group.
        place = 0
        for at, child in enumerate(group.children()):
            before = child.customProperty("unclouded/rank")
            if before is not None and int(before) < rank:
                place = at + 1
        moved = node.clone()
        moved.setCustomProperty("unclouded/rank", rank)
        moved.setItemVisibilityChecked(dict(ORDER)[output])
        moved.setExpanded(output != "OUTPUT")
        group.insertChildNode(place, moved)
        # Last: a layer without a node would leave the project.
        node.parent().removeChildNode(node)

    def _group(self, root):
        # By its mark and not by a pointer: the user may have removed it meanwhile.
        mark = self.began.isoformat()
        for group in root.findGroups(True):
            if group.customProperty("unclouded/run") == mark:
                return group
        name = f"{self.scene}, {self.began:%H:%M}"
        group = root.insertGroup(0, name)
        group.setCustomProperty("unclouded/run", mark)
        return group


class _Result(styles.PostProcessor):
    """Styles, names and places one output.

    Args:
        results: Results of the run.
    """

    OUTPUT = ""

    def __init__(self, results):
        super().__init__()
        self.results = results

    def style(self, layer):
        """See the class."""
        self.look(layer)
        self.results.place(layer, self.OUTPUT)

    def look(self, layer):
        """Name and style."""
        raise NotImplementedError


class LikeInput(_Result):
    """The restored scene looks like its input; the message bar says what filled pixels are."""

    OUTPUT = "OUTPUT"

    def look(self, layer):
        """See the class."""
        layer.setName(self.results.name)
        if self.results.look.isValid():
            self.results.look.writeToLayer(layer)
        from qgis.utils import iface

        if iface is None:
            return
        iface.messageBar().pushMessage(
            "unclouded", self.results.summary(), MESSAGE_INFO, MESSAGE_SECONDS
        )
        # Later than QGIS, which makes the last loaded layer the active one.
        key = layer.id()
        QTimer.singleShot(0, lambda: _activate(iface, key))


def _activate(iface, key):
    layer = QgsProject.instance().mapLayer(key)
    if layer is not None:
        iface.setActiveLayer(layer)


class Uncertainty(_Result):
    """The standard deviation of the samples; see styles.uncertainty."""

    OUTPUT = "UNCERTAINTY"

    def look(self, layer):
        """See the class."""
        layer.setName(tr("{}: uncertainty, high = guess").format(self.results.scene))
        styles.uncertainty(layer, min(self.results.band, layer.bandCount()))


class Provenance(_Result):
    """Which pixels are filled; observed ones are see-through."""

    OUTPUT = "PROVENANCE"

    def look(self, layer):
        """See the class."""
        layer.setName(tr("{}: provenance").format(self.results.scene))
        styles.classes(
            layer,
            [
                (0, "#00000000", tr("0: no data")),
                (1, "#00000000", tr("1: observed (left see-through)")),
                (2, "#ffe6550d", tr("2: filled (an estimate)")),
            ],
        )
