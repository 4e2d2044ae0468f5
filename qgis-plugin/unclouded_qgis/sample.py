"""The sample of "Try it": a scene with clouds, their mask and another date, ready to run."""

# SPDX-License-Identifier: GPL-2.0-or-later

from pathlib import Path

from qgis.core import (
    QgsContrastEnhancement,
    QgsCoordinateTransform,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QTimer

from . import styles
from .compat import MESSAGE_WARNING, tr

FOLDER = Path(__file__).resolve().parent / "sample"
SCENE = FOLDER / "latium_20180705.tif"
MASK = FOLDER / "latium_20180705_mask.tif"
REFERENCE = FOLDER / "latium_20181112.tif"
ATTRIBUTION = (
    "SEN12MS-CR-TS, CC BY 4.0, contains modified Copernicus Sentinel data 2018"
)
# Red, green, blue of the 13 bands, and the digital numbers shown as black and white.
RGB, BLACK, WHITE = (4, 3, 2), 700, 1950
# How a group of the layer tree and its layers are known again.
MARK = "unclouded/sample"


def load(iface):
    """Load scene, mask and the other date into a group of the project, and show them.

    Returns:
        The parameters of 'Remove clouds' for them, or None if the sample is not in this
        installation.
    """
    if not all(path.exists() for path in (SCENE, MASK, REFERENCE)):
        iface.messageBar().pushMessage(
            "unclouded",
            tr("The sample scene is not in this installation ({}).").format(FOLDER),
            MESSAGE_WARNING,
            10,
        )
        return None
    layers = _loaded() or _load(iface)
    scene = layers["scene"]
    # Later than QGIS, which shows the first layer of a project whole.
    QTimer.singleShot(0, lambda: show(iface, scene))
    return {
        "INPUT": scene,
        "MASK": layers["mask"],
        "MASK_VALUES": "1,2",
        "REFERENCE": layers["reference"],
        "SEED": 1,
        "SAMPLES": 4,
    }


def _loaded():
    """The sample's layers if they are in the project, complete."""
    for group in QgsProject.instance().layerTreeRoot().findGroups(True):
        if group.customProperty(MARK):
            found = {node.customProperty(MARK): node for node in group.findLayers()}
            if {"scene", "mask", "reference"} <= set(found):
                group.setItemVisibilityCheckedParentRecursive(True)
                return {name: node.layer() for name, node in found.items()}
    return None


def _load(iface):
    scene = QgsRasterLayer(str(SCENE), tr("Latium, 5 July 2018"))
    reference = QgsRasterLayer(str(REFERENCE), tr("Latium, 12 November 2018"))
    for layer in (scene, reference):
        style_true_colour(layer)
        metadata = layer.metadata()
        metadata.setRights([ATTRIBUTION])
        layer.setMetadata(metadata)
    mask = QgsRasterLayer(str(MASK), tr("Clouds and shadows"))
    styles.cloud_classes(mask, "80")
    project = QgsProject.instance()
    if not project.mapLayers():
        # As QGIS itself does with the first layer of a project.
        project.setCrs(scene.crs())
    group = project.layerTreeRoot().insertGroup(0, tr("unclouded sample"))
    group.setCustomProperty(MARK, "group")
    layers = {"mask": mask, "scene": scene, "reference": reference}
    for name, layer in layers.items():
        project.addMapLayer(layer, False)
        node = group.addLayer(layer)
        node.setCustomProperty(MARK, name)
    group.findLayer(reference.id()).setItemVisibilityChecked(False)
    return layers


def show(iface, layer):
    """Show a layer whole, in the left half of the map: the dialog takes the right."""
    canvas = iface.mapCanvas()
    box = QgsCoordinateTransform(
        layer.crs(), canvas.mapSettings().destinationCrs(), QgsProject.instance()
    ).transformBoundingBox(layer.extent())
    box.scale(1.04)
    # Not the canvas's own size: before the first layer it lies hidden under the welcome page.
    area = iface.mainWindow().centralWidget()
    width, height = max(1, area.width()), max(1, area.height())
    # Map units of a pixel of the screen.
    unit = max(box.width() / (width / 2), box.height() / height)
    middle = box.center().y()
    canvas.setExtent(
        QgsRectangle(
            box.xMinimum(),
            middle - unit * height / 2,
            box.xMinimum() + unit * width,
            middle + unit * height / 2,
        )
    )
    canvas.refresh()


def style_true_colour(layer):
    """Show a 13-band Sentinel-2 layer as the eye would see it."""
    provider = layer.dataProvider()
    renderer = QgsMultiBandColorRenderer(provider, *RGB)
    for band, attach in zip(
        RGB,
        (
            renderer.setRedContrastEnhancement,
            renderer.setGreenContrastEnhancement,
            renderer.setBlueContrastEnhancement,
        ),
    ):
        stretch = QgsContrastEnhancement(provider.dataType(band))
        stretch.setMinimumValue(BLACK)
        stretch.setMaximumValue(WHITE)
        stretch.setContrastEnhancementAlgorithm(
            QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
        )
        attach(stretch)
    layer.setRenderer(renderer)
