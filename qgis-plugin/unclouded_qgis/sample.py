"""'Try it': loads the bundled scene and opens the dialog filled in."""

# SPDX-License-Identifier: GPL-2.0-or-later

from pathlib import Path

from qgis.core import (
    QgsContrastEnhancement,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
)

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


def open_sample(iface):
    """Load scene, mask and the other date into a group of the project and open 'Remove clouds' for them.

    Returns:
        The dialog, or None if the sample is not in this installation.
    """
    if not all(path.exists() for path in (SCENE, MASK, REFERENCE)):
        iface.messageBar().pushMessage(
            "unclouded",
            tr("The sample scene is not in this installation ({}).").format(FOLDER),
            MESSAGE_WARNING,
            10,
        )
        return None
    scene = QgsRasterLayer(str(SCENE), tr("Latium, 5 July 2018"))
    reference = QgsRasterLayer(str(REFERENCE), tr("Latium, 12 November 2018"))
    for layer in (scene, reference):
        style_true_colour(layer)
        metadata = layer.metadata()
        metadata.setRights([ATTRIBUTION])
        layer.setMetadata(metadata)
    mask = QgsRasterLayer(str(MASK), tr("Clouds and shadows"))
    styles.Classes(
        [
            (0, "#00000000", tr("0: clear")),
            (1, "#99d7301f", tr("1: cloud")),
            (2, "#99542788", tr("2: shadow")),
        ]
    ).style(mask)
    project = QgsProject.instance()
    group = project.layerTreeRoot().insertGroup(0, tr("unclouded sample"))
    for layer in (reference, scene, mask):
        project.addMapLayer(layer, False)
        group.insertLayer(0, layer)
    for layer in (reference, mask):
        group.findLayer(layer.id()).setItemVisibilityChecked(False)
    canvas = iface.mapCanvas()
    canvas.setDestinationCrs(scene.crs())
    canvas.setExtent(scene.extent())
    canvas.refresh()
    return open_dialog(
        "unclouded:removeclouds",
        {
            "INPUT": scene,
            "MASK": mask,
            "MASK_VALUES": "1,2",
            "REFERENCE": reference,
            "SEED": 1,
            "SAMPLES": 4,
        },
    )


def open_dialog(algorithm, parameters):
    """Show an algorithm's dialog with these parameters filled in, without waiting for it.

    Returns:
        The dialog, or None if the algorithm cannot be run (QGIS then says why).
    """
    import processing

    dialog = processing.createAlgorithmDialog(algorithm, parameters)
    if dialog is not None:
        dialog.show()
    return dialog


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
