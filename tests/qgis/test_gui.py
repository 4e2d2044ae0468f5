"""The plugin in a QGIS with windows, on a virtual screen: what a person does with the mouse.

Pictures land in UNCLOUDED_PICTURES if it is set.
"""

import os
import shutil
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
from osgeo import gdal

from harness import DEMO, MASK, SCENE, crop, pixels, qgis_process
from person import Person

OURS = "Remove clouds"
# From the ZIP to a filled own scene (see test_first_ten_minutes).
MOST_STEPS, MOST_SECONDS = 6, 120
WINDOW = (0, 0, 200, 200)


def screen(path):
    """A screenshot as an array of height x width x 3."""
    return gdal.Open(str(path)).ReadAsArray()[:3].transpose(1, 2, 0).astype(int)


def patch(path, point, side=9):
    """Mean colour of a screenshot around a point of the screen."""
    x, y = point
    half = side // 2
    part = screen(path)[y - half : y + half + 1, x - half : x + half + 1]
    return part.reshape(-1, 3).mean(axis=0)


class GuiCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        qgis_process("plugins", "enable", "unclouded_qgis")

    def setUp(self):
        wanted = os.environ.get("UNCLOUDED_PICTURES")
        self.out = Path(wanted or tempfile.mkdtemp(prefix="unclouded-gui-"))
        self.out.mkdir(parents=True, exist_ok=True)
        if not wanted:
            self.addCleanup(shutil.rmtree, self.out)
        self.folder = Path(tempfile.mkdtemp(prefix="unclouded-szene-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def run_dialog(self, person, title=OURS, seconds=90):
        """Press Run and wait for the end; the dialog is closed."""
        person.click("button", title, "Run")
        person.until(lambda: person.ask("tab", title) == "Log", "the run to start", 40)
        done = "Change Parameters"
        person.until(lambda: person.ask("button", title, done), "the end", seconds)
        log = person.ask("log", title)
        self.assertIn("Execution completed", log)
        return log

    def ends_cleanly(self, person):
        self.assertEqual(person.code, 0, person.log[-2000:])
        self.assertNotIn("Traceback", person.log)


class Sample(GuiCase):
    """Raster > unclouded > Try it, twice."""

    def test_sample_from_the_menu(self):
        with Person(self.out) as person:
            person.menu("Raster", "unclouded")
            entries = person.until(lambda: person.ask("menu_entries"), "the menu")
            names = ["Remove clouds…", "Cloud mask…", "Fill mask…"]
            names += ["Try it: a sample scene", "Help", "Settings…"]
            self.assertEqual([text for text, _ in entries], names)
            self.assertTrue(all(has_icon for _, has_icon in entries), entries)
            person.click("menu_entry", "Try it: a sample scene")
            person.until(lambda: person.ask("button", OURS, "Run"), "the dialog")
            self.beside_the_clouds(person)
            self.run_dialog(person)
            person.look("log.png")
            person.click("button", OURS, "Close")
            self.result_is_seen(person)
            self.again_without_a_second_group(person)
            self.settings_page(person)
        self.ends_cleanly(person)

    def beside_the_clouds(self, person):
        """The dialog does not hide what it is about, and the clouds are marked."""
        left, _, _, _ = person.ask("box", OURS)
        right, _ = person.ask("on_map", "Latium, 5 July 2018", 1.0, 0.5)
        self.assertLess(right, left)
        person.look("dialog.png")
        shown = person.ask("labels", OURS)
        for text in ("Scene", "Clouds", "Mask", "Other date [optional]", "Result"):
            self.assertIn(text, shown)
        self.assertNotIn("Only the selected polygons", shown)
        self.assertNotIn("Sampler", shown)
        self.assertIn("Help", shown)

    def result_is_seen(self, person):
        (group, *_) = person.ask("tree")
        self.assertEqual(group[:2], [0, "group"])
        self.assertRegex(group[2], r"^Latium, 5 July 2018, \d\d:\d\d$")
        self.assertEqual(
            person.ask("tree")[1:4],
            [
                [1, "layer", "Latium, 5 July 2018: without clouds", True],
                [
                    1,
                    "layer",
                    "Latium, 5 July 2018: uncertainty, high = guess",
                    False,
                ],
                [1, "layer", "Latium, 5 July 2018: provenance", False],
            ],
        )
        bar = person.ask("message_bar")
        ((level, said),) = [one for one in bar if one[1].startswith("unclouded: ")]
        self.assertEqual(level, 0, "not a warning")
        self.assertIn("estimates, not measurements", said)
        legend = " ".join(
            person.ask("legend", "Latium, 5 July 2018: uncertainty, high = guess")
        )
        self.assertRegex(
            legend, r"0: the samples agree.* or more \(scene's units\): a guess"
        )
        self.assertNotRegex(legend, r"\d\.\d{5}")
        picture = person.look("window.png")
        self.on_top(person, picture, "Latium, 5 July 2018: without clouds")

    def on_top(self, person, picture, name):
        """The map shows a layer's own pixels: its colours where it has been filled."""
        layer = person.ask("source", name)
        mask = pixels(DEMO / "latium_20180705_mask.tif") == 1
        values = pixels(layer)[[3, 2, 1]].astype(float)
        look = np.clip((values - 700) / (1950 - 700), 0, 1) * 255
        rows, cols = np.nonzero(mask)
        compared = 0
        for at in range(0, len(rows), max(1, len(rows) // 40)):
            row, col = rows[at], cols[at]
            box = slice(row - 3, row + 4), slice(col - 3, col + 4)
            if row < 3 or col < 3 or not mask[box].all() or mask[box].size < 49:
                continue
            expected = look[(slice(None), *box)].reshape(3, -1).mean(axis=1)
            share = ((col + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0])
            found = patch(picture, person.ask("on_map", name, *share))
            self.assertLess(np.abs(found - expected).max(), 25, (row, col))
            compared += 1
        self.assertGreater(compared, 5)

    def again_without_a_second_group(self, person):
        before = [name for _, kind, name, _ in person.ask("tree") if kind == "group"]
        person.menu("Raster", "unclouded", "Try it: a sample scene")
        person.until(lambda: person.ask("button", OURS, "Run"), "the dialog again")
        after = [name for _, kind, name, _ in person.ask("tree") if kind == "group"]
        self.assertEqual(before, after)
        person.click("button", OURS, "Run as Batch Process…")
        person.until(
            lambda: "Batch Processing" in str(person.ask("titles")), "the batch"
        )
        person.click("button", "Batch Processing", "Close")

    def settings_page(self, person):
        person.menu("Raster", "unclouded", "Settings…")
        person.until(lambda: "Options" in str(person.ask("titles")), "the options")
        shown = person.until(
            lambda: [
                t
                for t in person.ask("labels", "Options")
                if "thread" in t or "GPU" in t
            ],
            "the device",
        )
        self.assertTrue(shown)
        person.look("options.png")
        self.assertIn("unclouded 0.", " ".join(person.ask("labels", "Options")))
        person.click("button", "Options", "Cancel")


class OtherProject(GuiCase):
    """Try it in a project that has a CRS of its own, and keeps it."""

    def test_sample_in_a_project_with_another_crs(self):
        mine = self.folder / "mine.tif"
        gdal.Warp(str(mine), str(SCENE), dstSRS="EPSG:3857")
        with Person(self.out, [mine]) as person:
            person.until(lambda: person.ask("tree"), "the scene")
            person.drawn()
            self.assertEqual(person.ask("crs"), ["EPSG:3857", "EPSG:3857"])
            person.menu("Raster", "unclouded", "Try it: a sample scene")
            person.until(lambda: person.ask("button", OURS, "Run"), "the dialog")
            person.drawn()
            self.assertEqual(person.ask("crs"), ["EPSG:3857", "EPSG:3857"])
            left, top, _, _ = person.ask("box", "")
            for share in ((0.02, 0.02), (0.98, 0.98)):
                x, y = person.ask("on_map", "Latium, 5 July 2018", *share)
                self.assertTrue(
                    left < x < person.ask("box", OURS)[0], "it is out of sight"
                )
                self.assertTrue(top < y < 1000)
            person.click("button", OURS, "Close")
        self.ends_cleanly(person)


class Drawn(GuiCase):
    """Clouds drawn by hand into a scratch layer, in a project that has another CRS."""

    def test_drawn_clouds(self):
        scene = crop(SCENE, self.folder / "szene.tif", WINDOW)
        with Person(self.out, [scene]) as person:
            person.until(lambda: person.ask("tree"), "the scene")
            person.drawn()
            self.draw(person, [((0.2, 0.2), (0.45, 0.2), (0.45, 0.5), (0.2, 0.5))])
            person.menu("Raster", "unclouded", "Remove clouds…")
            person.until(lambda: person.ask("button", OURS, "Run"), "the dialog")
            shown = person.ask("labels", OURS)
            self.assertIn("Only the selected polygons", shown)
            self.assertNotIn("Values of the mask that mean fill [optional]", shown)
            self.run_dialog(person)
            self.assertEqual(person.ask("message_boxes"), [])
            person.click("button", OURS, "Close")
            tree = person.ask("tree")
            self.assertRegex(tree[0][2], r"^szene, \d\d:\d\d$")
            self.assertEqual(tree[1][2], "szene: without clouds")
            kinds = pixels(person.ask("source", "szene: provenance"))
            person.look("drawn.png")
        self.assertTrue((kinds[45:95, 45:85] == 2).all())
        self.assertLess((kinds == 2).mean(), 0.2)
        self.ends_cleanly(person)

    def draw(self, person, shapes):
        """Layer > Create Layer > New Temporary Scratch Layer, and polygons corner by corner."""
        person.menu("Layer", "Create Layer", "New Temporary Scratch Layer…")
        title = "New Temporary Scratch Layer"
        person.choose(title, "Geometry type", "Polygon")
        person.click("button", title, "OK")
        person.until(lambda: len(person.ask("tree")) == 2, "the layer")
        for corners in shapes:
            person.menu("Edit", "Add Polygon Feature")
            for corner in corners:
                person.click_at(person.ask("on_map", "szene", *corner))
                time.sleep(0.3)
            person.click_at(person.ask("on_map", "szene", *corners[-1]), button=3)
            time.sleep(0.5)


class FirstTenMinutes(GuiCase):
    """From the ZIP, in a QGIS that never saw it, to a filled scene of one's own."""

    def test_first_ten_minutes(self):
        scene = crop(SCENE, self.folder / "mine.tif", WINDOW)
        archive = Path(os.environ["UNCLOUDED_TEST_DIST"]) / "unclouded_qgis.zip"
        profile = self.folder / "home"
        with Person(self.out, [scene], profile=profile) as person:
            person.drawn()
            began = time.monotonic()
            person.step("Plugins > Manage and Install Plugins…")
            person.menu("Plugins", "Manage and Install Plugins…")
            person.step("Install from ZIP: choose the file, Install Plugin")
            self.install(person, archive)
            person.step("Close")
            person.click("button", "Plugins", "Close")
            person.step("Raster > unclouded > Remove clouds…")
            person.menu("Raster", "unclouded", "Remove clouds…")
            person.step("Run")
            self.run_dialog(person)
            took = time.monotonic() - began
            kinds = pixels(person.ask("source", "mine: provenance"))
            person.click("button", OURS, "Close")
            person.look("own_scene.png")
        print(f"{len(person.steps)} steps, {took:.0f} s", flush=True)
        self.assertLessEqual(len(person.steps), MOST_STEPS)
        self.assertLess(took, MOST_SECONDS)
        truth = pixels(crop(MASK, self.folder / "mask.tif", WINDOW)) == 1
        self.assertGreater((kinds[truth] == 2).mean(), 0.5)

    def install(self, person, archive):
        title = "Plugins"
        person.until(
            lambda: person.ask("side_list", title, "Install from ZIP"), "the manager"
        )
        person.click("side_list", title, "Install from ZIP")
        person.click("line_edit", title)
        person.type(str(archive))
        person.click("button", title, "Install Plugin")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if person.ask("message_boxes"):
                person.click("button", "Security warning", "Yes")
            try:
                person.ask("button", title, "Close")
                if self.installed(person):
                    return
            except LookupError:
                pass
            time.sleep(0.3)
        self.fail("the plugin was not installed")

    def installed(self, person):
        return "unclouded" in person.ask("plugins")


if __name__ == "__main__":
    unittest.main()
