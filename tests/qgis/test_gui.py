"""The plugin in a QGIS with windows, on a virtual screen: menu, dialog, results, cancel, reload."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import PROFILE, outside, qgis_process

HERE = Path(__file__).resolve().parent
# Half a minute on an idle machine; tests may share theirs.
LIMIT_SECONDS = 400


class Gui(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        qgis_process("plugins", "enable", "unclouded_qgis")
        cls.out = Path(os.environ.get("UNCLOUDED_PICTURES") or tempfile.mkdtemp())
        cls.out.mkdir(parents=True, exist_ok=True)
        if not os.environ.get("UNCLOUDED_PICTURES"):
            cls.addClassCleanup(shutil.rmtree, cls.out)
        cls.run_qgis()
        cls.report = json.loads((cls.out / "report.json").read_text(encoding="utf-8"))
        assert "error" not in cls.report, cls.report["error"]

    @classmethod
    def run_qgis(cls):
        """QGIS on a screen of its own, from start to exit."""
        ready, told = os.pipe()
        screen = subprocess.Popen(
            [
                "Xvfb",
                "-displayfd",
                str(told),
                "-screen",
                "0",
                "1500x950x24",
                "-nolisten",
                "tcp",
            ],
            pass_fds=[told],
            stderr=subprocess.DEVNULL,
        )
        os.close(told)
        try:
            with os.fdopen(ready) as answer:
                number = answer.readline().strip()
            assert number, "Xvfb did not start"
            cls.qgis = subprocess.run(
                [
                    "qgis.bin",
                    "--nologo",
                    "--noversioncheck",
                    "--profiles-path",
                    str(PROFILE.parent.parent),
                    "--profile",
                    "default",
                    "--code",
                    str(HERE / "gui_driver.py"),
                ],
                check=False,
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                env={
                    **outside(),
                    "DISPLAY": f":{number}",
                    "QT_QPA_PLATFORM": "xcb",
                    "UNCLOUDED_GUI_OUT": str(cls.out),
                },
            )
        finally:
            screen.terminate()
            screen.wait()

    def test_starts_and_ends_cleanly(self):
        self.assertEqual(self.qgis.returncode, 0, self.qgis.stderr[-2000:])
        self.assertNotIn("Traceback", self.qgis.stderr)
        self.assertEqual(self.report["warnings"], [])
        self.assertEqual(self.report["providers_at_start"], 1)

    def test_try_it_opens_the_dialog_filled_in(self):
        self.assertEqual(self.report["menu"], [True, True, True])
        self.assertIn("Remove clouds", self.report["title"])
        found = self.report["parameters"]
        self.assertRegex(found["INPUT"], r"Latium\D*5\D")
        self.assertRegex(found["REFERENCE"], r"Latium\D*12\D")
        self.assertEqual(found["MASK_VALUES"], "1,2")
        self.assertEqual((found["SEED"], found["SAMPLES"]), ("1", "4"))

    def test_run_adds_styled_layers_and_warns(self):
        found = self.report
        self.assertTrue(found["ok"])
        for name in ("Scene without clouds", "Uncertainty", "Provenance"):
            self.assertIn(name, found["layers"])
        self.assertEqual(found["output_renderer"], found["scene_renderer"])
        self.assertEqual(found["output_bands"], [4, 3, 2])
        self.assertEqual(found["uncertainty_renderer"], "singlebandpseudocolor")
        self.assertEqual(found["uncertainty_bands"], [4])
        self.assertEqual(found["provenance_renderer"], "paletted")
        self.assertEqual(len(found["provenance_legend"]), 3)
        ours = [text for text in found["message_bar"] if text.startswith("unclouded: ")]
        self.assertEqual(len(ours), 1, found["message_bar"])
        self.assertIn("Scene without clouds: filled pixels are estimates", ours[0])

    def test_cancel_button(self):
        found = self.report
        self.assertFalse(found["cancelled_ok"])
        self.assertLess(found["cancel_seconds"], 2.0)
        self.assertLess(found["progress_at_cancel"], 90)
        self.assertEqual(found["layers_added_by_cancelled"], 0)
        self.assertTrue(found["run_button_after_cancel"])

    def test_options_page(self):
        self.assertTrue(self.report["options_page_shown"])
        self.assertIn("unclouded 0.", self.report["options_state"])
        self.assertIn("No such file", self.report["options_state_wrong"])
        self.assertEqual(self.report["saved_memory"], 4000)

    def test_reload_leaves_nothing_behind(self):
        self.assertTrue(self.report["unloaded"])
        self.assertEqual(self.report["providers_unloaded"], 0)
        self.assertFalse(self.report["menu_unloaded"])
        self.assertEqual(self.report["providers_reloaded"], 1)
        self.assertTrue(self.report["menu_reloaded"])

    def test_pictures_show_something(self):
        from osgeo import gdal

        for name in ("dialog", "window", "before_after", "options", "log"):
            picture = gdal.Open(str(self.out / f"{name}.png")).ReadAsArray()
            self.assertGreater(picture[:3].std(), 10, name)


if __name__ == "__main__":
    unittest.main()
