"""The plugin in qgis_process: from the ZIP in an empty profile to the program's own bytes."""

import json
import re
import shutil
import subprocess
import unittest

from osgeo import ogr

import harness
from harness import MASK, PLUGIN, SCENE, Folder, outside, qgis_process, result_lines

IDS = ["cloudmask", "fillmask", "modelinfo", "removeclouds", "series"]


def default_model():
    """The model the program takes when it is told none."""
    words = ["restore", SCENE, "--mask", MASK, "--mask-values", "1,2", "-o", "x.tif"]
    run = harness.program(*words, "--dry-run", "--progress", "json")
    return json.loads(run.stdout.splitlines()[0])["model"]["name"]


class Process(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        enabled = qgis_process("plugins", "enable", "unclouded_qgis")
        assert enabled.returncode == 0, enabled.stderr

    def test_program_is_made_executable(self):
        (path,) = PLUGIN.glob("bin/*/unclouded")
        path.chmod(0o644)
        run = qgis_process("run", "unclouded:modelinfo")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertTrue(path.stat().st_mode & 0o111)

    def test_list_shows_the_algorithms(self):
        listed = qgis_process("list")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        for name in IDS:
            self.assertIn(f"unclouded:{name}\t", listed.stdout)
        self.assertNotIn("Traceback", listed.stderr)

    def test_help_explains_every_parameter(self):
        for name in IDS:
            text = qgis_process("help", f"unclouded:{name}").stdout
            self.assertNotIn("<br", text)
            arguments = text.partition("Arguments\n")[2].partition("Outputs\n")[0]
            lines = arguments.splitlines()
            heads = [
                index
                for index, line in enumerate(lines)
                if line and not line.startswith(("\t", "-"))
            ]
            self.assertGreaterEqual(len(heads), 1, name)
            for index in heads:
                help_line = lines[index + 1].strip()
                self.assertNotIn("Argument type", help_line, lines[index])
                self.assertGreater(len(help_line), 10, lines[index])

    def test_same_bytes_as_the_program(self):
        with Folder() as folder:
            outputs = {
                name: folder / f"{name} ü.tif" for name in ("scene", "std", "kind")
            }
            run = qgis_process(
                "run",
                "unclouded:removeclouds",
                f"--INPUT={SCENE}",
                f"--MASK={MASK}",
                "--MASK_VALUES=1,2",
                "--SAMPLES=2",
                "--SEED=1",
                f"--OUTPUT={outputs['scene']}",
                f"--UNCERTAINTY={outputs['std']}",
                f"--PROVENANCE={outputs['kind']}",
            )
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            own = {name: folder / f"own {name}.tif" for name in outputs}
            words = ["restore", SCENE, "--mask", MASK, "--mask-values", "1,2"]
            words += ["--samples", 2, "--seed", 1, "-o", own["scene"]]
            words += ["--uncertainty", own["std"], "--provenance", own["kind"]]
            harness.program(*words)
            for name, path in outputs.items():
                self.assertEqual(path.read_bytes(), own[name].read_bytes(), name)
            found = result_lines(run.stdout)
            self.assertEqual(found["CLEAR_PIXELS_CHANGED"], "0")
            share = (harness.pixels(own["kind"]) == 2).mean()
            self.assertAlmostEqual(float(found["FILLED_FRACTION"]), share, places=9)
            self.assertIn("estimates, not measurements", run.stdout + run.stderr)
            hidden = [path.name for path in folder.iterdir() if path.name[0] == "."]
            self.assertEqual(hidden, [])

    def test_commands_of_the_documentation_run_as_printed(self):
        """Those for Debian 12, on which this is tested."""
        page = (harness.REPO / "docs" / "qgis.md").read_text(encoding="utf-8")
        (block,) = re.findall(r"```sh\n(export QT_QPA_PLATFORM.*?)```", page, re.DOTALL)
        qgis_process("plugins", "disable", "unclouded_qgis")
        with Folder() as folder:
            shutil.copy(SCENE, folder / "scene.tif")
            classes = harness.gdal.Open(str(MASK))
            made = ogr.GetDriverByName("GPKG").CreateDataSource(
                str(folder / "clouds.gpkg")
            )
            layer = made.CreateLayer("clouds", classes.GetSpatialRef(), ogr.wkbPolygon)
            layer.CreateField(ogr.FieldDefn("class", ogr.OFTInteger))
            band = classes.GetRasterBand(1)
            harness.gdal.Polygonize(band, band, layer, 0)
            del layer, made
            run = subprocess.run(
                ["bash", "-ec", block],
                check=False,
                capture_output=True,
                text=True,
                cwd=folder,
                env=outside(),
            )
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            filled = (
                harness.pixels(folder / "clear.tif") != harness.pixels(SCENE)
            ).any(0)
            self.assertGreater(filled[harness.pixels(MASK) > 0].mean(), 0.9)

    def test_failure_is_a_failure(self):
        with Folder() as folder:
            run = qgis_process(
                "run",
                "unclouded:removeclouds",
                f"--INPUT={SCENE}",
                f"--MASK={MASK}",
                "--MASK_VALUES=77",
                f"--OUTPUT={folder / 'out.tif'}",
            )
            self.assertNotEqual(run.returncode, 0)
            self.assertIn("never occur", run.stderr)
            self.assertIn("Hint: ", run.stderr)
            self.assertIn("«Values of the mask that mean fill»", run.stderr)
            self.assertEqual(list(folder.iterdir()), [])

    def test_missing_program_is_explained(self):
        run = qgis_process(
            "run",
            "unclouded:removeclouds",
            f"--INPUT={SCENE}",
            f"--MASK={MASK}",
            "--OUTPUT=TEMPORARY_OUTPUT",
            UNCLOUDED_BINARY="/nowhere/unclouded",
        )
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("/nowhere/unclouded", run.stderr)
        self.assertIn("Settings > Options > unclouded", run.stderr)

    def test_model_information(self):
        run = qgis_process("run", "unclouded:modelinfo")
        self.assertEqual(run.returncode, 0, run.stderr)
        found = result_lines(run.stdout)
        self.assertRegex(found["SHA256"], "^[0-9a-f]{64}$")
        self.assertEqual(found["NAME"], default_model())
        wrong = qgis_process("run", "unclouded:modelinfo", f"--MODEL={SCENE}")
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("is not a model", wrong.stderr)


if __name__ == "__main__":
    unittest.main()
