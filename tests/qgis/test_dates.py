"""Another date as users bring it, scenes without clouds, and names that tell whose a result is."""

import unittest

import numpy as np
from osgeo import gdal
from qgis.core import QgsProcessingException, QgsProject, QgsRectangle

from harness import DEMO, SCENE, crop, pixels
from input_case import WINDOW, InputCase, grid_box, polygons

JUNE = DEMO / "punjab_20200604.tif"


class Dates(InputCase):
    def test_another_date_on_another_grid(self):
        """As masks are: brought onto the scene's grid, in another CRS and resolution as well."""
        other = self.folder / "juni utm.tif"
        gdal.Warp(str(other), str(JUNE), dstSRS="EPSG:32643", xRes=12, yRes=12)
        same = crop(JUNE, self.folder / "juni.tif", WINDOW)
        chosen = {"MASK": str(self.mask), "MASK_VALUES": "1,2"}
        filled, found = self.run_it(REFERENCE=str(other), **chosen)
        warped = pixels(found["OUTPUT"]).astype(float)[:, filled]
        _, found = self.run_it(REFERENCE=str(same), **chosen)
        fitting = pixels(found["OUTPUT"]).astype(float)[:, filled]
        _, found = self.run_it(**chosen)
        alone = pixels(found["OUTPUT"]).astype(float)[:, filled]
        apart = np.abs(warped - fitting).mean()
        self.assertLess(apart, 0.5 * np.abs(alone - fitting).mean())

    def test_another_date_that_cannot_help(self):
        mask = {"MASK": str(self.mask)}
        self.refused("is the scene itself", REFERENCE=str(self.scene), **mask)
        copy = self.folder / "kopie.tif"
        copy.write_bytes(self.scene.read_bytes())
        with self.assertRaisesRegex(QgsProcessingException, "very pixels of the scene"):
            self.run_it(REFERENCE=str(copy), **mask)
        far = self.folder / "fern.tif"
        moved = gdal.GetDriverByName("GTiff").CreateCopy(
            str(far), gdal.Open(str(self.scene))
        )
        moved.SetGeoTransform([10.0, 0.0001, 0, 50.0, 0, -0.0001])
        del moved
        self.refused("other date fern does not lie over", REFERENCE=str(far), **mask)

    def test_clouds_of_the_other_date(self):
        """Drawn or in a raster: what the other date hides is not taken from it."""
        other = crop(JUNE, self.folder / "juni.tif", WINDOW)
        layer = polygons([("a", grid_box(self.scene, (0, 0, 60, 96)))])
        QgsProject.instance().addMapLayer(layer)
        chosen = {"MASK": str(self.mask), "REFERENCE": str(other)}
        filled, found = self.run_it(**chosen)
        dated = pixels(found["OUTPUT"]).astype(float)
        _, found = self.run_it(MASK=str(self.mask))
        alone = pixels(found["OUTPUT"]).astype(float)
        _, found = self.run_it(REFERENCE_MASK=layer.id(), **chosen)
        hidden = pixels(found["OUTPUT"]).astype(float)
        left = filled.copy()
        left[:, 50:] = False
        self.assertGreater(left.sum(), 100)
        self.assertLess(
            np.abs(hidden - alone)[:, left].mean(),
            np.abs(hidden - dated)[:, left].mean(),
        )
        # Cloudless: nothing is found in it, and it counts everywhere.
        _, found = self.run_it(REFERENCE_CLOUDS="auto", **chosen)
        self.assertTrue((pixels(found["OUTPUT"]) == dated).all())
        self.refused(
            "to be detected, and there is a mask",
            REFERENCE_MASK=layer.id(),
            REFERENCE_CLOUDS="auto",
            **chosen,
        )
        self.refused(
            "but no other date", MASK=str(self.mask), REFERENCE_MASK=layer.id()
        )
        away = polygons([("a", QgsRectangle(10, 50, 10.1, 50.1))], name="away")
        QgsProject.instance().addMapLayer(away)
        self.refused("away does not lie over", REFERENCE_MASK=away.id(), **chosen)

    def test_scene_without_clouds_passes_through(self):
        """A batch must not stop at a fine day."""
        scene = crop(JUNE, self.folder / "klar.tif", (0, 0, 96, 96))
        filled, found = self.run_it(scene=scene)
        self.assertFalse(filled.any())
        self.assertEqual(found["FILLED_FRACTION"], 0)
        self.assertTrue((pixels(found["OUTPUT"]) == pixels(scene)).all())

    def test_offset_reaches_the_program(self):
        """It decides what is taken for dark and bright, and so what is detected."""
        plain, _ = self.run_it()
        shifted, _ = self.run_it(OFFSET="-1000")
        self.assertTrue((plain != shifted).any())
        self.assertGreater(pixels(SCENE).min(), 0)


if __name__ == "__main__":
    unittest.main()
