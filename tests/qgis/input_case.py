"""What tests of inputs share: a small scene with its mask, polygons, and runs of the plugin."""

import unittest

from osgeo import gdal

import harness
from harness import MASK, QUICK, SCENE, Folder, crop, pixels

APPLICATION, PLUGIN = harness.start_qgis()

import processing
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)

WINDOW = (60, 70, 120, 96)


def grid_box(path, window):
    """A rectangle around pixels (col, row, width, height) of a raster, in its CRS."""
    x, dx, _, y, _, dy = gdal.Open(str(path)).GetGeoTransform()
    col, row, width, height = window
    return QgsRectangle(
        x + col * dx, y + (row + height) * dy, x + (col + width) * dx, y + row * dy
    )


def polygons(boxes, crs="EPSG:4326", name="drawn"):
    """A memory layer with rectangles."""
    layer = QgsVectorLayer(f"Polygon?crs={crs}&field=kind:string", name, "memory")
    features = []
    for kind, box in boxes:
        feature = QgsFeature(layer.fields())
        feature.setAttributes([kind])
        feature.setGeometry(QgsGeometry.fromRect(box))
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    layer.updateExtents()
    return layer


class InputCase(unittest.TestCase):
    def setUp(self):
        opened = Folder()
        self.folder = opened.__enter__()
        self.addCleanup(opened.__exit__)
        self.addCleanup(QgsProject.instance().clear)
        self.scene = crop(SCENE, self.folder / "szene ä.tif", WINDOW)
        self.mask = crop(MASK, self.folder / "maske.tif", WINDOW)

    def run_it(self, algorithm="removeclouds", scene=None, **parameters):
        """Run with quick settings; returns what is filled (bool array) and the results.

        Args:
            scene: its path, unless it is the scene of the case.
        """
        scene = scene or self.scene
        found = processing.run(
            f"unclouded:{algorithm}",
            {
                "INPUT": str(scene),
                "OUTPUT": str(self.folder / "ergebnis.tif"),
                "PROVENANCE": str(self.folder / "art.tif"),
                **QUICK,
                **parameters,
            },
        )
        kinds = pixels(found["PROVENANCE"])
        changed = (pixels(found["OUTPUT"]) != pixels(scene)).any(axis=0)
        self.assertFalse((changed & (kinds != 2)).any(), "a clear pixel changed")
        self.assertEqual(found["CLEAR_PIXELS_CHANGED"], 0)
        return kinds == 2, found

    def refused(self, pattern, algorithm="removeclouds", **parameters):
        """The run is refused before it starts, and in a script without the check as well."""
        chosen = {
            "INPUT": str(self.scene),
            "OUTPUT": str(self.folder / "nie.tif"),
            **QUICK,
            **parameters,
        }
        registry = harness_registry()
        made = registry.createAlgorithmById(f"unclouded:{algorithm}")
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        fine, reason = made.checkParameterValues(chosen, context)
        self.assertFalse(fine)
        self.assertRegex(reason, pattern)
        with self.assertRaises(QgsProcessingException):
            processing.run(f"unclouded:{algorithm}", chosen)
        self.assertFalse((self.folder / "nie.tif").exists())
        self.assertEqual([p for p in self.folder.iterdir() if p.name[0] == "."], [])


def harness_registry():
    """QGIS's list of algorithms."""
    return APPLICATION.processingRegistry()
