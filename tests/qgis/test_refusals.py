"""What cannot work is refused before the run; what a newer program can follows the program."""

import unittest

import numpy as np
import processing
from osgeo import gdal
from qgis.core import (
    QgsProcessingException,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)
from unclouded_qgis import settings

import harness
from harness import MASK, SCENE, crop, pixels
from input_case import WINDOW, InputCase, harness_registry, polygons


class Refusals(InputCase):
    def test_wrong_masks_are_refused_before_the_run(self):
        self.refused(
            "There is no mask.*\n.*let the clouds be detected", MASK_FROM="values"
        )
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
        self.refused(
            "«Values of the mask that mean fill»: expected numbers.*«cloud»",
            MASK=str(self.mask),
            MASK_VALUES="cloud",
        )
        points = QgsVectorLayer("Point?crs=EPSG:4326", "points", "memory")
        QgsProject.instance().addMapLayer(points)
        self.refused("no polygons|not acceptable|Incorrect|valid", MASK=points.id())

    def test_wrong_settings_are_refused(self):
        mask = {"MASK": str(self.mask)}
        self.refused("Band 14 does not exist", BANDS="14,3,2", **mask)
        self.refused("Offset.*expected one number", OFFSET="1,2", **mask)
        self.refused("Offset.*expected numbers", OFFSET="none", **mask)
        self.refused("GROW now, and counts metres", DILATE=3, **mask)
        if not harness.has("restore", "--offset"):
            self.refused("newer unclouded", OFFSET="-1000", **mask)
        # How many samples an uncertainty needs the program knows, and says.
        with self.assertRaisesRegex(QgsProcessingException, "at least 2"):
            self.run_it(UNCERTAINTY=str(self.folder / "u.tif"), **mask)
        self.refused("smaller than the tiles", TILE=64, OVERLAP=64, **mask)
        self.refused(".tif", OUTPUT=str(self.folder / "nie.jpg"), **mask)
        same = str(self.folder / "gleich.tif")
        self.refused(
            "Provenance and Scene without clouds are one file",
            OUTPUT=same,
            PROVENANCE=same,
            **mask,
        )
        self.refused("never written to", OUTPUT=str(self.scene), **mask)
        self.refused("SAMPLER", SAMPLER="magic", **mask)

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
            self.refused(
                "to be detected.* and there is a mask",
                MASK=str(classes),
                MASK_FROM="auto",
            )
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

    def test_samplers_and_methods_are_those_of_the_program(self):
        new = self.folder / "nie.tif"
        words = ("restore", self.scene, "-o", new, "--mask", self.mask)
        algorithm = harness_registry().createAlgorithmById("unclouded:removeclouds")
        for name, option in (("SAMPLER", "--sampler"), ("METHOD", "--method")):
            definition = algorithm.parameterDefinition(name)
            self.assertTrue(definition.flags() & definition.FlagAdvanced)
            if not harness.has("restore", option):
                continue
            # A name it does not know is answered with those it does.
            error = harness.program(*words, option, "magic", check=False).stderr
            known = error.partition("one of ")[2].partition(", got")[0].split(", ")
            # The first choice is not to choose.
            offered = [name for name in known if name != "auto"]
            self.assertEqual(sorted(definition.options()[1:]), sorted(offered))
        chosen = {"MASK": str(self.mask)}
        if not harness.has("restore", "--method"):
            self.refused("newer unclouded", METHOD="concat", **chosen)
            return
        first, _ = self.run_it(METHOD="concat", SAMPLER="euler-ancestral", **chosen)
        self.assertTrue(first.any())
        # The bundled model sees the scene: the program says what it is for.
        with self.assertRaisesRegex(QgsProcessingException, "concat"):
            self.run_it(METHOD="ddnm", **chosen)

    def test_results_are_those_of_the_program(self):
        algorithm = harness_registry().createAlgorithmById("unclouded:removeclouds")
        definition = algorithm.parameterDefinition("WRITE")
        self.assertFalse(definition.flags() & definition.FlagAdvanced)
        self.assertEqual(definition.defaultValue(), 0)
        # Of one sample the mean is that sample.
        chosen = {"MASK": str(self.mask), "SAMPLES": 2}
        self.refused("WRITE", WRITE="magic", **chosen)
        if not harness.has("restore", "--write=texture"):
            self.refused("texture.* newer unclouded", WRITE="texture", **chosen)
            return
        for name in ("removeclouds", "fillmask"):
            written = {}
            for write in ("mean", "texture", "sample"):
                target = str(self.folder / f"{write}.tif")
                filled, _ = self.run_it(name, OUTPUT=target, WRITE=write, **chosen)
                self.assertTrue((filled == (pixels(self.mask) == 1)).all())
                written[write] = pixels(target)
            usual = self.run_it(name, **chosen)[1]["OUTPUT"]
            self.assertTrue((written["mean"] == pixels(usual)).all())
            for write in ("texture", "sample"):
                self.assertTrue((written[write] != written["mean"]).any(), write)
            self.assertTrue((written["texture"] != written["sample"]).any())

    def test_texture_is_refused_with_a_reference(self):
        june = harness.DEMO / "punjab_20200604.tif"
        other = crop(june, self.folder / "juni.tif", WINDOW)
        chosen = {"MASK": str(self.mask), "REFERENCE": str(other)}
        if harness.has("restore", "--write=texture"):
            self.refused("texture.* without another date", WRITE="texture", **chosen)
            self.run_it(WRITE="sample", **chosen)

    def test_results_follow_an_older_program(self):
        """Without the texture, and without the option; the mean needs neither."""
        self.addCleanup(settings.save, "", "auto", 0)
        chosen = {"MASK": str(self.mask)}
        for newer, word, missing, known in (
            ("--write=texture", "texture", ["texture"], ["mean", "sample"]),
            ("--write", "--write", ["texture", "sample"], ["mean"]),
        ):
            older = harness.older_program(self.folder, newer, word)
            settings.save(older, "auto", 0)
            for name in ("removeclouds", "fillmask"):
                for write in missing:
                    pattern = f"The result «{write}» needs a newer unclouded"
                    self.refused(pattern, name, WRITE=write, **chosen)
                for write in known:
                    self.run_it(name, WRITE=write, **chosen)


if __name__ == "__main__":
    unittest.main()
