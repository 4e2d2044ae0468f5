"""Masks as users bring them: polygons in memory and in files, filters, other CRS and grids."""

import unittest

import numpy as np
from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsProcessingException,
    QgsProject,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

import harness
from harness import MASK, pixels
from input_case import InputCase, grid_box, polygons


class Masks(InputCase):
    def test_raster_mask_and_words_for_choices(self):
        filled, found = self.run_it(
            MASK=str(self.mask), MASK_VALUES="2", QUALITY="balanced"
        )
        self.assertTrue((filled == (pixels(self.mask) == 2)).all())
        self.assertAlmostEqual(found["FILLED_FRACTION"], filled.mean())

    def test_memory_polygons_with_unsaved_edits(self):
        kept, added = (10, 10, 20, 15), (60, 40, 12, 30)
        layer = polygons([("a", grid_box(self.scene, kept))])
        group = QgsProject.instance().layerTreeRoot().addGroup("Wolken «1/2» & co")
        QgsProject.instance().addMapLayer(layer, False)
        group.addLayer(layer)
        layer.startEditing()
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromRect(grid_box(self.scene, added)))
        layer.addFeature(feature)
        self.assertTrue(layer.isModified())
        filled, _ = self.run_it(MASK=layer.id(), GROW=0)
        expected = np.zeros_like(filled)
        for col, row, width, height in (kept, added):
            expected[row : row + height, col : col + width] = True
        self.assertTrue((filled == expected).all())
        layer.rollBack()

    def test_first_polygon_just_drawn(self):
        """An empty layer in which one polygon was drawn and not yet saved."""
        layer = polygons([])
        QgsProject.instance().addMapLayer(layer)
        self.refused("is empty", MASK=layer.id())
        layer.startEditing()
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromRect(grid_box(self.scene, (8, 9, 10, 11))))
        layer.addFeature(feature)
        filled, _ = self.run_it(MASK=layer.id(), GROW=0)
        self.assertEqual(filled.sum(), 110)
        layer.rollBack()

    def test_polygons_whose_layer_tells_an_old_extent(self):
        """As QGIS leaves a scratch layer after digitising: its extent is that of before."""
        layer = polygons([])
        QgsProject.instance().addMapLayer(layer)
        layer.setExtent(QgsRectangle(10, 50, 10.1, 50.1))
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromRect(grid_box(self.scene, (8, 9, 10, 11))))
        for commit in (False, True):
            layer.startEditing()
            layer.addFeature(QgsFeature(feature))
            layer.setExtent(QgsRectangle(10, 50, 10.1, 50.1))
            if commit:
                layer.commitChanges()
                layer.setExtent(QgsRectangle())
            self.assertFalse(
                layer.extent().intersects(grid_box(self.scene, (0, 0, 99, 9)))
            )
            for name in ("removeclouds", "fillmask"):
                filled, _ = self.run_it(name, MASK=layer.id(), GROW=0)
                self.assertEqual(filled.sum(), 110)
            if not commit:
                layer.rollBack()

    def test_selected_polygons_only(self):
        boxes = [("a", (10, 10, 20, 15)), ("b", (60, 40, 12, 30))]
        layer = polygons([(kind, grid_box(self.scene, box)) for kind, box in boxes])
        QgsProject.instance().addMapLayer(layer)
        chosen = {"MASK": layer.id(), "GROW": 0, "SELECTED_ONLY": True}
        self.refused("No polygon of drawn is selected", **chosen)
        layer.selectByExpression("kind = 'b'")
        filled, _ = self.run_it(**chosen)
        expected = np.zeros_like(filled)
        expected[40:70, 60:72] = True
        self.assertTrue((filled == expected).all())
        filled, _ = self.run_it(**{**chosen, "SELECTED_ONLY": False})
        self.assertEqual(filled.sum(), 20 * 15 + 12 * 30)

    def test_drawn_clouds_grow_and_drawn_things_do_not(self):
        """The plugin burns polygons itself: they grow as the program grows them."""
        layer = polygons([("a", grid_box(self.scene, (40, 30, 20, 20)))])
        path = str(self.folder / "gezeichnet.gpkg")
        options = QgsVectorFileWriter.SaveVectorOptions()
        QgsVectorFileWriter.writeAsVectorFormatV3(
            layer, path, QgsProject.instance().transformContext(), options
        )
        clouds, _ = self.run_it(MASK=layer)
        thing, _ = self.run_it("fillmask", MASK=layer)
        self.assertEqual(thing.sum(), 400)
        kinds = self.folder / "kinds.tif"
        words = ["restore", self.scene, "--mask", path, "-o", self.folder / "own.tif"]
        words += ["--provenance", kinds, "--samples", 1, "--steps", 1]
        harness.program(*words)
        self.assertGreater(clouds.sum(), 400)
        self.assertTrue((clouds == (pixels(kinds) == 2)).all())

    def test_masks_of_0_and_255(self):
        mask = self.folder / "maske255.tif"
        source = gdal.Open(str(self.mask))
        made = gdal.GetDriverByName("GTiff").CreateCopy(str(mask), source)
        marked = pixels(self.mask) == 1
        made.GetRasterBand(1).WriteArray(marked.astype(np.uint8) * 255)
        del made
        filled, _ = self.run_it(MASK=str(mask))
        self.assertTrue((filled == marked).all())

    def test_polygons_from_a_file_by_path(self):
        drawn = polygons([("a", grid_box(self.scene, (8, 9, 10, 11)))])
        path = str(self.folder / "maske mit raum.geojson")
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.driverName = "GeoJSON"
        QgsVectorFileWriter.writeAsVectorFormatV3(
            drawn, path, QgsProject.instance().transformContext(), options
        )
        filled, _ = self.run_it("fillmask", MASK=path)
        self.assertEqual(filled.sum(), 110)

    def test_filter_of_a_saved_layer_counts(self):
        boxes = [("cloud", (5, 5, 20, 20)), ("lake", (50, 50, 30, 20))]
        drawn = polygons([(kind, grid_box(self.scene, box)) for kind, box in boxes])
        path = str(self.folder / "wolken und mehr.gpkg")
        options = QgsVectorFileWriter.SaveVectorOptions()
        QgsVectorFileWriter.writeAsVectorFormatV3(
            drawn, path, QgsProject.instance().transformContext(), options
        )
        layer = QgsVectorLayer(path, "gefiltert", "ogr")
        self.assertTrue(layer.setSubsetString("kind = 'cloud'"))
        QgsProject.instance().addMapLayer(layer)
        filled, _ = self.run_it(MASK=layer, GROW=0)
        self.assertEqual(filled.sum(), 400)
        self.assertTrue(filled[5:25, 5:25].all())

    def test_polygons_in_another_crs(self):
        box = grid_box(self.scene, (30, 20, 40, 40))
        utm = QgsCoordinateReferenceSystem("EPSG:32643")
        there = QgsCoordinateTransform(
            QgsCoordinateReferenceSystem("EPSG:4326"), utm, QgsProject.instance()
        )
        shape = QgsGeometry.fromRect(box).densifyByCount(50)
        shape.transform(there)
        layer = polygons([], "EPSG:32643")
        feature = QgsFeature(layer.fields())
        feature.setGeometry(shape)
        layer.dataProvider().addFeatures([feature])
        layer.updateExtents()
        filled, _ = self.run_it("fillmask", MASK=layer)
        expected = np.zeros_like(filled)
        expected[20:60, 30:70] = True
        # The sides are bent by the projection; no more than the outermost pixels may differ.
        self.assertTrue(filled[21:59, 31:69].all())
        self.assertLess((filled != expected).sum(), 20)

    def test_mask_raster_on_another_grid_and_crs(self):
        warped = self.folder / "maske utm.tif"
        gdal.Warp(str(warped), str(MASK), dstSRS="EPSG:32643", xRes=5, yRes=5)
        filled, _ = self.run_it(MASK=str(warped), MASK_VALUES="1,2")
        expected = pixels(self.mask) > 0
        # Twice to the nearest pixel: edges may move by one.
        self.assertLess((filled != expected).mean(), 0.05)
        self.assertGreater(filled.mean(), 0.2)

    def test_extent_of_interest(self):
        box = grid_box(self.scene, (60, 50, 40, 25))
        text = f"{box.xMinimum()},{box.xMaximum()},{box.yMinimum()},{box.yMaximum()} [EPSG:4326]"
        filled, _ = self.run_it(MASK=str(self.mask), MASK_VALUES="1,2", EXTENT=text)
        expected = np.zeros_like(filled)
        expected[50:75, 60:100] = pixels(self.mask)[50:75, 60:100] > 0
        self.assertTrue((filled == expected).all())
        self.refused(
            "extent does not lie", MASK=str(self.mask), EXTENT="1,2,1,2 [EPSG:4326]"
        )

    def test_extent_with_growing_mask(self):
        box = grid_box(self.scene, (60, 50, 40, 25))
        text = f"{box.xMinimum()},{box.xMaximum()},{box.yMinimum()},{box.yMaximum()} [EPSG:4326]"
        chosen = {
            "MASK": str(self.mask),
            "MASK_VALUES": "2",
            "EXTENT": text,
            "GROW": 30,
        }
        if not harness.has("restore", "--extent"):
            self.refused("newer unclouded", **chosen)
            return
        filled, _ = self.run_it(**chosen)
        outside = filled.copy()
        outside[50:75, 60:100] = False
        self.assertFalse(outside.any())
        self.assertGreater(filled.sum(), (pixels(self.mask)[50:75, 60:100] == 2).sum())

    def test_polygons_between_pixel_centres_mark_nothing(self):
        box = grid_box(self.scene, (10, 10, 1, 1))
        sliver = QgsRectangle(
            box.xMinimum(),
            box.yMinimum(),
            box.xMinimum() + box.width() / 9,
            box.yMaximum(),
        )
        with self.assertRaisesRegex(QgsProcessingException, "cover no pixel"):
            self.run_it(MASK=polygons([("a", sliver)]), GROW=0)


if __name__ == "__main__":
    unittest.main()
