"""Another date as users bring it, scenes without clouds, and names that tell whose a result is."""

import unittest

import numpy as np
from osgeo import gdal
from qgis.core import QgsProcessingException, QgsProject, QgsRectangle

from harness import DEMO, SCENE, crop, pixels
from input_case import WINDOW, InputCase, grid_box, polygons, processing

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

    def test_several_dates_are_asked_together(self):
        """The answer follows all of them, whatever their order."""
        days = ("2020-05-15", "2020-06-04")
        dates = [crop(JUNE, self.folder / f"punjab_{day}.tif", WINDOW) for day in days]
        # The second is darker and has a grain of its own.
        file = gdal.Open(str(dates[1]), gdal.GA_Update)
        values = file.ReadAsArray().astype(float)
        grain = np.random.default_rng(1).normal(0, 12, values.shape)
        file.WriteArray((0.8 * values + grain).clip(1, 60000).astype("uint16"))
        del file
        chosen = {"MASK": str(self.mask), "MASK_VALUES": "1,2"}
        filled, found = self.run_it(REFERENCES=[str(d) for d in dates], **chosen)
        both = pixels(found["OUTPUT"])
        _, found = self.run_it(REFERENCES=[str(d) for d in dates[::-1]], **chosen)
        self.assertTrue((pixels(found["OUTPUT"]) == both).all())
        _, found = self.run_it(
            REFERENCE=str(dates[0]), REFERENCES=[str(dates[1])], **chosen
        )
        self.assertTrue((pixels(found["OUTPUT"]) == both).all())
        _, found = self.run_it(**chosen)
        self.assertTrue((pixels(found["OUTPUT"]) != both)[:, filled].any())
        self.refused(
            "there are several dates",
            REFERENCE=str(dates[0]),
            REFERENCES=[str(dates[1])],
            REFERENCE_MASK=str(self.mask),
            **chosen,
        )

    def test_a_series(self):
        """Every date is filled into a folder, with a stack at even intervals; twice is once."""
        season = [
            crop(SCENE, self.folder / "punjab_2020-07-02.tif", WINDOW),
            crop(JUNE, self.folder / "punjab_2020-06-04.tif", WINDOW),
        ]
        out = self.folder / "gefüllt"
        chosen = {"INPUT": [str(date) for date in season], "OUTPUT": str(out)}
        processing.run("unclouded:series", {**chosen, "EVERY": 14, "PROVENANCE": True})
        found = out / "punjab_2020-07-02.tif"
        told = pixels(out / "punjab_2020-07-02_provenance.tif")
        self.assertTrue((told == 2).any())
        before, after = pixels(season[0]), pixels(found)
        clear = np.broadcast_to(told == 1, after.shape)
        self.assertTrue((before == after)[clear].all())
        self.assertEqual(len(list((out / "even").glob("*.tif"))), 3)
        written = found.stat().st_mtime_ns
        processing.run("unclouded:series", {**chosen, "PROVENANCE": True})
        self.assertEqual(found.stat().st_mtime_ns, written)
        with self.assertRaisesRegex(QgsProcessingException, "at least two dates"):
            processing.run("unclouded:series", {**chosen, "INPUT": [str(season[0])]})

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
