"""What users bring: polygons in memory, filters, other CRS and grids, odd sources, wrong masks."""

import unittest
import zipfile

import harness
import numpy as np
from harness import MASK, QUICK, SCENE, Folder, crop, pixels
from osgeo import gdal

APPLICATION, PLUGIN = harness.start_qgis()

import processing
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from unclouded_qgis import settings

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


class Inputs(unittest.TestCase):
    def setUp(self):
        opened = Folder()
        self.folder = opened.__enter__()
        self.addCleanup(opened.__exit__)
        self.addCleanup(QgsProject.instance().clear)
        self.scene = crop(SCENE, self.folder / "szene ä.tif", WINDOW)
        self.mask = crop(MASK, self.folder / "maske.tif", WINDOW)

    def run_it(self, algorithm="removeclouds", **parameters):
        """Run with quick settings; returns what is filled (bool array) and the results."""
        found = processing.run(
            f"unclouded:{algorithm}",
            {
                "INPUT": str(self.scene),
                "OUTPUT": str(self.folder / "ergebnis.tif"),
                "PROVENANCE": str(self.folder / "art.tif"),
                **QUICK,
                **parameters,
            },
        )
        kinds = pixels(found["PROVENANCE"])
        changed = (pixels(found["OUTPUT"]) != pixels(self.scene)).any(axis=0)
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
        filled, _ = self.run_it(MASK=layer.id())
        expected = np.zeros_like(filled)
        for col, row, width, height in (kept, added):
            expected[row : row + height, col : col + width] = True
        self.assertTrue((filled == expected).all())
        layer.rollBack()

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
        filled, _ = self.run_it(MASK=layer)
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
            "DILATE": 3,
        }
        if not harness.has("restore", "--extent"):
            self.refused("newer unclouded", **chosen)
            return
        filled, _ = self.run_it(**chosen)
        outside = filled.copy()
        outside[50:75, 60:100] = False
        self.assertFalse(outside.any())
        self.assertGreater(filled.sum(), (pixels(self.mask)[50:75, 60:100] == 2).sum())

    def test_scene_in_memory_and_in_an_archive(self):
        gdal.GetDriverByName("GTiff").CreateCopy(
            "/vsimem/szene.tif", gdal.Open(str(self.scene))
        )
        self.addCleanup(gdal.Unlink, "/vsimem/szene.tif")
        expected, _ = self.run_it(MASK=str(self.mask))
        archive = self.folder / "paket ü.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.write(self.scene, "innen/szene.tif")
        for source in ("/vsimem/szene.tif", f"/vsizip/{archive}/innen/szene.tif"):
            layer = QgsRasterLayer(source, "flüchtig")
            self.assertTrue(layer.isValid())
            QgsProject.instance().addMapLayer(layer)
            filled, _ = self.run_it(INPUT=layer.id(), MASK=str(self.mask))
            self.assertTrue((filled == expected).all())

    def test_subdataset(self):
        path = str(self.folder / "zwei bänder.gpkg")
        rgb = gdal.Translate(
            "",
            str(self.scene),
            format="MEM",
            bandList=[4, 3, 2],
            outputType=gdal.GDT_Byte,
            scaleParams=[[500, 3000, 1, 254]],
        )
        options = ["RASTER_TABLE=bild", "TILE_FORMAT=PNG"]
        gdal.GetDriverByName("GPKG").CreateCopy(path, rgb, options=options)
        layer = QgsRasterLayer(f"GPKG:{path}:bild", "im Paket")
        self.assertTrue(layer.isValid(), layer.error().message())
        QgsProject.instance().addMapLayer(layer)
        found = processing.run(
            "unclouded:fillmask",
            {
                "INPUT": layer,
                "MASK": polygons([("a", grid_box(self.scene, (10, 10, 20, 20)))]),
                "OUTPUT": "TEMPORARY_OUTPUT",
                "BANDS": "1,2,3",
                **QUICK,
            },
        )
        result = gdal.Open(found["OUTPUT"])
        self.assertGreaterEqual(result.RasterCount, 3)
        self.assertEqual(found["CLEAR_PIXELS_CHANGED"], 0)

    def test_layer_computed_by_qgis_is_fetched(self):
        from qgis.core import QgsRasterDataProvider

        layer = QgsRasterLayer(str(self.scene), "szene")
        wanted = QgsRasterDataProvider.VirtualRasterParameters()
        wanted.crs, wanted.extent = layer.crs(), layer.extent()
        wanted.width, wanted.height = layer.width(), layer.height()
        wanted.formula = '"szene@4" * 2'
        entry = QgsRasterDataProvider.VirtualRasterInputLayers()
        entry.name, entry.uri, entry.provider = "szene", str(self.scene), "gdal"
        wanted.rInputLayers = [entry]
        uri = QgsRasterDataProvider.encodeVirtualRasterProviderUri(wanted)
        computed = QgsRasterLayer(uri, "doppelt", "virtualraster")
        self.assertTrue(computed.isValid())
        QgsProject.instance().addMapLayer(computed)
        found = processing.run(
            "unclouded:removeclouds",
            {
                "INPUT": computed,
                "MASK": str(self.mask),
                "OUTPUT": str(self.folder / "doppelt.tif"),
                "BANDS": "1,1,1",
                **QUICK,
            },
        )
        clear = pixels(self.mask) != 1
        expected = pixels(self.scene, 4).astype(float) * 2
        result = pixels(found["OUTPUT"])
        self.assertEqual(result.dtype, expected.dtype)
        self.assertTrue((result[clear] == expected[clear]).all())

    def test_pictures_of_a_server_are_refused(self):
        tiles = f"file://{self.folder}/{{z}}/{{x}}/{{y}}.png".replace(" ", "%20")
        layer = QgsRasterLayer(f"type=xyz&url={tiles}&zmax=3&zmin=0", "tiles", "wms")
        self.assertTrue(layer.isValid(), layer.error().message())
        QgsProject.instance().addMapLayer(layer)
        self.refused("from a server as pictures", INPUT=layer.id(), MASK=str(self.mask))

    def test_wrong_masks_are_refused_before_the_run(self):
        self.refused("There is no mask")
        self.refused("mask is the scene itself", MASK=str(self.scene))
        far = polygons([("a", QgsRectangle(10, 50, 10.1, 50.1))])
        QgsProject.instance().addMapLayer(far)
        self.refused("does not lie over the scene", MASK=far.id())
        elsewhere = self.folder / "anderswo.tif"
        moved = gdal.GetDriverByName("GTiff").CreateCopy(
            str(elsewhere), gdal.Open(str(self.mask))
        )
        moved.SetGeoTransform([10.0, 0.0001, 0, 50.0, 0, -0.0001])
        del moved
        self.refused("does not lie over the scene", MASK=str(elsewhere))
        self.refused("Expected numbers", MASK=str(self.mask), MASK_VALUES="cloud")
        points = QgsVectorLayer("Point?crs=EPSG:4326", "points", "memory")
        QgsProject.instance().addMapLayer(points)
        self.refused("no polygons|not acceptable|Incorrect|valid", MASK=points.id())

    def test_wrong_settings_are_refused(self):
        mask = {"MASK": str(self.mask)}
        self.refused("Band 14 does not exist", BANDS="14,3,2", **mask)
        self.refused("Expected one number", OFFSET="1,2", **mask)
        self.refused("Expected numbers", OFFSET="none", **mask)
        if not harness.has("restore", "--offset"):
            self.refused("newer unclouded", OFFSET="-1000", **mask)
        self.refused("only one", UNCERTAINTY=str(self.folder / "u.tif"), **mask)
        self.refused("smaller than the tiles", TILE=64, OVERLAP=64, **mask)
        self.refused(".tif", OUTPUT=str(self.folder / "nie.jpg"), **mask)
        same = str(self.folder / "gleich.tif")
        self.refused("one file", OUTPUT=same, PROVENANCE=same, **mask)
        self.refused("never written to", OUTPUT=str(self.scene), **mask)
        self.refused("SAMPLER", SAMPLER="euler", **mask)

    def test_polygons_between_pixel_centres_mark_nothing(self):
        box = grid_box(self.scene, (10, 10, 1, 1))
        sliver = QgsRectangle(
            box.xMinimum(),
            box.yMinimum(),
            box.xMinimum() + box.width() / 9,
            box.yMaximum(),
        )
        with self.assertRaisesRegex(QgsProcessingException, "cover no pixel"):
            self.run_it(MASK=polygons([("a", sliver)]))

    def test_scene_without_georeference(self):
        plain = self.folder / "ohne.tif"
        data = gdal.Open(str(self.scene)).ReadAsArray()
        made = gdal.GetDriverByName("GTiff").Create(
            str(plain), *WINDOW[2:], 13, gdal.GDT_UInt16
        )
        made.WriteArray(data)
        del made
        layer = QgsRasterLayer(str(plain), "ohne")
        # QGIS draws such a raster with rows downwards from 0.
        drawn = polygons([("a", QgsRectangle(10, -30, 40, -20))], crs="")
        drawn.setCrs(QgsCoordinateReferenceSystem())
        self.scene = plain
        filled, _ = self.run_it(INPUT=layer, MASK=drawn, BANDS="4,3,2")
        expected = np.zeros_like(filled)
        expected[20:30, 10:40] = True
        self.assertTrue((filled == expected).all())

    def test_overwriting_replaces_stale_statistics(self):
        target = self.folder / "ergebnis.tif"
        target.write_text("old")
        stale = self.folder / "ergebnis.tif.aux.xml"
        stale.write_text("<PAMDataset/>")
        self.run_it(MASK=str(self.mask))
        self.assertFalse(stale.exists())

    def test_ways_to_find_clouds_follow_the_program(self):
        """SCL, QA_PIXEL and detection: done where the program can, refused where it cannot."""
        classes = self.folder / "SCL.tif"
        source = gdal.Open(str(self.mask))
        made = gdal.GetDriverByName("GTiff").CreateCopy(str(classes), source)
        scl = np.array([4, 9, 3], np.uint8)[pixels(self.mask)]
        made.GetRasterBand(1).WriteArray(scl)
        del made
        if harness.has("restore", "--mask-from"):
            filled, _ = self.run_it(MASK=str(classes), MASK_FROM="scl")
            marked = pixels(self.mask) > 0
            self.assertFalse((marked & ~filled).any())
            self.assertLess((filled & ~marked).mean(), 0.5)
            found, _ = self.run_it(MASK_FROM="auto")
            self.assertGreater(found[pixels(self.mask) == 1].mean(), 0.3)
            self.refused("uses no mask", MASK=str(classes), MASK_FROM="auto")
        else:
            for way in ("scl", "qa-pixel"):
                self.refused("newer unclouded", MASK=str(classes), MASK_FROM=way)
            self.refused("newer unclouded", MASK_FROM="auto")

    def test_cloud_mask_follows_the_program(self):
        algorithm = harness_registry().createAlgorithmById("unclouded:cloudmask")
        fine, reason = algorithm.canExecute()
        if harness.program("mask", "--help", check=False).returncode != 0:
            self.assertFalse(fine)
            self.assertIn("newer unclouded", reason)
            return
        self.assertTrue(fine, reason)
        found = processing.run(
            "unclouded:cloudmask",
            {"INPUT": str(SCENE), "OUTPUT": str(self.folder / "wolken.tif")},
        )
        marked, truth = pixels(found["OUTPUT"]), pixels(MASK) == 1
        self.assertEqual(marked.shape, truth.shape)
        self.assertGreater((marked[truth] > 0).mean(), 0.3)
        self.assertEqual(set(np.unique(marked)), {0, 1})
        self.assertAlmostEqual(found["MASKED_FRACTION"], marked.mean())
        chosen = {"INPUT": str(SCENE), "OUTPUT": str(self.folder / "klassen.tif")}
        classes = processing.run("unclouded:cloudmask", {**chosen, "CLASSES": True})
        self.assertEqual(set(np.unique(pixels(classes["OUTPUT"]))), {0, 1, 2})
        self.refused(
            "only where clouds are detected", "cloudmask", CLASSES=True, MASK_FROM="scl"
        )
        self.refused("uses no mask", "cloudmask", MASK=str(self.mask))

    def test_quality_and_reference_follow_the_program(self):
        chosen = {"MASK": str(self.mask), "SAMPLES": None, "STEPS": None}
        if harness.has("restore", "--quality"):
            self.run_it(QUALITY="fast", **chosen)
        else:
            self.refused("newer unclouded", QUALITY="fast", **chosen)
        other = crop(
            harness.DEMO / "punjab_20200604.tif", self.folder / "juni.tif", WINDOW
        )
        if harness.has("restore", "--reference"):
            self.run_it(REFERENCE=str(other), MASK=str(self.mask))
        else:
            self.refused("newer unclouded", REFERENCE=str(other), MASK=str(self.mask))

    def test_memory_bound_of_the_settings(self):
        settings.save("", "auto", 1)
        self.addCleanup(settings.save, "", "auto", 0)
        with self.assertRaisesRegex(QgsProcessingException, "settings allow 1"):
            self.run_it(MASK=str(self.mask))
        settings.save("", "auto", 100_000)
        self.run_it(MASK=str(self.mask))


def harness_registry():
    """QGIS's list of algorithms."""
    return APPLICATION.processingRegistry()


if __name__ == "__main__":
    unittest.main()
